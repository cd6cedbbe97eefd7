//! This machine's network interfaces, and the names that resolve on it.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crossbeam_channel::{after, select, unbounded};

use super::hostfile::Names;

/// How many names are looked up at the same time.
const LOOK_UPS: usize = 16;

/// The addresses by which others may reach this machine: those of `interface`, or of all but
/// loopback.
pub(super) fn addresses(interface: Option<&str>) -> Result<Vec<IpAddr>> {
    let all = if_addrs::get_if_addrs().context("cannot list the network interfaces")?;
    if let Some(wanted) = interface {
        let names: BTreeSet<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
        ensure!(
            names.contains(wanted),
            "no network interface `{wanted}` with an address; there are {}",
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        );
    }
    let is_wanted = |of: &if_addrs::Interface| {
        interface.map_or(!of.is_loopback(), |wanted| wanted == of.name)
            // Such an address means nothing without the interface on the other side.
            && !matches!(of.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local())
    };
    let wanted: BTreeSet<IpAddr> =
        all.iter().filter(|of| is_wanted(of)).map(if_addrs::Interface::ip).collect();
    Ok(wanted.into_iter().collect())
}

/// The addresses of the names that resolve within `limit`. The system's resolver may take
/// longer, and cannot be called off: it is left to itself.
pub(super) fn look_up(names: BTreeSet<String>, limit: Duration) -> Names {
    let (ask, asked) = unbounded::<String>();
    let (answer, answers) = unbounded();
    for _ in 0..names.len().min(LOOK_UPS) {
        let (asked, answer) = (asked.clone(), answer.clone());
        std::thread::spawn(move || {
            for name in asked {
                let found = (name.as_str(), 0).to_socket_addrs().into_iter().flatten();
                let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                // Nobody listens any more: the time is over.
                let _ = answer.send((name, found));
            }
        });
    }
    drop(answer);
    for name in names {
        ask.send(name).expect("the other end is in this function");
    }
    drop(ask);
    let (mut found, over) = (Names::new(), after(limit));
    loop {
        select! {
            recv(answers) -> answer => match answer {
                Ok((name, addresses)) if !addresses.is_empty() => {
                    found.insert(name, addresses);
                }
                Ok(_) => {}
                Err(_) => return found,
            },
            recv(over) -> _ => return found,
        }
    }
}

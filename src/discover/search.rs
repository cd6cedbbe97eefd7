//! `rankpool discover`: listens for machines, and makes a hostfile of those that fit.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::choose::{Wanted, choose};
use super::hostfile::{self, Format, Here};
use super::secret::Secret;
use super::{mdns, net};
use crate::units;

/// How long names may take to resolve.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);

/// What to search for.
#[derive(Clone, Debug)]
pub struct Search {
    /// How long to listen.
    pub wait: Duration,
    /// So many cores at least.
    pub min_cores: u32,
    /// So many bytes of memory at least.
    pub min_memory: u64,
    /// How far time stamps may be from this clock.
    pub max_age: Duration,
    /// How the hostfile is written.
    pub format: Format,
    /// The only network interface to use.
    pub interface: Option<String>,
    /// The file of the secret that machines are to have signed with.
    pub secret_file: Option<PathBuf>,
    /// The MPI that this binary runs with.
    pub mpi: String,
}

/// Searches, and returns a hostfile of one machine at least; `tell` gets lines for people.
pub fn search(search: &Search, tell: &mut dyn FnMut(&str)) -> Result<String> {
    let mut say = |text: &str| tell(&format!("rankpool: discover: {text}"));
    let secret = search.secret_file.as_deref().map(Secret::read).transpose()?;
    if secret.is_none() {
        say("without `--secret-file` anybody on this network can enter the hostfile");
    }
    let interface = search.interface.as_deref();
    let own = net::addresses(interface)?;
    let (heard, troubles) = mdns::listen(interface, search.wait)?;
    let wanted = Wanted {
        secret,
        max_age: search.max_age,
        now: super::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mpi: search.mpi.clone(),
        min_cores: search.min_cores,
        min_memory: search.min_memory,
    };
    for trouble in troubles {
        say(&format!("multicast DNS: {trouble}"));
    }
    let (machines, mut left_out) = choose(&heard, &wanted);
    let names = machines.iter().map(|machine| machine.record.name.clone()).collect();
    let names = net::look_up(names, LOOK_UP_LIMIT);
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let here = Here { name, addresses: own };
    let (entries, unnamed) = hostfile::entries(machines, &names, &here, search.format);
    left_out.extend(unnamed);
    if entries.is_empty() {
        for left_out in &left_out {
            say(&format!("left out: {left_out}"));
        }
        return Err(nobody(search.wait, left_out.is_empty()));
    }
    Ok(hostfile::text(&entries, &left_out, &wanted, search.format))
}

/// An empty hostfile is none: with one, an MPI may start everything on this machine.
fn nobody(wait: Duration, is_silent: bool) -> anyhow::Error {
    let wait = units::format_duration(wait);
    let which = if is_silent { "" } else { " that fits" };
    anyhow!(
        "no machine{which} announced itself within {wait}; run `rankpool announce` on each, or \
         wait longer with `--wait`"
    )
}

//! Multicast DNS, by the crate `mdns-sd`: the only file that names it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crossbeam_channel::Sender;
use mdns_sd::{DaemonEvent, IfKind, ServiceDaemon, ServiceEvent, ServiceInfo};

use super::choose::Heard;
use super::record::{Record, Txt};

/// The service's type (RFC 6763, section 7).
pub const SERVICE: &str = "_rankpool._tcp.local.";

/// Nothing listens: mpirun comes by ssh. A port is part of every service; this one discards.
const PORT: u16 = 9;

/// More records are not kept: a stranger can send as many as he likes.
const MOST_HEARD: usize = 10_000;

/// How long a goodbye may take.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);

/// What the network did.
#[derive(Debug)]
pub(super) enum Event {
    /// The record went out.
    Sent,
    /// Something does not work, perhaps on one interface only.
    Trouble(String),
}

fn daemon(interface: Option<&str>) -> Result<ServiceDaemon> {
    let start = || -> mdns_sd::Result<ServiceDaemon> {
        let daemon = ServiceDaemon::new()?;
        match interface {
            Some(name) => {
                daemon.disable_interface(IfKind::All)?;
                daemon.enable_interface(name)?;
            }
            None => daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?,
        }
        Ok(daemon)
    };
    start().context("cannot start multicast DNS")
}

/// Sends a record to whoever asks.
pub(super) struct Announcer {
    daemon: ServiceDaemon,
    /// The first part of the names of this service and of its host: nobody else's, so that
    /// machines of one name, or two announcements of one machine, do not take them for a conflict.
    label: String,
}

impl Announcer {
    /// `heard` gets what happens.
    pub(super) fn start(interface: Option<&str>, name: &str, heard: Sender<Event>) -> Result<Self> {
        let daemon = daemon(interface)?;
        let events = daemon.monitor().context("cannot watch multicast DNS")?;
        std::thread::spawn(move || {
            for event in events {
                let event = match event {
                    DaemonEvent::Announce(..) => Event::Sent,
                    DaemonEvent::Error(error) => Event::Trouble(error.to_string()),
                    _ => continue,
                };
                if heard.send(event).is_err() {
                    return;
                }
            }
        });
        let first = name.split('.').next().unwrap_or(name);
        // A label has 63 bytes at most (RFC 1035, section 2.3.4).
        let first = &first[..first.len().min(40)];
        let random = RandomState::new().hash_one(std::process::id());
        Ok(Self { daemon, label: format!("{first}-{random:016x}") })
    }

    /// Sends this record from now on.
    pub(super) fn send(&self, record: &Record, txt: &Txt) -> Result<()> {
        let properties = txt.iter().map(|(key, value)| (key, value.as_slice()).into());
        let properties: Vec<mdns_sd::TxtProperty> = properties.collect();
        let host = format!("{}.local.", self.label);
        let addresses = record.addresses.as_slice();
        let service = ServiceInfo::new(SERVICE, &self.label, &host, addresses, PORT, properties);
        let mut service = service.context("the record does not fit into multicast DNS")?;
        // Names that are random need no look whether somebody has them (RFC 6762, section 8.1),
        // in which they would be silent.
        service.set_requires_probe(false);
        self.daemon.register(service).context("cannot announce")
    }

    /// Says goodbye.
    pub(super) fn stop(self) {
        // Whoever does not hear it finds out by itself: nobody answers any more.
        if let Ok(done) = self.daemon.unregister(&format!("{}.{SERVICE}", self.label)) {
            let _ = done.recv_timeout(GOODBYE_LIMIT);
        }
        if let Ok(done) = self.daemon.shutdown() {
            let _ = done.recv_timeout(GOODBYE_LIMIT);
        }
    }
}

/// Listens for `wait`; returns what was heard and was not taken back, and what does not work.
pub(super) fn listen(interface: Option<&str>, wait: Duration) -> Result<(Vec<Heard>, Vec<String>)> {
    let daemon = daemon(interface)?;
    let troubles = daemon.monitor().context("cannot watch multicast DNS")?;
    let events = daemon.browse(SERVICE).context("cannot ask by multicast DNS")?;
    let deadline = now() + wait;
    let mut heard = HashMap::new();
    while let Ok(event) = events.recv_deadline(deadline) {
        match event {
            ServiceEvent::ServiceResolved(service) if heard.len() < MOST_HEARD => {
                let properties = service.txt_properties.iter();
                let txt = properties
                    .map(|of| (of.key().to_owned(), of.val().unwrap_or_default().to_owned()));
                let addresses = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
                let addresses: Vec<IpAddr> = addresses.collect();
                heard.insert(service.fullname, Heard { txt: txt.collect(), addresses });
            }
            ServiceEvent::ServiceRemoved(_, name) => {
                heard.remove(&name);
            }
            _ => {}
        }
    }
    let troubles = troubles.try_iter().filter_map(|event| match event {
        DaemonEvent::Error(error) => Some(error.to_string()),
        _ => None,
    });
    let troubles = troubles.collect();
    // It ends with this process at the latest.
    let _ = daemon.shutdown();
    Ok((heard.into_values().collect(), troubles))
}

/// Now.
#[allow(clippy::disallowed_methods, reason = "listening has a deadline")]
fn now() -> Instant {
    Instant::now()
}

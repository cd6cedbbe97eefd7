//! `rankpool announce`: says that this machine takes ranks, until a signal ends it.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use crossbeam_channel::{Receiver, bounded, select, tick, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::mdns::{Announcer, Event};
use super::net;
use super::record::{Record, Txt};
use super::secret::Secret;

/// How often the record is made anew, with its load and time stamp: several times within the age
/// up to which `discover` takes it.
const REFRESH: Duration = Duration::from_secs(15);

/// What to announce.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// How many ranks this machine takes.
    pub slots: NonZeroU16,
    /// Its name, where its host name is not what others know it by.
    pub name: Option<String>,
    /// The only network interface to use.
    pub interface: Option<String>,
    /// The file of the secret to sign with.
    pub secret_file: Option<PathBuf>,
    /// The MPI that this binary runs with.
    pub mpi: String,
}

impl Announcement {
    /// What this machine says now.
    fn record(&self) -> Result<Record> {
        let mut record = Record::take(&self.mpi, self.name.as_deref(), self.slots)?;
        record.addresses = net::addresses(self.interface.as_deref())?;
        if record.addresses.is_empty() {
            bail!("no network interface has an address; `--interface lo` is this machine alone");
        }
        Ok(record)
    }
}

fn signed(record: &Record, secret: Option<&Secret>) -> Txt {
    let mut txt = record.to_txt();
    if let Some(secret) = secret {
        secret.sign(&mut txt);
    }
    txt
}

/// Announces this machine until SIGINT or SIGTERM; `tell` gets lines for people.
pub fn announce(announcement: &Announcement, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let ended = ended()?;
    let secret = announcement.secret_file.as_deref().map(Secret::read).transpose()?;
    let record = announcement.record()?;
    let (sender, events) = unbounded();
    let announcer = Announcer::start(announcement.interface.as_deref(), &record.name, sender)?;
    announcer.send(&record, &signed(&record, secret.as_ref()))?;
    let mut told = Told { record: &record, signed: secret.is_some(), sent: false, tell };
    let refresh = tick(REFRESH);
    loop {
        select! {
            recv(ended) -> _ => break,
            recv(events) -> event => told.event(event.context("multicast DNS has ended")?),
            recv(refresh) -> _ => {
                told.refreshed();
                // Without a network there is nothing to say: it may come back.
                if let Ok(record) = announcement.record() {
                    announcer.send(&record, &signed(&record, secret.as_ref()))?;
                }
            }
        }
    }
    announcer.stop();
    Ok(())
}

/// Gets a message when somebody asks for an end.
fn ended() -> Result<Receiver<()>> {
    let mut caught =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("cannot catch signals")?;
    let (sender, ended) = bounded(1);
    std::thread::spawn(move || {
        for _ in caught.forever() {
            // One is waiting already: it says the same.
            let _ = sender.try_send(());
        }
    });
    Ok(ended)
}

/// What people have been told.
struct Told<'a> {
    record: &'a Record,
    signed: bool,
    sent: bool,
    tell: &'a mut dyn FnMut(&str),
}

impl Told<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Sent if !self.sent => {
                self.sent = true;
                let Record { name, addresses, slots, .. } = self.record;
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                let addresses = addresses.join(", ");
                let proof = if self.signed { "signed" } else { "not signed (`--secret-file`)" };
                self.say(&format!("announcing `{name}` at {addresses}, slots {slots}, {proof}"));
            }
            Event::Sent => {}
            Event::Trouble(text) => self.say(&format!("multicast DNS: {text}")),
        }
    }

    /// Some time has passed.
    fn refreshed(&mut self) {
        if !self.sent {
            self.say("nothing went out yet: no interface lets multicast through");
        }
    }

    fn say(&mut self, text: &str) {
        (self.tell)(&format!("rankpool: announce: {text}"));
    }
}

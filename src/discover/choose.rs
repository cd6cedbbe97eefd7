//! Which of the machines that were heard are taken, and why the others are not.
//!
//! **Invariant:** pure; the clock and the names' addresses are the caller's.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::hostfile::gib;
use super::record::{Record, Txt, shown};
use super::secret::Secret;
use crate::units;

/// A record as it was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it says.
    pub txt: Txt,
    /// The addresses that the network gave with it: the sender's on this link, if nobody lies.
    pub addresses: Vec<IpAddr>,
}

/// Whom to take.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The signature to ask for.
    pub secret: Option<Secret>,
    /// How far a time stamp may be from `now`.
    pub max_age: Duration,
    /// Seconds since 1970.
    pub now: u64,
    /// The version of rankpool.
    pub version: String,
    /// The MPI.
    pub mpi: String,
    /// So many cores at least.
    pub min_cores: u32,
    /// So many bytes of memory at least.
    pub min_memory: u64,
}

/// A machine that is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// What it says of itself.
    pub record: Record,
    /// Its addresses that it signed and that reach it from here; never none.
    pub reachable: Vec<IpAddr>,
}

/// A record that is left out: one line, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut(String);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LeftOut {
    /// `txt` is a stranger's; `why` is ours.
    pub(super) fn new(txt: &Txt, addresses: &[IpAddr], why: &str) -> Self {
        let name = txt.get("name").map(|name| shown(&String::from_utf8_lossy(name)));
        let mut addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        addresses.sort();
        let name = name.unwrap_or_else(|| "?".to_owned());
        Self(format!("`{name}` ({}): {}", addresses.join(", "), why))
    }
}

/// Parts what was heard; both by name.
pub fn choose(heard: &[Heard], wanted: &Wanted) -> (Vec<Machine>, Vec<LeftOut>) {
    let (mut machines, mut left_out) = (Vec::new(), Vec::new());
    for heard in heard {
        match judge(heard, wanted) {
            Ok(machine) => machines.push(machine),
            Err(why) => left_out.push(LeftOut::new(&heard.txt, &heard.addresses, &why.to_string())),
        }
    }
    left_out.extend(merge(&mut machines));
    machines.sort_by(|a, b| a.record.name.cmp(&b.record.name).then(a.reachable.cmp(&b.reachable)));
    left_out.sort_by(|a, b| a.0.cmp(&b.0));
    left_out.dedup();
    (machines, left_out)
}

/// The signature comes first: until then nothing in the record counts.
fn judge(heard: &Heard, wanted: &Wanted) -> Result<Machine> {
    if let Some(secret) = &wanted.secret {
        secret.check(&heard.txt)?;
    }
    let record = Record::from_txt(&heard.txt)?;
    check_age(record.time, wanted)?;
    ensure!(
        record.version == wanted.version,
        "it runs rankpool {}, not {}",
        shown(&record.version),
        wanted.version
    );
    ensure!(record.mpi == wanted.mpi, "it has {}, not {}", shown(&record.mpi), wanted.mpi);
    let (cores, memory) = (record.cores, record.memory);
    ensure!(cores >= wanted.min_cores, "it has {cores} cores, not {}", wanted.min_cores);
    ensure!(
        memory >= wanted.min_memory,
        "it has {} of memory, not {}",
        gib(memory),
        gib(wanted.min_memory)
    );
    let reachable = reachable(&record, &heard.addresses)?;
    Ok(Machine { record, reachable })
}

fn check_age(time: u64, wanted: &Wanted) -> Result<()> {
    let (away, way) =
        if time > wanted.now { (time - wanted.now, "ahead") } else { (wanted.now - time, "old") };
    ensure!(
        away <= wanted.max_age.as_secs(),
        "its time stamp is {away} s {way}, more than {}; set the clocks, or `--max-age`",
        units::format_duration(wanted.max_age)
    );
    Ok(())
}

/// Of the addresses that it tells, those that the network gave too; IPv4 first, which every
/// hostfile takes. A stranger can send a record again, but not with an address of his own.
fn reachable(record: &Record, given: &[IpAddr]) -> Result<Vec<IpAddr>> {
    let both = record.addresses.iter().filter(|address| given.contains(address));
    let mut both: Vec<_> = both.copied().collect();
    both.sort_by_key(|address| (address.is_ipv6(), *address));
    both.dedup();
    both.first().context("the network gives other addresses than it tells itself")?;
    Ok(both)
}

/// Keeps the newest record of each machine, which is known by its addresses on this link.
fn merge(machines: &mut Vec<Machine>) -> Vec<LeftOut> {
    machines.sort_by(|a, b| (b.record.time, &a.record.name).cmp(&(a.record.time, &b.record.name)));
    let (mut taken, mut twice) = (HashSet::new(), Vec::new());
    machines.retain(|machine| {
        let is_new = machine.reachable.iter().all(|address| !taken.contains(address));
        if is_new {
            taken.extend(machine.reachable.iter().copied());
        } else {
            let txt = machine.record.to_txt();
            twice.push(LeftOut::new(&txt, &machine.reachable, "it is announced twice"));
        }
        is_new
    });
    twice
}

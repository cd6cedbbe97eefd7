//! A hostfile's text.
//!
//! **Invariant:** pure. A line is a comment, or one host name or address with its slots.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::choose::{LeftOut, Machine, Wanted};
use super::record::Record;

/// How a hostfile is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `name slots=N`.
    OpenMpi,
    /// `name:N`.
    Mpich,
}

/// The addresses that names have here. A name without any is not there.
pub type Names = BTreeMap<String, Vec<IpAddr>>;

/// The machine that reads the hostfile.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// Its host name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A machine with what stands for it in the hostfile.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// A name or an address.
    pub host: String,
    /// Why that is not its name.
    pub note: Option<&'static str>,
    /// The machine.
    pub machine: Machine,
}

/// Decides how each machine is called, and leaves out those that the format has no way to call.
pub fn entries(
    machines: Vec<Machine>,
    names: &Names,
    here: &Here,
    format: Format,
) -> (Vec<Entry>, Vec<LeftOut>) {
    let mut bearers = BTreeMap::<String, u32>::new();
    for machine in &machines {
        *bearers.entry(machine.record.name.clone()).or_default() += 1;
    }
    let (mut entries, mut left_out) = (Vec::new(), Vec::new());
    for machine in machines {
        let note = match bearers[&machine.record.name] {
            1 => why_not_by_name(&machine, names, here),
            _ => Some("others have the same name"),
        };
        let by_name = || machine.record.name.clone();
        let host = note.map_or_else(by_name, |_| machine.reachable[0].to_string());
        // The colons of the address would be taken for the one before the slots.
        if format == Format::Mpich && host.contains(':') {
            let why = "hostfiles of MPICH take no IPv6 address, and its name does not resolve here";
            left_out.push(LeftOut::new(&machine.record.to_txt(), &machine.reachable, why));
        } else {
            entries.push(Entry { host, note, machine });
        }
    }
    (entries, left_out)
}

/// Why a machine's name does not lead to it from here.
fn why_not_by_name(machine: &Machine, names: &Names, here: &Here) -> Option<&'static str> {
    let Machine { record, reachable } = machine;
    let Some(addresses) = names.get(&record.name) else {
        return Some("the name does not resolve here");
    };
    let is_here = record.name == here.name
        && reachable.iter().any(|address| here.addresses.contains(address));
    let leads = addresses
        .iter()
        .any(|address| reachable.contains(address) || (is_here && address.is_loopback()));
    (!leads).then_some("the name leads elsewhere from here")
}

/// Writes a hostfile.
pub fn text(entries: &[Entry], left_out: &[LeftOut], wanted: &Wanted, format: Format) -> String {
    let n = entries.len();
    let plural = if n == 1 { "machine" } else { "machines" };
    let proof = if wanted.secret.is_some() { "signed with the secret" } else { "not signed" };
    let (version, mpi) = (&wanted.version, &wanted.mpi);
    let mut text =
        format!("# rankpool discover: {n} {plural} with rankpool {version} and {mpi}, {proof}\n");
    let mut push = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for Entry { host, note, machine } in entries {
        let Record { name, slots, cores, load, memory, .. } = &machine.record;
        let note = note.map(|note| format!("; {note}")).unwrap_or_default();
        push(format!("# {name}: cores {cores}, memory {}, load {load:.2}{note}", gib(*memory)));
        push(match format {
            Format::OpenMpi => format!("{host} slots={slots}"),
            Format::Mpich => format!("{host}:{slots}"),
        });
    }
    for left_out in left_out {
        push(format!("# left out: {left_out}"));
    }
    text
}

/// Bytes for people.
pub(super) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests;

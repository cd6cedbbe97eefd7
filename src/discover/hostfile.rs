//! A hostfile's text.
//!
//! **Invariant:** pure. A line is a comment, or one host name or address with its slots.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::choose::{LeftOut, Machine, Wanted};

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

/// Writes `machines`, which are in order, as a hostfile.
pub fn hostfile(
    machines: &[Machine],
    left_out: &[LeftOut],
    names: &Names,
    here: &Here,
    wanted: &Wanted,
    format: Format,
) -> String {
    let n = machines.len();
    let plural = if n == 1 { "machine" } else { "machines" };
    let proof = if wanted.secret.is_some() { "signed with the secret" } else { "not signed" };
    let (version, mpi) = (&wanted.version, &wanted.mpi);
    let mut text =
        format!("# rankpool discover: {n} {plural} with rankpool {version} and {mpi}, {proof}\n");
    for machine in machines {
        let name = &machine.record.name;
        let others = machines.iter().filter(|other| other.record.name == *name).count() - 1;
        let why_not = if others > 0 {
            Some("others are called the same")
        } else {
            why_not_by_name(machine, names, here)
        };
        write_machine(&mut text, machine, why_not, format);
    }
    for left_out in left_out {
        writeln!(text, "# left out: {left_out}").expect("a string takes everything");
    }
    text
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

fn write_machine(text: &mut String, machine: &Machine, why_not: Option<&str>, format: Format) {
    let Machine { record, reachable } = machine;
    let name = &record.name;
    let host = why_not.map_or_else(|| name.clone(), |_| reachable[0].to_string());
    let why_not = why_not.map(|why| format!("; {why}")).unwrap_or_default();
    let (cores, memory, load) = (record.cores, gib(record.memory), record.load);
    let slots = record.slots;
    let line = match format {
        Format::OpenMpi => format!("{host} slots={slots}"),
        // The colons of the address would be taken for the one before the slots.
        Format::Mpich if host.contains(':') => {
            format!("# left out: {host}: MPICH's hostfiles take no IPv6 address")
        }
        Format::Mpich => format!("{host}:{slots}"),
    };
    writeln!(text, "# {name}: cores {cores}, memory {memory}, load {load:.2}{why_not}\n{line}")
        .expect("a string takes everything");
}

/// Bytes for people.
pub(super) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

//! What a rank finds where it runs: its host, the cores and the memory it may use, its MPI.

use std::collections::BTreeSet;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::transport::Library;

/// What one rank found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Its rank.
    pub rank: u32,
    /// Its host's name.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// rankpool's version there.
    pub version: String,
    /// The cores that its affinity mask permits.
    pub cores: BTreeSet<usize>,
    /// The cores of the host that its job may use (its cgroup's, where that says).
    pub host_cores: usize,
    /// Cores' worth of time that its cgroup may use, where that is limited.
    pub quota: Option<f64>,
    /// Bytes of memory of the host, or its cgroup's limit where that is lower.
    pub memory: u64,
    /// What carries its messages.
    pub library: Library,
}

impl Inventory {
    /// What this process finds.
    pub fn take(rank: u32, library: Library) -> Self {
        Self {
            rank,
            host: host_name(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cores: permitted_cores(),
            host_cores: host_cores(),
            quota: cgroup("cpu.max").and_then(|text| parse_quota(&text)),
            memory: memory(),
            library,
        }
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn permitted_cores() -> BTreeSet<usize> {
    let Ok(mask) = rustix::thread::sched_getaffinity(None) else {
        let n = std::thread::available_parallelism().map_or(1, usize::from);
        return (0..n).collect();
    };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| mask.is_set(core)).collect()
}

fn host_cores() -> usize {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok();
    let count = |text: Option<String>| text.and_then(|text| parse_core_list(&text));
    let (online, cpuset) = (count(online), count(cgroup("cpuset.cpus.effective")));
    let fallback = std::thread::available_parallelism().map_or(1, usize::from);
    online.into_iter().chain(cpuset).min().unwrap_or(fallback)
}

fn memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = parse_mem_total(&info).unwrap_or(u64::MAX);
    let limit = cgroup("memory.max").and_then(|text| text.trim().parse().ok());
    limit.map_or(total, |limit: u64| limit.min(total))
}

/// A file of this process's control group (cgroups(7), version 2).
fn cgroup(file: &str) -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok()
}

/// `quota period` or `max period`, in microseconds.
fn parse_quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

/// The number of cores in a list such as `0-3,8` (cpuset(7), "List format").
fn parse_core_list(text: &str) -> Option<usize> {
    let count = |part: &str| -> Option<usize> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some((last + 1).saturating_sub(first))
    };
    text.trim().split(',').map(count).sum()
}

fn parse_mem_total(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The variables in which launchers say how many ranks they started, and how they are called.
/// The first one counts: an mpirun inside a Slurm job starts its daemons with srun, whose
/// variables its ranks inherit.
const WORLD_SIZES: &[(&str, &str)] = &[
    ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"),
    ("PMI_SIZE", "MPICH's mpiexec or srun --mpi=pmi2"),
    ("SLURM_STEP_NUM_TASKS", "srun"),
];

/// The variables that give each process its rank.
const RANKS: &[&str] = &["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"];

/// What a launcher left in the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launcher {
    /// How many ranks it started, with its name.
    pub ranks: Option<(u32, &'static str)>,
    /// Which of them this is.
    pub rank: Option<u32>,
}

impl Launcher {
    /// Reads the environment through `get`.
    pub fn find(get: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| get(name)?.parse::<u32>().ok();
        let size = |&(name, launcher): &(&str, _)| Some((number(name)?, launcher));
        Self {
            ranks: WORLD_SIZES.iter().find_map(size),
            rank: RANKS.iter().find_map(|name| number(name)),
        }
    }

    /// Whether something started this process as a rank: then MPI has to be started.
    pub fn is_there(&self) -> bool {
        self.ranks.is_some() && self.rank.is_some()
    }

    /// Why a world of `size` ranks is not the one that the launcher meant.
    pub fn mismatch(&self, size: u32, library: &str) -> Option<String> {
        let (ranks, launcher) = self.ranks.filter(|&(ranks, _)| size == 1 && ranks > 1)?;
        Some(format!(
            "{launcher} started {ranks} processes, but each is a world of one rank: it does not \
             belong to the MPI that rankpool was built with ({library}); use that MPI's mpirun \
             (`. scripts/env` puts it on PATH), or build rankpool with the launcher's MPI"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_files_are_read() {
        assert_eq!(parse_core_list("0-3,8\n"), Some(5));
        assert_eq!(parse_core_list("0\n"), Some(1));
        assert_eq!(parse_core_list("\n"), None);
        assert_eq!(parse_quota("150000 100000\n"), Some(1.5));
        assert_eq!(parse_quota("max 100000\n"), None);
        assert_eq!(parse_mem_total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
    }

    #[test]
    fn this_machine_has_a_host_cores_and_memory() {
        let library = Library { name: "none".into(), thread_level: "multiple".into() };
        let inventory = Inventory::take(3, library);
        assert_eq!(inventory.rank, 3);
        assert!(!inventory.host.is_empty() && inventory.memory > 1 << 20);
        assert!(!inventory.cores.is_empty() && inventory.host_cores >= 1);
    }

    fn launcher(variables: &[(&str, &str)]) -> Launcher {
        Launcher::find(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn a_launcher_of_another_mpi_is_noticed() {
        let foreign = launcher(&[("PMI_SIZE", "8"), ("PMI_RANK", "3")]);
        assert!(foreign.is_there());
        let message = foreign.mismatch(1, "Open MPI v5").unwrap();
        assert!(message.contains("started 8 processes") && message.contains("Open MPI v5"));
        assert_eq!(foreign.mismatch(8, "MPICH"), None);
        assert_eq!(launcher(&[("PMI_SIZE", "1"), ("PMI_RANK", "0")]).mismatch(1, ""), None);
        assert!(!launcher(&[]).is_there());
    }
}

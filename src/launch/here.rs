//! What `launch` needs to know of the host it runs on.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// This host's name.
pub(super) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether `host` is this one.
pub(super) fn is(host: &str) -> bool {
    let own = name();
    let short = own.split('.').next().unwrap_or(&own);
    host == "localhost" || host == "::1" || host.starts_with("127.") || host == own || host == short
}

/// Whether the superuser runs this.
pub(super) fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a batch system tells mpirun which hosts there are.
pub(super) fn has_batch_system() -> bool {
    ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
}

/// The threads of cores that this process may use.
pub(super) fn threads() -> u32 {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(threads).unwrap_or(u32::MAX)
}

/// The cores: what mpirun counts as slots where nobody says.
pub(super) fn cores() -> u32 {
    let siblings = |cpu: usize| {
        let topology = PathBuf::from(format!("/sys/devices/system/cpu/cpu{cpu}/topology"));
        std::fs::read_to_string(topology.join("thread_siblings_list")).ok()
    };
    let Ok(mask) = rustix::thread::sched_getaffinity(None) else { return threads() };
    let permitted = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| mask.is_set(cpu));
    let cores: BTreeSet<_> = permitted.filter_map(siblings).collect();
    match u32::try_from(cores.len()) {
        Ok(0) | Err(_) => threads(),
        Ok(cores) => cores,
    }
}

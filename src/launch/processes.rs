//! The processes of a launch on this host: each is known by the end file in its environment,
//! whatever process group its launcher put it into, and whoever is its parent by now.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use super::marks::END_FILE;
use super::now;

/// How long killed processes may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// Whether a process has an end file in this folder; one that has ended has not.
pub(super) fn is_of(folder: &Path, pid: i32) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let begin = [END_FILE.as_bytes(), b"=", folder.as_os_str().as_bytes(), b"/"].concat();
    environment.split(|&byte| byte == 0).any(|variable| variable.starts_with(&begin))
}

fn all_of(folder: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| is_of(folder, pid)).filter_map(Pid::from_raw).collect()
}

/// Kills all processes of a launch, and waits until they are gone: two of them must not write
/// one results file.
pub(super) fn kill_all(folder: &Path) {
    let deadline = now() + GONE_LIMIT;
    loop {
        let left = all_of(folder);
        if left.is_empty() || now() > deadline {
            return;
        }
        for pid in left {
            // Gone in the meantime: all the same.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Becomes `command`, which is told to end when `parent` does, however that ends.
///
/// A process can only ask this for itself; so `launch` starts itself to become mpirun.
pub fn tether(parent: u32, command: &[OsString]) -> Result<u8> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot follow the parent")?;
    let is_there =
        getppid().is_some_and(|pid| pid.as_raw_nonzero().get().cast_unsigned() == parent);
    ensure!(is_there, "`launch` has ended before its mpirun started");
    let (program, args) = command.split_first().context("a program is missing")?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("cannot start `{}`", program.display()))
}

//! Ends an mpirun that stays after its rank 0: it waits for ever for a host that is beyond reach.
//!
//! `launch` sees to its own mpirun. For one that a person started, rank 0 leaves a process behind
//! that looks after it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, getppid, kill_process};

use super::now;

/// How long mpirun may take to end by itself, and again when told so.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How soon it is looked at again.
const LOOK: Duration = Duration::from_millis(50);
/// What Open MPI's launchers are called. No other MPI goes on when a rank is lost.
const LAUNCHERS: [&str; 3] = ["mpirun", "prterun", "orterun"];

/// Leaves a process behind that ends the mpirun which started this one, unless it ends by itself
/// soon after. Does nothing where no mpirun of this host started this process.
pub fn bury_mpirun() -> Result<()> {
    let Some(mpirun) = getppid().filter(|&pid| is_launcher(pid)) else { return Ok(()) };
    let own = std::env::current_exe().context("cannot find rankpool's own program")?;
    let own_pid = std::process::id();
    Command::new(own)
        .args(["__bury", &own_pid.to_string(), &mpirun.as_raw_nonzero().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
        .context("cannot look after mpirun")
}

fn is_launcher(pid: Pid) -> bool {
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    comm.is_ok_and(|comm| LAUNCHERS.contains(&comm.trim_end()))
}

/// Waits until `rank0`, the parent, has ended, and sees then that `mpirun` does.
pub fn bury(rank0: u32, mpirun: i32) {
    let Some(mpirun) = Pid::from_raw(mpirun) else { return };
    let is_parent =
        || getppid().is_some_and(|pid| pid.as_raw_nonzero().get().cast_unsigned() == rank0);
    while is_parent() {
        std::thread::sleep(LOOK);
    }
    for signal in [Signal::TERM, Signal::KILL] {
        if ends_by(now() + END_LIMIT, mpirun) {
            return;
        }
        // Ended in the meantime: all the same.
        let _ = kill_process(mpirun, signal);
    }
}

fn ends_by(deadline: Instant, mpirun: Pid) -> bool {
    while is_launcher(mpirun) {
        if now() > deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

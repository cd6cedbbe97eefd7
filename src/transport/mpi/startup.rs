//! Looks after the start of a world. Until every rank has taken part in the collectives, one that
//! dies leaves the others waiting for ever, whatever the MPI (seen with Open MPI 5.0 and 4.1, in
//! `MPI_Init` too); so the world is ended instead, with the reason.
//!
//! Each rank looks after those of its own host: the processes that Open MPI's daemon there has
//! started. MPICH's and Slurm's end the others by themselves.

#![allow(unsafe_code, reason = "`_exit`, which rustix has not")]

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, kill_process};

/// How soon the others are looked at again.
const LOOK: Duration = Duration::from_millis(100);
/// One that is missing in so many looks in a row is lost. Ranks that end at once, because there
/// is no job to run, do not miss each other for so long.
const LOOKS: u32 = 100;
/// What is said reaches the terminal within this.
const PASSED_ON: Duration = Duration::from_millis(500);
/// Open MPI's daemons: they end the ranks that they have started when they are told to end.
const LAUNCHERS: [&str; 5] = ["mpirun", "prterun", "orterun", "prted", "orted"];
/// What they tell each rank: its number, and how many of them are on its host.
const RANK: &[u8] = b"OMPI_COMM_WORLD_RANK=";
const LOCAL_SIZE: &str = "OMPI_COMM_WORLD_LOCAL_SIZE";
/// The run can be started again.
const STOPPED: i32 = 3;

/// A watch over the start, until it is dropped.
#[derive(Debug)]
pub(super) struct Startup(Arc<AtomicBool>);

impl Startup {
    /// Starts to look. Without the watch, starting is as reliable as the MPI is.
    pub(super) fn watch() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        // Not by the thread: starting an MPI changes the environment, and whoever reads it at
        // that moment crashes (getenv(3), "MT-Safe env").
        let Some(siblings) = Siblings::find() else { return Self(over) };
        let is_over = Arc::clone(&over);
        let look = move || {
            if siblings.are_lost(&is_over) && !is_over.load(Ordering::Relaxed) {
                siblings.end();
            }
        };
        let _ = std::thread::Builder::new().name("startup".into()).spawn(look);
        Self(over)
    }
}

impl Drop for Startup {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The ranks of this host, this one among them.
struct Siblings {
    launcher: Pid,
    /// How many there are to be.
    size: usize,
}

impl Siblings {
    fn find() -> Option<Self> {
        let launcher = getppid()?;
        let comm = fs::read_to_string(format!("/proc/{}/comm", launcher.as_raw_nonzero())).ok()?;
        let size = std::env::var(LOCAL_SIZE).ok()?.parse().ok()?;
        LAUNCHERS.contains(&comm.trim_end()).then_some(Self { launcher, size })
    }

    /// Waits until some of them are missing for too long, or until the start is over.
    fn are_lost(&self, is_over: &AtomicBool) -> bool {
        let mut n_looks = 0;
        while n_looks < LOOKS && !is_over.load(Ordering::Relaxed) {
            n_looks = if self.living().len() < self.size { n_looks + 1 } else { 0 };
            std::thread::sleep(LOOK);
        }
        n_looks == LOOKS
    }

    /// Those that run, in the order of their numbers: neither dead nor stopped.
    fn living(&self) -> Vec<Pid> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.launcher.as_raw_nonzero()));
        let tasks = tasks.into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let pids: Vec<i32> = lists
            .flat_map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|pid| pid.trim().parse().ok())
            .collect();
        let mut living: Vec<_> = pids.into_iter().filter(|&pid| is_running_rank(pid)).collect();
        living.sort_unstable();
        living.into_iter().filter_map(Pid::from_raw).collect()
    }

    /// Ends this world.
    fn end(&self) -> ! {
        let living = self.living();
        if living.first().is_none_or(|&first| first == rustix::process::getpid()) {
            // With standard error closed there is nobody left to tell.
            let _ = writeln!(
                std::io::stderr(),
                "rankpool: a rank on this host died, or was stopped, before all ranks had \
                 started; this world ends, and the run can be started again"
            );
            // The launcher is to pass that on before it ends.
            std::thread::sleep(PASSED_ON);
        } else {
            std::thread::sleep(10 * PASSED_ON);
        }
        if getppid() == Some(self.launcher) {
            // Ended in the meantime: all the same.
            let _ = kill_process(self.launcher, Signal::TERM);
        }
        // SAFETY: ends the process without the exit handlers, which may wait for other ranks.
        unsafe { libc::_exit(STOPPED) }
    }
}

/// Whether this is a rank, neither dead nor stopped (proc(5)).
fn is_running_rank(pid: i32) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|&byte| byte == 0);
    let is_rank = variables.any(|variable| variable.starts_with(RANK));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    is_rank && !state.starts_with(['T', 't', 'Z', 'X'])
}

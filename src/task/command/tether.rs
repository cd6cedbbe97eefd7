//! What sees that no command outlives its rank, however that ends: a small process beside each
//! rank that runs commands. It waits for the end of a pipe that the rank holds, and then ends the
//! commands' process groups and every process that has the rank's token in its environment.
//!
//! The rank writes the groups into a file in memory that both have open, so that telling costs
//! one system call and wakes nobody.
//!
//! **Invariant:** a group stands in the table while its first process is not reaped, so that its
//! number is nobody else's.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::task::Deadline;

/// The environment variable with the rank's token.
pub(super) const VARIABLE: &str = "RANKPOOL_TETHER";

/// How long commands have after SIGTERM when their rank is gone.
const GRACE: Duration = Duration::from_secs(2);
/// How long the killed may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(5);
/// How often is looked whether they are.
const LOOK: Duration = Duration::from_millis(20);

/// This process's tether; it holds until the process ends.
pub(super) struct Tether {
    /// What commands have in their environment.
    pub(super) token: String,
    table: File,
    slots: Mutex<Slots>,
    /// Closed by the kernel when this process ends.
    _pipe: ChildStdin,
}

#[derive(Default)]
struct Slots {
    free: Vec<u64>,
    n_slots: u64,
}

impl Tether {
    /// The one of this process, started at the first call.
    pub(super) fn get() -> Result<&'static Self, String> {
        static TETHER: OnceLock<Result<Tether, String>> = OnceLock::new();
        let start = || Self::start().map_err(|error| format!("{error:#}"));
        TETHER.get_or_init(start).as_ref().map_err(Clone::clone)
    }

    fn start() -> Result<Self> {
        let random = std::hash::RandomState::new().build_hasher().finish();
        let token = format!("{}-{random:016x}", std::process::id());
        let table = memfd_create("rankpool-commands", MemfdFlags::CLOEXEC)
            .context("cannot make a file in memory")?;
        let table = File::from(table);
        let mut watcher = Command::new("/proc/self/exe")
            .args(["__watch", &token])
            .env_remove(VARIABLE)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(table.try_clone().context("cannot share a file")?)
            .stderr(Stdio::null())
            // Not the terminal's, nor a launcher's to end with the rank.
            .process_group(0)
            .spawn()
            .context("cannot start the process that ends commands after a crash")?;
        let pipe = watcher.stdin.take().expect("it is piped");
        Ok(Self { token, table, slots: Mutex::default(), _pipe: pipe })
    }

    /// Holds a process group until the hold is dropped.
    pub(super) fn hold(&'static self, group: Pid) -> io::Result<Hold> {
        let mut slots = self.slots.lock().expect("no holder panics");
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.n_slots += 1;
            slots.n_slots - 1
        });
        drop(slots);
        let hold = Hold { tether: self, slot };
        hold.write(group.as_raw_nonzero().get())?;
        Ok(hold)
    }
}

/// A process group that ends with this process.
pub(super) struct Hold {
    tether: &'static Tether,
    slot: u64,
}

impl Hold {
    fn write(&self, group: i32) -> io::Result<()> {
        self.tether.table.write_all_at(&group.to_le_bytes(), self.slot * 4)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Where this fails, a later end of the rank kills what nobody has any more.
        let _ = self.write(0);
        self.tether.slots.lock().expect("no holder panics").free.push(self.slot);
    }
}

/// Waits for the end of standard input, then ends the process groups that standard output's file
/// lists, and all processes with `token`.
pub fn watch(token: &str) -> Result<u8> {
    // What ends the rank must not end this before its work is done.
    let _signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    let table = io::stdout();
    let table = File::from(rustix::io::dup(&table).context("no table of commands")?);
    // An error is an end as well.
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    let commands = Commands { table, marker: format!("{VARIABLE}={token}") };
    if !commands.end(Signal::TERM, GRACE) {
        commands.end(Signal::KILL, GONE_LIMIT);
    }
    Ok(0)
}

struct Commands {
    table: File,
    marker: String,
}

impl Commands {
    /// Sends a signal, also to those that come up meanwhile, and waits until they are gone, at
    /// most for `limit`.
    fn end(&self, signal: Signal, limit: Duration) -> bool {
        let deadline = Deadline::after(limit);
        let mut told = HashSet::new();
        loop {
            let (groups, processes) = (self.groups(), self.processes());
            if groups.is_empty() && processes.is_empty() {
                return true;
            }
            // Gone in the meantime: all the same. A program that handles SIGTERM gets it once.
            let mut is_new = |pid: &Pid| told.insert(*pid) || signal == Signal::KILL;
            for group in groups.into_iter().filter(&mut is_new) {
                let _ = kill_process_group(group, signal);
            }
            for pid in processes.into_iter().filter(&mut is_new) {
                let _ = kill_process(pid, signal);
            }
            if deadline.left().is_zero() {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The groups in the table in which somebody is left.
    fn groups(&self) -> Vec<Pid> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = self.table.read_at(&mut chunk, bytes.len() as u64) {
            bytes.extend_from_slice(&chunk[..n]);
        }
        let (entries, _) = bytes.as_chunks::<4>();
        let groups = entries.iter().filter_map(|&entry| Pid::from_raw(i32::from_le_bytes(entry)));
        groups.filter(|&group| test_kill_process_group(group).is_ok()).collect()
    }

    /// The processes with the token (proc(5)); one that has ended has no environment.
    fn processes(&self) -> Vec<Pid> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let has_token = |pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|text| text == self.marker.as_bytes())
        };
        pids.filter(has_token).filter_map(Pid::from_raw).collect()
    }
}

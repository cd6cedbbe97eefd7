//! One mpirun, from its start to its end: signals go in, rank 0's end mark comes out.
//!
//! **Invariant:** whatever way this ends, no process of that world is left on this host.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::line::Line;
use super::marks::{END_FILE, Files, PID_FILE};
use super::signals::Signals;
use super::watch::Watch;
use super::{here, now, processes};

/// How soon files and processes are looked at again where no signal says so.
const LOOK: Duration = Duration::from_millis(50);
/// How long mpirun may take to end once there is nothing left to do, and again when told so.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How a world ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Rank 0 came to its end, with this exit code.
    Marked(u8),
    /// It did not.
    Died(Death),
}

/// A world that ended too soon.
#[derive(Debug)]
pub(super) struct Death {
    /// What mpirun made of it.
    pub(super) status: ExitStatus,
    /// Whether somebody asked for an end.
    pub(super) asked: bool,
    /// Whether rank 0 was seen.
    pub(super) seen: bool,
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => write!(f, "mpirun ended with code {code}"),
            (None, Some(signal)) => write!(f, "mpirun was killed by signal {signal}"),
            (None, None) => f.write_str("mpirun ended"),
        }
    }
}

/// What is done to mpirun if it is not gone by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Push {
    Terminate,
    Kill,
}

#[derive(Debug)]
pub(super) struct Attempt<'a> {
    child: Child,
    mpirun: Pid,
    folder: &'a Path,
    files: Files,
    /// Whether rank 0 can only be on this host.
    all_here: bool,
    /// Where rank 0 is on another host.
    watch: Watch,
    asked: bool,
    next: Option<(Instant, Push)>,
}

impl<'a> Attempt<'a> {
    /// Starts a world; its files are the `number`th of `folder`.
    pub(super) fn start(
        line: &Line,
        folder: &'a Path,
        number: u32,
        all_here: bool,
        heartbeat: Duration,
    ) -> Result<Self> {
        let files = Files::new(folder, number);
        let own = std::env::current_exe().context("cannot find rankpool's own program")?;
        let (stdin, is_typed) = standard_input();
        let mut command = Command::new(own);
        command
            .args(["__tether", &std::process::id().to_string()])
            .arg(&line.mpirun)
            .args(&line.flags)
            .args(&line.program)
            .env(END_FILE, &files.end)
            .env(PID_FILE, &files.pid)
            .stdin(stdin)
            // Ctrl-C must not reach mpirun by itself: it would end the ranks at once.
            .process_group(0);
        let mut child = command.spawn().context("cannot start mpirun")?;
        if let Some(pipe) = child.stdin.take().filter(|_| is_typed) {
            pass_on_typed(pipe);
        }
        let mpirun = Pid::from_child(&child);
        let watch = Watch::new(heartbeat);
        Ok(Self { child, mpirun, folder, files, all_here, watch, asked: false, next: None })
    }

    /// Waits for its end, and passes signals on until then.
    pub(super) fn supervise(mut self, signals: &Signals) -> Result<Ended> {
        let status = loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for mpirun")? {
                break status;
            }
            self.look();
            if let Some(signal) = signals.wait(LOOK) {
                self.hear(signal);
            }
        };
        processes::kill_all(self.folder);
        Ok(match self.files.code() {
            Some(code) => Ended::Marked(code),
            None => {
                Ended::Died(Death { status, asked: self.asked, seen: self.files.rank0().is_some() })
            }
        })
    }

    /// Sees that rank 0 is done or gone, and then that mpirun does not stay without it.
    fn look(&mut self) {
        if self.next.is_none() && (self.files.code().is_some() || self.has_lost_rank0()) {
            self.next = Some((now() + END_LIMIT, Push::Terminate));
        }
        if self.next.is_none() && self.watch.has_lost(&self.files) {
            self.push(Push::Terminate);
        }
        if let Some((_, push)) = self.next.filter(|&(at, _)| now() >= at) {
            self.push(push);
        }
    }

    fn has_lost_rank0(&self) -> bool {
        self.rank0().is_some_and(|pid| !processes::is_of(self.folder, pid.as_raw_nonzero().get()))
    }

    /// Rank 0, if it has started on this host.
    fn rank0(&self) -> Option<Pid> {
        let rank0 = self.files.rank0().filter(|rank0| rank0.host == here::name())?;
        Pid::from_raw(rank0.pid)
    }

    fn push(&mut self, push: Push) {
        match push {
            // Ended in the meantime: all the same, here and below.
            Push::Terminate => drop(kill_process(self.mpirun, Signal::TERM)),
            Push::Kill => self.kill(),
        }
        self.next = Some((now() + END_LIMIT, Push::Kill));
    }

    fn kill(&self) {
        let _ = kill_process_group(self.mpirun, Signal::KILL);
        processes::kill_all(self.folder);
    }

    /// The first request to end lets rank 0 drain, the second ends it, the third at once.
    fn hear(&mut self, signal: Signal) {
        let ends = signal == Signal::INT || signal == Signal::TERM;
        if ends && self.asked {
            let is_second = self.next.is_none_or(|(_, push)| push == Push::Terminate);
            self.push(if is_second { Push::Terminate } else { Push::Kill });
            return;
        }
        self.asked |= ends;
        match self.rank0().filter(|_| !self.has_lost_rank0()) {
            Some(rank0) => drop(kill_process(rank0, signal)),
            None if self.all_here && ends => self.push(Push::Terminate),
            // No rank is there yet that it would mean something to.
            None if self.all_here => {}
            None => {
                // mpirun passes these on to all ranks; SIGINT and SIGTERM make it kill them.
                let signal = if ends { Signal::USR2 } else { signal };
                let _ = kill_process(self.mpirun, signal);
            }
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// What mpirun reads, and whether it is typed. mpirun is not the terminal's foreground process
/// group, and would be stopped if it read from there.
fn standard_input() -> (Stdio, bool) {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return (Stdio::inherit(), false);
    }
    let foreground = rustix::termios::tcgetpgrp(&stdin).ok();
    if foreground == Some(rustix::process::getpgrp()) {
        (Stdio::piped(), true)
    } else {
        (Stdio::null(), false)
    }
}

/// Passes on what is typed, for as long as anybody reads it.
fn pass_on_typed(mut pipe: std::process::ChildStdin) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if writeln!(pipe, "{line}").is_err() {
                return;
            }
        }
    });
}

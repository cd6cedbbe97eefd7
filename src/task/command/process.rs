//! One command from its start to its end: what it prints is read while it runs, on the thread
//! that waits for it.
//!
//! Programs are started by `posix_spawn(3)`, which std uses where nothing has to be done in the new
//! process: no copy of this process is made, as fork(2) would, which MPI libraries do not all
//! bear.
//!
//! **Invariant:** the command's process group is gone, or was sent SIGKILL, when [`run`] returns;
//! waiting takes no CPU time.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use wait4::Wait4 as _;

use super::capture::Capture;
use super::tether::Tether;
use crate::task::{Deadline, ErrorClass, TaskError};

/// Where the kernel has no file descriptors for processes (before Linux 5.3), so often is looked
/// whether a command has ended.
const LOOK: Duration = Duration::from_millis(5);
/// So long a new command is waited for without a look at what it prints: the end of one that
/// takes no longer wakes its thread once, not once more for each of its pipes.
const AT_ONCE: Duration = Duration::from_millis(5);
/// What a pipe holds at most (pipe(7)): more is no longer the ended command's.
const PIPE: usize = 1 << 16;

/// What to start.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) argv: &'a [String],
    /// What the first word means on this host.
    pub(super) program: &'a Path,
    pub(super) dir: Option<&'a Path>,
    /// All of the environment.
    pub(super) env: &'a [(OsString, OsString)],
    pub(super) more_env: &'a [(&'a str, String)],
    pub(super) stdin: Stdin,
}

/// What the command reads.
#[derive(Debug)]
pub(super) enum Stdin {
    Nothing,
    Text(String),
    File(File),
}

/// How it may run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Option<Deadline>,
    /// How long it has after SIGTERM.
    pub(super) kill_after: Duration,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// By itself, or by whom.
    pub(super) how: How,
    /// Whether its time was over before.
    pub(super) was_told: bool,
    /// CPU time of it and of those it has waited for.
    pub(super) cpu: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Exit(i32),
    Signal(i32),
}

/// Runs a command to its end. What it printed is in `captures`, standard output first.
pub(super) fn run(
    start: &Start<'_>,
    limits: Limits,
    captures: &mut [Capture<'_>; 2],
) -> Result<Ended, TaskError> {
    loop {
        if let Some(ended) = run_once(start, limits, captures)? {
            return Ok(ended);
        }
    }
}

/// The same; `None` if a signal came before the program did.
fn run_once(
    start: &Start<'_>,
    limits: Limits,
    captures: &mut [Capture<'_>; 2],
) -> Result<Option<Ended>, TaskError> {
    let failed = |message| TaskError::new(ErrorClass::Failed, message);
    let tether = Tether::get().map_err(failed)?;
    let mut child = spawn(start)?;
    let group = Pid::from_child(&child);
    let held = tether.hold(group);
    let pipes = [
        child.stdout.take().map(OwnedFd::from).expect("it is piped"),
        child.stderr.take().map(OwnedFd::from).expect("it is piped"),
    ];
    let mut running = Running {
        group,
        pidfd: pidfd_open(group, PidfdFlags::empty()).ok(),
        pipes: pipes.map(Some),
        next: limits.deadline.map(|deadline| (deadline, Signal::TERM)),
        kill_after: limits.kill_after,
        was_told: false,
    };
    let read = held.and_then(|hold| running.wait(captures).map(|()| hold));
    // What it leaves running would be nobody's. It is not reaped yet, so its number is its own.
    let _ = kill_process_group(group, Signal::KILL);
    if !running.was_told && has_never_run(group) {
        return child.wait().map(|_| None).map_err(|error| cannot_wait(&error));
    }
    let read = read.and_then(|_| captures.iter_mut().try_for_each(Capture::end));
    let ended = child.wait4().map_err(|error| cannot_wait(&error))?;
    read.map_err(|error| failed(format!("cannot keep what it prints: {error}")))?;
    let how = match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) => How::Exit(code),
        (None, signal) => How::Signal(signal.unwrap_or_default()),
    };
    let was_told = running.was_told;
    Ok(Some(Ended { how, was_told, cpu: ended.rusage.utime + ended.rusage.stime }))
}

fn cannot_wait(error: &io::Error) -> TaskError {
    TaskError::new(ErrorClass::Failed, format!("cannot wait for it: {error}"))
}

fn spawn(start: &Start<'_>) -> Result<Child, TaskError> {
    let Start { argv, program, dir, env, more_env, stdin } = start;
    let stdin = stdin.open().map_err(|error| spawn_error(&error, "give it an input"))?;
    let mut command = Command::new(program);
    command.arg0(&argv[0]).args(&argv[1..]).env_clear();
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command.envs(more_env.iter().map(|(name, value)| (name, value)));
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    command.spawn().map_err(|error| {
        if let Some(dir) = dir.filter(|dir| !dir.is_dir()) {
            let message = format!("cannot run in `{}`: it is no folder here", dir.display());
            return TaskError::new(ErrorClass::InvalidInput, message);
        }
        spawn_error(&error, &format!("start `{}`", argv[0]))
    })
}

/// What is short for a moment may be there later; everything else will not change.
fn spawn_error(error: &io::Error, what: &str) -> TaskError {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    let passes = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY];
    let class = if code.is_some_and(|code| passes.contains(&code)) {
        ErrorClass::Unavailable
    } else {
        ErrorClass::InvalidInput
    };
    TaskError::new(class, format!("cannot {what}: {error}"))
}

impl Stdin {
    fn open(&self) -> io::Result<Stdio> {
        match self {
            Self::Nothing => Ok(Stdio::null()),
            Self::File(file) => Ok(file.try_clone()?.into()),
            Self::Text(text) => {
                // Unlike a pipe, a file in memory needs nobody who writes while it is read.
                let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
                file.write_all(text.as_bytes())?;
                file.rewind()?;
                Ok(file.into())
            }
        }
    }
}

struct Running {
    group: Pid,
    pidfd: Option<OwnedFd>,
    /// Standard output and standard error, until they end.
    pipes: [Option<OwnedFd>; 2],
    /// What the group gets next, and when.
    next: Option<(Deadline, Signal)>,
    kill_after: Duration,
    was_told: bool,
}

impl Running {
    /// Reads what the command prints until it has ended, and ends it when its time is over.
    fn wait(&mut self, captures: &mut [Capture<'_>; 2]) -> io::Result<()> {
        if self.ends_at_once()? {
            return self.drain(captures);
        }
        loop {
            let left = self.next.map(|(deadline, _)| deadline.left());
            if left == Some(Duration::ZERO) {
                self.push();
                continue;
            }
            let left =
                if self.pidfd.is_none() { Some(left.unwrap_or(LOOK).min(LOOK)) } else { left };
            let (ready, has_ended) = self.poll(left)?;
            if has_ended {
                return self.drain(captures);
            }
            self.read(ready, captures)?;
        }
    }

    fn ends_at_once(&self) -> io::Result<bool> {
        let Some(pidfd) = &self.pidfd else { return Ok(false) };
        let left = self.next.map_or(AT_ONCE, |(deadline, _)| deadline.left().min(AT_ONCE));
        let limit = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], limit.as_ref()) {
            Ok(n) => Ok(n > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Which pipes have something to read, and whether the command has ended.
    fn poll(&self, limit: Option<Duration>) -> io::Result<([bool; 2], bool)> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let open: Vec<usize> = (0..2).filter(|&idx| self.pipes[idx].is_some()).collect();
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(3);
        let all = self.pipes.iter().flatten().chain(&self.pidfd);
        fds.extend(all.map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |idx: usize| !fds[idx].revents().is_empty();
        let mut ready = [false; 2];
        for (at, &idx) in open.iter().enumerate() {
            ready[idx] = is_ready(at);
        }
        let has_ended = match &self.pidfd {
            Some(_) => is_ready(open.len()),
            None => has_ended(self.group)?,
        };
        Ok((ready, has_ended))
    }

    /// Reads once from the pipes that are ready; how much that was.
    fn read(
        &mut self,
        ready: [bool; 2],
        captures: &mut [Capture<'_>; 2],
    ) -> io::Result<[usize; 2]> {
        let mut buffer = [0; PIPE / 4];
        let mut sizes = [0; 2];
        for idx in 0..2 {
            let Some(pipe) = self.pipes[idx].as_ref().filter(|_| ready[idx]) else { continue };
            match rustix::io::read(pipe.as_fd(), &mut buffer) {
                Ok(0) => self.pipes[idx] = None,
                Ok(n) => {
                    captures[idx].take(&buffer[..n])?;
                    sizes[idx] = n;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sizes)
    }

    /// Reads what an ended command has left in the pipes, which others may still hold.
    fn drain(&mut self, captures: &mut [Capture<'_>; 2]) -> io::Result<()> {
        let mut read = [0; 2];
        while self.pipes.iter().any(Option::is_some) {
            let (ready, _) = self.poll(Some(Duration::ZERO))?;
            if ready == [false; 2] {
                break;
            }
            let sizes = self.read(ready, captures)?;
            for idx in 0..2 {
                read[idx] += sizes[idx];
                if read[idx] >= PIPE {
                    self.pipes[idx] = None;
                }
            }
        }
        Ok(())
    }

    /// The command's time is over: first it is asked to end, then it is ended.
    fn push(&mut self) {
        let Some((_, signal)) = self.next.take() else { return };
        // It may have ended by itself meanwhile.
        let _ = kill_process_group(self.group, signal);
        self.was_told = true;
        if signal == Signal::TERM {
            self.next = Some((Deadline::after(self.kill_after), Signal::KILL));
        }
    }
}

/// Whether the command has ended; it is not reaped here.
fn has_ended(pid: Pid) -> io::Result<bool> {
    Ok(waitid(WaitId::Pid(pid), LOOK_ONLY)?.is_some())
}

const LOOK_ONLY: WaitIdOptions =
    WaitIdOptions::EXITED.union(WaitIdOptions::NOHANG).union(WaitIdOptions::NOWAIT);

/// In `flags` of `/proc/PID/stat`: forked, and no program is executed yet (`PF_FORKNOEXEC` of
/// Linux's `sched.h`).
const IS_FORKED: u64 = 0x40;

/// Whether a signal has ended the process before it was the command: until it has a group of its
/// own, what a terminal or a launcher sends to all of this process's group is its as well.
fn has_never_run(pid: Pid) -> bool {
    let signal = waitid(WaitId::Pid(pid), LOOK_ONLY).ok().flatten();
    let signal = signal.and_then(|status| status.terminating_signal());
    if signal.is_none_or(|signal| signal == Signal::KILL.as_raw()) {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // After the name, in which anything may be: state, ppid, pgrp, session, tty, tpgid, flags.
    let flags = stat
        .ok()
        .and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & IS_FORKED != 0)
}

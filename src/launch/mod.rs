//! `rankpool launch`: starts a world with the mpirun and the flags that fit, stays as its
//! supervisor, and starts it again where it died, to go on with what is done.
//!
//! Rank 0's own end mark ([`marks`]) says whether a run came to its end, not mpirun's exit code.
//! One world is an [`attempt`]; what follows from its end is decided here.
//!
//! **Invariant:** never two worlds at a time, and none once `launch` has ended.

mod attempt;
mod bury;
mod folder;
mod here;
mod hosts;
mod line;
mod marks;
mod mpirun;
mod plan;
mod processes;
mod signals;
mod watch;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use attempt::{Death, Ended};
pub use bury::{bury, bury_mpirun};
use folder::{Folder, State};
pub use marks::Marks;
use plan::Plan;
pub use processes::tether;
use signals::Signals;

/// What runs a command on another host, to be given its name and the command: what mpirun was
/// told to use, else ssh.
pub fn agent() -> std::process::Command {
    hosts::agent(|variable| std::env::var(variable).ok())
}

/// The job could not run.
const COULD_NOT_RUN: u8 = 2;
/// Stopped early, and can be gone on with.
const STOPPED: u8 = 3;
/// The pause before the first restart; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is to be launched.
#[derive(Debug)]
pub struct Launch {
    /// How many ranks; `None`: as many as the hostfile has slots.
    pub ranks: Option<NonZeroU32>,
    /// The file that lists the hosts.
    pub hostfile: Option<PathBuf>,
    /// How often to start again.
    pub restarts: u32,
    /// The launcher, where it is not to be looked for.
    pub mpirun: Option<PathBuf>,
    /// The MPI that this binary runs with.
    pub library: String,
    /// rankpool's arguments.
    pub command: Vec<OsString>,
    /// How long rank 0 may be silent before its host is asked whether it is there.
    pub heartbeat: Duration,
    /// The results file that a restart goes on with, or why a restart cannot go on.
    pub results: Result<PathBuf, &'static str>,
}

/// The line that `launch` would run.
pub fn dry_run(launch: &Launch) -> Result<String> {
    Ok(Plan::new(launch)?.line(&launch.command)?.to_string())
}

/// Runs `launch` to its end, and returns its exit code; `tell` gets lines for people.
pub fn run(launch: &Launch, tell: &mut dyn FnMut(&str)) -> Result<u8> {
    let mut plan = Plan::new(launch)?;
    plan.check_hosts(&mut |text| say(tell, text))?;
    plan.check_shared(&mut |text| say(tell, text))?;
    let folder = Folder::new(!plan.all_here())?;
    let (signals, command) = (Signals::catch()?, launch.command.clone());
    let mut supervisor = Supervisor { launch, plan, folder, signals, command, restarts: 0, tell };
    loop {
        if let Some(code) = supervisor.run_once()? {
            return Ok(code);
        }
    }
}

struct Supervisor<'a> {
    launch: &'a Launch,
    plan: Plan<'a>,
    folder: Folder,
    signals: Signals,
    /// What the next world runs.
    command: Vec<OsString>,
    restarts: u32,
    tell: &'a mut dyn FnMut(&str),
}

impl Supervisor<'_> {
    /// Runs one world. Returns the exit code unless another one is to go on.
    fn run_once(&mut self) -> Result<Option<u8>> {
        let before = State::of(&self.launch.results);
        let Self { plan, folder, signals, command, restarts, tell, .. } = self;
        match plan.attempt(*restarts, command, folder.path(), signals, tell)? {
            Ended::Marked(code) => Ok(Some(code)),
            Ended::Died(death) => {
                if let Some(code) = self.final_code(&death, &before) {
                    return Ok(Some(code));
                }
                self.restart(&death)
            }
        }
    }

    /// The exit code, where a restart would make nothing better.
    fn final_code(&mut self, death: &Death, before: &State) -> Option<u8> {
        let code = death.status.code().and_then(|code| u8::try_from(code).ok());
        let is_unseen = !death.seen && !self.plan.all_here();
        if let Some(code) = code.filter(|&code| is_unseen && !death.asked && code <= STOPPED) {
            self.say("rank 0 left no sign on this host, so mpirun's exit code has to do");
            return Some(code);
        }
        if let Err(why) = self.launch.results {
            self.say(&format!("{death} before the run's end; {why}"));
            return Some(if death.asked { STOPPED } else { COULD_NOT_RUN });
        }
        let is_untouched = *before == State::of(&self.launch.results);
        if code == Some(COULD_NOT_RUN) && is_untouched {
            self.say(&format!("{death} before any task ran, so it is not started again"));
            return Some(COULD_NOT_RUN);
        }
        // What was to be overwritten and was not is no result of this run.
        let overwrites = self.command.iter().any(|word| word == "--overwrite");
        if !is_untouched || (is_unseen && !overwrites) {
            self.command = line::resumed(&self.command);
        }
        death.asked.then(|| self.stopped())
    }

    /// Pauses and sees who is left, or gives up.
    fn restart(&mut self, death: &Death) -> Result<Option<u8>> {
        let of = self.launch.restarts;
        if self.restarts == of {
            let by_hand = self.plan.by_hand(&self.command);
            self.say(&format!("{death} before the run's end; restarts: {of}; `{by_hand}` goes on"));
            return Ok(Some(STOPPED));
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.restarts.min(16)).min(LONGEST_PAUSE);
        self.restarts += 1;
        let number = self.restarts;
        let seconds = pause.as_secs();
        self.say(&format!("{death} before the run's end; restart {number} of {of} in {seconds} s"));
        if self.signals.end_within(pause) {
            return Ok(Some(self.stopped()));
        }
        let Self { plan, folder, tell, .. } = self;
        plan.leave_out_silent(folder.path(), &mut |text| say(tell, text))?;
        Ok(None)
    }

    fn stopped(&mut self) -> u8 {
        let by_hand = self.plan.by_hand(&self.command);
        self.say(&format!("stopped on request; `{by_hand}` goes on"));
        STOPPED
    }

    fn say(&mut self, text: &str) {
        say(self.tell, text);
    }
}

fn say(tell: &mut dyn FnMut(&str), text: &str) {
    tell(&format!("rankpool: launch: {text}"));
}

/// Now.
#[allow(clippy::disallowed_methods, reason = "processes have deadlines")]
fn now() -> Instant {
    Instant::now()
}

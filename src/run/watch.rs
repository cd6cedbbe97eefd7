//! Rank 0's eyes while a run goes on: signals, limits, ranks that die or fall silent.

use std::time::Duration;

use anyhow::Result;

use super::root::Leader;
use super::signals::Wish;
use super::stop::Stop;
use crate::inventory::Inventory;
use crate::job::Output;
use crate::message::{Rank, ToWorker};
use crate::task::OutputLost;
use crate::transport::Transport;

impl<T: Transport> Leader<'_, T> {
    /// Looks at what may end the run early, and at who is still there.
    pub(super) fn watch(&mut self) -> Result<()> {
        for wish in self.signals.take() {
            match wish {
                Wish::Report => self.report(),
                Wish::Stop(signal) if self.stop.is_some() => {
                    return Err(StoppedAtOnce(signal).into());
                }
                Wish::Stop(signal) => self.stop_for(signal.to_owned(), self.policy.grace),
            }
        }
        let (failed, done) = (self.stats.n_failed(), self.root.n_done());
        if self.policy.max_failures.is_some_and(|most| most.is_exceeded(failed, done)) {
            let most = self.policy.max_failures.expect("it was just there");
            self.stop_for(format!("{failed} tasks failed, more than {most}"), self.policy.grace);
        }
        if self.policy.walltime.is_some_and(|walltime| self.elapsed() >= walltime) {
            self.stop_for("the walltime is over".to_owned(), Duration::ZERO);
        }
        self.bury("died")?;
        self.listen()
    }

    /// Goes on without the ranks that have died, once their last words are heard.
    pub(super) fn bury(&mut self, how: &str) -> Result<()> {
        for rank in self.transport.failed()? {
            while let Some((rank, message)) = self.transport.poll()? {
                self.hear(rank, &message)?;
            }
            self.lose(rank, how)?;
        }
        Ok(())
    }

    /// Sends heartbeats, and gives up ranks that have been silent for too long.
    fn listen(&mut self) -> Result<()> {
        let elapsed = self.elapsed();
        self.pulse.look(elapsed);
        for idx in 1..self.world.len() {
            if self.dead[idx] {
                continue;
            }
            if self.pulse.is_due(idx, elapsed) && self.outbox[idx].is_empty() {
                ToWorker::Beat.encode(&mut self.outbox[idx]);
            }
            if self.pulse.is_silent(idx, elapsed) {
                self.lose(Rank::at(idx), "said nothing for too long")?;
                self.fence(idx);
            }
        }
        Ok(())
    }

    /// Ends a rank that was taken for dead, where that is in reach: it must not go on.
    pub(super) fn fence(&self, idx: usize) {
        let (own, lost) = (&self.world[0], &self.world[idx]);
        let pid = i32::try_from(lost.pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| own.host == lost.host) {
            // It may have died by itself meanwhile.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Goes on without a rank.
    pub(super) fn lose(&mut self, rank: Rank, how: &str) -> Result<()> {
        let idx = rank.idx();
        if std::mem::replace(&mut self.dead[idx], true) || self.ledgers[idx].is_some() {
            return Ok(());
        }
        self.transport.forget(rank);
        self.outbox[idx].clear();
        let n_held = self.root.on_dead(rank, self.elapsed(), &mut self.orders)?;
        self.stats.count_dead();
        if let Some(stop) = &mut self.stop {
            stop.quiet(rank);
        }
        let Inventory { pid, host, .. } = &self.world[idx];
        self.terminal.warn(&format!(
            "{rank} (pid {pid} on host {host}) {how}; the run goes on without it, {n_held} tasks \
             that it held go to others"
        ));
        Ok(())
    }

    /// Ends the run where its results cannot be written any more: what runs would be lost.
    pub(super) fn lose_output(&mut self, lost: &OutputLost) {
        self.output_lost = Some(lost.to_string());
        self.stop = None;
        self.stop_for(lost.to_string(), Duration::ZERO);
    }

    /// Starts nothing more, and gives what runs some time.
    pub(super) fn stop_for(&mut self, reason: String, grace: Duration) {
        if self.stop.is_some() {
            return;
        }
        self.root.stop();
        self.executor.stop();
        let mut busy = Vec::new();
        for (idx, outbox) in self.outbox.iter_mut().enumerate() {
            busy.push(!self.dead[idx]);
            if idx > 0 && !self.dead[idx] {
                ToWorker::Stop.encode(outbox);
            }
        }
        let how = resume_hint(&self.output);
        self.terminal.warn(&format!("stopping: {reason}; {how}"));
        self.stop = Some(Stop::new(reason, self.elapsed() + grace, busy));
    }

    /// Statistics in the middle of a run; the ranks' ledgers are not known yet.
    fn report(&mut self) {
        let ledger = self.own_ledger();
        let summary = self.stats.summary(&self.name, &self.world[..1], &[ledger]);
        self.terminal.tell(&crate::report::interim(&summary));
    }
}

/// How to go on later.
fn resume_hint(output: &Output) -> String {
    match output {
        Output::File(_) => {
            let mut words: Vec<String> = std::env::args().collect();
            words.retain(|word| word != "--overwrite");
            if !words.iter().any(|word| word == "--resume") {
                words.push("--resume".to_owned());
            }
            format!("to go on: `{}`", words.join(" "))
        }
        Output::Fifo(_) | Output::Stdout | Output::Lines | Output::Printed | Output::None => {
            "without a results file it cannot be gone on with".to_owned()
        }
    }
}

/// A second signal: the world is ended without waiting for anything.
#[derive(Debug)]
pub struct StoppedAtOnce(pub &'static str);

impl std::fmt::Display for StoppedAtOnce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stopped at once by {}; what has a record is in the results", self.0)
    }
}

impl std::error::Error for StoppedAtOnce {}

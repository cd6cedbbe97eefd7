//! The end of a run: results closed, ledgers gathered, sums made.

use std::time::Duration;

use anyhow::Result;

use super::now;
use super::root::{Finished, Leader};
use crate::message::{Rank, ToWorker};
use crate::transport::Transport;

/// How long rank 0 waits for the workers' ledgers once every outcome is there.
const LEDGER_LIMIT: Duration = Duration::from_secs(10);
/// Why a run whose tasks would not have ended in time is not complete.
const LEFT_OUT: &str = "tasks that would not have ended within the walltime were not started";

impl<T: Transport> Leader<'_, T> {
    /// Ends the workers, gathers their ledgers and sums up.
    pub(super) fn finish(mut self) -> Result<Finished> {
        if self.output_lost.is_none() {
            let written = self.root.flush().and_then(|()| self.results.finish());
            let written = written.and_then(|()| self.terminal.show());
            self.output_lost = written.err().map(|error| format!("{error:#}"));
        }
        self.terminal.finish();
        self.ledgers[0] = Some(self.own_ledger());
        for (outbox, _) in
            self.outbox[1..].iter_mut().zip(&self.dead[1..]).filter(|(_, dead)| !**dead)
        {
            ToWorker::Finish.encode(outbox);
        }
        self.send()?;
        self.gather_ledgers()?;
        let ledgers: Vec<_> = self.ledgers.into_iter().map(Option::unwrap_or_default).collect();
        let summary = self.stats.summary(&self.name, &self.world, &ledgers);
        let unwritten = self.output_lost.as_ref().map_or(0, |_| self.results.n_unwritten());
        let summary = summary.after(self.root.resumed()).with_unwritten(unwritten);
        let summary = summary.with_accounts(self.root.finish()?);
        if let Some(file) = self.stats_file {
            file.write(&summary)?;
        }
        let stopped = self.stop.filter(|_| !self.root.is_done()).map(|stop| stop.reason);
        let stopped = self
            .output_lost
            .or(stopped)
            .or_else(|| self.root.has_left_out().then(|| LEFT_OUT.to_owned()));
        Ok(Finished { summary, output: self.output, quiet: self.quiet, stopped })
    }

    /// Waits for the living ranks' ledgers.
    fn gather_ledgers(&mut self) -> Result<()> {
        let deadline = now() + LEDGER_LIMIT;
        while let Some(idx) =
            (0..self.world.len()).find(|&idx| self.ledgers[idx].is_none() && !self.dead[idx])
        {
            match self.transport.poll()? {
                Some((rank, message)) => self.hear(rank, &message)?,
                None => drop(self.backoff.wait(&self.executor, false)),
            }
            self.bury("died at the end")?;
            if now() > deadline {
                self.lose(Rank::at(idx), "did not send its ledger")?;
                self.fence(idx);
            }
        }
        Ok(())
    }
}

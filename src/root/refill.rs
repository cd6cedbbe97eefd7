//! From the sources to the ready: how far ahead of need tasks are pulled, and what becomes of
//! those that come as failed.

use std::time::Duration;

use anyhow::Result;

use super::feed::{Fed, Said};
use super::ready::{Assigned, Ready, Shared};
use super::{Config, Order, POOLS, Root};
use crate::message::{Rank, Task};
use crate::schedule::Schedule;
use crate::task::{End, Pool, TaskError};

/// Tasks pulled ahead of need, per pool: within them the longest go first.
pub(super) const LOOK_AHEAD: usize = 8192;
/// Tasks pulled ahead under a static schedule, where each waits for its own rank.
const STATIC_LOOK_AHEAD: usize = 65_536;
/// Where results keep the order of the job, tasks go out at most so far ahead of the first one
/// that is missing.
pub(super) const ORDER_WINDOW: u64 = 65_536;

impl Root {
    pub(super) fn refill(&mut self, pool: usize, now: Duration) -> Result<()> {
        let look_ahead = match self.ready[pool] {
            Ready::Shared(_) => LOOK_AHEAD,
            Ready::Assigned(_) => STATIC_LOOK_AHEAD,
        };
        if self.ready[pool].len() > look_ahead / 2 {
            return Ok(());
        }
        // Not for ever: what has failed or is cancelled fills nothing.
        for _ in self.ready[pool].len()..look_ahead {
            let room = look_ahead.saturating_sub(self.ready[pool].len());
            if room == 0 || self.is_too_far_ahead() {
                break;
            }
            let most =
                if self.takes_rows(pool) { u32::try_from(room).unwrap_or(u32::MAX) } else { 1 };
            let Some(fed) = self.feed.next(POOLS[pool], most, now)? else { break };
            let Fed { pool, span, error } = fed;
            let error = error.or_else(|| self.is_doomed(&span.first).then(TaskError::cancelled));
            match error {
                None => self.ready[pool as usize].push(span),
                Some(error) => self.fail(span.first, (Rank::ROOT, error), now)?,
            }
        }
        Ok(())
    }

    /// Whether tasks in a row may stay together: nobody asks for each of them.
    fn takes_rows(&self, pool: usize) -> bool {
        let is_shared = matches!(self.ready[pool], Ready::Shared(_));
        is_shared && !self.config.ordered && self.doomed.is_empty()
    }

    /// Ends a task that no rank will: its source hears it, and it is written unless that is the
    /// source's own business.
    pub(super) fn fail(
        &mut self,
        task: Task,
        (rank, error): (Rank, TaskError),
        now: Duration,
    ) -> Result<()> {
        let (report, again) = (error.message.as_bytes(), error.again);
        let said = Said { report, again, ..Said::default() };
        let end = End::Failed(error.class);
        let note = self.feed.on_outcome(&task, (rank, end), said, now)?;
        if !note.hidden {
            self.n_done += 1;
            self.unrun.push(Order::Fail(task, error, note));
        }
        Ok(())
    }

    fn is_too_far_ahead(&self) -> bool {
        self.config.ordered && self.feed.n_pulled() >= self.first_unwritten + ORDER_WINDOW
    }
}

pub(super) fn ready_queue(config: &Config, remaining: Option<u64>, pool: Pool) -> Ready {
    let threads: Vec<u32> = config.threads.iter().map(|threads| threads[pool as usize]).collect();
    let Schedule::Static { chunk } = config.schedule else {
        return Ready::Shared(Shared::new(&threads));
    };
    let all_threads = threads.iter().map(|&n| u64::from(n)).sum::<u64>().max(1);
    let whole = remaining.map_or(STATIC_LOOK_AHEAD as u64, |n| n.min(STATIC_LOOK_AHEAD as u64));
    let block = chunk.map_or(whole.div_ceil(all_threads).max(1), |chunk| chunk.get().into());
    Ready::Assigned(Assigned::new(&threads, block))
}

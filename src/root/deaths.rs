//! What rank 0 decides when a rank has died: who gets its tasks, and which of them to suspect.

use std::time::Duration;

use anyhow::Result;

use super::flight::Worker;
use super::{Order, POOLS, Root};
use crate::message::Rank;
use crate::task::{ErrorClass, TaskError};

impl Root {
    /// Takes back what a dead rank held; how many tasks that are. Each of them may be what
    /// killed it: it is tried again with nothing beside it, and fails after
    /// [`crate::policy::Policy::crash_limit`] deaths. Where its source tries again by itself, that
    /// hears of each death, and is asked for another attempt until then.
    pub fn on_dead(&mut self, rank: Rank, now: Duration, orders: &mut Vec<Order>) -> Result<usize> {
        let worker = &mut self.workers[rank.idx()];
        if std::mem::replace(&mut worker.is_dead, true) {
            return Ok(0);
        }
        *worker = Worker { is_dead: true, ..Worker::default() };
        self.config.threads[rank.idx()] = [0, 0];
        if self.config.threads.iter().all(|threads| *threads == [0, 0]) {
            self.config.threads[0] = self.config.reserve;
        }
        for pool in 0..POOLS.len() {
            self.deal_anew(pool);
        }
        let held = self.in_flight.take_back(rank);
        let n_held = held.len();
        for (pool, task) in held {
            let crashed = task.after_crash();
            let is_last = crashed.crashes() >= self.config.policy.crash_limit.get();
            if is_last || self.feed.has_own_retries(&task) {
                let message = format!("{} ranks that ran it died", crashed.crashes());
                let again = (!is_last).then_some(Duration::ZERO);
                let error = TaskError { again, ..TaskError::new(ErrorClass::Crashed, message) };
                self.fail(task, (rank, error), now)?;
            } else {
                self.again.suspect(pool, crashed);
            }
        }
        orders.append(&mut self.unrun);
        Ok(n_held)
    }

    /// Whether a rank may run what may kill it: rank 0 only if nobody else is left.
    pub(super) fn may_die(&self, rank: Rank) -> bool {
        rank != Rank::ROOT || self.config.threads[1..].iter().all(|threads| *threads == [0, 0])
    }

    pub(super) fn give_suspect(
        &mut self,
        rank: Rank,
        pool: usize,
        orders: &mut Vec<Order>,
    ) -> bool {
        let Some(task) = self.again.take_suspect(pool) else { return false };
        self.workers[rank.idx()].has_suspect = true;
        orders.push(self.send(rank, pool, vec![self.out(task.into())]));
        true
    }
}

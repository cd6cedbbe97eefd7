//! Who gets the next chunk, and what is in it.

use std::time::Duration;

use anyhow::Result;

use super::feed::Said;
use super::flight::Out;
use super::{Order, POOLS, Root};
use crate::message::{self, Rank, Span, Task};
use crate::schedule::{self, LARGEST_HOLD, LARGEST_HOLD_CHUNKS, View};
use crate::task::End;

/// What a rank was given.
enum Given {
    Chunk,
    /// There was nothing for it.
    Nothing,
    /// It has no room, or no threads.
    Full,
}

impl Root {
    /// Gives each rank that may have room a chunk; whether any got one.
    pub(super) fn give_round(
        &mut self,
        pool: usize,
        now: Duration,
        orders: &mut Vec<Order>,
    ) -> Result<bool> {
        let (mut gave, mut start) = (false, 0);
        while let Some(rank) = self.looks[pool].first_from(start) {
            match self.give(rank, pool, now, orders)? {
                Given::Chunk => gave = true,
                Given::Nothing => {}
                Given::Full => self.looks[pool].close(rank),
            }
            start = rank.idx() + 1;
        }
        Ok(gave)
    }

    /// Gives a rank a chunk of tasks of a pool, if it has room and there are any.
    fn give(
        &mut self,
        rank: Rank,
        pool: usize,
        now: Duration,
        orders: &mut Vec<Order>,
    ) -> Result<Given> {
        let worker = &self.workers[rank.idx()];
        if self.config.threads[rank.idx()][pool] == 0 || worker.has_suspect {
            return Ok(Given::Full);
        }
        if self.again.has_suspect(pool) && worker.holds_nothing() && self.may_die(rank) {
            let gave = self.give_suspect(rank, pool, orders);
            return Ok(if gave { Given::Chunk } else { Given::Nothing });
        }
        self.refill(pool, now)?;
        for task in self.again.take_passed(rank, pool, now) {
            self.ready[pool].push_for(rank, task);
        }
        let Some(view) = self.view(rank, pool) else { return Ok(Given::Nothing) };
        if !self.has_room(rank, pool, &view) {
            return Ok(Given::Full);
        }
        let limit = self.config.schedule.chunk(&view);
        let tasks = self.take(rank, pool, limit, now)?;
        if tasks.is_empty() {
            return Ok(Given::Nothing);
        }
        orders.push(self.send(rank, pool, tasks));
        Ok(Given::Chunk)
    }

    fn has_room(&self, rank: Rank, pool: usize, view: &View) -> bool {
        let hold = schedule::hold(view);
        let worker = &self.workers[rank.idx()];
        worker.tasks[pool] < hold.tasks
            || (worker.seconds[pool] < hold.seconds
                && worker.tasks[pool] < LARGEST_HOLD
                && worker.chunks[pool] < LARGEST_HOLD_CHUNKS)
    }

    /// What the schedule may know; `None` if nothing is ready for this worker.
    fn view(&self, rank: Rank, pool: usize) -> Option<View> {
        let next = self.ready[pool].peek(rank)?;
        let task_seconds = self.measured_seconds(next);
        let mean_seconds = self.rates[usize::from(next.table)].mean_seconds();
        let (n_ready, to_come) = (self.ready[pool].len() as u64, self.feed.remaining(POOLS[pool]));
        let remaining = to_come.map(|to_come| to_come + n_ready);
        // The longest of the ready go first: about so long is each of them at most.
        let remaining_seconds = match (to_come, task_seconds, mean_seconds) {
            (Some(to_come), Some(next), Some(mean)) => {
                Some(to_come as f64 * mean + n_ready as f64 * next.min(mean))
            }
            _ => None,
        };
        Some(View {
            threads: self.config.threads[rank.idx()][pool],
            all_threads: self.all_threads[pool],
            task_seconds,
            remaining,
            remaining_seconds,
        })
    }

    fn take(
        &mut self,
        rank: Rank,
        pool: usize,
        limit: schedule::Limit,
        now: Duration,
    ) -> Result<Vec<Out>> {
        let mut outs = Vec::new();
        let (mut n_tasks, mut seconds) = (0, 0.0);
        while n_tasks < limit.tasks && seconds < limit.seconds {
            if self.ready[pool].len() == 0 {
                self.refill(pool, now)?;
            }
            let Some(next) = self.ready[pool].peek(rank) else { break };
            let expected = self.expected_seconds(next);
            let enough = count(((limit.seconds - seconds) / expected).ceil());
            let fit = self.n_that_fit(rank, pool, next, seconds, now);
            let most = enough.min(limit.tasks - n_tasks).min(fit).max(1);
            let Some(mut span) = self.ready[pool].pop(rank, most) else { break };
            if span.first.is_to_avoid(rank, now)
                && self.all_threads[pool] > self.config.threads[rank.idx()][pool]
            {
                self.again.pass(pool, span.first);
                continue;
            }
            span.first.limit = self.limits[usize::from(span.first.table)].get();
            if fit == 0 {
                self.n_left_out += 1;
                let how = (rank, End::LeftOut);
                self.feed.on_outcome(&span.first, how, Said::default(), now)?;
                continue;
            }
            n_tasks += span.n_tasks();
            seconds += f64::from(span.n_tasks()) * expected;
            outs.push(self.out(span));
        }
        Ok(outs)
    }

    /// How many tasks like this one a worker could end in time, after `seconds` more of work, by
    /// what has been measured.
    fn n_that_fit(&self, rank: Rank, pool: usize, task: &Task, seconds: f64, now: Duration) -> u32 {
        let Some(walltime) = self.config.policy.walltime else { return u32::MAX };
        let Some(factor) = self.rates[usize::from(task.table)].factor() else { return u32::MAX };
        let expected = factor * f64::from(task.cost);
        let threads = f64::from(self.config.threads[rank.idx()][pool].max(1));
        let held = self.workers[rank.idx()].seconds[pool];
        let left = walltime.as_secs_f64() - now.as_secs_f64();
        // One task takes one thread; what is held is shared by all of them.
        if expected > left { 0 } else { count((left * threads - held - seconds) / expected) }
    }

    fn expected_seconds(&self, task: &Task) -> f64 {
        self.measured_seconds(task).unwrap_or_else(|| task.cost.into())
    }

    /// Tasks that go out.
    pub(super) fn out(&self, span: Span) -> Out {
        let seconds = self.measured_seconds(&span.first).unwrap_or(0.0);
        Out::new(span, seconds)
    }

    /// What a task should take by those like it.
    fn measured_seconds(&self, task: &Task) -> Option<f64> {
        let factor = self.rates[usize::from(task.table)].factor()?;
        Some(factor * f64::from(task.cost))
    }

    pub(super) fn send(&mut self, rank: Rank, pool: usize, outs: Vec<Out>) -> Order {
        let worker = &mut self.workers[rank.idx()];
        worker.tasks[pool] += outs.iter().map(|out| out.span.n_tasks()).sum::<u32>();
        worker.chunks[pool] += 1;
        worker.seconds[pool] += outs.iter().map(Out::all_seconds).sum::<f64>();
        let id = self.in_flight.add(rank, pool, outs);
        Order::Chunk(rank, message::encode_chunk(id, self.in_flight.spans(id)))
    }
}

/// A number of tasks, rounded down; 0 where it is none.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of floats ends at the limits"
)]
fn count(number: f64) -> u32 {
    if number.is_nan() { u32::MAX } else { number as u32 }
}

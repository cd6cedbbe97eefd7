//! What somebody outside may ask of a run: to pause, to spare a rank, to cancel tasks.

use std::time::Duration;

use anyhow::Result;

use super::looks::Looks;
use super::{Order, POOLS, Root};
use crate::message::{Rank, Task};
use crate::task::TaskError;

/// Which tasks are meant.
pub type Matches = Box<dyn Fn(&Task) -> bool>;

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Tasks that waited and will not be run.
    pub waiting: u64,
    /// Tasks that are with a rank, which was told.
    pub in_flight: u64,
}

/// A rank, as far as handing out goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankState {
    /// Threads of its two pools that get tasks.
    pub threads: [u32; 2],
    /// Tasks that it has.
    pub in_flight: u32,
    /// Whether it died.
    pub is_dead: bool,
}

impl Root {
    /// Hands out nothing until [`Self::resume`]; what is out ends.
    pub fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Hands out again.
    pub fn resume(&mut self) {
        self.is_paused = false;
    }

    /// Whether nothing is handed out for now.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// A rank has so many threads of a pool from now on; with none it gets no more tasks.
    pub fn set_threads(&mut self, rank: Rank, pool: usize, threads: u32) {
        self.config.threads[rank.idx()][pool] = threads;
        self.deal_anew(pool);
    }

    /// The numbers of threads of a pool have changed.
    pub(super) fn deal_anew(&mut self, pool: usize) {
        let threads: Vec<u32> = self.config.threads.iter().map(|of| of[pool]).collect();
        self.all_threads[pool] = threads.iter().sum();
        self.ready[pool].deal_anew(&threads);
        self.looks[pool] = Looks::new(threads.len());
    }

    /// A rank, as far as handing out goes.
    pub fn rank(&self, rank: Rank) -> RankState {
        let worker = &self.workers[rank.idx()];
        RankState {
            threads: self.config.threads[rank.idx()],
            in_flight: worker.tasks.iter().sum(),
            is_dead: worker.is_dead,
        }
    }

    /// Tasks that wait to be handed out.
    pub fn n_ready(&self) -> usize {
        self.ready.iter().map(super::ready::Ready::len).sum::<usize>() + self.again.len()
    }

    /// Cancels the tasks that match: those that wait are not run, ranks are told of those that
    /// they have.
    pub fn cancel(
        &mut self,
        matches: &dyn Fn(&Task) -> bool,
        now: Duration,
        orders: &mut Vec<Order>,
    ) -> Result<Cancelled> {
        let mut waiting = self.again.take_if(matches);
        for pool in 0..POOLS.len() {
            waiting.extend(self.ready[pool].take_if(matches));
        }
        let in_flight = self.in_flight.matching(matches);
        let cancelled = Cancelled {
            waiting: waiting.len() as u64,
            in_flight: in_flight.iter().map(|(.., indices)| indices.len() as u64).sum(),
        };
        for task in waiting {
            self.fail(task, (Rank::ROOT, TaskError::cancelled()), now)?;
        }
        orders.append(&mut self.unrun);
        let orders_of = in_flight.into_iter();
        orders.extend(orders_of.map(|(rank, id, indices)| Order::Cancel(rank, id, indices)));
        Ok(cancelled)
    }

    /// Cancels the tasks that match when their sources give them.
    pub fn doom(&mut self, matches: Matches) {
        self.doomed.push(matches);
    }

    pub(super) fn is_doomed(&self, task: &Task) -> bool {
        self.doomed.iter().any(|matches| matches(task))
    }
}

//! Rank 0's decisions: which worker gets which tasks, and whether an outcome counts.
//!
//! [`Root`] hears outcomes and answers with orders; `run.rs` carries both.
//! A task's way here: its source gives it ([`feed`]), it waits among the ready ([`ready`]),
//! longest first, goes out in a chunk, is in flight, and is done when its first outcome is heard.
//!
//! **Invariant:** no MPI, no clock, no thread and no file: time comes in as an argument.

mod again;
mod control;
mod deaths;
mod done;
mod feed;
mod flight;
mod give;
mod hear;
mod looks;
mod marks;
mod median;
mod near;
mod ready;
mod refill;

use std::time::Duration;

use anyhow::Result;

pub use control::{Cancelled, Matches, RankState};
pub use done::{Done, Ids, Naming, Records, Resumed};
pub use feed::Table;
pub use hear::Listener;

use crate::message::{ChunkId, Outcome, Rank, Task, Times};
use crate::policy::Policy;
use crate::schedule::Schedule;
use crate::task::{Account, Note, Pool, TaskError};
use again::Again;
use feed::Feed;
use flight::{Flights, Rate, Worker};
use looks::Looks;
use median::Limit;
use ready::Ready;

/// A task that another rank is to try first is offered again after so long, where none had room.
const ASK_ANOTHER: Duration = Duration::from_millis(5);

const POOLS: [Pool; 2] = [Pool::Cpu, Pool::Io];

/// What rank 0 wants done.
#[derive(Debug, PartialEq)]
pub enum Order {
    /// Send this chunk, encoded, to this worker.
    Chunk(Rank, Vec<u8>),
    /// Tell every worker that nothing is left to hand out.
    Drained,
    /// Ask tasks of a chunk that this worker has to end.
    Cancel(Rank, ChunkId, Vec<u32>),
    /// Write that this task failed, as its source has heard: no worker will.
    Fail(Task, TaskError, Note),
}

/// How rank 0 hands out.
#[derive(Clone, Debug)]
pub struct Config {
    /// The schedule.
    pub schedule: Schedule,
    /// Whether results keep the order of the job.
    pub ordered: bool,
    /// Threads of each rank's CPU pool and I/O pool; 0 for a rank that gets no tasks.
    pub threads: Vec<[u32; 2]>,
    /// What rank 0 can do itself where it gets no tasks, once it is the only one left.
    pub reserve: [u32; 2],
    /// What is done about failures.
    pub policy: Policy,
}

/// An outcome that counts, with what rank 0 knows of its task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard<'a> {
    /// The task.
    pub task: &'a Task,
    /// Who ran it.
    pub rank: Rank,
    /// How it ended.
    pub outcome: Outcome<'a>,
    /// What its source wants of its record.
    pub note: &'a Note,
    /// More tasks like it, in all but their inputs, that ended as it did and left no record.
    pub also: &'a [Times],
}

/// Rank 0's state.
pub struct Root {
    config: Config,
    feed: Feed,
    ready: [Ready; 2],
    workers: Vec<Worker>,
    looks: [Looks; 2],
    /// Threads of each pool over all workers.
    all_threads: [u32; 2],
    rates: Vec<Rate>,
    /// By table.
    limits: Vec<Limit>,
    in_flight: Flights,
    again: Again,
    /// Tasks whose outcome has been heard.
    n_done: u64,
    /// The first place in the order of the job whose record is not written yet.
    first_unwritten: u64,
    told_drained: bool,
    /// Nothing is handed out any more.
    is_stopped: bool,
    /// Nothing is handed out for now.
    is_paused: bool,
    /// Tasks that are cancelled when they come.
    doomed: Vec<Matches>,
    /// Tasks that were not started because they would not have ended in time.
    n_left_out: u64,
    /// What is to be written of tasks that failed without a rank's outcome.
    unrun: Vec<Order>,
    /// Of outcomes in a row; kept for its allocation.
    times: Vec<Times>,
}

impl Root {
    /// The tasks of `tables`, to be handed out as `config` says.
    pub fn new(config: Config, tables: Vec<Table>) -> Self {
        Self::resumed_from(None, config, tables).expect("sources are not read yet")
    }

    /// The same without what an earlier run has `done`.
    pub fn resumed_from(done: Option<Done>, config: Config, tables: Vec<Table>) -> Result<Self> {
        let rates = vec![Rate::default(); tables.len()];
        let limits = tables.iter().map(|table| Limit::new(table.limit)).collect();
        let feed = Feed::new(tables, config.ordered, done)?;
        let ready = POOLS.map(|pool| refill::ready_queue(&config, feed.remaining(pool), pool));
        Ok(Self {
            workers: vec![Worker::default(); config.threads.len()],
            looks: POOLS.map(|_| Looks::new(config.threads.len())),
            all_threads: POOLS
                .map(|pool| config.threads.iter().map(|threads| threads[pool as usize]).sum()),
            config,
            feed,
            ready,
            rates,
            limits,
            in_flight: Flights::default(),
            again: Again::default(),
            n_done: 0,
            first_unwritten: 0,
            told_drained: false,
            is_stopped: false,
            is_paused: false,
            doomed: Vec::new(),
            n_left_out: 0,
            unrun: Vec::new(),
            times: Vec::new(),
        })
    }

    /// Has the sources give the kernel what they have noted of outcomes: records that were heard
    /// may follow.
    pub fn flush(&mut self) -> Result<()> {
        self.feed.flush()
    }

    /// Hands out whatever there is room for.
    pub fn hand_out(&mut self, now: Duration, orders: &mut Vec<Order>) -> Result<()> {
        if self.is_stopped || self.is_paused {
            return Ok(());
        }
        while let Some((pool, task)) = self.again.due(now) {
            self.ready[pool].push(task.into());
        }
        for pool in 0..POOLS.len() {
            let (workers, threads) = (&self.workers, &self.config.threads);
            self.ready[pool].spread(
                |idx| workers[idx].tasks[pool] as usize,
                |idx| threads[idx][Pool::Cpu as usize] as usize,
            );
            self.looks[pool].turn();
            while self.give_round(pool, now, orders)? {}
        }
        self.again.keep_passed(now + ASK_ANOTHER);
        orders.append(&mut self.unrun);
        if !self.told_drained && self.is_drained() {
            self.told_drained = true;
            orders.push(Order::Drained);
        }
        Ok(())
    }

    /// Hands out nothing any more: the run ends early.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Tells up to which place in the order of the job every record is written.
    pub fn set_first_unwritten(&mut self, seq: u64) {
        self.first_unwritten = seq;
    }

    /// What the sources say of the run, which is over, with the numbers of their tables.
    pub fn finish(&mut self) -> Result<Vec<(usize, Account)>> {
        self.feed.finish()
    }

    /// Whether every task of the job has its outcome.
    pub fn is_done(&self) -> bool {
        self.is_drained() && self.in_flight.is_empty()
    }

    /// Tasks done, and the number of all where every source knows it.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let of_pools = POOLS.iter().map(|&pool| self.feed.remaining(pool));
        let to_come = of_pools.chain([self.feed.held()]).sum::<Option<u64>>();
        (self.n_done, to_come.map(|to_come| self.feed.n_pulled() + to_come))
    }

    /// Whether every worker has work for some time, beside what it runs: nobody is kept waiting
    /// where what it sends is heard a little later.
    pub fn is_supplied(&self) -> bool {
        let mut workers = self.workers.iter().zip(&self.config.threads);
        !self.is_stopped
            && workers.all(|(worker, &threads)| worker.is_dead || worker.is_supplied(threads))
    }

    /// Tasks whose outcome has been heard.
    pub fn n_done(&self) -> u64 {
        self.n_done
    }

    /// Whether tasks were not started because they would not have ended within the walltime.
    pub fn has_left_out(&self) -> bool {
        self.n_left_out > 0
    }

    fn is_drained(&self) -> bool {
        self.feed.is_exhausted()
            && self.again.len() == 0
            && self.ready.iter().all(|ready| ready.len() == 0)
    }
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root").field("n_done", &self.n_done).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod leads_tests;
#[cfg(test)]
mod tests;

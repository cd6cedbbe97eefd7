//! Rank 0's decisions: which worker gets which tasks, and whether an outcome counts.
//!
//! [`Root`] hears outcomes and answers with orders; `run.rs` carries both.
//! A task's way here: its source gives it ([`feed`]), it waits among the ready ([`ready`]),
//! longest first, goes out in a chunk, is in flight, and is done when its first outcome is heard.
//!
//! **Invariant:** no MPI, no clock, no thread and no file: time comes in as an argument.

mod feed;
mod median;
mod ready;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};

pub use feed::Table;

use crate::message::{self, ChunkId, Outcome, Outcomes, Rank, Task};
use crate::schedule::{self, LARGEST_HOLD, Schedule, View};
use crate::task::Pool;
use feed::Feed;
use median::Limit;
use ready::{Assigned, ByCost, Ready};

/// Tasks pulled ahead of need, per pool: within them the longest go first.
const LOOK_AHEAD: usize = 8192;
/// Tasks pulled ahead under a static schedule, where each waits for its own rank.
const STATIC_LOOK_AHEAD: usize = 65_536;
/// Where results keep the order of the job, tasks go out at most so far ahead of the first one
/// that is missing.
const ORDER_WINDOW: u64 = 65_536;

const POOLS: [Pool; 2] = [Pool::Cpu, Pool::Io];

/// What rank 0 wants done.
#[derive(Debug, PartialEq)]
pub enum Order {
    /// Send this chunk, encoded, to this worker.
    Chunk(Rank, Vec<u8>),
    /// Tell every worker that nothing is left to hand out.
    Drained,
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
}

/// An outcome that counts, with what rank 0 knows of its task.
#[derive(Debug, PartialEq)]
pub struct Heard<'a> {
    /// The task.
    pub task: &'a Task,
    /// Who ran it.
    pub rank: Rank,
    /// How it ended.
    pub outcome: Outcome<'a>,
}

/// Rank 0's state.
pub struct Root {
    config: Config,
    feed: Feed,
    ready: [Ready; 2],
    workers: Vec<Worker>,
    /// Threads of each pool over all workers.
    all_threads: [u32; 2],
    rates: Vec<Rate>,
    /// By table.
    limits: Vec<Limit>,
    in_flight: HashMap<ChunkId, InFlight>,
    next_chunk: ChunkId,
    /// Tasks whose outcome has been heard.
    n_done: u64,
    /// The first place in the order of the job whose record is not written yet.
    first_unwritten: u64,
    told_drained: bool,
}

/// What a worker holds, per pool.
#[derive(Clone, Debug, Default)]
struct Worker {
    tasks: [u32; 2],
    seconds: [f64; 2],
}

/// A chunk that has gone out.
#[derive(Debug)]
struct InFlight {
    rank: Rank,
    pool: usize,
    /// Each task with the seconds it was expected to take, until its outcome is heard.
    tasks: Vec<(Task, f64, bool)>,
    n_left: usize,
}

/// What was measured of a table's tasks: the factor between cost and seconds.
#[derive(Clone, Debug, Default)]
struct Rate {
    n: u32,
    cost: f64,
    seconds: f64,
}

/// After so many tasks older ones count half, so that a rate follows its tasks.
const RATE_MEMORY: u32 = 4096;

impl Rate {
    fn measure(&mut self, cost: f32, seconds: f64) {
        if self.n == RATE_MEMORY {
            *self = Self { n: self.n / 2, cost: self.cost / 2.0, seconds: self.seconds / 2.0 };
        }
        self.n += 1;
        self.cost += f64::from(cost);
        self.seconds += seconds;
    }

    /// Seconds a unit of cost; `None` before anything has been measured.
    fn factor(&self) -> Option<f64> {
        (self.cost > 0.0).then(|| self.seconds / self.cost)
    }

    fn mean_seconds(&self) -> Option<f64> {
        (self.n > 0).then(|| self.seconds / f64::from(self.n))
    }
}

impl Root {
    /// The tasks of `tables`, to be handed out as `config` says.
    pub fn new(config: Config, tables: Vec<Table>) -> Self {
        let rates = vec![Rate::default(); tables.len()];
        let limits = tables.iter().map(|table| Limit::new(table.limit)).collect();
        let feed = Feed::new(tables, config.ordered);
        let ready = POOLS.map(|pool| ready_queue(&config, feed.remaining(pool), pool));
        Self {
            workers: vec![Worker::default(); config.threads.len()],
            all_threads: POOLS
                .map(|pool| config.threads.iter().map(|threads| threads[pool as usize]).sum()),
            config,
            feed,
            ready,
            rates,
            limits,
            in_flight: HashMap::new(),
            next_chunk: 0,
            n_done: 0,
            first_unwritten: 0,
            told_drained: false,
        }
    }

    /// Hands out whatever there is room for.
    pub fn hand_out(&mut self, now: Duration, orders: &mut Vec<Order>) -> Result<()> {
        for pool in 0..POOLS.len() {
            let mut gave = true;
            while gave {
                gave = false;
                for idx in 0..self.workers.len() {
                    gave |= self.give(Rank::at(idx), pool, now, orders)?;
                }
            }
        }
        if !self.told_drained && self.is_drained() {
            self.told_drained = true;
            orders.push(Order::Drained);
        }
        Ok(())
    }

    /// Hears a worker's outcomes; `heard` gets each one that counts, once a task.
    pub fn on_outcomes(
        &mut self,
        rank: Rank,
        payload: &[u8],
        mut heard: impl FnMut(Heard<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut outcomes = Outcomes::decode(payload)?;
        let chunk_id = outcomes.chunk;
        let Some(chunk) = self.in_flight.get_mut(&chunk_id) else { return Ok(()) };
        ensure!(chunk.rank == rank, "{rank} sent outcomes of a chunk of {}", chunk.rank);
        let worker = &mut self.workers[rank.idx()];
        while let Some(outcome) = outcomes.take()? {
            let Some((task, seconds, done)) = chunk.tasks.get_mut(outcome.index as usize) else {
                anyhow::bail!("{rank} sent outcome {} of a smaller chunk", outcome.index)
            };
            if std::mem::replace(done, true) {
                continue;
            }
            chunk.n_left -= 1;
            worker.tasks[chunk.pool] -= 1;
            worker.seconds[chunk.pool] -= *seconds;
            self.n_done += 1;
            self.rates[usize::from(task.table)].measure(task.cost, outcome.nanos as f64 * 1e-9);
            self.limits[usize::from(task.table)].measure(outcome.status, outcome.nanos);
            heard(Heard { task, rank, outcome })?;
        }
        if chunk.n_left == 0 {
            self.in_flight.remove(&chunk_id);
        }
        Ok(())
    }

    /// Tells up to which place in the order of the job every record is written.
    pub fn set_first_unwritten(&mut self, seq: u64) {
        self.first_unwritten = seq;
    }

    /// Whether every task of the job has its outcome.
    pub fn is_done(&self) -> bool {
        self.is_drained() && self.in_flight.is_empty()
    }

    /// Tasks done, and the number of all where every source knows it.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let to_come = POOLS.iter().map(|&pool| self.feed.remaining(pool)).sum::<Option<u64>>();
        (self.n_done, to_come.map(|to_come| self.feed.n_pulled() + to_come))
    }

    /// Tasks whose outcome has been heard.
    pub fn n_done(&self) -> u64 {
        self.n_done
    }

    fn is_drained(&self) -> bool {
        self.feed.is_exhausted() && self.ready.iter().all(|ready| ready.len() == 0)
    }

    fn give(
        &mut self,
        rank: Rank,
        pool: usize,
        now: Duration,
        orders: &mut Vec<Order>,
    ) -> Result<bool> {
        if self.config.threads[rank.idx()][pool] == 0 {
            return Ok(false);
        }
        self.refill(pool, now)?;
        let Some(view) = self.view(rank, pool) else { return Ok(false) };
        if !self.has_room(rank, pool, &view) {
            return Ok(false);
        }
        let limit = self.config.schedule.chunk(&view);
        let tasks = self.take(rank, pool, limit, now)?;
        orders.push(self.send(rank, pool, tasks));
        Ok(true)
    }

    fn has_room(&self, rank: Rank, pool: usize, view: &View) -> bool {
        let hold = schedule::hold(view);
        let worker = &self.workers[rank.idx()];
        worker.tasks[pool] < hold.tasks
            || (worker.seconds[pool] < hold.seconds && worker.tasks[pool] < LARGEST_HOLD)
    }

    /// What the schedule may know; `None` if nothing is ready for this worker.
    fn view(&self, rank: Rank, pool: usize) -> Option<View> {
        let next = self.ready[pool].peek(rank)?;
        let rate = &self.rates[usize::from(next.table)];
        let task_seconds = rate.factor().map(|factor| factor * f64::from(next.cost));
        let to_come = self.feed.remaining(POOLS[pool]);
        let remaining = to_come.map(|to_come| to_come + self.ready[pool].len() as u64);
        let remaining_seconds = match (remaining, rate.mean_seconds()) {
            (Some(tasks), Some(mean)) => Some(tasks as f64 * mean),
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
    ) -> Result<Vec<(Task, f64, bool)>> {
        let mut tasks = Vec::new();
        let mut seconds = 0.0;
        while tasks.len() < limit.tasks as usize && seconds < limit.seconds {
            if self.ready[pool].len() == 0 {
                self.refill(pool, now)?;
            }
            let Some(mut task) = self.ready[pool].pop(rank) else { break };
            task.limit = self.limits[usize::from(task.table)].get();
            let expected = self.expected_seconds(&task);
            seconds += expected;
            tasks.push((task, expected, false));
        }
        Ok(tasks)
    }

    fn expected_seconds(&self, task: &Task) -> f64 {
        let factor = self.rates[usize::from(task.table)].factor().unwrap_or(1.0);
        factor * f64::from(task.cost)
    }

    fn send(&mut self, rank: Rank, pool: usize, tasks: Vec<(Task, f64, bool)>) -> Order {
        let id = self.next_chunk;
        self.next_chunk += 1;
        let worker = &mut self.workers[rank.idx()];
        worker.tasks[pool] += u32::try_from(tasks.len()).expect("bounded by the schedule");
        worker.seconds[pool] += tasks.iter().map(|(_, seconds, _)| seconds).sum::<f64>();
        let payload = message::encode_chunk(id, tasks.iter().map(|(task, ..)| task));
        let n_left = tasks.len();
        self.in_flight.insert(id, InFlight { rank, pool, tasks, n_left });
        Order::Chunk(rank, payload)
    }

    fn refill(&mut self, pool: usize, now: Duration) -> Result<()> {
        let look_ahead = match self.ready[pool] {
            Ready::Shared(_) => LOOK_AHEAD,
            Ready::Assigned(_) => STATIC_LOOK_AHEAD,
        };
        if self.ready[pool].len() > look_ahead / 2 {
            return Ok(());
        }
        while self.ready[pool].len() < look_ahead && !self.is_too_far_ahead() {
            let Some((of, task)) = self.feed.next(POOLS[pool], now)? else { break };
            self.ready[of as usize].push(task);
        }
        Ok(())
    }

    fn is_too_far_ahead(&self) -> bool {
        self.config.ordered && self.feed.n_pulled() >= self.first_unwritten + ORDER_WINDOW
    }
}

fn ready_queue(config: &Config, remaining: Option<u64>, pool: Pool) -> Ready {
    let Schedule::Static { chunk } = config.schedule else {
        return Ready::Shared(ByCost::default());
    };
    let threads: Vec<u32> = config.threads.iter().map(|threads| threads[pool as usize]).collect();
    let all_threads = threads.iter().map(|&n| u64::from(n)).sum::<u64>().max(1);
    let whole = remaining.map_or(STATIC_LOOK_AHEAD as u64, |n| n.min(STATIC_LOOK_AHEAD as u64));
    let block = chunk.map_or(whole.div_ceil(all_threads).max(1), |chunk| chunk.get().into());
    Ready::Assigned(Assigned::new(&threads, block))
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root").field("n_done", &self.n_done).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

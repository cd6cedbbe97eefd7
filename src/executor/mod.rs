//! One rank's pools: a CPU pool (rayon, one thread a core) for tasks that compute and an I/O
//! pool (many threads) for tasks that wait, so that neither holds up the other. What a task that
//! waits computes is done in the CPU pool's place, by its own thread where a core is free.
//!
//! How many threads a pool has can change while tasks run ([`lane`]).
//!
//! A chunk is shared by a pool's threads, each taking the next few tasks when it is free; the
//! outcomes leave in batches of some milliseconds, already formatted as records.
//!
//! A task that needs more memory or threads than others leave it is put aside until they end.
//!
//! **Invariant:** talks to no other rank; outcomes leave through a channel.

mod admission;
mod batch;
mod chunk;
mod idle;
mod lane;
mod ledger;
mod panics;
mod table;
mod threads;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rustc_hash::FxHashMap;

pub use ledger::Ledger;
pub use table::{Table, table};

use crate::channel::{self, Receiver};
use crate::message::{self, ChunkId, Span, Task};
use crate::task::{self, Cancel, Cpu, Input, Place, Pool, TaskError};
use crate::values::{self, Values};
use admission::{Admission, Need, Room};
use batch::{Batch, Claimed};
use chunk::Chunk;
use lane::{Job, Lane, Runner, Step};
use ledger::Clocks;

/// With so many chunks, those that are done are forgotten before their table grows.
const MOST_CHUNKS: usize = 64;

/// How an executor is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// This rank, for records and for tasks.
    pub place: Place,
    /// This host's name, for records.
    pub host: String,
    /// Threads of the CPU pool.
    pub threads: u32,
    /// Threads of the I/O pool; 0 for none.
    pub io_threads: u32,
    /// Whether tasks that succeed get a record too, or those that fail only.
    pub records: bool,
    /// Bytes that this rank may use for its tasks.
    pub memory: u64,
    /// Where values go that are too large for records.
    pub values: Option<values::Config>,
}

/// A rank's pools at work.
pub struct Executor {
    shared: Arc<Shared>,
    outcomes: Receiver<Vec<u8>>,
}

/// The ids of tasks, as their records have them.
#[derive(Debug)]
pub struct Ids(Arc<Shared>);

impl Ids {
    /// The id of a task.
    pub fn of(&self, table: usize, input: &Input, occurrence: u32) -> u128 {
        let table = &self.0.tables[table];
        let mut json = Vec::new();
        table.work.write_input(input, &mut json);
        task::id(table.kind, &json, occurrence)
    }
}

/// What all threads of a rank share.
struct Shared {
    config: Config,
    cpu: Lane,
    io: Lane,
    admission: Admission<Aside>,
    values: Values,
    /// Some task holds more than one thread of the CPU pool, so that all of them are counted.
    counts_cores: bool,
    pid: u32,
    tables: Vec<Table>,
    clocks: Clocks,
    /// The run's start by this rank's clock, for the `start` of records.
    started: (Instant, SystemTime),
    outcomes: channel::Sender<Vec<u8>>,
    /// Those that were started, as long as something of them is to be done.
    chunks: Mutex<FxHashMap<ChunkId, Weak<Chunk>>>,
    /// Nothing more is to be started.
    stopped: AtomicBool,
    /// Runners that have been given to a pool and have not ended.
    n_runners: AtomicUsize,
}

impl Executor {
    /// Starts the pools; `now` is the run's start.
    pub fn new(config: Config, tables: Vec<Table>, now: Instant) -> Result<Self> {
        panics::keep_quiet_in_tasks();
        let (sender, outcomes) = channel::unbounded();
        // A rank that only hands out has one thread in reserve, should it be the last one.
        let n_cpu = config.threads.max(1);
        let clocks = Clocks::new(config.threads, now);
        let cpu = Lane::new(Pool::Cpu, n_cpu, config.threads, &clocks)?;
        let io = Lane::new(Pool::Io, config.io_threads, config.io_threads, &clocks)?;
        let threads = config.threads.saturating_add(config.io_threads);
        let shared = Shared {
            cpu,
            io,
            admission: Admission::new(config.memory, threads, config.threads.max(1)),
            values: Values::new(config.values.clone(), &config.host, config.place.rank),
            counts_cores: tables.iter().any(|table| table.work.cores() > 1),
            pid: std::process::id(),
            tables,
            clocks,
            started: (now, SystemTime::now()),
            outcomes: sender,
            chunks: Mutex::default(),
            stopped: AtomicBool::new(false),
            n_runners: AtomicUsize::new(0),
            config,
        };
        Ok(Self { shared: Arc::new(shared), outcomes })
    }

    /// Runs the tasks of an encoded chunk when threads are free, in the order of chunks.
    pub fn start(&self, chunk: &[u8]) -> Result<()> {
        let (id, spans) = message::decode_chunk(chunk)?;
        let Some(Span { first, .. }) = spans.first() else { return Ok(()) };
        let table = self.shared.tables.get(usize::from(first.table));
        let pool = table.context("chunk of an unknown table")?.pool;
        let lane = self.shared.lane(pool);
        let n_threads = lane.threads() as usize;
        ensure!(n_threads > 0, "chunk for an I/O pool that is not there");
        let chunk = Arc::new(Chunk::new(id, spans, n_threads));
        self.shared.remember(&chunk);
        lane.add(Job::Chunk(chunk), &self.shared);
        Ok(())
    }

    /// Lets another number of threads work: more of them at once, fewer as tasks end.
    pub fn resize(&self, pool: Pool, threads: NonZeroU32) -> Result<()> {
        if pool == Pool::Cpu {
            self.shared.admission.set_cores(threads.get());
        }
        self.shared.lane(pool).resize(threads.get(), &self.shared)
    }

    /// The same for the CPU pool and the I/O pool; 0: as many as now.
    pub fn set_threads(&self, threads: [u32; 2]) -> Result<()> {
        for (pool, threads) in [Pool::Cpu, Pool::Io].into_iter().zip(threads) {
            NonZeroU32::new(threads).map_or(Ok(()), |threads| self.resize(pool, threads))?;
        }
        Ok(())
    }

    /// Asks these tasks of a chunk to end, if it is still there: those that have not begun are
    /// not run.
    pub fn cancel(&self, chunk: ChunkId, indices: impl IntoIterator<Item = usize>) {
        let chunks = self.shared.chunks.lock().expect("no holder panics");
        let Some(chunk) = chunks.get(&chunk).and_then(Weak::upgrade) else { return };
        for idx in indices {
            chunk.cancels.ask(idx, chunk.len());
        }
    }

    /// What tells the ids of tasks.
    pub fn ids(&self) -> Ids {
        Ids(Arc::clone(&self.shared))
    }

    /// Starts no further task; those that run go on.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether no task runs or waits; what they sent may still be in [`Self::outcomes`].
    pub fn is_quiet(&self) -> bool {
        self.shared.n_runners.load(Ordering::Acquire) == 0
    }

    /// The record of a task that fails without having run here.
    pub fn failure(&self, task: &Task, error: &TaskError) -> Vec<u8> {
        batch::failure(&self.shared, task, error)
    }

    /// Whether each pool goes on when the chunks that it works on end, which is told at once.
    pub fn is_supplied(&self) -> bool {
        let Shared { cpu, io, .. } = &*self.shared;
        !self.shared.is_stopped() && cpu.is_supplied() && io.is_supplied()
    }

    /// Where outcomes arrive, each the payload of a [`message::ToRoot::Outcomes`].
    pub fn outcomes(&self) -> &Receiver<Vec<u8>> {
        &self.outcomes
    }

    /// Has the thread that made this pause until an outcome arrives, or for a while.
    pub fn rest(&self, pause: Duration) {
        if self.outcomes.is_empty() {
            thread::park_timeout(pause);
        }
    }

    /// Notes that rank 0 has nothing left to hand out: being idle is the run's tail from here.
    pub fn drained(&self, now: Instant) {
        self.shared.clocks.drained(now);
    }

    /// Where the threads' time went, up to now.
    pub fn ledger(&self, now: Instant) -> Ledger {
        self.shared.clocks.ledger(now)
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// A task that waits for room.
#[derive(Debug)]
struct Aside {
    chunk: Arc<Chunk>,
    idx: usize,
}

impl Shared {
    fn lane(&self, pool: Pool) -> &Lane {
        match pool {
            Pool::Cpu => &self.cpu,
            Pool::Io => &self.io,
        }
    }

    fn need(&self, task: &Task, table: &Table) -> Need {
        let holds_cores = self.counts_cores && table.pool == Pool::Cpu;
        let cores = if holds_cores { table.work.cores() } else { 0 };
        Need { bytes: table.work.footprint(&task.input), cores }
    }

    /// Keeps a chunk in reach, and forgets those that are done.
    fn remember(&self, chunk: &Arc<Chunk>) {
        let mut chunks = self.chunks.lock().expect("no holder panics");
        if chunks.len() >= MOST_CHUNKS && chunks.len() == chunks.capacity() {
            chunks.retain(|_, chunk| chunk.strong_count() > 0);
        }
        chunks.insert(chunk.id, Arc::downgrade(chunk));
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn table(&self, task: &Task) -> &Table {
        &self.tables[usize::from(task.table)]
    }
}

impl Cpu for Arc<Shared> {
    fn lend(&self, step: &mut dyn FnMut()) -> bool {
        self.cpu.lend(step, self)
    }

    fn spawn(&self, step: Step) {
        self.cpu.add(Job::Step(step), self);
    }

    fn help(&self, compute: &mut dyn FnMut()) {
        let _sharing = self.cpu.share();
        compute();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Does a job on a runner's thread.
fn run(job: Job, lane: &Lane, runner: &Runner, shared: &Arc<Shared>) {
    match job {
        Job::Chunk(chunk) => {
            let mut batch = None;
            while let Some(range) = chunk.claim().filter(|_| !shared.is_stopped()) {
                let batch = batch.get_or_insert_with(|| Batch::new(chunk.id, shared, &runner.seat));
                run_tasks(&chunk, range, batch, lane, runner, shared);
                if lane.is_over(runner) {
                    break;
                }
            }
            if let Some(batch) = batch {
                batch.send();
            }
        }
        Job::Part(chunk, range) => {
            let mut batch = Batch::new(chunk.id, shared, &runner.seat);
            run_tasks(&chunk, range, &mut batch, lane, runner, shared);
            batch.send();
        }
        Job::Aside(aside, room) => run_aside(&aside, room, runner, shared),
        Job::Step(step) => runner.seat.clock.around(step),
    }
}

/// Gives room back, and starts those that have waited for it.
fn leave(room: Room, shared: &Arc<Shared>) {
    shared.admission.leave(room, |room, aside| {
        let table = shared.table(&aside.chunk.place(aside.idx).0.first);
        shared.lane(table.pool).add(Job::Aside(aside, room), shared);
    });
}

/// Runs one task that has waited for room.
fn run_aside(aside: &Aside, room: Room, runner: &Runner, shared: &Arc<Shared>) {
    let mut batch = Batch::new(aside.chunk.id, shared, &runner.seat);
    let task = &*aside.chunk.task(aside.idx);
    let (index, table) = (index(aside.idx), shared.table(task));
    let cancel = Cancel::new(&aside.chunk.cancels, aside.idx);
    batch.run(&Claimed { index, task, table, cancel, more: false });
    batch.send();
    leave(room, shared);
}

/// A task's number in its chunk, as outcomes name it.
fn index(idx: usize) -> u32 {
    u32::try_from(idx).expect("bounded by the schedule")
}

/// Runs tasks of a chunk that the calling thread has claimed; what is left when it should leave
/// goes to others.
fn run_tasks<'a>(
    chunk: &Arc<Chunk>,
    range: std::ops::Range<usize>,
    batch: &mut Batch<'a>,
    lane: &Lane,
    runner: &'a Runner,
    shared: &'a Arc<Shared>,
) {
    let end = range.end;
    let mut walk = chunk.walk(range.start);
    for idx in range {
        if shared.is_stopped() {
            return;
        }
        if lane.is_over(runner) {
            lane.add(Job::Part(Arc::clone(chunk), idx..end), shared);
            return;
        }
        walk.step();
        let task = walk.task();
        let table = shared.table(task);
        let aside = || Aside { chunk: Arc::clone(chunk), idx };
        let need = shared.need(task, table);
        let Some(room) = shared.admission.enter(need, aside) else { continue };
        let cancel = Cancel::new(&chunk.cancels, idx);
        let more = walk.is_followed() && idx + 1 < end;
        batch.run(&Claimed { index: index(idx), task, table, cancel, more });
        leave(room, shared);
    }
}

/// Now, for measuring how long tasks take.
#[allow(clippy::disallowed_methods, reason = "an executor measures its tasks")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;

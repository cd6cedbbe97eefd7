//! Where a rank's time goes, kept by the threads themselves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::now;
use crate::task::Pool;

/// Where one rank's time went. All times are in seconds.
///
/// `compute + overhead + waiting + idle = threads * wall`, and
/// `communication + asleep = wall`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// From the start of the run to this rank's end of it.
    pub wall: f64,
    /// Threads of the CPU pool.
    pub threads: u32,
    /// In tasks of the CPU pool, over its threads.
    pub compute: f64,
    /// Making records of them.
    pub overhead: f64,
    /// Without a task while rank 0 still had some to hand out.
    pub waiting: f64,
    /// Without a task after that: the run's tail.
    pub idle: f64,
    /// In tasks of the I/O pool, over its threads: waiting, mostly, so it takes no core.
    pub io: f64,
    /// The main thread's time with messages, files and decisions.
    pub communication: f64,
    /// The main thread's time without anything to do.
    pub asleep: f64,
}

impl Ledger {
    /// The part of the CPU pool's time that went into tasks, from 0 to 1.
    pub fn utilisation(&self) -> f64 {
        let whole = f64::from(self.threads) * self.wall;
        if whole > 0.0 { self.compute / whole } else { 0.0 }
    }
}

/// One thread's clock, in nanoseconds; alone on its cache lines, since every task writes to it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Clock {
    compute: AtomicU64,
    overhead: AtomicU64,
    /// When the running task began, counted from the run's start; 0 while none runs.
    running_since: AtomicU64,
    started: Option<Instant>,
}

impl Clock {
    /// A task begins, after so much work around it.
    pub(super) fn begin(&self, overhead: Duration, now: Instant) {
        self.overhead(overhead);
        self.running_since.store(self.at(now).max(1), Relaxed);
    }

    /// The running task ends after `taken`.
    pub(super) fn end(&self, taken: Duration) {
        add(&self.compute, taken);
        self.running_since.store(0, Relaxed);
    }

    /// Does a step of a task that waits elsewhere. Where it runs within a task of this thread,
    /// that task's time has it already.
    pub(super) fn around(&self, step: impl FnOnce()) {
        if self.running_since.load(Relaxed) != 0 {
            return step();
        }
        let began = now();
        self.begin(Duration::ZERO, began);
        step();
        self.end(now() - began);
    }

    pub(super) fn overhead(&self, taken: Duration) {
        add(&self.overhead, taken);
    }

    fn at(&self, now: Instant) -> u64 {
        nanos(self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started)))
    }

    /// In tasks, the running one included.
    fn in_tasks(&self, now: Instant) -> f64 {
        let running = match self.running_since.load(Relaxed) {
            0 => 0,
            since => self.at(now).saturating_sub(since),
        };
        seconds(self.compute.load(Relaxed) + running)
    }
}

/// Only the clock's own thread writes, so that a plain load and store is enough.
fn add(counter: &AtomicU64, taken: Duration) {
    counter.store(counter.load(Relaxed) + nanos(taken), Relaxed);
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}

/// The clocks of a rank's threads.
#[derive(Debug)]
pub(super) struct Clocks {
    threads: u32,
    cpu: Vec<Clock>,
    io: Vec<Clock>,
    started: Instant,
    /// When nothing was left to hand out, and how busy the CPU pool had been by then.
    drained: Mutex<Option<(f64, f64)>>,
}

impl Clocks {
    pub(super) fn new(threads: u32, io_threads: u32, started: Instant) -> Self {
        // A rank without threads has one in reserve, as its pool has.
        let clocks = |n| (0..n).map(|_| Clock { started: Some(started), ..Clock::default() });
        let (cpu, io) = (clocks(threads.max(1)).collect(), clocks(io_threads).collect());
        Self { threads, cpu, io, started, drained: Mutex::new(None) }
    }

    pub(super) fn clock(&self, pool: Pool, thread: usize) -> &Clock {
        match pool {
            Pool::Cpu => &self.cpu[thread],
            Pool::Io => &self.io[thread],
        }
    }

    pub(super) fn drained(&self, now: Instant) {
        let at = (now - self.started).as_secs_f64();
        let busy = self.compute(now) + self.overhead();
        *self.drained.lock().expect("no holder panics") = Some((at, busy));
    }

    fn compute(&self, now: Instant) -> f64 {
        self.cpu.iter().map(|clock| clock.in_tasks(now)).sum()
    }

    fn overhead(&self) -> f64 {
        self.cpu.iter().map(|clock| seconds(clock.overhead.load(Relaxed))).sum()
    }

    /// The pools' part of the ledger; the main thread adds its own.
    pub(super) fn ledger(&self, now: Instant) -> Ledger {
        let wall = (now - self.started).as_secs_f64();
        let (compute, overhead) = (self.compute(now), self.overhead());
        let threads = if compute > 0.0 { self.threads.max(1) } else { self.threads };
        let n_threads = f64::from(threads);
        let drained = *self.drained.lock().expect("no holder panics");
        let (at, busy) = drained.unwrap_or((wall, compute + overhead));
        Ledger {
            wall,
            threads,
            compute,
            overhead,
            waiting: n_threads * at - busy,
            idle: n_threads * (wall - at) - (compute + overhead - busy),
            // An empty sum of floats is -0.
            io: self.io.iter().map(|clock| clock.in_tasks(now)).sum::<f64>() + 0.0,
            ..Ledger::default()
        }
    }
}

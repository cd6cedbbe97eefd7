//! Where a rank's time goes, kept by the threads themselves.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::now;
use crate::task::Pool;

/// Where one rank's time went. All times are in seconds.
///
/// `compute + overhead + waiting + idle = thread_seconds`, which is `threads * wall` where the
/// number of threads has not changed, and
/// `communication + asleep = wall`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// From the start of the run to this rank's end of it.
    pub wall: f64,
    /// Threads of the CPU pool, at the end.
    pub threads: u32,
    /// The time of all of them: each from when it was there to when it was not.
    pub thread_seconds: f64,
    /// In tasks of the CPU pool, over its threads, whether their own or one that they helped with.
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
        if self.thread_seconds > 0.0 { self.compute / self.thread_seconds } else { 0.0 }
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

    /// What has run since `started` ends; when, and after how many nanoseconds.
    pub(super) fn stop(&self, started: Instant) -> (Instant, u64) {
        let ended = now();
        let taken = ended - started;
        add(&self.compute, taken);
        self.running_since.store(0, Relaxed);
        (ended, nanos(taken))
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
        self.stop(began);
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

/// How long threads have helped with tasks that others run, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Helped(AtomicU64);

impl Helped {
    pub(super) fn add(&self, taken: Duration) {
        self.0.fetch_add(nanos(taken), Relaxed);
    }
}

/// A thread's place: its number in records, and its clock.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) thread: usize,
    pub(super) clock: Arc<Clock>,
}

/// The clocks of a rank's threads.
#[derive(Debug)]
pub(super) struct Clocks {
    cpu: Mutex<Vec<Arc<Clock>>>,
    io: Mutex<Vec<Arc<Clock>>>,
    helped: Arc<Helped>,
    n_seats: AtomicUsize,
    started: Instant,
    counted: Mutex<Counted>,
}

/// Threads over time.
#[derive(Debug, Default)]
struct Counted {
    /// As many as there are, and as count once those that end are gone.
    threads: (u32, u32),
    /// Since when, and the time of all until then.
    since: f64,
    seconds: f64,
    /// The time of all when nothing was left to hand out, and how busy they had been by then.
    drained: Option<(f64, f64)>,
}

impl Counted {
    fn seconds(&self, at: f64) -> f64 {
        self.seconds + f64::from(self.threads.0) * (at - self.since).max(0.0)
    }
}

impl Clocks {
    pub(super) fn new(threads: u32, started: Instant) -> Self {
        let counted = Counted { threads: (threads, threads), ..Counted::default() };
        Self {
            cpu: Mutex::default(),
            io: Mutex::default(),
            helped: Arc::default(),
            n_seats: AtomicUsize::new(0),
            started,
            counted: Mutex::new(counted),
        }
    }

    /// A place for one more thread.
    pub(super) fn seat(&self, pool: Pool) -> Seat {
        let clock = Arc::new(Clock { started: Some(self.started), ..Clock::default() });
        let clocks = if pool == Pool::Cpu { &self.cpu } else { &self.io };
        lock(clocks).push(Arc::clone(&clock));
        Seat { thread: self.n_seats.fetch_add(1, Relaxed), clock }
    }

    /// Places for `n` threads, in the order in which they are taken.
    pub(super) fn seats(&self, pool: Pool, n: u32) -> Vec<Seat> {
        let mut seats: Vec<_> = (0..n).map(|_| self.seat(pool)).collect();
        seats.reverse();
        seats
    }

    /// What threads that help add to.
    pub(super) fn helped(&self) -> Arc<Helped> {
        Arc::clone(&self.helped)
    }

    /// From `now` on there are so many threads to compute with, and `counted` once those that
    /// are to end have.
    pub(super) fn count(&self, threads: u32, counted: u32, now: Instant) {
        let mut at = lock(&self.counted);
        if at.threads != (threads, counted) {
            let now = self.elapsed(now);
            at.seconds = at.seconds(now);
            at.since = at.since.max(now);
            at.threads = (threads, counted);
        }
    }

    pub(super) fn drained(&self, now: Instant) {
        let mut counted = lock(&self.counted);
        let thread_seconds = counted.seconds(self.elapsed(now));
        let overhead = self.overhead();
        let busy = self.compute(now, thread_seconds - overhead) + overhead;
        counted.drained = Some((thread_seconds, busy));
    }

    fn elapsed(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.started).as_secs_f64()
    }

    /// In tasks, of `most` seconds. A thread that helps may have its place taken meanwhile, by a
    /// step in an I/O thread: that time is there once.
    fn compute(&self, now: Instant, most: f64) -> f64 {
        let own: f64 = lock(&self.cpu).iter().map(|clock| clock.in_tasks(now)).sum();
        let helped = seconds(self.helped.0.load(Relaxed));
        own + helped.min((most - own).max(0.0))
    }

    fn overhead(&self) -> f64 {
        lock(&self.cpu).iter().map(|clock| seconds(clock.overhead.load(Relaxed))).sum()
    }

    /// The pools' part of the ledger; the main thread adds its own.
    pub(super) fn ledger(&self, now: Instant) -> Ledger {
        let wall = self.elapsed(now);
        let counted = lock(&self.counted);
        let thread_seconds = counted.seconds(wall);
        let overhead = self.overhead();
        let compute = self.compute(now, thread_seconds - overhead);
        let (at, busy) = counted.drained.unwrap_or((thread_seconds, compute + overhead));
        Ledger {
            wall,
            threads: if compute > 0.0 { counted.threads.1.max(1) } else { counted.threads.1 },
            thread_seconds,
            compute,
            overhead,
            waiting: at - busy,
            idle: thread_seconds - at - (compute + overhead - busy),
            // An empty sum of floats is -0.
            io: lock(&self.io).iter().map(|clock| clock.in_tasks(now)).sum::<f64>() + 0.0,
            ..Ledger::default()
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no holder panics")
}

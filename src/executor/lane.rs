//! One pool's queue, and how many of its threads may work: a number that can change while tasks
//! run.
//!
//! A runner takes what waits until nothing is left. After a change of their number the runners
//! leave between two tasks, and as many as there may be start in a new pool.
//!
//! **Invariant:** no more runners than threads, but for those that end the task they had when
//! there were more; what waits has a runner, if there may be one.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Result;

use super::admission::Room;
use super::idle::Sharing;
use super::ledger::{Clocks, Helped, Seat};
use super::threads::Threads;
use super::{Aside, Chunk, Shared, now};
use crate::task::Pool;

/// A step that a task of another pool has done here.
pub(super) type Step = Box<dyn FnOnce() + Send>;

/// What a runner does next.
pub(super) enum Job {
    /// Takes tasks of a chunk until none is left.
    Chunk(Arc<Chunk>),
    /// Runs tasks that another runner has claimed and left.
    Part(Arc<Chunk>, Range<usize>),
    /// Runs a task that has waited for room.
    Aside(Aside, Room),
    Step(Step),
}

/// A pool with its queue.
pub(super) struct Lane {
    pool: Pool,
    /// Moves on with each change of the number of threads.
    generation: AtomicU32,
    helped: Arc<Helped>,
    state: Mutex<State>,
}

struct State {
    /// `None` where there are no threads.
    pool: Option<Threads>,
    /// How many runners there may be.
    threads: u32,
    /// As many of them count as threads of this rank: not those in reserve.
    counted: u32,
    running: u32,
    /// Those of them that have not looked for something to do yet.
    starting: usize,
    /// Of runners that have left.
    seats: Vec<Seat>,
    steps: VecDeque<Step>,
    rest: VecDeque<Job>,
    chunks: VecDeque<Arc<Chunk>>,
}

impl State {
    /// How many of `most` runners would find something to do. Looks at no more chunks than that
    /// takes: thousands may wait.
    fn n_wanted(&self, most: usize, shared: &Shared) -> usize {
        let mut n = self.steps.len();
        // Of a run that stops, only what a running task waits for.
        if !shared.is_stopped() {
            n += self.rest.len();
            let mut chunks = self.chunks.iter();
            while n < most
                && let Some(chunk) = chunks.next()
            {
                n += chunk.n_unclaimed();
            }
        }
        n.min(most)
    }

    /// How many runners are to be started: those that are starting find something to do too.
    fn n_missing(&self, shared: &Shared) -> usize {
        let free = self.threads.saturating_sub(self.running) as usize;
        self.n_wanted(self.starting + free, shared).saturating_sub(self.starting)
    }
}

/// A runner's place in its lane.
pub(super) struct Runner {
    pub(super) seat: Seat,
    generation: u32,
}

impl Lane {
    /// A pool of `threads`, of which `counted` count; more or fewer may be asked for later.
    pub(super) fn new(pool: Pool, threads: u32, counted: u32, clocks: &Clocks) -> Result<Self> {
        let helped = clocks.helped();
        let start = || Threads::start(pool, threads, &helped);
        let state = State {
            pool: (threads > 0).then(start).transpose()?,
            threads,
            counted,
            running: 0,
            starting: 0,
            seats: clocks.seats(pool, threads),
            steps: VecDeque::new(),
            rest: VecDeque::new(),
            chunks: VecDeque::new(),
        };
        Ok(Self { pool, generation: AtomicU32::new(0), helped, state: Mutex::new(state) })
    }

    /// How many runners there may be.
    pub(super) fn threads(&self) -> u32 {
        self.state().threads
    }

    /// Lets another number of threads work: more of them at once, fewer as tasks end.
    pub(super) fn resize(&self, threads: u32, shared: &Arc<Shared>) -> Result<()> {
        let pool = Threads::start(self.pool, threads, &self.helped)?;
        let mut state = self.state();
        let old = state.pool.replace(pool);
        (state.threads, state.counted) = (threads, threads);
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.count(&state, shared);
        self.fill(&mut state, shared);
        drop(state);
        // Its threads end when their runners have left.
        drop(old);
        Ok(())
    }

    /// Whether a chunk waits that nobody has begun; without threads none needs to.
    pub(super) fn is_supplied(&self) -> bool {
        let state = self.state();
        state.threads == 0
            || state.chunks.back().is_some_and(|chunk| chunk.n_unclaimed() == chunk.len())
    }

    /// Takes something to do.
    pub(super) fn add(&self, job: Job, shared: &Arc<Shared>) {
        let mut state = self.state();
        match job {
            Job::Chunk(chunk) => state.chunks.push_back(chunk),
            Job::Step(step) => state.steps.push_back(step),
            job => state.rest.push_back(job),
        }
        self.fill(&mut state, shared);
    }

    /// Whether a runner should leave before its next task.
    pub(super) fn is_over(&self, runner: &Runner) -> bool {
        self.generation.load(Ordering::Relaxed) != runner.generation
    }

    /// What a runner does next; it ends where there is nothing.
    fn next(&self, runner: &Runner, shared: &Shared) -> Option<Job> {
        let mut state = self.state();
        if self.is_over(runner) {
            return None;
        }
        if let Some(step) = state.steps.pop_front() {
            return Some(Job::Step(step));
        }
        if shared.is_stopped() {
            return None;
        }
        if let Some(job) = state.rest.pop_front() {
            return Some(job);
        }
        while let Some(chunk) = state.chunks.front() {
            if chunk.n_unclaimed() > 0 {
                return Some(Job::Chunk(Arc::clone(chunk)));
            }
            state.chunks.pop_front();
        }
        None
    }

    /// Starts as many runners as there may be, and is work for.
    fn fill(&self, state: &mut State, shared: &Arc<Shared>) {
        for _ in 0..state.n_missing(shared) {
            let runner = self.begin(state, shared);
            state.starting += 1;
            let shared_too = Arc::clone(shared);
            let Some(pool) = &state.pool else { unreachable!("no thread is free without a pool") };
            let lane = self.pool;
            pool.spawn(move || shared_too.lane(lane).run(runner, &shared_too));
        }
    }

    fn run(&self, runner: Runner, shared: &Arc<Shared>) {
        self.state().starting -= 1;
        loop {
            while let Some(job) = self.next(&runner, shared) {
                super::run(job, self, &runner, shared);
            }
            let mut state = self.state();
            // Something may have come since: whoever brought it saw this one at work.
            if state.n_wanted(1, shared) > 0 && !self.is_over(&runner) {
                continue;
            }
            self.end(runner, &mut state, shared);
            return;
        }
    }

    /// Has free threads help those that wait for others inside of a task, until this is dropped.
    pub(super) fn share(&self) -> Option<Sharing> {
        self.state().pool.as_ref().and_then(Threads::share)
    }

    /// Does a step in the calling thread if one more runner may be started: to wake another
    /// thread, and to be woken by it, takes as long as many a step. Says whether it did.
    pub(super) fn lend(&self, step: &mut dyn FnMut(), shared: &Arc<Shared>) -> bool {
        let mut state = self.state();
        if state.running >= state.threads {
            return false;
        }
        let runner = self.begin(&mut state, shared);
        drop(state);
        runner.seat.clock.around(step);
        self.end(runner, &mut self.state(), shared);
        true
    }

    fn begin(&self, state: &mut State, shared: &Shared) -> Runner {
        let seat = state.seats.pop().unwrap_or_else(|| shared.clocks.seat(self.pool));
        state.running += 1;
        self.count(state, shared);
        shared.n_runners.fetch_add(1, Ordering::Relaxed);
        Runner { seat, generation: self.generation.load(Ordering::Relaxed) }
    }

    fn end(&self, runner: Runner, state: &mut State, shared: &Arc<Shared>) {
        state.running -= 1;
        state.seats.push(runner.seat);
        self.count(state, shared);
        self.fill(state, shared);
        shared.n_runners.fetch_sub(1, Ordering::Release);
    }

    /// Notes how many threads this rank has to compute with.
    fn count(&self, state: &State, shared: &Shared) {
        if self.pool == Pool::Cpu {
            shared.clocks.count(state.counted.max(state.running), state.counted, now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{executor, probe};
    use super::*;
    use crate::message::Span;

    #[test]
    fn a_runner_that_is_starting_is_not_started_again() {
        let executor = executor(probe("", None));
        let mut state = executor.shared.cpu.state();
        let n_missing = |state: &mut State, n_running, n_starting| {
            (state.running, state.starting) = (n_running, n_starting);
            state.n_missing(&executor.shared)
        };
        assert_eq!(n_missing(&mut state, 0, 0), 0);
        let chunk = |id| Arc::new(Chunk::new(id, vec![Span::default()], 2));
        state.chunks.push_back(chunk(1));
        assert_eq!(
            [(0, 0), (1, 0), (1, 1), (2, 0)].map(|(n, m)| n_missing(&mut state, n, m)),
            [1, 1, 0, 0]
        );
        state.chunks.push_back(chunk(2));
        assert_eq!(
            [(0, 0), (1, 0), (1, 1), (2, 1)].map(|(n, m)| n_missing(&mut state, n, m)),
            [2, 1, 1, 0]
        );
    }
}

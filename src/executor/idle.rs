//! Jobs for threads of which most are idle.
//!
//! The one that has become idle last takes the next job: its stack, and what it has allocated, are
//! still in the caches. Of hundreds of threads only as many ever work as there is work for at
//! once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, Thread};

/// A thread looks so often for a job, and lets others run between, before it sleeps: the next one
/// mostly comes at once, and to wake a thread costs two system calls and a switch.
const LOOKS: u32 = 3;

/// What a thread is given to do.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Gives jobs to threads. When this is dropped they do what they were given, and end.
#[derive(Default)]
pub(super) struct Jobs(Arc<Queue>);

/// Where a thread takes its jobs.
pub(super) struct Taker(Arc<Queue>);

#[derive(Default)]
struct Queue(Mutex<State>);

/// **Invariant:** no job waits while a thread does.
#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: Vec<Arc<Idle>>,
    is_over: bool,
}

/// A thread that waits for a job.
struct Idle {
    thread: Thread,
    given: Mutex<Option<Next>>,
}

enum Next {
    Job(Job),
    End,
}

impl Jobs {
    /// For one more thread.
    pub(super) fn taker(&self) -> Taker {
        Taker(Arc::clone(&self.0))
    }

    /// Has one of the threads do a job, in the order of jobs.
    pub(super) fn give(&self, job: Job) {
        let mut state = self.0.state();
        if let Some(idle) = state.idle.pop() {
            drop(state);
            idle.give(Next::Job(job));
        } else {
            state.jobs.push_back(job);
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_over = true;
        for idle in state.idle.drain(..) {
            idle.give(Next::End);
        }
    }
}

impl Taker {
    /// Has the calling thread do jobs until there will be no more.
    pub(super) fn work(&self) {
        let own = Arc::new(Idle { thread: thread::current(), given: Mutex::new(None) });
        while let Next::Job(job) = self.next(&own) {
            job();
        }
    }

    fn next(&self, own: &Arc<Idle>) -> Next {
        let mut state = self.0.state();
        if let Some(job) = state.jobs.pop_front() {
            return Next::Job(job);
        }
        if state.is_over {
            return Next::End;
        }
        state.idle.push(Arc::clone(own));
        drop(state);
        own.wait()
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }
}

impl Idle {
    fn give(&self, next: Next) {
        *self.given.lock().expect("no holder panics") = Some(next);
        self.thread.unpark();
    }

    fn wait(&self) -> Next {
        let mut n_looks = 0;
        loop {
            if let Some(next) = self.given.lock().expect("no holder panics").take() {
                return next;
            }
            if n_looks < LOOKS {
                n_looks += 1;
                thread::yield_now();
            } else {
                thread::park(); // and may wake for nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};
    use std::time::{Duration, Instant};

    use super::*;

    /// Threads that end when there are no more jobs.
    struct Threads(Vec<thread::JoinHandle<()>>);

    impl Threads {
        fn end(self) {
            for thread in self.0 {
                thread.join().unwrap();
            }
        }
    }

    /// Jobs for so many threads, all of them idle.
    fn idle(n: usize) -> (Jobs, Threads) {
        let jobs = Jobs::default();
        let start = |_| {
            let taker = jobs.taker();
            thread::spawn(move || taker.work())
        };
        let threads = (0..n).map(start).collect();
        wait_for_idle(&jobs, n);
        (jobs, Threads(threads))
    }

    #[allow(clippy::disallowed_methods, reason = "a deadline")]
    fn wait_for_idle(jobs: &Jobs, n: usize) {
        let deadline = Instant::now() + Duration::from_secs(100);
        while jobs.0.state().idle.len() < n {
            assert!(Instant::now() < deadline, "they are not idle");
            thread::yield_now();
        }
    }

    #[test]
    fn one_thread_does_all_jobs_that_come_one_at_a_time() {
        let (jobs, threads) = idle(3);
        let (done, by) = mpsc::channel();
        for _ in 0..20 {
            let done = done.clone();
            jobs.give(Box::new(move || done.send(thread::current().id()).unwrap()));
            wait_for_idle(&jobs, 3);
        }
        drop(jobs);
        threads.end();
        drop(done);
        let mut by: Vec<_> = by.iter().collect();
        assert_eq!(by.len(), 20);
        by.dedup();
        assert_eq!(by.len(), 1);
    }

    #[test]
    fn jobs_that_wait_are_done_in_order_before_the_end() {
        let (jobs, threads) = idle(1);
        let (go, gone) = mpsc::channel::<()>();
        let (done, order) = mpsc::channel();
        jobs.give(Box::new(move || gone.recv().unwrap()));
        for n in 0..100 {
            let done = done.clone();
            jobs.give(Box::new(move || done.send(n).unwrap()));
        }
        drop((jobs, done));
        go.send(()).unwrap();
        assert!(order.iter().eq(0..100));
        threads.end();
    }

    #[test]
    fn threads_that_have_been_idle_for_long_take_jobs_too() {
        let (jobs, threads) = idle(3);
        let all = Arc::new(Barrier::new(3));
        let (done, is_done) = mpsc::channel();
        for _ in 0..3 {
            let (all, done) = (Arc::clone(&all), done.clone());
            jobs.give(Box::new(move || {
                all.wait();
                done.send(()).unwrap();
            }));
        }
        for _ in 0..3 {
            is_done.recv_timeout(Duration::from_secs(100)).expect("no thread is left asleep");
        }
        drop(jobs);
        threads.end();
    }
}

//! One queue of jobs for a number of threads.
//!
//! Of those that wait for a job, the one that has become idle last takes the next: its stack, and
//! what it has allocated, are still in the caches, and where it still looks for a job nobody has
//! to be woken. Of hundreds of threads only as many ever work as there is work for at once.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, Thread};

/// What a thread is given to do.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Gives jobs to threads. When this is dropped they do what they were given, and end.
#[derive(Default)]
pub(super) struct Jobs(Arc<Queue>);

/// Jobs that wait for threads, or threads that wait for jobs.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

/// **Invariant:** no job waits while a thread does; no thread waits while others share.
#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: Vec<Arc<Idle>>,
    /// Tasks that share their work.
    n_sharing: u32,
    is_over: bool,
}

/// Where a thread takes its jobs.
pub(super) struct Taker {
    queue: Arc<Queue>,
    own: Arc<Idle>,
    n_looks: u32,
}

/// A thread that waits for a job.
struct Idle {
    thread: Thread,
    given: Mutex<Option<Next>>,
}

/// What a thread does next.
pub(super) enum Next {
    Job(Job),
    /// There is no job, but others share their work.
    Help,
    End,
}

/// While this is there, threads without a job help.
pub(super) struct Sharing(Arc<Queue>);

impl Jobs {
    /// Where its threads wait.
    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.0)
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

    /// Has those threads help that have no job, until this is dropped.
    pub(super) fn share(&self) -> Sharing {
        let mut state = self.0.state();
        state.n_sharing += 1;
        let idle = take(&mut state.idle);
        drop(state);
        for idle in idle {
            idle.give(Next::Help);
        }
        Sharing(self.queue())
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

impl Drop for Sharing {
    fn drop(&mut self) {
        self.0.state().n_sharing -= 1;
    }
}

impl Taker {
    /// For the calling thread, which looks so often for a job, and lets others run between,
    /// before it sleeps.
    pub(super) fn new(queue: Arc<Queue>, n_looks: u32) -> Self {
        let own = Arc::new(Idle { thread: thread::current(), given: Mutex::new(None) });
        Self { queue, own, n_looks }
    }

    /// What the calling thread does next; waits until there is something.
    pub(super) fn next(&self) -> Next {
        let mut state = self.queue.state();
        if let Some(job) = state.jobs.pop_front() {
            return Next::Job(job);
        }
        if state.is_over {
            return Next::End;
        }
        if state.n_sharing > 0 {
            return Next::Help;
        }
        state.idle.push(Arc::clone(&self.own));
        drop(state);
        self.own.wait(self.n_looks)
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

    fn wait(&self, most_looks: u32) -> Next {
        let mut n_looks = 0;
        loop {
            if let Some(next) = self.given.lock().expect("no holder panics").take() {
                return next;
            }
            if n_looks < most_looks {
                n_looks += 1;
                thread::yield_now();
            } else {
                thread::park(); // and may wake for nothing
            }
        }
    }
}

impl std::fmt::Debug for Sharing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sharing").finish_non_exhaustive()
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
            let queue = jobs.queue();
            thread::spawn(move || work(&Taker::new(queue, 3)))
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

    fn work(taker: &Taker) {
        while let Next::Job(job) = taker.next() {
            job();
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

    #[test]
    fn threads_without_a_job_help_while_others_share() {
        let jobs = Jobs::default();
        let (told, is_told) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let queue = jobs.queue();
        let helper = thread::spawn(move || {
            let taker = Taker::new(queue, 0);
            loop {
                match taker.next() {
                    Next::Job(job) => job(),
                    Next::Help => {
                        told.send(()).unwrap();
                        gone.recv().unwrap();
                    }
                    Next::End => return,
                }
            }
        });
        wait_for_idle(&jobs, 1);
        let is_helping = || is_told.recv_timeout(Duration::from_secs(100)).unwrap();
        let (first, second) = (jobs.share(), jobs.share());
        is_helping();
        drop(first);
        go.send(()).unwrap();
        is_helping();
        // A job goes before.
        let (done, is_done) = mpsc::channel();
        jobs.give(Box::new(move || done.send(()).unwrap()));
        go.send(()).unwrap();
        is_helping();
        is_done.try_recv().unwrap();
        drop(second);
        go.send(()).unwrap();
        wait_for_idle(&jobs, 1);
        drop(jobs);
        helper.join().unwrap();
        assert!(is_told.try_recv().is_err());
    }
}

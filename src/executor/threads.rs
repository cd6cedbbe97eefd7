//! The threads of a lane: rayon's where tasks compute, plain ones where they wait.
//!
//! Rayon's threads look for work at one another before they sleep. Of hundreds that are woken
//! one at a time, that search takes most of the time that they are awake.

use std::process::abort;
use std::thread::{self, Builder};

use anyhow::{Context as _, Result};
use crossbeam_channel::{Receiver, Sender, unbounded};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::panics::TASK_THREADS;
use crate::task::Pool;

/// Stack of a thread that computes.
const CPU_STACK: usize = 8 << 20;
/// Stack of a thread that waits: there are hundreds.
const IO_STACK: usize = 1 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads. When this is dropped they do what they were given, and end.
#[derive(Debug)]
pub(super) enum Threads {
    Cpu(ThreadPool),
    Io(Sender<Job>),
}

impl Threads {
    /// Starts `n` threads.
    pub(super) fn start(pool: Pool, n: u32) -> Result<Self> {
        let started = match pool {
            Pool::Cpu => computing(n).map(Self::Cpu),
            Pool::Io => waiting(n).map(Self::Io),
        };
        let name = name(pool);
        started.with_context(|| format!("cannot start {n} {name} threads; ask for fewer"))
    }

    /// Has one of them do a job, in the order of jobs.
    pub(super) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        match self {
            Self::Cpu(pool) => pool.spawn_fifo(job),
            Self::Io(jobs) => jobs.send(Box::new(job)).expect("its threads wait for jobs"),
        }
    }

    /// Has each of them do a job once it is free, or waits for another thread inside of a job.
    pub(super) fn offer(&self, job: impl Fn() + Send + Sync + 'static) {
        match self {
            Self::Cpu(pool) => pool.spawn_broadcast(move |_| job()),
            Self::Io(_) => unreachable!("these wait for no other thread inside of a job"),
        }
    }
}

fn computing(n: u32) -> Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(n as usize)
        .stack_size(CPU_STACK)
        .thread_name(|idx| format!("{TASK_THREADS}{}-{idx}", name(Pool::Cpu)))
        .build()?;
    Ok(pool)
}

fn waiting(n: u32) -> Result<Sender<Job>> {
    let (sender, jobs) = unbounded();
    for idx in 0..n {
        let jobs = jobs.clone();
        Builder::new()
            .name(format!("{TASK_THREADS}{}-{idx}", name(Pool::Io)))
            .stack_size(IO_STACK)
            .spawn(move || work(&jobs))?;
    }
    Ok(sender)
}

fn work(jobs: &Receiver<Job>) {
    let _guard = Guard;
    for job in jobs {
        job();
    }
}

/// Ends the process if its thread panics outside a task, as rayon does: what the thread held
/// would be waited for without an end.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            abort();
        }
    }
}

fn name(pool: Pool) -> &'static str {
    match pool {
        Pool::Cpu => "cpu",
        Pool::Io => "io",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    /// Set in the process that is to end.
    const VICTIM: &str = "RANKPOOL_TEST_VICTIM";

    #[test]
    fn a_panic_outside_a_task_ends_the_process() {
        if std::env::var_os(VICTIM).is_some() {
            let threads = Threads::start(Pool::Io, 2).unwrap();
            threads.spawn(|| panic!("on purpose"));
            thread::park_timeout(Duration::from_secs(20));
            return;
        }
        let own = std::env::current_exe().unwrap();
        let name = "executor::threads::tests::a_panic_outside_a_task_ends_the_process";
        let ended = Command::new(own).args(["--exact", name]).env(VICTIM, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(said.contains("running 1 test"), "{said}");
        assert_eq!(ended.status.signal(), Some(rustix::process::Signal::ABORT.as_raw()), "{said}");
    }
}

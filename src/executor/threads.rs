//! The threads of a lane, which take their jobs from one queue ([`super::idle`]).
//!
//! Where tasks compute they are rayon's, so that a task can share its work with those that are
//! free. Rayon itself is given nothing but that: a thread that waits for another one inside of a
//! task does whatever else rayon has, and a job may be the whole rest of the run. Threads that
//! wait for jobs do not wait in rayon either: they help where a task says that it shares its work.
//!
//! Where tasks wait they are plain ones: there are hundreds, and rayon's would look for work at
//! one another before they sleep, most of the time that they are awake.

use std::process::abort;
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rayon::{ThreadPool, ThreadPoolBuilder, Yield};

use super::idle::{Jobs, Next, Sharing, Taker};
use super::ledger::Helped;
use super::now;
use super::panics::TASK_THREADS;
use crate::task::Pool;

/// Stack of a thread that computes.
const CPU_STACK: usize = 8 << 20;
/// Stack of a thread that waits: there are hundreds.
const IO_STACK: usize = 1 << 20;

/// A thread that computes looks this often for something to do before it sleeps, as rayon's do
/// (`ROUNDS_UNTIL_SLEEPY`): what comes soon need not wake it.
const CPU_LOOKS: u32 = 32;
/// A thread that waits looks this often: the next task mostly comes at once, and to wake a thread
/// costs two system calls and a switch.
const IO_LOOKS: u32 = 3;
/// Who helps and has found nothing so often looks again after this.
const NAP: Duration = Duration::from_micros(50);

/// A fixed number of threads. When this is dropped they do what they were given, and end.
pub(super) struct Threads {
    jobs: Jobs,
    /// Those that compute. They end with their jobs: those go first.
    computing: Option<ThreadPool>,
}

impl Threads {
    /// Starts `n` threads, which say in `helped` how long they have helped others.
    pub(super) fn start(pool: Pool, n: u32, helped: &Arc<Helped>) -> Result<Self> {
        let jobs = Jobs::default();
        let started = match pool {
            Pool::Cpu => compute(n, &jobs, Arc::clone(helped)).map(Some),
            Pool::Io => wait(n, &jobs).map(|()| None),
        };
        let name = name(pool);
        let computing =
            started.with_context(|| format!("cannot start {n} {name} threads; ask for fewer"))?;
        Ok(Self { jobs, computing })
    }

    /// Has one of them do a job, in the order of jobs.
    pub(super) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.give(Box::new(job));
    }

    /// Has those that are free help the others, until this is dropped.
    pub(super) fn share(&self) -> Option<Sharing> {
        self.computing.is_some().then(|| self.jobs.share())
    }
}

fn compute(n: u32, jobs: &Jobs, helped: Arc<Helped>) -> Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(n as usize)
        .stack_size(CPU_STACK)
        .thread_name(|idx| format!("{TASK_THREADS}{}-{idx}", name(Pool::Cpu)))
        .build()?;
    let queue = jobs.queue();
    pool.spawn_broadcast(move |_| serve(&Taker::new(Arc::clone(&queue), CPU_LOOKS), &helped));
    Ok(pool)
}

/// Does jobs, and where there are none a part of what other threads share.
fn serve(jobs: &Taker, helped: &Helped) {
    let mut n_looks = CPU_LOOKS;
    loop {
        match jobs.next() {
            Next::Job(job) => {
                job();
                n_looks = CPU_LOOKS;
            }
            Next::Help if (0..n_looks).any(|_| help(helped)) => n_looks = CPU_LOOKS,
            Next::Help => {
                n_looks = 1;
                thread::sleep(NAP);
            }
            Next::End => return,
        }
    }
}

/// Does a part of what another thread shares, if there is one; lets others run if not.
fn help(helped: &Helped) -> bool {
    let began = now();
    let has_helped = rayon::yield_now() == Some(Yield::Executed);
    if has_helped {
        helped.add(now() - began);
    } else {
        thread::yield_now();
    }
    has_helped
}

fn wait(n: u32, jobs: &Jobs) -> Result<()> {
    for idx in 0..n {
        let queue = jobs.queue();
        Builder::new()
            .name(format!("{TASK_THREADS}{}-{idx}", name(Pool::Io)))
            .stack_size(IO_STACK)
            .spawn(move || work(&Taker::new(queue, IO_LOOKS)))?;
    }
    Ok(())
}

fn work(jobs: &Taker) {
    let _guard = Guard;
    while let Next::Job(job) = jobs.next() {
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
        if let Ok(of) = std::env::var(VICTIM) {
            let pool = if of == name(Pool::Cpu) { Pool::Cpu } else { Pool::Io };
            let threads = Threads::start(pool, 2, &Arc::default()).unwrap();
            threads.spawn(|| panic!("on purpose"));
            thread::park_timeout(Duration::from_secs(20));
            return;
        }
        let own = std::env::current_exe().unwrap();
        let test = "executor::threads::tests::a_panic_outside_a_task_ends_the_process";
        for pool in [Pool::Cpu, Pool::Io] {
            let mut victim = Command::new(&own);
            let ended = victim.args(["--exact", test]).env(VICTIM, name(pool)).output().unwrap();
            let said = String::from_utf8_lossy(&ended.stdout);
            assert!(said.contains("running 1 test"), "{said}");
            let abort = rustix::process::Signal::ABORT.as_raw();
            assert_eq!(ended.status.signal(), Some(abort), "{said}");
        }
    }
}

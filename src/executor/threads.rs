//! The threads of a lane, which take jobs from a queue.
//!
//! Where tasks compute they are rayon's, so that a task can share its work with those that are
//! free. Rayon itself is given nothing but that: a thread that waits for another one inside of a
//! task does whatever else rayon has, and a job may be the whole rest of the run. Threads that
//! wait for jobs do not wait in rayon either: they help where a task says that it shares its work.
//!
//! Where tasks wait they are plain ones ([`super::idle`]). There are hundreds, woken one at a time,
//! and rayon's would look for work at one another before they sleep: most of the time that they
//! are awake.

use std::process::abort;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, Builder};
use std::time::Duration;

use anyhow::{Context as _, Result};
use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use rayon::{ThreadPool, ThreadPoolBuilder, Yield};

use super::idle::{Job, Jobs, Taker};
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
const MOST_IN_VAIN: u32 = 32;
/// Who helps and has found nothing so often looks again after this.
const NAP: Duration = Duration::from_micros(50);

/// A fixed number of threads. When this is dropped they do what they were given, and end.
pub(super) enum Threads {
    /// For tasks that compute.
    Computing(Computing),
    /// For tasks that wait.
    Waiting(Jobs),
}

/// Rayon's threads, and where they take their jobs.
pub(super) struct Computing {
    jobs: Sender<Job>,
    /// Tasks that share their work.
    n_sharing: Arc<AtomicU32>,
    pool: ThreadPool,
}

impl Threads {
    /// Starts `n` threads, which say in `helped` how long they have helped others.
    pub(super) fn start(pool: Pool, n: u32, helped: &Arc<Helped>) -> Result<Self> {
        let started = match pool {
            Pool::Cpu => compute(n, Arc::clone(helped)).map(Self::Computing),
            Pool::Io => wait(n).map(Self::Waiting),
        };
        let name = name(pool);
        started.with_context(|| format!("cannot start {n} {name} threads; ask for fewer"))
    }

    /// Has one of them do a job, in the order of jobs.
    pub(super) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        match self {
            Self::Computing(Computing { jobs, .. }) => {
                jobs.send(Box::new(job)).expect("its threads wait for jobs");
            }
            Self::Waiting(jobs) => jobs.give(Box::new(job)),
        }
    }

    /// Has those that are free help the others, until this is dropped.
    pub(super) fn share(&self) -> Option<Sharing> {
        let Self::Computing(Computing { jobs, n_sharing, pool }) = self else { return None };
        n_sharing.fetch_add(1, Ordering::SeqCst);
        // Those that sleep wake for a job. Where jobs are left none sleeps for long.
        for _ in jobs.len()..pool.current_num_threads() {
            self.spawn(|| ());
        }
        Some(Sharing(Arc::clone(n_sharing)))
    }
}

/// While this is there, free threads help.
#[derive(Debug)]
pub(super) struct Sharing(Arc<AtomicU32>);

impl Drop for Sharing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn compute(n: u32, helped: Arc<Helped>) -> Result<Computing> {
    let (sender, jobs) = unbounded();
    let pool = ThreadPoolBuilder::new()
        .num_threads(n as usize)
        .stack_size(CPU_STACK)
        .thread_name(|idx| format!("{TASK_THREADS}{}-{idx}", name(Pool::Cpu)))
        .build()?;
    let n_sharing = Arc::new(AtomicU32::new(0));
    let of_threads = Arc::clone(&n_sharing);
    pool.spawn_broadcast(move |_| serve(&jobs, &of_threads, &helped));
    Ok(Computing { jobs: sender, n_sharing, pool })
}

/// Does jobs, and where there are none a part of what other threads share.
fn serve(jobs: &Receiver<Job>, n_sharing: &AtomicU32, helped: &Helped) {
    let mut in_vain = 0;
    loop {
        match jobs.try_recv() {
            Ok(job) => {
                job();
                in_vain = 0;
                continue;
            }
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => in_vain += 1,
        }
        let began = now();
        if let Some(Yield::Executed) = rayon::yield_now() {
            helped.add(now() - began);
            in_vain = 0;
        } else if in_vain < MOST_IN_VAIN {
            thread::yield_now();
        } else if n_sharing.load(Ordering::SeqCst) > 0 {
            thread::sleep(NAP);
        } else if let Ok(job) = jobs.recv() {
            job();
            in_vain = 0;
        }
    }
}

fn wait(n: u32) -> Result<Jobs> {
    let jobs = Jobs::default();
    for idx in 0..n {
        let taker = jobs.taker();
        Builder::new()
            .name(format!("{TASK_THREADS}{}-{idx}", name(Pool::Io)))
            .stack_size(IO_STACK)
            .spawn(move || work(&taker))?;
    }
    Ok(jobs)
}

fn work(jobs: &Taker) {
    let _guard = Guard;
    jobs.work();
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

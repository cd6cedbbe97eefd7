//! The two loops, rank 0's and a worker's, and what comes before and after them.
//!
//! Collectives at the start ([`start`]): gather every rank's inventory, broadcast the job,
//! scatter the first chunks. Then messages between rank 0 and each worker, until rank 0 has
//! every outcome and each worker's ledger.
//!
//! **Invariant:** the only place that reads the clock for decisions, which get it as an
//! argument.

mod control;
mod finish;
mod prepare;
mod pulse;
mod root;
mod shared;
mod signals;
mod start;
mod stop;
mod watch;
mod worker;
mod write_down;

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

pub use root::{Finished, lead};
pub use start::gather_world;
pub use watch::StoppedAtOnce;
pub use worker::work;

use crate::executor::Executor;

/// The pauses of a loop that has nothing to do: short ones first, so that an answer is met at
/// once, longer ones later, so that being idle costs next to nothing.
#[derive(Debug)]
struct Backoff {
    shortest: Duration,
    pause: Duration,
    /// Something has happened since the last pause.
    is_fresh: bool,
    /// The last pause was short, whether it was to be or not.
    was_cut_short: bool,
    /// Since something happened.
    waited: Duration,
    asleep: Duration,
}

const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
/// Pauses are this part of what was waited for so far: so little longer does an answer take.
const PART_OF_WAIT: u32 = 8;
/// The same, of pauses longer than [`LONGEST_PAUSE`].
const PART_OF_LONG_WAIT: u32 = 512;
const LONGEST_AFTER_LONG: Duration = Duration::from_millis(4);
/// Where everybody has work for longer, each look takes time from it.
const LONGEST_IF_SUPPLIED: Duration = Duration::from_millis(10);

impl Backoff {
    fn new() -> Self {
        Self::from(SHORTEST_PAUSE)
    }

    /// Of a rank without others: what its tasks do reaches it through a channel at once, and for
    /// everything else it would only take time from them.
    fn alone() -> Self {
        Self::from(LONGEST_PAUSE)
    }

    fn from(shortest: Duration) -> Self {
        let (waited, asleep) = (Duration::ZERO, Duration::ZERO);
        Self { shortest, pause: shortest, is_fresh: true, was_cut_short: false, waited, asleep }
    }

    /// Something happened, or something is on its way: an MPI moves a message on only while it
    /// is asked about it.
    fn reset(&mut self) {
        self.is_fresh = true;
    }

    /// Pauses until an outcome arrives, or for a while. `is_supplied`: everybody who could want
    /// an answer has work for longer than that.
    fn wait(&mut self, executor: &Executor, is_supplied: bool) -> Option<Vec<u8>> {
        let pause = self.next(is_supplied);
        let began = now();
        if pause < LONGEST_PAUSE || self.was_cut_short {
            // Where a task computes on this core, it goes on for a time slice: being woken after
            // each short pause takes a fifth of what short tasks get done. Commands, which
            // come and go, are started on a core that looks idle: hence not before every pause.
            std::thread::yield_now();
        }
        executor.rest(pause);
        self.slept(now() - began, is_supplied);
        executor.outcomes().try_recv().ok()
    }

    fn next(&mut self, is_supplied: bool) -> Duration {
        if std::mem::take(&mut self.is_fresh) && !is_supplied {
            (self.pause, self.waited) = (self.shortest, Duration::ZERO);
        }
        self.pause
    }

    fn slept(&mut self, took: Duration, is_supplied: bool) {
        self.was_cut_short = took < LONGEST_PAUSE;
        self.asleep += took;
        self.waited += took;
        self.pause = if is_supplied {
            (2 * self.pause).min(LONGEST_IF_SUPPLIED)
        } else {
            let longest =
                (self.waited / PART_OF_LONG_WAIT).clamp(LONGEST_PAUSE, LONGEST_AFTER_LONG);
            (self.waited / PART_OF_WAIT).clamp(self.shortest, longest)
        };
    }
}

/// Now.
#[allow(clippy::disallowed_methods, reason = "the loops read the clock and pass it on")]
fn now() -> Instant {
    Instant::now()
}

/// What a run in a Slurm allocation keeps of its last seconds to end in order.
const ALLOCATION_MARGIN: Duration = Duration::from_secs(5);

/// How long a run may take before its Slurm allocation ends, where it is in one
/// (`SLURM_JOB_END_TIME`, seconds since 1970; sbatch(1), "Output environment variables").
fn allocation_left() -> Option<Duration> {
    let end = std::env::var("SLURM_JOB_END_TIME").ok()?;
    time_left(&end, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?)
}

fn time_left(end: &str, now: Duration) -> Option<Duration> {
    let left = Duration::from_secs(end.parse().ok()?).checked_sub(now)?;
    Some(left.saturating_sub(ALLOCATION_MARGIN))
}

/// What came of leading: an error beside it would mean a broken world, this does not.
#[derive(Debug)]
pub enum Led<T> {
    /// The run went to its end.
    Done(T),
    /// It never began, for this reason, and every rank knows.
    Refused(anyhow::Error),
}

/// Messages taken in one turn of a loop before it hands out again.
const MESSAGES_A_TURN: usize = 256;

/// Encodes something rare, readably.
fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next pause, taken.
    fn pause(backoff: &mut Backoff, is_supplied: bool) -> Duration {
        let pause = backoff.next(is_supplied);
        backoff.slept(pause, is_supplied);
        pause
    }

    #[test]
    fn an_answer_is_late_by_an_eighth_of_the_wait_or_by_a_millisecond() {
        let mut backoff = Backoff::new();
        for _ in 0..2 {
            let mut waited = Duration::ZERO;
            while waited < Duration::from_millis(500) {
                let pause = pause(&mut backoff, false);
                assert_eq!(pause, (waited / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
                waited += pause;
            }
            backoff.reset();
        }
        backoff.slept(Duration::from_secs(60), false);
        backoff.is_fresh = false;
        assert_eq!(pause(&mut backoff, false), LONGEST_AFTER_LONG);
    }

    #[test]
    fn what_happens_while_all_have_work_leaves_pauses_long() {
        let mut backoff = Backoff::new();
        for grown in [20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000] {
            assert_eq!(pause(&mut backoff, true), Duration::from_micros(grown));
        }
        backoff.reset();
        assert_eq!(pause(&mut backoff, true), LONGEST_IF_SUPPLIED);
        backoff.reset();
        assert_eq!(pause(&mut backoff, false), SHORTEST_PAUSE);
    }

    #[test]
    fn an_allocation_s_end_is_a_walltime() {
        let now = Duration::from_secs(1000);
        assert_eq!(time_left("1065", now), Some(Duration::from_secs(60)));
        assert_eq!(time_left("1003", now), Some(Duration::ZERO));
        assert_eq!(time_left("999", now), None);
        assert_eq!(time_left("Unknown", now), None);
    }
}

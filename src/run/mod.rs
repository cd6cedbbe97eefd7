//! The two loops, rank 0's and a worker's, and what comes before and after them.
//!
//! Collectives at the start ([`start`]): gather every rank's inventory, broadcast the job,
//! scatter the first chunks. Then messages between rank 0 and each worker, until rank 0 has
//! every outcome and each worker's ledger.
//!
//! **Invariant:** the only place that reads the clock for decisions, which get it as an
//! argument.

mod prepare;
mod pulse;
mod root;
mod signals;
mod start;
mod stop;
mod watch;
mod worker;

use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::Receiver;

pub use root::{Finished, lead};
pub use start::gather_world;
pub use watch::StoppedAtOnce;
pub use worker::work;

/// The pauses of a loop that has nothing to do: short ones first, so that an answer is met at
/// once, longer ones later, so that being idle costs next to nothing.
#[derive(Debug)]
struct Backoff {
    pause: Duration,
    asleep: Duration,
}

const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

impl Backoff {
    fn new() -> Self {
        Self { pause: SHORTEST_PAUSE, asleep: Duration::ZERO }
    }

    /// Something happened.
    fn reset(&mut self) {
        self.pause = SHORTEST_PAUSE;
    }

    /// Pauses until an outcome arrives, or for a while.
    fn wait(&mut self, outcomes: &Receiver<Vec<u8>>) -> Option<Vec<u8>> {
        let began = now();
        let outcome = outcomes.recv_timeout(self.pause).ok();
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        self.asleep += now() - began;
        outcome
    }
}

/// Now.
#[allow(clippy::disallowed_methods, reason = "the loops read the clock and pass it on")]
fn now() -> Instant {
    Instant::now()
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

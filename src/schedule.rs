//! How many tasks go to a rank in its next chunk: `static`, `dynamic`, `guided`, `auto`, named
//! and written as `OMP_SCHEDULE` is (`type[,chunk]`; GCC libgomp manual, `OMP_SCHEDULE`).
//!
//! **Invariant:** pure arithmetic; no clock, no messages, no state.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use anyhow::{Result, bail};

/// Which chunk a rank gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Schedule {
    /// Which rank gets a task is decided by the task's place alone, in blocks of `chunk`
    /// (default: one block a rank for jobs of up to 65,536 tasks).
    Static {
        /// Tasks a block.
        chunk: Option<NonZeroU32>,
    },
    /// Chunks of `chunk` tasks (default 1) to whoever has room.
    Dynamic {
        /// Tasks a chunk.
        chunk: NonZeroU32,
    },
    /// Chunks that shrink with what is left, never below `min` (default 1).
    Guided {
        /// Tasks in the smallest chunk.
        min: NonZeroU32,
    },
    /// Chunks worth some tens of milliseconds by measured times, shrinking towards the end.
    #[default]
    Auto,
}

/// Tasks in the largest chunk: bounds a message, and what one rank can hold of a lazy source.
pub const LARGEST_CHUNK: u32 = 16_384;
/// Tasks that a rank may hold, however small they are: bounds what their records take on the way
/// to the results file.
pub const LARGEST_HOLD: u32 = 32_768;
/// The same in chunks: some milliseconds of the smallest ones, and few enough that what is kept
/// of them stays in a core's caches.
pub const LARGEST_HOLD_CHUNKS: u32 = 4096;
/// What a chunk of `auto` is worth, in seconds of all of the rank's threads.
const CHUNK_SECONDS: f64 = 0.02;
/// What a rank holds so that a round trip to rank 0 never leaves it without work.
const HOLD_SECONDS: f64 = 0.1;
/// What a round trip to rank 0 takes where tasks keep all cores busy: about a time slice.
const ROUND_TRIP_SECONDS: f64 = 0.003;
/// From here on a round trip is below one per cent of a task, and a task held in advance would
/// rather be run by whoever is free first.
const LONG_TASK_SECONDS: f64 = 0.2;

/// What rank 0 knows when it decides about a worker's next chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Threads of this worker's pool.
    pub threads: u32,
    /// Threads of that pool over all workers.
    pub all_threads: u32,
    /// Expected seconds of the next task; `None` before one like it has been measured.
    pub task_seconds: Option<f64>,
    /// Tasks not yet handed out, where that is known.
    pub remaining: Option<u64>,
    /// Their expected seconds, where that is known.
    pub remaining_seconds: Option<f64>,
}

/// How much: a number of tasks, or fewer once they are expected to take `seconds`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// At most so many tasks.
    pub tasks: u32,
    /// No further task once this is reached, in seconds of one thread.
    pub seconds: f64,
}

impl View {
    /// This worker's share, by threads, of `whole`.
    fn share(&self, whole: f64) -> f64 {
        whole * f64::from(self.threads) / f64::from(self.all_threads.max(1))
    }

    /// This worker's share of the remaining tasks, at least one.
    fn share_of_tasks(&self) -> u32 {
        self.remaining.map_or(u32::MAX, |tasks| to_count(self.share(tasks as f64).ceil()))
    }

    /// Half of this worker's share of the remaining time: what keeps ranks finishing together.
    /// Never less than what a round trip takes.
    fn half_share_of_seconds(&self) -> f64 {
        let half = |seconds| self.share(seconds) / 2.0;
        let least = ROUND_TRIP_SECONDS * f64::from(self.threads);
        self.remaining_seconds.map_or(f64::INFINITY, half).max(least)
    }
}

/// As a number of tasks, at least one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a saturating cast of a float that is not negative is what is meant"
)]
fn to_count(number: f64) -> u32 {
    (number as u32).max(1)
}

impl Schedule {
    /// How large the next chunk is.
    pub fn chunk(self, view: &View) -> Limit {
        let unbounded = |tasks: u32| Limit { tasks, seconds: f64::INFINITY };
        match self {
            Self::Static { .. } => unbounded(LARGEST_CHUNK),
            Self::Dynamic { chunk } => unbounded(chunk.get()),
            Self::Guided { min } => {
                let half_share =
                    view.remaining.map_or(1, |tasks| to_count(view.share(tasks as f64) / 2.0));
                unbounded(half_share.clamp(min.get(), LARGEST_CHUNK.max(min.get())))
            }
            Self::Auto if view.task_seconds.is_none() => {
                unbounded(view.threads.min(view.share_of_tasks()))
            }
            Self::Auto => Limit {
                tasks: LARGEST_CHUNK.min(view.share_of_tasks()),
                seconds: (CHUNK_SECONDS * f64::from(view.threads))
                    .min(view.half_share_of_seconds()),
            },
        }
    }
}

/// How much a worker may hold, running tasks included: it gets another chunk while it holds
/// fewer tasks than `tasks`, or less than `seconds`.
pub fn hold(view: &View) -> Limit {
    let (tasks, seconds) = match view.task_seconds {
        None => (2 * view.threads, 0.0),
        Some(seconds) if seconds >= LONG_TASK_SECONDS => (view.threads, 0.0),
        Some(_) => (2 * view.threads, HOLD_SECONDS * f64::from(view.threads)),
    };
    let tasks = tasks.min(view.share_of_tasks().max(view.threads));
    Limit { tasks, seconds: seconds.min(view.half_share_of_seconds()) }
}

impl FromStr for Schedule {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, number) = match text.split_once(',') {
            Some((name, number)) => (name, Some(parse_chunk(number)?)),
            None => (text, None),
        };
        Ok(match (name, number) {
            ("static", chunk) => Self::Static { chunk },
            ("dynamic", chunk) => Self::Dynamic { chunk: chunk.unwrap_or(NonZeroU32::MIN) },
            ("guided", min) => Self::Guided { min: min.unwrap_or(NonZeroU32::MIN) },
            ("auto", None) => Self::Auto,
            ("auto", Some(_)) => bail!("schedule `auto` takes no chunk: it measures; use `auto`"),
            _ => bail!(
                "unknown schedule `{name}`; use static[,chunk], dynamic[,chunk], guided[,min] or auto"
            ),
        })
    }
}

fn parse_chunk(number: &str) -> Result<NonZeroU32> {
    number.trim().parse().map_err(|_| {
        anyhow::anyhow!("chunk `{number}` is not a whole number from 1 to {}", u32::MAX)
    })
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { chunk: None } => write!(f, "static"),
            Self::Static { chunk: Some(chunk) } => write!(f, "static,{chunk}"),
            Self::Dynamic { chunk } => write!(f, "dynamic,{chunk}"),
            Self::Guided { min } => write!(f, "guided,{min}"),
            Self::Auto => write!(f, "auto"),
        }
    }
}

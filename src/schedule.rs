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

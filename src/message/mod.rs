//! All that crosses a rank boundary: ranks, chunks of tasks on the way out, outcomes on the way
//! back, and the codec for both.
//!
//! A message is a run of frames, so that everything for one rank in one turn of a loop travels
//! as one MPI message: `tag u8 · length u64 LE · payload`.
//! Integers in payloads are LEB128 varints unless said otherwise.
//!
//! **Invariant:** decoding never panics; a message that does not decode is an error.

mod codec;
mod outcome;
mod span;
mod task;

use std::fmt;

use anyhow::{Result, bail};

use codec::Reader;
pub use outcome::{Outcome, Outcomes, OutcomesBuilder, Row, Status, Times, Told};
pub use span::Span;
pub use task::{History, Task, decode_chunk, encode_chunk};

/// A process of the world, from 0 to its size minus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rank(pub u32);

impl Rank {
    /// Rank 0, which hands out tasks and gathers outcomes.
    pub const ROOT: Self = Self(0);

    /// As an index into what is kept per rank.
    pub fn idx(self) -> usize {
        self.0 as usize
    }

    /// The rank at an index of what is kept per rank.
    pub fn at(idx: usize) -> Self {
        Self(u32::try_from(idx).expect("a world has fewer than 2^32 ranks"))
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {}", self.0)
    }
}

/// Which chunk, counted from the start of the run.
pub type ChunkId = u64;

/// What rank 0 tells a worker.
#[derive(Debug, PartialEq)]
pub enum ToWorker<'a> {
    /// Tasks to run, still encoded: see [`decode_chunk`].
    Chunk(&'a [u8]),
    /// Nothing is left to hand out; what is idle from here on is the run's tail.
    Drained,
    /// Start nothing more, say when nothing runs: the run ends early.
    Stop,
    /// Rank 0 is alive.
    Beat,
    /// Every outcome has been gathered: send the ledger and leave.
    Finish,
    /// Let so many threads of the CPU pool and the I/O pool work; 0: as many as now.
    Threads([u32; 2]),
    /// Ask tasks of a chunk to end, by their numbers in it.
    Cancel(ChunkId, Vec<u32>),
}

/// What a worker tells rank 0.
#[derive(Debug, PartialEq)]
pub enum ToRoot<'a> {
    /// Outcomes of one chunk, still encoded: see [`Outcomes`].
    Outcomes(&'a [u8]),
    /// The worker's ledger as JSON, its last message.
    Ledger(&'a [u8]),
    /// After [`ToWorker::Stop`]: nothing runs here any more.
    Stopped,
    /// The worker is alive.
    Beat,
}

const CHUNK: u8 = 1;
const DRAINED: u8 = 2;
const FINISH: u8 = 3;
const OUTCOMES: u8 = 4;
const LEDGER: u8 = 5;
const STOP: u8 = 6;
const STOPPED: u8 = 7;
const BEAT: u8 = 8;
const THREADS: u8 = 9;
const CANCEL: u8 = 10;
const FRAME_HEAD: usize = 9;

impl<'a> ToWorker<'a> {
    /// Appends this as a frame.
    pub fn encode(&self, message: &mut Vec<u8>) {
        match self {
            Self::Chunk(payload) => frame(CHUNK, payload, message),
            Self::Drained => frame(DRAINED, &[], message),
            Self::Finish => frame(FINISH, &[], message),
            Self::Stop => frame(STOP, &[], message),
            Self::Beat => frame(BEAT, &[], message),
            Self::Threads(threads) => frame(THREADS, &numbers(threads), message),
            Self::Cancel(chunk, indices) => {
                frame(CANCEL, &[&chunk.to_le_bytes(), &*numbers(indices)].concat(), message);
            }
        }
    }

    /// Takes the next frame off a message; `None` at its end.
    pub fn decode(message: &mut &'a [u8]) -> Result<Option<Self>> {
        Ok(match take_frame(message)? {
            None => None,
            Some((CHUNK, payload)) => Some(Self::Chunk(payload)),
            Some((DRAINED, _)) => Some(Self::Drained),
            Some((FINISH, _)) => Some(Self::Finish),
            Some((STOP, _)) => Some(Self::Stop),
            Some((BEAT, _)) => Some(Self::Beat),
            Some((THREADS, payload)) => {
                let mut reader = Reader(payload);
                let mut next = || Ok::<_, anyhow::Error>(u32::from_le_bytes(reader.array()?));
                Some(Self::Threads([next()?, next()?]))
            }
            Some((CANCEL, payload)) => {
                let mut reader = Reader(payload);
                let chunk = reader.fixed_u64()?;
                let indices = reader.0.as_chunks().0.iter().copied().map(u32::from_le_bytes);
                Some(Self::Cancel(chunk, indices.collect()))
            }
            Some((tag, _)) => bail!("unknown message {tag} from rank 0"),
        })
    }
}

impl<'a> ToRoot<'a> {
    /// Appends this as a frame.
    pub fn encode(&self, message: &mut Vec<u8>) {
        match self {
            Self::Outcomes(payload) => frame(OUTCOMES, payload, message),
            Self::Ledger(payload) => frame(LEDGER, payload, message),
            Self::Stopped => frame(STOPPED, &[], message),
            Self::Beat => frame(BEAT, &[], message),
        }
    }

    /// Takes the next frame off a message; `None` at its end.
    pub fn decode(message: &mut &'a [u8]) -> Result<Option<Self>> {
        Ok(match take_frame(message)? {
            None => None,
            Some((OUTCOMES, payload)) => Some(Self::Outcomes(payload)),
            Some((LEDGER, payload)) => Some(Self::Ledger(payload)),
            Some((STOPPED, _)) => Some(Self::Stopped),
            Some((BEAT, _)) => Some(Self::Beat),
            Some((tag, _)) => bail!("unknown message {tag} from a worker"),
        })
    }
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn frame(tag: u8, payload: &[u8], message: &mut Vec<u8>) {
    message.push(tag);
    message.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    message.extend_from_slice(payload);
}

fn take_frame<'a>(message: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>> {
    if message.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader(message);
    let tag = reader.byte()?;
    let length = reader.fixed_u64()?;
    let payload = reader.bytes(length)?;
    *message = &message[FRAME_HEAD + payload.len()..];
    Ok(Some((tag, payload)))
}

#[cfg(test)]
mod tests;

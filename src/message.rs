//! All that crosses a rank boundary: ranks, chunks of tasks on the way out, outcomes on the way
//! back, and the codec for both.
//!
//! A message is a run of frames, so that everything for one rank in one turn of a loop travels
//! as one MPI message: `tag u8 · length u64 LE · payload`.
//! Integers in payloads are LEB128 varints unless said otherwise.
//!
//! **Invariant:** decoding never panics; a message that does not decode is an error.

mod codec;

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::task::{ErrorClass, Input};
use codec::{Reader, put_varint};

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

/// A task on its way: what a worker must know to run it and to write its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its place in the order of the job, from 0; stays on rank 0.
    pub seq: u64,
    /// Which `[[task]]` table it came from.
    pub table: u16,
    /// How often it has been started before.
    pub earlier_attempts: u32,
    /// How many tasks with the same content came before it in the job.
    pub occurrence: u32,
    /// Expected seconds, unscaled; stays on rank 0.
    pub cost: f32,
    /// Nanoseconds that it may run, where rank 0 found that out; a limit that was known when the
    /// run began is known to every rank.
    pub limit: Option<NonZeroU64>,
    /// What to run.
    pub input: Input,
}

/// What rank 0 tells a worker.
#[derive(Debug, PartialEq)]
pub enum ToWorker<'a> {
    /// Tasks to run, still encoded: see [`decode_chunk`].
    Chunk(&'a [u8]),
    /// Nothing is left to hand out; what is idle from here on is the run's tail.
    Drained,
    /// Every outcome has been gathered: send the ledger and leave.
    Finish,
}

/// What a worker tells rank 0.
#[derive(Debug, PartialEq)]
pub enum ToRoot<'a> {
    /// Outcomes of one chunk, still encoded: see [`Outcomes`].
    Outcomes(&'a [u8]),
    /// The worker's ledger as JSON, its last message.
    Ledger(&'a [u8]),
}

const CHUNK: u8 = 1;
const DRAINED: u8 = 2;
const FINISH: u8 = 3;
const OUTCOMES: u8 = 4;
const LEDGER: u8 = 5;
const FRAME_HEAD: usize = 9;

impl<'a> ToWorker<'a> {
    /// Appends this as a frame.
    pub fn encode(&self, message: &mut Vec<u8>) {
        match self {
            Self::Chunk(payload) => frame(CHUNK, payload, message),
            Self::Drained => frame(DRAINED, &[], message),
            Self::Finish => frame(FINISH, &[], message),
        }
    }

    /// Takes the next frame off a message; `None` at its end.
    pub fn decode(message: &mut &'a [u8]) -> Result<Option<Self>> {
        Ok(match take_frame(message)? {
            None => None,
            Some((CHUNK, payload)) => Some(Self::Chunk(payload)),
            Some((DRAINED, _)) => Some(Self::Drained),
            Some((FINISH, _)) => Some(Self::Finish),
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
        }
    }

    /// Takes the next frame off a message; `None` at its end.
    pub fn decode(message: &mut &'a [u8]) -> Result<Option<Self>> {
        Ok(match take_frame(message)? {
            None => None,
            Some((OUTCOMES, payload)) => Some(Self::Outcomes(payload)),
            Some((LEDGER, payload)) => Some(Self::Ledger(payload)),
            Some((tag, _)) => bail!("unknown message {tag} from a worker"),
        })
    }
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

const TEXT: u64 = 1;
const REPEATED: u64 = 2;
const RETRIED: u64 = 4;
const LIMITED: u64 = 8;
const TABLE_SHIFT: u32 = 4;

/// Encodes a chunk: `id · count · tasks`, a task being `table << 4 | flags`, then what the flags
/// announce, then its input.
pub fn encode_chunk<'a>(id: ChunkId, tasks: impl ExactSizeIterator<Item = &'a Task>) -> Vec<u8> {
    let mut payload = Vec::with_capacity(16 + tasks.len() * 8);
    put_varint(id, &mut payload);
    put_varint(tasks.len() as u64, &mut payload);
    for task in tasks {
        put_task(task, &mut payload);
    }
    payload
}

fn put_task(task: &Task, payload: &mut Vec<u8>) {
    let mut head = u64::from(task.table) << TABLE_SHIFT;
    head |= if matches!(task.input, Input::Text(_)) { TEXT } else { 0 };
    head |= if task.occurrence > 0 { REPEATED } else { 0 };
    head |= if task.earlier_attempts > 0 { RETRIED } else { 0 };
    head |= if task.limit.is_some() { LIMITED } else { 0 };
    put_varint(head, payload);
    if task.occurrence > 0 {
        put_varint(u64::from(task.occurrence), payload);
    }
    if task.earlier_attempts > 0 {
        put_varint(u64::from(task.earlier_attempts), payload);
    }
    if let Some(limit) = task.limit {
        put_varint(limit.get(), payload);
    }
    match &task.input {
        Input::Number(number) => put_varint(*number, payload),
        Input::Text(text) => {
            put_varint(text.len() as u64, payload);
            payload.extend_from_slice(text.as_bytes());
        }
    }
}

/// A chunk as a worker sees it; tasks have neither place nor cost there.
pub fn decode_chunk(payload: &[u8]) -> Result<(ChunkId, Vec<Task>)> {
    let mut reader = Reader(payload);
    let id = reader.varint()?;
    let count = reader.varint()?;
    ensure!(count <= payload.len() as u64, "chunk {id} claims {count} tasks");
    let tasks = (0..count).map(|_| take_task(&mut reader)).collect::<Result<Vec<_>>>()?;
    ensure!(reader.0.is_empty(), "chunk {id} has {} bytes too many", reader.0.len());
    Ok((id, tasks))
}

fn take_task(reader: &mut Reader<'_>) -> Result<Task> {
    let head = reader.varint()?;
    let mut count_if = |flag| if head & flag == 0 { Ok(0) } else { reader.varint_u32() };
    let occurrence = count_if(REPEATED)?;
    let earlier_attempts = count_if(RETRIED)?;
    let limit = if head & LIMITED == 0 { None } else { NonZeroU64::new(reader.varint()?) };
    let input = if head & TEXT == 0 {
        Input::Number(reader.varint()?)
    } else {
        let length = reader.varint()?;
        Input::Text(std::str::from_utf8(reader.bytes(length)?)?.into())
    };
    let table = u16::try_from(head >> TABLE_SHIFT)?;
    Ok(Task { seq: 0, table, earlier_attempts, occurrence, cost: 0.0, limit, input })
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It gave an output.
    Ok,
    /// It failed.
    Failed(ErrorClass),
}

/// One task's outcome as it stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Which task of its chunk.
    pub index: u32,
    /// How it ended.
    pub status: Status,
    /// How long it ran.
    pub nanos: u64,
    /// After how long it asks to be tried again; zero where it names no time.
    pub again: Option<Duration>,
    /// Its record, a whole line of the results file; empty where nobody wants it.
    pub record: &'a [u8],
}

/// Builds the outcomes of one chunk: `id u64 LE`, then per outcome a head of 25 bytes
/// (`index u32 · status u8 · nanos u64 · again u32 · length u64`, all LE, filled in when the task
/// has ended, so that a record is written once, in place) and its record. `again` is in
/// milliseconds; the largest means that the outcome asks for nothing.
#[derive(Debug)]
pub struct OutcomesBuilder {
    payload: Vec<u8>,
    start: usize,
}

const OUTCOME_HEAD: usize = 25;
const NOT_AGAIN: u32 = u32::MAX;
const CHUNK_HEAD: usize = 8;

impl OutcomesBuilder {
    /// No outcomes yet.
    pub fn new(chunk: ChunkId) -> Self {
        let mut payload = Vec::with_capacity(1024);
        payload.extend_from_slice(&chunk.to_le_bytes());
        Self { payload, start: CHUNK_HEAD }
    }

    /// Opens the next outcome: its record is what the caller appends.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.start = self.payload.len();
        self.payload.extend_from_slice(&[0; OUTCOME_HEAD]);
        &mut self.payload
    }

    /// The record so far.
    pub fn record(&mut self) -> &mut Vec<u8> {
        &mut self.payload
    }

    /// Where the open outcome's record begins in [`Self::record`].
    pub fn record_start(&self) -> usize {
        self.start + OUTCOME_HEAD
    }

    /// Closes the open outcome.
    pub fn end(&mut self, index: u32, status: Status, nanos: u64, again: Option<Duration>) {
        let length = (self.payload.len() - self.record_start()) as u64;
        let head = &mut self.payload[self.start..self.start + OUTCOME_HEAD];
        head[..4].copy_from_slice(&index.to_le_bytes());
        head[4] = match status {
            Status::Ok => 0,
            Status::Failed(class) => class.code(),
        };
        head[5..13].copy_from_slice(&nanos.to_le_bytes());
        head[13..17].copy_from_slice(&again.map_or(NOT_AGAIN, millis).to_le_bytes());
        head[17..].copy_from_slice(&length.to_le_bytes());
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.payload.len()
    }

    /// Whether no outcome has been begun.
    pub fn is_empty(&self) -> bool {
        self.payload.len() == CHUNK_HEAD
    }

    /// The payload of a [`ToRoot::Outcomes`].
    pub fn finish(self) -> Vec<u8> {
        self.payload
    }
}

/// Outcomes of one chunk, decoded one by one.
#[derive(Debug)]
pub struct Outcomes<'a> {
    /// The chunk they belong to.
    pub chunk: ChunkId,
    reader: Reader<'a>,
}

impl<'a> Outcomes<'a> {
    /// Opens the payload of a [`ToRoot::Outcomes`].
    pub fn decode(payload: &'a [u8]) -> Result<Self> {
        let mut reader = Reader(payload);
        Ok(Self { chunk: reader.fixed_u64()?, reader })
    }

    /// The next outcome; `None` at the end.
    pub fn take(&mut self) -> Result<Option<Outcome<'a>>> {
        if self.reader.0.is_empty() {
            return Ok(None);
        }
        let index = u32::from_le_bytes(self.reader.array()?);
        let status = match self.reader.byte()? {
            0 => Status::Ok,
            code => Status::Failed(ErrorClass::from_code(code)?),
        };
        let nanos = self.reader.fixed_u64()?;
        let again = u32::from_le_bytes(self.reader.array()?);
        let again = (again != NOT_AGAIN).then(|| Duration::from_millis(again.into()));
        let length = self.reader.fixed_u64()?;
        Ok(Some(Outcome { index, status, nanos, again, record: self.reader.bytes(length)? }))
    }
}

/// Milliseconds, rounded up: nobody is asked again too early.
fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_micros().div_ceil(1000)).unwrap_or(NOT_AGAIN).min(NOT_AGAIN - 1)
}

#[cfg(test)]
mod tests;

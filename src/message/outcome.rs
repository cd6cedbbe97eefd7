//! Outcomes on their way back, a chunk's or a part of a chunk's together.

use std::time::Duration;

use anyhow::Result;

use super::ChunkId;
use super::codec::Reader;
use crate::task::{Done, ErrorClass};

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
    /// What it tells its source.
    pub report: &'a [u8],
}

/// Builds the outcomes of one chunk: `id u64 LE`, then per outcome a head of 29 bytes
/// (`index u32 · status u8 · nanos u64 · again u32 · length u64 · report length u32`, all LE,
/// filled in when the task has ended, so that a record is written once, in place), its record
/// and its report. `again` is in milliseconds; the largest means that the outcome asks for
/// nothing.
#[derive(Debug)]
pub struct OutcomesBuilder {
    payload: Vec<u8>,
    start: usize,
}

const OUTCOME_HEAD: usize = 29;
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
    pub fn end(&mut self, index: u32, status: Status, nanos: u64, done: &Done) {
        let length = (self.payload.len() - self.record_start()) as u64;
        let n_report = u32::try_from(done.report.len()).expect("a report is no larger");
        let head = &mut self.payload[self.start..self.start + OUTCOME_HEAD];
        head[..4].copy_from_slice(&index.to_le_bytes());
        head[4] = match status {
            Status::Ok => 0,
            Status::Failed(class) => class.code(),
        };
        head[5..13].copy_from_slice(&nanos.to_le_bytes());
        head[13..17].copy_from_slice(&done.again.map_or(NOT_AGAIN, millis).to_le_bytes());
        head[17..25].copy_from_slice(&length.to_le_bytes());
        head[25..].copy_from_slice(&n_report.to_le_bytes());
        self.payload.extend_from_slice(&done.report);
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.payload.len()
    }

    /// Whether no outcome has been begun.
    pub fn is_empty(&self) -> bool {
        self.payload.len() == CHUNK_HEAD
    }

    /// The payload of a [`super::ToRoot::Outcomes`].
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
    /// Opens the payload of a [`super::ToRoot::Outcomes`].
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
        let n_report = u32::from_le_bytes(self.reader.array()?);
        let record = self.reader.bytes(length)?;
        let report = self.reader.bytes(n_report.into())?;
        Ok(Some(Outcome { index, status, nanos, again, record, report }))
    }
}

/// Milliseconds, rounded up: nobody is asked again too early.
fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_micros().div_ceil(1000)).unwrap_or(NOT_AGAIN).min(NOT_AGAIN - 1)
}

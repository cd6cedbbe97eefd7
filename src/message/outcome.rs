//! Outcomes on their way back, a chunk's or a part of a chunk's together.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::ChunkId;
use super::codec::{Reader, put_varint};
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

/// So many tasks that ran equally long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many.
    pub n: u32,
    /// How long each ran.
    pub nanos: u64,
}

/// Tasks of a chunk that stand in a row and each gave an output that nobody wants to read: only
/// their times count.
#[derive(Debug)]
pub struct Row<'a> {
    /// The first of them.
    pub index: u32,
    /// How many.
    pub count: u32,
    times: Reader<'a>,
    next: Times,
}

impl Row<'_> {
    /// Takes the first ones off that ran equally long, `most` at most, of which there is one.
    pub fn take(&mut self, most: u32) -> Result<Times> {
        if self.next.n == 0 {
            self.next = Times { n: self.times.varint_u32()?, nanos: self.times.varint()? };
            ensure!((1..=self.count).contains(&self.next.n), "a row of outcomes is not one");
        }
        let taken = Times { n: self.next.n.min(most), ..self.next };
        self.next.n -= taken.n;
        self.index += taken.n;
        self.count -= taken.n;
        Ok(taken)
    }
}

/// What a message tells of a chunk's tasks.
#[derive(Debug)]
pub enum Told<'a> {
    /// One task's outcome.
    One(Outcome<'a>),
    /// Those of tasks in a row.
    Row(Row<'a>),
}

/// Builds the outcomes of one chunk: `id u64 LE`, then outcomes and rows of them.
///
/// An outcome is a head of 29 bytes (`index u32 · status u8 · nanos u64 · again u32 · length u64
/// · report length u32`, all LE, filled in when the task has ended, so that a record is written
/// once, in place), its record and its report. `again` is in milliseconds; the largest means that
/// the outcome asks for nothing.
///
/// A row is a head of 13 bytes (`index u32 · 255 u8 · count u32 · length u32`), then how many
/// tasks ran how long, in nanoseconds, until all have been told of.
#[derive(Debug)]
pub struct OutcomesBuilder {
    payload: Vec<u8>,
    start: usize,
    /// Tasks of the open row; 0 where none is open.
    in_row: u32,
    /// The number in its chunk that the row would go on with.
    next_in_row: u32,
}

const OUTCOME_HEAD: usize = 29;
const NOT_AGAIN: u32 = u32::MAX;
const CHUNK_HEAD: usize = 8;
const ROW: u8 = u8::MAX;
const ROW_HEAD: usize = 13;

impl OutcomesBuilder {
    /// No outcomes yet.
    pub fn new(chunk: ChunkId) -> Self {
        let mut payload = Vec::with_capacity(2048);
        payload.extend_from_slice(&chunk.to_le_bytes());
        Self { payload, start: CHUNK_HEAD, in_row: 0, next_in_row: 0 }
    }

    /// Opens the next outcome: its record is what the caller appends.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.close_row();
        self.start = self.payload.len();
        self.payload.extend_from_slice(&[0; OUTCOME_HEAD]);
        &mut self.payload
    }

    /// The record so far.
    pub fn record(&mut self) -> &mut Vec<u8> {
        &mut self.payload
    }

    /// Has something written that nobody wants: into the same memory, and it is gone.
    pub fn without<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let size = self.payload.len();
        let written = write(&mut self.payload);
        self.payload.truncate(size);
        written
    }

    /// Closes the open outcome.
    pub fn end(&mut self, index: u32, status: Status, nanos: u64, done: &Done) {
        let length = (self.payload.len() - self.start - OUTCOME_HEAD) as u64;
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

    /// Adds the outcomes of tasks from `index` on that gave an output, with neither record nor
    /// report.
    pub fn add_plain(&mut self, index: u32, times: Times) {
        if self.in_row == 0 || self.next_in_row != index {
            self.close_row();
            self.start = self.payload.len();
            self.payload.extend_from_slice(&[0; ROW_HEAD]);
            self.payload[self.start..self.start + 4].copy_from_slice(&index.to_le_bytes());
            self.payload[self.start + 4] = ROW;
        }
        self.in_row += times.n;
        self.next_in_row = index + times.n;
        put_varint(times.n.into(), &mut self.payload);
        put_varint(times.nanos, &mut self.payload);
    }

    fn close_row(&mut self) {
        let count = std::mem::take(&mut self.in_row);
        if count > 0 {
            let length = self.payload.len() - self.start - ROW_HEAD;
            let length = u32::try_from(length).expect("a chunk has fewer tasks");
            let head = &mut self.payload[self.start + 5..self.start + ROW_HEAD];
            head[..4].copy_from_slice(&count.to_le_bytes());
            head[4..].copy_from_slice(&length.to_le_bytes());
        }
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
    pub fn finish(mut self) -> Vec<u8> {
        self.close_row();
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

    /// The next outcome, or row of them; `None` at the end.
    pub fn take(&mut self) -> Result<Option<Told<'a>>> {
        if self.reader.0.is_empty() {
            return Ok(None);
        }
        let index = self.fixed_u32()?;
        let status = match self.reader.byte()? {
            0 => Status::Ok,
            ROW => return self.take_row(index).map(Told::Row).map(Some),
            code => Status::Failed(ErrorClass::from_code(code)?),
        };
        let nanos = self.reader.fixed_u64()?;
        let again = self.fixed_u32()?;
        let again = (again != NOT_AGAIN).then(|| Duration::from_millis(again.into()));
        let length = self.reader.fixed_u64()?;
        let n_report = self.fixed_u32()?;
        let record = self.reader.bytes(length)?;
        let report = self.reader.bytes(n_report.into())?;
        Ok(Some(Told::One(Outcome { index, status, nanos, again, record, report })))
    }

    fn take_row(&mut self, index: u32) -> Result<Row<'a>> {
        let (count, length) = (self.fixed_u32()?, self.fixed_u32()?);
        let times = Reader(self.reader.bytes(length.into())?);
        ensure!(index.checked_add(count).is_some(), "a row of {count} outcomes is not one");
        Ok(Row { index, count, times, next: Times::default() })
    }

    fn fixed_u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.reader.array()?))
    }
}

/// Milliseconds, rounded up: nobody is asked again too early.
fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_micros().div_ceil(1000)).unwrap_or(NOT_AGAIN).min(NOT_AGAIN - 1)
}

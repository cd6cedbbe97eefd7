//! Tasks on their way out, in chunks.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::codec::{Reader, put_varint};
use super::{ChunkId, Rank, Span};
use crate::task::Input;

/// A task on its way: what a worker must know to run it and to write its record.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// [`crate::task::Item::near`]; stays on rank 0.
    pub near: u32,
    /// What became of earlier attempts; stays on rank 0, and most tasks have none.
    pub history: Option<Box<History>>,
    /// Nanoseconds that it may run, where rank 0 found that out; a limit that was known when the
    /// run began is known to every rank.
    pub limit: Option<NonZeroU64>,
    /// What to run.
    pub input: Input,
}

/// What became of a task's earlier attempts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// How many ranks died while they had it.
    pub crashes: u32,
    /// Who tried last, where another one is to try next, and when that was.
    pub avoid: Option<(Rank, Duration)>,
}

impl History {
    /// Of a task that so many ranks died with.
    pub fn of(crashes: u32) -> Box<Self> {
        Box::new(Self { crashes, avoid: None })
    }
}

/// After so long, the rank that failed may try a task again itself.
const AVOID_FOR: Duration = Duration::from_secs(5);

impl Task {
    /// The same task for its next attempt; `avoid` tells who failed, where another is to try.
    #[must_use]
    pub fn another_attempt(&self, avoid: Option<(Rank, Duration)>) -> Self {
        let mut task = Self { earlier_attempts: self.earlier_attempts + 1, ..self.clone() };
        if avoid.is_some() {
            task.history.get_or_insert_default().avoid = avoid;
        }
        task
    }

    /// The same task after the rank that had it died.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        let mut task = self.another_attempt(None);
        task.history.get_or_insert_default().crashes += 1;
        task
    }

    /// How many ranks died while they had it.
    pub fn crashes(&self) -> u32 {
        self.history.as_ref().map_or(0, |history| history.crashes)
    }

    /// Whether another rank is to try it first.
    pub fn is_to_avoid(&self, rank: Rank, now: Duration) -> bool {
        let avoid = self.history.as_ref().and_then(|history| history.avoid);
        avoid.is_some_and(|(failed, at)| failed == rank && now < at + AVOID_FOR)
    }
}

const TEXT: u64 = 1;
const REPEATED: u64 = 2;
const RETRIED: u64 = 4;
const LIMITED: u64 = 8;
const IN_A_ROW: u64 = 16;
const TABLE_SHIFT: u32 = 5;

/// Encodes a chunk: `id · count · spans`, a span being `table << 5 | flags`, then what the flags
/// announce, then its first task's input.
pub fn encode_chunk<'a>(id: ChunkId, spans: impl ExactSizeIterator<Item = &'a Span>) -> Vec<u8> {
    let mut payload = Vec::with_capacity(16 + spans.len() * 8);
    put_varint(id, &mut payload);
    put_varint(spans.len() as u64, &mut payload);
    for span in spans {
        put_span(span, &mut payload);
    }
    payload
}

fn put_span(span: &Span, payload: &mut Vec<u8>) {
    let task = &span.first;
    let mut head = u64::from(task.table) << TABLE_SHIFT;
    head |= if matches!(task.input, Input::Text(_)) { TEXT } else { 0 };
    head |= if task.occurrence > 0 { REPEATED } else { 0 };
    head |= if task.earlier_attempts > 0 { RETRIED } else { 0 };
    head |= if task.limit.is_some() { LIMITED } else { 0 };
    head |= if span.more > 0 { IN_A_ROW } else { 0 };
    put_varint(head, payload);
    if span.more > 0 {
        put_varint(u64::from(span.more), payload);
        put_varint(span.step, payload);
    }
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
pub fn decode_chunk(payload: &[u8]) -> Result<(ChunkId, Vec<Span>)> {
    let mut reader = Reader(payload);
    let id = reader.varint()?;
    let count = reader.varint()?;
    ensure!(count <= payload.len() as u64, "chunk {id} claims {count} spans of tasks");
    let spans = (0..count).map(|_| take_span(&mut reader)).collect::<Result<Vec<_>>>()?;
    ensure!(reader.0.is_empty(), "chunk {id} has {} bytes too many", reader.0.len());
    Ok((id, spans))
}

fn take_span(reader: &mut Reader<'_>) -> Result<Span> {
    let head = reader.varint()?;
    let (more, step) = match head & IN_A_ROW {
        0 => (0, 0),
        _ => (reader.varint_u32()?, reader.varint()?),
    };
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
    let (seq, cost, near, history) = (0, 0.0, 0, None);
    let first =
        Task { seq, table, earlier_attempts, occurrence, cost, near, history, limit, input };
    Ok(Span { first, more, step })
}

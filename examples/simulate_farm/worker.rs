//! A rank that computes: it holds chunks, its threads take tasks from the first that has some,
//! and outcomes leave in batches of 10 ms, as the executor's do.

use std::collections::VecDeque;

use anyhow::Result;
use rankpool::message::{ChunkId, OutcomesBuilder, Span, Status, ToRoot, ToWorker, decode_chunk};
use rankpool::task::{Done, Input};

/// A batch leaves when it is so old, in seconds.
const OLDEST: f64 = 0.010;
/// Bytes of a record.
const RECORD: [u8; 250] = [b' '; 250];

/// What it holds.
#[derive(Default)]
pub(crate) struct Worker {
    chunks: VecDeque<Chunk>,
    threads: Vec<Option<Running>>,
    batches: Vec<Option<Batch>>,
    /// What its next message is made of.
    outbox: Vec<u8>,
}

struct Chunk {
    id: ChunkId,
    tasks: Vec<u64>,
    next: usize,
}

struct Running {
    chunk: ChunkId,
    index: u32,
    seconds: f64,
    is_last: bool,
}

struct Batch {
    chunk: ChunkId,
    outcomes: OutcomesBuilder,
    opened: f64,
}

impl Worker {
    pub(crate) fn new(threads: u32) -> Self {
        let none = |_| None;
        Self {
            threads: (0..threads).map(none).collect(),
            batches: (0..threads).map(|_| None).collect(),
            ..Self::default()
        }
    }

    /// Takes a message of rank 0.
    pub(crate) fn obey(&mut self, mut message: &[u8]) -> Result<()> {
        while let Some(order) = ToWorker::decode(&mut message)? {
            let ToWorker::Chunk(payload) = order else { continue };
            let (id, spans) = decode_chunk(payload)?;
            let number = |input: &Input| if let Input::Number(n) = input { *n } else { 0 };
            let tasks = spans.iter().flat_map(Span::tasks);
            let tasks = tasks.map(|task| number(&task.input)).collect();
            self.chunks.push_back(Chunk { id, tasks, next: 0 });
        }
        Ok(())
    }

    /// Threads without a task.
    pub(crate) fn idle(&self) -> Vec<usize> {
        (0..self.threads.len()).filter(|&idx| self.threads[idx].is_none()).collect()
    }

    /// Starts the next task on a thread; how long it takes.
    pub(crate) fn start(&mut self, thread: usize, seconds: impl Fn(u64) -> f64) -> Option<f64> {
        let chunk = self.chunks.front_mut()?;
        let index = chunk.next;
        chunk.next += 1;
        let seconds = seconds(chunk.tasks[index]);
        let is_last = chunk.next == chunk.tasks.len();
        let running = Running { chunk: chunk.id, index: index as u32, seconds, is_last };
        if is_last {
            self.chunks.pop_front();
        }
        self.threads[thread] = Some(running);
        Some(seconds)
    }

    /// A thread's task has ended; whether there is something to send.
    pub(crate) fn end(&mut self, thread: usize, now: f64) -> bool {
        let Some(Running { chunk, index, seconds, is_last }) = self.threads[thread].take() else {
            return false;
        };
        if self.batches[thread].as_ref().is_some_and(|batch| batch.chunk != chunk) {
            self.flush(thread);
        }
        let batch = self.batches[thread].get_or_insert_with(|| Batch {
            chunk,
            outcomes: OutcomesBuilder::new(chunk),
            opened: now - seconds,
        });
        batch.outcomes.begin().extend_from_slice(&RECORD);
        batch.outcomes.end(index, Status::Ok, (seconds * 1e9) as u64, &Done::default());
        let is_over = is_last || self.chunks.front().is_none_or(|next| next.id != chunk);
        if is_over || now - batch.opened >= OLDEST {
            self.flush(thread);
        }
        !self.outbox.is_empty()
    }

    fn flush(&mut self, thread: usize) {
        if let Some(batch) = self.batches[thread].take() {
            ToRoot::Outcomes(&batch.outcomes.finish()).encode(&mut self.outbox);
        }
    }

    /// All that is to be sent, as one message.
    pub(crate) fn message(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outbox)
    }
}

//! What is out: chunks in flight, what each worker holds of them, and what was measured.

use std::borrow::Cow;
use std::ops::Range;

use anyhow::{Result, ensure};
use rustc_hash::FxHashMap;

use super::marks::Marks;
use crate::message::{ChunkId, Rank, Span, Task};

/// A chunk that has gone out.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) rank: Rank,
    pub(super) pool: usize,
    spans: Vec<Out>,
    /// Tasks whose outcome has been heard, by their number in the chunk.
    done: Marks,
    n_tasks: u32,
    pub(super) n_left: u32,
}

/// Tasks that are out.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) span: Span,
    /// The seconds that each was expected to take; 0 where none like it had been measured.
    pub(super) seconds: f64,
    /// The number of the first one in its chunk.
    start: u32,
}

impl Out {
    /// Tasks that go out, each for so many `seconds`.
    pub(super) fn new(span: Span, seconds: f64) -> Self {
        Self { span, seconds, start: 0 }
    }

    /// The seconds that all are expected to take.
    pub(super) fn all_seconds(&self) -> f64 {
        self.seconds * f64::from(self.span.n_tasks())
    }

    /// The number in the chunk after its last one.
    pub(super) fn end(&self) -> u32 {
        self.start + self.span.n_tasks()
    }

    fn range(&self) -> Range<u32> {
        self.start..self.end()
    }

    /// The task of this number in the chunk.
    pub(super) fn task(&self, index: u32) -> Cow<'_, Task> {
        match self.span.more {
            0 => Cow::Borrowed(&self.span.first),
            _ => Cow::Owned(self.span.task(index - self.start)),
        }
    }
}

impl InFlight {
    /// What holds the task of this number.
    pub(super) fn out(&self, index: u32) -> Option<&Out> {
        // Where none are in a row, the number of a task is that of its span.
        let alone = self.spans.get(index as usize).filter(|out| out.start == index);
        let found = alone.or_else(|| {
            let after = self.spans.partition_point(|out| out.start <= index);
            self.spans.get(after.checked_sub(1)?)
        });
        found.filter(|out| index < out.end())
    }

    /// Notes an outcome; false if there was one.
    pub(super) fn is_first(&mut self, index: u32) -> Result<bool> {
        ensure!(index < self.n_tasks, "{} sent outcome {index} of a smaller chunk", self.rank);
        let is_first = self.done.set(index);
        self.n_left -= u32::from(is_first);
        Ok(is_first)
    }

    /// The same for several; how many had none.
    pub(super) fn n_first(&mut self, indices: Range<u32>) -> Result<u32> {
        indices.map(|index| self.is_first(index).map(u32::from)).sum()
    }

    /// The tasks without an outcome, with their numbers.
    fn left(&self) -> impl Iterator<Item = (u32, Cow<'_, Task>)> {
        let all = self.spans.iter().flat_map(|out| out.range().map(move |idx| (idx, out)));
        all.filter(|(idx, _)| !self.done.has(*idx)).map(|(idx, out)| (idx, out.task(idx)))
    }
}

/// Chunks in flight, by id.
#[derive(Debug, Default)]
pub(super) struct Flights {
    chunks: FxHashMap<ChunkId, InFlight>,
    next: ChunkId,
}

impl Flights {
    /// Takes a chunk that goes out; its id.
    pub(super) fn add(&mut self, rank: Rank, pool: usize, mut spans: Vec<Out>) -> ChunkId {
        let id = self.next;
        self.next += 1;
        let mut n_tasks = 0;
        for out in &mut spans {
            out.start = n_tasks;
            n_tasks = out.end();
        }
        let (done, n_left) = (Marks::new(n_tasks), n_tasks);
        self.chunks.insert(id, InFlight { rank, pool, spans, done, n_tasks, n_left });
        id
    }

    /// What is in a chunk.
    pub(super) fn spans(&self, id: ChunkId) -> impl ExactSizeIterator<Item = &Span> {
        self.chunks[&id].spans.iter().map(|out| &out.span)
    }

    pub(super) fn take(&mut self, id: ChunkId) -> Option<InFlight> {
        self.chunks.remove(&id)
    }

    pub(super) fn put_back(&mut self, id: ChunkId, chunk: InFlight) {
        self.chunks.insert(id, chunk);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The tasks that match and have no outcome: who has them, in which chunk, and their places.
    pub(super) fn matching(
        &self,
        matches: &dyn Fn(&Task) -> bool,
    ) -> Vec<(Rank, ChunkId, Vec<u32>)> {
        let of_chunk = |(&id, chunk): (&ChunkId, &InFlight)| {
            let indices: Vec<u32> =
                chunk.left().filter(|(_, task)| matches(task)).map(|(idx, _)| idx).collect();
            (!indices.is_empty()).then_some((chunk.rank, id, indices))
        };
        self.chunks.iter().filter_map(of_chunk).collect()
    }

    /// Takes back what a rank has not answered, in the order in which it went out.
    pub(super) fn take_back(&mut self, rank: Rank) -> Vec<(usize, Task)> {
        let of_rank = self.chunks.iter().filter(|(_, chunk)| chunk.rank == rank);
        let mut ids: Vec<ChunkId> = of_rank.map(|(&id, _)| id).collect();
        ids.sort_unstable();
        let mut tasks = Vec::new();
        for id in ids {
            let chunk = self.chunks.remove(&id).expect("it was just found");
            tasks.extend(chunk.left().map(|(_, task)| (chunk.pool, task.into_owned())));
        }
        tasks
    }
}

/// With so much to do, in seconds of each thread, a worker waits for nothing: several times the
/// pause of a loop and the age of what it has told.
const SUPPLY_SECONDS: f64 = 0.04;

/// What a worker holds, per pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker {
    pub(super) tasks: [u32; 2],
    pub(super) chunks: [u32; 2],
    pub(super) seconds: [f64; 2],
    /// Whether it has a suspect, and so nothing else.
    pub(super) has_suspect: bool,
    pub(super) is_dead: bool,
}

impl Worker {
    pub(super) fn holds_nothing(&self) -> bool {
        self.tasks == [0, 0]
    }

    /// Whether it could do without an answer for some time, with so many threads a pool.
    pub(super) fn is_supplied(&self, threads: [u32; 2]) -> bool {
        threads.iter().enumerate().all(|(pool, &threads)| {
            self.tasks[pool] >= 2 * threads
                && self.seconds[pool] >= f64::from(threads) * SUPPLY_SECONDS
        })
    }
}

/// What was measured of a table's tasks: the factor between cost and seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    n: u32,
    cost: f64,
    seconds: f64,
}

/// After so many tasks older ones count half, so that a rate follows its tasks.
const RATE_MEMORY: u32 = 4096;

impl Rate {
    /// `n` tasks of this cost have taken so many seconds together.
    pub(super) fn measure(&mut self, n: u32, cost: f32, seconds: f64) {
        if self.n >= RATE_MEMORY {
            *self = Self { n: self.n / 2, cost: self.cost / 2.0, seconds: self.seconds / 2.0 };
        }
        self.n += n;
        self.cost += f64::from(cost) * f64::from(n);
        self.seconds += seconds;
    }

    /// Seconds a unit of cost; `None` before anything has been measured.
    pub(super) fn factor(&self) -> Option<f64> {
        (self.cost > 0.0).then(|| self.seconds / self.cost)
    }

    pub(super) fn mean_seconds(&self) -> Option<f64> {
        (self.n > 0).then(|| self.seconds / f64::from(self.n))
    }
}

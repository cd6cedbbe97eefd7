//! A chunk's tasks, shared by the threads of a pool.
//!
//! **Invariant:** each task is claimed once.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::message::{ChunkId, Span, Task};
use crate::task::Cancels;

/// Tasks that a thread takes at once while many are left: fewer claims on a shared counter.
const LARGEST_CLAIM: usize = 64;

/// A chunk that a pool's threads share.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) id: ChunkId,
    spans: Vec<Span>,
    /// The number of each span's first task; empty where none are in a row.
    starts: Vec<u32>,
    n_tasks: usize,
    n_runners: usize,
    next: AtomicUsize,
    pub(super) cancels: Cancels,
}

impl Chunk {
    /// For at most `n_threads` threads.
    pub(super) fn new(id: ChunkId, spans: Vec<Span>, n_threads: usize) -> Self {
        let n_tasks = spans.iter().map(|span| span.n_tasks() as usize).sum();
        let starts = if n_tasks == spans.len() { Vec::new() } else { starts(&spans) };
        let (n_runners, next) = (n_threads.min(n_tasks), AtomicUsize::new(0));
        Self { id, spans, starts, n_tasks, n_runners, next, cancels: Cancels::default() }
    }

    /// How many tasks.
    pub(super) fn len(&self) -> usize {
        self.n_tasks
    }

    /// The next few tasks, for the calling thread alone: fewer towards the end, so that the
    /// threads finish together.
    pub(super) fn claim(&self) -> Option<Range<usize>> {
        let left = self.n_unclaimed();
        let size = (left / (4 * self.n_runners)).clamp(1, LARGEST_CLAIM);
        let start = self.next.fetch_add(size, Ordering::Relaxed);
        (start < self.n_tasks).then(|| start..(start + size).min(self.n_tasks))
    }

    /// How many tasks nobody has taken.
    pub(super) fn n_unclaimed(&self) -> usize {
        self.n_tasks.saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// The task of a number.
    pub(super) fn task(&self, idx: usize) -> Cow<'_, Task> {
        let (span, offset) = self.place(idx);
        if span.more == 0 { Cow::Borrowed(&span.first) } else { Cow::Owned(span.task(offset)) }
    }

    /// Its tasks from a number on.
    pub(super) fn walk(&self, start: usize) -> Walk<'_> {
        let span = &self.spans[0];
        Walk { chunk: self, idx: start, span, task: Cow::Borrowed(&span.first), left: 0 }
    }

    /// The span of a task, and the task's number in it.
    pub(super) fn place(&self, idx: usize) -> (&Span, u32) {
        if self.starts.is_empty() {
            return (&self.spans[idx], 0);
        }
        let number = u32::try_from(idx).expect("a chunk has fewer tasks");
        let after = self.starts.partition_point(|&start| start <= number);
        (&self.spans[after - 1], number - self.starts[after - 1])
    }
}

/// Goes through tasks of a chunk, one after the other.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    chunk: &'a Chunk,
    idx: usize,
    span: &'a Span,
    task: Cow<'a, Task>,
    /// Tasks of the span after this one.
    left: u32,
}

impl Walk<'_> {
    /// Goes to the first task, then to the next one.
    pub(super) fn step(&mut self) {
        if self.left > 0 {
            self.left -= 1;
            self.span.advance(self.task.to_mut(), 1);
        } else {
            let (span, offset) = self.chunk.place(self.idx);
            (self.span, self.task) = (span, self.chunk.task(self.idx));
            self.left = span.more - offset;
        }
        self.idx += 1;
    }

    /// The task at hand.
    pub(super) fn task(&self) -> &Task {
        &self.task
    }

    /// Whether one of the same row comes next.
    pub(super) fn is_followed(&self) -> bool {
        self.left > 0
    }
}

fn starts(spans: &[Span]) -> Vec<u32> {
    let next = |start: &mut u32, span: &Span| {
        let own = *start;
        *start = start.saturating_add(span.n_tasks());
        Some(own)
    };
    spans.iter().scan(0, next).collect()
}

//! A chunk's tasks, shared by the threads of a pool.
//!
//! **Invariant:** each task is claimed once.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::message::{ChunkId, Task};
use crate::task::Cancels;

/// Tasks that a thread takes at once while many are left: fewer claims on a shared counter.
const LARGEST_CLAIM: usize = 32;

/// A chunk that a pool's threads share.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) id: ChunkId,
    pub(super) tasks: Vec<Task>,
    n_runners: usize,
    next: AtomicUsize,
    pub(super) cancels: Cancels,
}

impl Chunk {
    /// For about `n_runners` threads.
    pub(super) fn new(id: ChunkId, tasks: Vec<Task>, n_runners: usize) -> Self {
        Self { id, tasks, n_runners, next: AtomicUsize::new(0), cancels: Cancels::default() }
    }

    /// The next few tasks, for the calling thread alone: fewer towards the end, so that the
    /// threads finish together.
    pub(super) fn claim(&self) -> Option<std::ops::Range<usize>> {
        let left = self.tasks.len().saturating_sub(self.next.load(Ordering::Relaxed));
        let size = (left / (4 * self.n_runners)).clamp(1, LARGEST_CLAIM);
        let start = self.next.fetch_add(size, Ordering::Relaxed);
        (start < self.tasks.len()).then(|| start..(start + size).min(self.tasks.len()))
    }

    /// How many tasks nobody has taken.
    pub(super) fn n_unclaimed(&self) -> usize {
        self.tasks.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }
}

//! Tasks on their way to another attempt: those that wait for their time, and those that were in
//! flight on a rank that died.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::message::{Rank, Task};

/// Tasks that are to run again.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// By the time at which they may go out, counted from the run's start.
    later: BinaryHeap<Later>,
    /// Per pool. One of them may be what kills ranks: each goes out with no other task beside
    /// it, so that the next death is its own and nobody else's.
    suspects: [VecDeque<Task>; 2],
    /// Per pool, what the rank that was asked is not to try: others are asked next.
    passed: [Vec<Task>; 2],
}

#[derive(Debug)]
struct Later {
    at: Reverse<Duration>,
    pool: usize,
    task: Task,
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, Reverse(self.task.seq)).cmp(&(other.at, Reverse(other.task.seq)))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Later {}

impl Again {
    /// Keeps a task until `at`.
    pub(super) fn keep(&mut self, at: Duration, pool: usize, task: Task) {
        self.later.push(Later { at: Reverse(at), pool, task });
    }

    /// A task whose time has come, with its pool.
    pub(super) fn due(&mut self, now: Duration) -> Option<(usize, Task)> {
        let is_due = self.later.peek().is_some_and(|later| later.at.0 <= now);
        is_due
            .then(|| self.later.pop().expect("it was just there"))
            .map(|later| (later.pool, later.task))
    }

    /// Takes out the tasks that match.
    pub(super) fn take_if(&mut self, matches: &dyn Fn(&Task) -> bool) -> Vec<Task> {
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.later).into_iter().partition(|later| matches(&later.task));
        self.later = left.into();
        let mut taken: Vec<Task> = taken.into_iter().map(|later| later.task).collect();
        for suspects in &mut self.suspects {
            taken.extend(super::ready::take_if(suspects, matches));
        }
        taken
    }

    pub(super) fn suspect(&mut self, pool: usize, task: Task) {
        self.suspects[pool].push_back(task);
    }

    pub(super) fn take_suspect(&mut self, pool: usize) -> Option<Task> {
        self.suspects[pool].pop_front()
    }

    pub(super) fn has_suspect(&self, pool: usize) -> bool {
        !self.suspects[pool].is_empty()
    }

    /// Keeps a task for whoever else is asked now.
    pub(super) fn pass(&mut self, pool: usize, task: Task) {
        self.passed[pool].push(task);
    }

    /// What others have passed and `rank` may try.
    pub(super) fn take_passed(&mut self, rank: Rank, pool: usize, now: Duration) -> Vec<Task> {
        let passed = &mut self.passed[pool];
        passed.extract_if(.., |task| !task.is_to_avoid(rank, now)).collect()
    }

    /// Keeps what all have passed until `at`.
    pub(super) fn keep_passed(&mut self, at: Duration) {
        for pool in 0..self.passed.len() {
            for task in std::mem::take(&mut self.passed[pool]) {
                self.keep(at, pool, task);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.later.len() + self.suspects.iter().map(VecDeque::len).sum::<usize>()
    }
}

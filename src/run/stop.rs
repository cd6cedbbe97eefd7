//! An early end: why, since when, and whether everybody is done with what runs.

use std::time::Duration;

use crate::message::Rank;

/// A run that ends early.
#[derive(Debug)]
pub(super) struct Stop {
    /// What for, for people.
    pub(super) reason: String,
    /// When running tasks are no longer waited for.
    deadline: Duration,
    /// Ranks where tasks may still run.
    busy: Vec<bool>,
}

impl Stop {
    /// Everybody in `busy` has until `deadline`, counted from the run's start.
    pub(super) fn new(reason: String, deadline: Duration, busy: Vec<bool>) -> Self {
        Self { reason, deadline, busy }
    }

    /// Nothing runs on this rank any more.
    pub(super) fn quiet(&mut self, rank: Rank) {
        self.busy[rank.idx()] = false;
    }

    /// Whether nobody is waited for any longer.
    pub(super) fn is_late(&self, now: Duration) -> bool {
        now >= self.deadline
    }

    /// Whether the run can end.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.is_late(now) || !self.busy.contains(&true)
    }
}

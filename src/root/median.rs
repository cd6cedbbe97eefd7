//! What a task of a table usually takes, and the time limit that follows from it.

use std::collections::VecDeque;
use std::iter;
use std::num::NonZeroU64;

use crate::message::{Status, Times};
use crate::task::{ErrorClass, TimeLimit};

/// Before so many tasks have ended, a median says nothing.
const MEASURED_FROM: usize = 20;

/// So many of the last tasks are remembered: the median follows a job whose tasks change.
const WINDOW: usize = 255;

/// No relative limit is shorter: less than this is what other processes cost a task.
const SHORTEST_MILLIS: f64 = 10.0;

/// The median of the last values, exactly.
#[derive(Clone, Debug, Default)]
struct Median {
    recent: VecDeque<u64>,
    sorted: Vec<u64>,
}

impl Median {
    fn add(&mut self, value: u64) {
        if self.recent.len() == WINDOW
            && let Some(oldest) = self.recent.pop_front()
        {
            let idx = self.sorted.partition_point(|&other| other < oldest);
            self.sorted.remove(idx);
        }
        self.recent.push_back(value);
        let idx = self.sorted.partition_point(|&other| other < value);
        self.sorted.insert(idx, value);
    }

    fn get(&self) -> Option<u64> {
        self.sorted.get(self.sorted.len().saturating_sub(1) / 2).copied()
    }
}

/// A table's limit, as far as rank 0 must find it out.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    factor: Option<f64>,
    nanos: Median,
}

impl Limit {
    pub(super) fn new(limit: Option<TimeLimit>) -> Self {
        Self { factor: limit.and_then(TimeLimit::factor), nanos: Median::default() }
    }

    /// A task of the table has ended. One that failed early tells nothing about the others; one
    /// that a limit ended does: without it the median would be of ever quicker tasks.
    pub(super) fn measure(&mut self, status: Status, nanos: u64) {
        let counts = matches!(status, Status::Ok | Status::Failed(ErrorClass::Timeout));
        if self.factor.is_some() && counts {
            self.nanos.add(nanos);
        }
    }

    /// Tasks of the table have given outputs.
    pub(super) fn measure_all(&mut self, times: &[Times]) {
        if self.factor.is_some() {
            let all = times.iter().flat_map(|times| iter::repeat_n(times.nanos, times.n as usize));
            all.for_each(|nanos| self.nanos.add(nanos));
        }
    }

    /// Nanoseconds for the next task: nothing where the table has no relative limit, or none yet.
    /// Whole milliseconds, for people read them.
    pub(super) fn get(&self) -> Option<NonZeroU64> {
        let factor = self.factor.filter(|_| self.nanos.sorted.len() >= MEASURED_FROM)?;
        let millis = (self.nanos.get()? as f64 * factor * 1e-6).ceil().max(SHORTEST_MILLIS);
        #[allow(clippy::cast_possible_truncation, reason = "a cast of floats ends at the limits")]
        #[allow(clippy::cast_sign_loss, reason = "a time times a factor has no sign")]
        NonZeroU64::new((millis * 1e6) as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_median_is_that_of_the_last_values(values in prop::collection::vec(0..50u64, 1..600)) {
            let mut median = Median::default();
            for (idx, &value) in values.iter().enumerate() {
                median.add(value);
                let mut last = values[(idx + 1).saturating_sub(WINDOW)..=idx].to_vec();
                last.sort_unstable();
                prop_assert_eq!(median.get(), Some(last[(last.len() - 1) / 2]));
            }
        }
    }

    #[test]
    fn a_limit_needs_a_relative_one_and_enough_tasks() {
        let limit_after = |written: &str, status, nanos, n| {
            let mut limit = Limit::new(Some(written.parse().unwrap()));
            (0..n).for_each(|_| limit.measure(status, nanos));
            limit.get().map(|nanos| nanos.get() / 1_000_000)
        };
        let timeout = Status::Failed(ErrorClass::Timeout);
        assert_eq!(limit_after("3x", Status::Ok, 20_000_000, 19), None);
        assert_eq!(limit_after("3x", Status::Ok, 20_000_000, 20), Some(60));
        assert_eq!(limit_after("1.5x", timeout, 20_000_001, 20), Some(31), "rounded up");
        assert_eq!(limit_after("3x", Status::Ok, 100, 20), Some(10), "the shortest");
        assert_eq!(limit_after("30s", Status::Ok, 20_000_000, 20), None);
        let failed = Status::Failed(ErrorClass::Connect);
        assert_eq!(limit_after("3x", failed, 20_000_000, 20), None, "it tells nothing");
        assert_eq!(limit_after("1e300x", Status::Ok, u64::MAX, 20), Some(u64::MAX / 1_000_000));
        assert_eq!(Limit::new(None).get(), None);
    }
}

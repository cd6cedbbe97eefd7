//! Tasks in a row: what lets rank 0 hand out millions of small tasks a second.

use super::Task;
use crate::task::Input;

/// Tasks that differ in their places and numbers alone: the first one and `more` after it, each
/// one place later in the order of the job and its number `step` larger. Most are one task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// The first task.
    pub first: Task,
    /// How many follow it; 0 unless its input is a number.
    pub more: u32,
    /// What lies between two numbers.
    pub step: u64,
}

impl From<Task> for Span {
    fn from(first: Task) -> Self {
        Self { first, more: 0, step: 0 }
    }
}

impl Span {
    /// How many tasks.
    pub fn n_tasks(&self) -> u32 {
        self.more.saturating_add(1)
    }

    /// The `idx`th task, from 0.
    pub fn task(&self, idx: u32) -> Task {
        let mut task = self.first.clone();
        self.advance(&mut task, idx);
        task
    }

    /// Every task.
    pub fn tasks(&self) -> impl Iterator<Item = Task> {
        (0..self.n_tasks()).map(|idx| self.task(idx))
    }

    /// Makes a task of the span the one that stands `n` later.
    pub fn advance(&self, task: &mut Task, n: u32) {
        task.seq += u64::from(n);
        if let Input::Number(number) = &mut task.input {
            *number = number.wrapping_add(self.step.wrapping_mul(n.into()));
        }
    }

    /// Takes the first `n` tasks off, of more than `n`.
    #[must_use]
    pub fn split_off_first(&mut self, n: u32) -> Self {
        debug_assert!(0 < n && n <= self.more, "{n} of {}", self.n_tasks());
        let mut rest = self.first.clone();
        self.advance(&mut rest, n);
        let first = std::mem::replace(&mut self.first, rest);
        self.more -= n;
        Self { first, more: n - 1, step: self.step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_split_without_loss() {
        let first = Task { seq: 7, input: Input::Number(100), ..Task::default() };
        let whole = Span { first, more: 4, step: 5 };
        let numbers = |span: &Span| {
            let number = |task: Task| match task.input {
                Input::Number(number) => (task.seq, number),
                Input::Text(_) => panic!("numbers were given"),
            };
            span.tasks().map(number).collect::<Vec<_>>()
        };
        let all = [(7, 100), (8, 105), (9, 110), (10, 115), (11, 120)];
        assert_eq!(numbers(&whole), all);
        for n in 1..5 {
            let mut rest = whole.clone();
            let first = rest.split_off_first(n);
            assert_eq!([numbers(&first), numbers(&rest)].concat(), all);
        }
    }
}

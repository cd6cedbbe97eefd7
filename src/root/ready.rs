//! Tasks pulled from their sources and not yet handed out, for one pool: the bounded look-ahead
//! within which the longest go first.

use std::collections::VecDeque;

use super::near::Near;
use crate::message::{Rank, Span, Task};

/// Tasks that wait to be handed out.
#[derive(Debug)]
pub(super) enum Ready {
    /// For whoever has room: longest expected first, in the order of the job among equals.
    Shared(Shared),
    /// Under a static schedule, each for the rank that its place decided.
    Assigned(Assigned),
}

impl Ready {
    pub(super) fn push(&mut self, span: Span) {
        match self {
            Self::Shared(Shared { near, .. }) if span.first.near != 0 => {
                span.tasks().for_each(|task| near.push(task));
            }
            Self::Shared(Shared { any, .. }) => any.push(span),
            Self::Assigned(queues) => span.tasks().for_each(|task| queues.push(task)),
        }
    }

    /// Adds a task that this rank asks for.
    pub(super) fn push_for(&mut self, rank: Rank, task: Task) {
        match self {
            Self::Shared(_) => self.push(task.into()),
            Self::Assigned(queues) => queues.push_for(rank, task),
        }
    }

    /// The task that `rank` would get next.
    pub(super) fn peek(&self, rank: Rank) -> Option<&Task> {
        match self {
            Self::Shared(Shared { near, any }) => near.peek(rank).or_else(|| any.peek()),
            Self::Assigned(queues) => queues.by_rank[rank.idx()].front(),
        }
    }

    /// That task, and those in a row with it: `most` at most, one at least.
    pub(super) fn pop(&mut self, rank: Rank, most: u32) -> Option<Span> {
        match self {
            Self::Shared(Shared { near, any }) => {
                near.pop(rank).map(Span::from).or_else(|| any.pop(most))
            }
            Self::Assigned(queues) => {
                let task = queues.by_rank[rank.idx()].pop_front()?;
                queues.len -= 1;
                Some(task.into())
            }
        }
    }

    /// Takes out the tasks that match.
    pub(super) fn take_if(&mut self, matches: &dyn Fn(&Task) -> bool) -> Vec<Task> {
        match self {
            Self::Shared(Shared { near, any }) => {
                let mut taken = near.take_if(matches);
                taken.extend(any.take_if(matches));
                taken
            }
            Self::Assigned(queues) => {
                let taken: Vec<Task> =
                    queues.by_rank.iter_mut().flat_map(|queue| take_if(queue, matches)).collect();
                queues.len -= taken.len();
                taken
            }
        }
    }

    /// Ranks have other numbers of threads now: what waits for one that has none goes to others.
    pub(super) fn deal_anew(&mut self, threads: &[u32]) {
        match self {
            Self::Shared(Shared { near, .. }) => near.deal_anew(threads),
            Self::Assigned(queues) => queues.deal_anew(threads),
        }
    }

    /// Lets those with the least to do help ranks that do not keep up with what waits for them:
    /// [`Near::spread`].
    pub(super) fn spread(&mut self, held: impl Fn(usize) -> usize, cores: impl Fn(usize) -> usize) {
        if let Self::Shared(Shared { near, .. }) = self {
            near.spread(held, cores);
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Shared(Shared { near, any }) => near.len() + any.len,
            Self::Assigned(queues) => queues.len,
        }
    }
}

/// Takes those that match out of a queue.
pub(super) fn take_if(queue: &mut VecDeque<Task>, matches: &dyn Fn(&Task) -> bool) -> Vec<Task> {
    let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(queue).into_iter().partition(matches);
    *queue = left.into();
    taken
}

/// What goes to whoever has room, and what would rather go where others like it went.
#[derive(Debug, Default)]
pub(super) struct Shared {
    near: Near,
    any: ByCost,
}

impl Shared {
    /// `threads` of each rank.
    pub(super) fn new(threads: &[u32]) -> Self {
        Self { near: Near::new(threads), any: ByCost::default() }
    }
}

/// Queues by class of cost, two classes a power of two: first in, first out within a factor of
/// 1.5, and constant time for millions of tasks a second, where a heap would take a logarithm.
#[derive(Debug, Default)]
pub(super) struct ByCost {
    classes: Vec<VecDeque<Span>>,
    highest: usize,
    /// Tasks, however many are in a row.
    len: usize,
}

/// Costs below a microsecond are one class: their order does not matter.
const SMALLEST_COST: f32 = 1e-6;

fn class_of(cost: f32) -> usize {
    // The exponent and the first bit of the mantissa of an IEEE 754 single.
    let class = |cost: f32| (cost.to_bits() >> 22) as usize;
    class(cost.max(SMALLEST_COST)) - class(SMALLEST_COST)
}

impl ByCost {
    fn push(&mut self, span: Span) {
        let class = class_of(span.first.cost);
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, VecDeque::new);
        }
        self.highest = self.highest.max(class);
        self.len += span.n_tasks() as usize;
        self.classes[class].push_back(span);
    }

    fn peek(&self) -> Option<&Task> {
        self.classes.get(self.highest)?.front().map(|span| &span.first)
    }

    fn pop(&mut self, most: u32) -> Option<Span> {
        let class = self.classes.get_mut(self.highest)?;
        let span = match class.front_mut()? {
            span if span.n_tasks() > most => span.split_off_first(most),
            _ => class.pop_front()?,
        };
        self.len -= span.n_tasks() as usize;
        self.find_highest();
        Some(span)
    }

    fn find_highest(&mut self) {
        while self.highest > 0 && self.classes[self.highest].is_empty() {
            self.highest -= 1;
        }
    }

    /// Takes out the tasks that match; those that are left of a row stand alone from then on.
    fn take_if(&mut self, matches: &dyn Fn(&Task) -> bool) -> Vec<Task> {
        let mut taken = Vec::new();
        for class in &mut self.classes {
            for span in std::mem::take(class) {
                let (out, left): (Vec<_>, Vec<_>) = span.tasks().partition(matches);
                if out.is_empty() {
                    class.push_back(span);
                } else {
                    class.extend(left.into_iter().map(Span::from));
                    taken.extend(out);
                }
            }
        }
        self.len -= taken.len();
        self.find_highest();
        taken
    }
}

/// Blocks of tasks dealt to ranks in turn, a rank with more threads more often.
#[derive(Debug)]
pub(super) struct Assigned {
    by_rank: Vec<VecDeque<Task>>,
    /// The ranks in turn, each as often as it has threads.
    turns: Vec<Rank>,
    block: u64,
    n_pushed: u64,
    len: usize,
}

impl Assigned {
    /// `threads` of each rank, at least one of them above 0; `block` tasks go to one rank.
    pub(super) fn new(threads: &[u32], block: u64) -> Self {
        let turns = threads.iter().enumerate();
        let turns = turns.flat_map(|(idx, &n)| std::iter::repeat_n(Rank::at(idx), n as usize));
        Self {
            by_rank: threads.iter().map(|_| VecDeque::new()).collect(),
            turns: turns.collect(),
            block,
            n_pushed: 0,
            len: 0,
        }
    }

    fn deal_anew(&mut self, threads: &[u32]) {
        let mut fresh = Self::new(threads, self.block);
        if fresh.turns.is_empty() {
            return;
        }
        for (idx, queue) in std::mem::take(&mut self.by_rank).into_iter().enumerate() {
            if threads[idx] > 0 {
                fresh.len += queue.len();
                fresh.by_rank[idx].extend(queue);
            } else {
                for task in queue {
                    fresh.push(task);
                }
            }
        }
        *self = fresh;
    }

    fn push(&mut self, task: Task) {
        let turn = self.n_pushed / self.block % self.turns.len() as u64;
        let turn = usize::try_from(turn).expect("less than the number of turns");
        self.push_for(self.turns[turn], task);
        self.n_pushed += 1;
    }

    fn push_for(&mut self, rank: Rank, task: Task) {
        self.by_rank[rank.idx()].push_back(task);
        self.len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Input;

    fn task(seq: u64, cost: f32) -> Task {
        let input = Input::Number(seq);
        let (table, earlier_attempts, occurrence, history, limit) = (0, 0, 0, None, None);
        Task { seq, table, earlier_attempts, occurrence, cost, near: 0, history, limit, input }
    }

    fn drain(ready: &mut Ready, rank: Rank) -> Vec<u64> {
        std::iter::from_fn(|| ready.pop(rank, 1)).map(|span| span.first.seq).collect()
    }

    #[test]
    fn longest_go_first_and_equals_in_order() {
        let mut ready = Ready::Shared(Shared::new(&[1; 8]));
        for (seq, cost) in [(0, 1.0), (1, 8.0), (2, 1e-9), (3, 8.0), (4, 0.0), (5, 100.0)] {
            ready.push(task(seq, cost).into());
        }
        assert_eq!(ready.peek(Rank(3)).map(|task| task.seq), Some(5));
        assert_eq!(drain(&mut ready, Rank(0)), [5, 1, 3, 0, 2, 4]);
        assert_eq!(ready.len(), 0);
        ready.push(task(6, 0.5).into());
        assert_eq!(drain(&mut ready, Rank(0)), [6]);
    }

    #[test]
    fn odd_costs_have_a_class() {
        for cost in [f32::NAN, -1.0, f32::MIN_POSITIVE, f32::INFINITY] {
            assert!(class_of(cost) < 1024, "{cost}");
        }
    }

    #[test]
    fn blocks_are_dealt_by_threads() {
        let mut ready = Ready::Assigned(Assigned::new(&[1, 0, 2], 2));
        (0..12).for_each(|seq| ready.push(task(seq, 1.0).into()));
        assert_eq!(drain(&mut ready, Rank(0)), [0, 1, 6, 7]);
        assert!(drain(&mut ready, Rank(1)).is_empty());
        assert_eq!(drain(&mut ready, Rank(2)), [2, 3, 4, 5, 8, 9, 10, 11]);
    }
}

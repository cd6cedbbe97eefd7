//! Tasks that go where others like them went, such as a host's pages: connections stay open
//! there, and what is known of the host stays warm.
//!
//! **Invariant:** a task waits for its own rank only while that rank keeps up.

use std::collections::VecDeque;

use crate::message::{Rank, Task};

/// A rank keeps up while it holds no more than so many such tasks for each core.
const HELD_A_CORE: usize = 8;

/// Tasks by the rank that they wait for.
#[derive(Debug, Default)]
pub(super) struct Near {
    by_rank: Vec<VecDeque<Task>>,
    /// The ranks that have threads.
    homes: Vec<Rank>,
    len: usize,
}

impl Near {
    /// `threads` of each rank.
    pub(super) fn new(threads: &[u32]) -> Self {
        let ranks = threads.iter().enumerate().filter(|(_, n)| **n > 0);
        Self {
            by_rank: threads.iter().map(|_| VecDeque::new()).collect(),
            homes: ranks.map(|(idx, _)| Rank::at(idx)).collect(),
            len: 0,
        }
    }

    pub(super) fn push(&mut self, task: Task) {
        let home = task.near as usize % self.homes.len().max(1);
        let home = self.homes.get(home).map_or(0, |home| home.idx());
        self.by_rank[home].push_back(task);
        self.len += 1;
    }

    pub(super) fn peek(&self, rank: Rank) -> Option<&Task> {
        self.by_rank[rank.idx()].front()
    }

    pub(super) fn pop(&mut self, rank: Rank) -> Option<Task> {
        let task = self.by_rank[rank.idx()].pop_front()?;
        self.len -= 1;
        Some(task)
    }

    /// Takes out the tasks that match.
    pub(super) fn take_if(&mut self, matches: &dyn Fn(&Task) -> bool) -> Vec<Task> {
        let queues = self.by_rank.iter_mut();
        let taken: Vec<_> =
            queues.flat_map(|queue| super::ready::take_if(queue, matches)).collect();
        self.len -= taken.len();
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Gives what waits for ranks that do not keep up to those with the least to do. `held`:
    /// what each rank holds already; `cores`: how many it has.
    pub(super) fn spread(&mut self, held: impl Fn(usize) -> usize, cores: impl Fn(usize) -> usize) {
        if self.len == 0 || self.homes.len() < 2 {
            return;
        }
        let load = |near: &Self, idx: usize| held(idx) + near.by_rank[idx].len();
        let is_full = |near: &Self, idx: usize| load(near, idx) > HELD_A_CORE * cores(idx).max(1);
        for home in self.homes.clone() {
            while !self.by_rank[home.idx()].is_empty() && is_full(self, home.idx()) {
                let ranks = self.homes.iter().map(|rank| rank.idx());
                let least = ranks.min_by_key(|&idx| load(self, idx)).expect("there are two");
                if least == home.idx() || load(self, least) + 1 >= load(self, home.idx()) {
                    break;
                }
                let task = self.by_rank[home.idx()].pop_back().expect("it is not empty");
                self.by_rank[least].push_back(task);
            }
        }
    }

    /// Ranks have other numbers of threads now.
    pub(super) fn deal_anew(&mut self, threads: &[u32]) {
        let old = std::mem::replace(self, Self::new(threads));
        old.by_rank.into_iter().flatten().for_each(|task| self.push(task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(threads: &[u32], tasks: &[u32]) -> Near {
        let mut near = Near::new(threads);
        for &near_to in tasks {
            near.push(Task { near: near_to, ..Task::default() });
        }
        near
    }

    fn lengths(near: &Near) -> Vec<usize> {
        near.by_rank.iter().map(VecDeque::len).collect()
    }

    #[test]
    fn what_is_alike_goes_to_one_rank_that_has_threads() {
        let mut near = near(&[0, 4, 4], &[6, 6, 7, 6]);
        assert_eq!(lengths(&near), [0, 3, 1]);
        near.deal_anew(&[0, 0, 4]);
        assert_eq!(lengths(&near), [0, 0, 4]);
        near.deal_anew(&[0, 0, 0]);
        assert_eq!((near.len(), lengths(&near)), (4, vec![4, 0, 0]), "none is lost");
    }

    #[test]
    fn a_rank_that_does_not_keep_up_gets_help() {
        let mut one_host = near(&[4, 4], &[2; 20]);
        one_host.spread(|_| 0, |_| 4);
        assert_eq!(lengths(&one_host), [20, 0], "it keeps up");
        one_host.spread(|_| 0, |_| 1);
        assert_eq!(lengths(&one_host), [10, 10]);
        let mut busy = near(&[4, 4], &[2; 20]);
        busy.spread(|idx| [0, 18][idx], |_| 1);
        assert_eq!(lengths(&busy), [19, 1], "the other one has its own");
        let mut alone = near(&[4], &[2; 20]);
        alone.spread(|_| 100, |_| 1);
        assert_eq!(lengths(&alone), [20]);
    }
}

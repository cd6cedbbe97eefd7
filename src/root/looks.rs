//! Which ranks a turn looks at: those that may have room for more, of one pool.
//!
//! **Invariant:** a rank that is passed over was full when last looked at, and has ended nothing
//! since. That what its tasks are thought to take has changed meanwhile is seen some turns later.

use crate::message::Rank;

/// Of those found full, so many have another look in each turn.
const AGAIN: usize = 8;

#[derive(Debug)]
pub(super) struct Looks {
    n_ranks: usize,
    /// A bit a rank.
    open: Vec<u64>,
    /// Who has the next look again.
    next: usize,
}

impl Looks {
    /// All of so many ranks may have room.
    pub(super) fn new(n_ranks: usize) -> Self {
        let mut looks = Self { n_ranks, open: vec![0; n_ranks.div_ceil(64)], next: 0 };
        (0..n_ranks).for_each(|idx| looks.open(Rank::at(idx)));
        looks
    }

    /// A turn begins.
    pub(super) fn turn(&mut self) {
        for _ in 0..self.n_ranks.min(AGAIN) {
            self.open(Rank::at(self.next));
            self.next = (self.next + 1) % self.n_ranks;
        }
    }

    /// A rank may have room.
    pub(super) fn open(&mut self, rank: Rank) {
        self.open[rank.idx() / 64] |= 1 << (rank.idx() % 64);
    }

    /// A rank is full.
    pub(super) fn close(&mut self, rank: Rank) {
        self.open[rank.idx() / 64] &= !(1 << (rank.idx() % 64));
    }

    /// The first rank from `start` on to look at.
    pub(super) fn first_from(&self, start: usize) -> Option<Rank> {
        let mut word = start / 64;
        let mut bits = self.open.get(word)? & (u64::MAX << (start % 64));
        while bits == 0 {
            word += 1;
            bits = *self.open.get(word)?;
        }
        Some(Rank::at(word * 64 + bits.trailing_zeros() as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(looks: &Looks) -> Vec<usize> {
        let next = |start: usize| looks.first_from(start).map(Rank::idx);
        std::iter::successors(next(0), |idx| next(idx + 1)).collect()
    }

    #[test]
    fn who_is_full_is_passed_over_until_something_ends() {
        let mut looks = Looks::new(3);
        looks.close(Rank::at(1));
        assert_eq!(open(&looks), [0, 2]);
        looks.open(Rank::at(1));
        assert_eq!(open(&looks), [0, 1, 2]);
        assert_eq!(open(&Looks::new(0)), [0; 0]);
    }

    #[test]
    fn each_of_many_has_a_look_again() {
        let mut looks = Looks::new(150);
        assert_eq!(open(&looks), (0..150).collect::<Vec<_>>());
        (0..150).for_each(|idx| looks.close(Rank::at(idx)));
        assert_eq!(open(&looks), [0; 0]);
        looks.turn();
        assert_eq!(open(&looks), (0..8).collect::<Vec<_>>());
        (1..150_usize.div_ceil(8)).for_each(|_| looks.turn());
        assert_eq!(open(&looks), (0..150).collect::<Vec<_>>());
    }
}

//! Which tasks of a chunk have their outcome.

/// A flag for each of some numbers, from 0. Chunks of a few tasks go out up to a million times a
/// second: up to 64 flags need no allocation.
#[derive(Debug)]
pub(super) enum Marks {
    Few(u64),
    Many(Box<[u64]>),
}

const WORD: u32 = u64::BITS;

impl Marks {
    /// Of the numbers below `n`, none marked.
    pub(super) fn new(n: u32) -> Self {
        if n <= WORD { Self::Few(0) } else { Self::Many(vec![0; n.div_ceil(WORD) as usize].into()) }
    }

    /// Marks a number; false if it was marked.
    pub(super) fn set(&mut self, idx: u32) -> bool {
        let (word, bit) = match self {
            Self::Few(word) => (word, idx),
            Self::Many(words) => (&mut words[(idx / WORD) as usize], idx % WORD),
        };
        let before = *word;
        *word |= 1 << bit;
        before != *word
    }

    /// Whether a number is marked.
    pub(super) fn has(&self, idx: u32) -> bool {
        let (word, bit) = match self {
            Self::Few(word) => (*word, idx),
            Self::Many(words) => (words[(idx / WORD) as usize], idx % WORD),
        };
        word & 1 << bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_marked_once() {
        for n in [1, 64, 65, 200] {
            let mut marks = Marks::new(n);
            for idx in (0..n).rev() {
                assert!(!marks.has(idx) && marks.set(idx) && marks.has(idx) && !marks.set(idx));
            }
        }
    }
}

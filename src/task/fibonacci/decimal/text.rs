//! Limbs as decimal digits.

use rayon::prelude::*;

use super::Decimal;
use super::limbs::{Base, Limb};

/// Limbs that a thread writes at a time.
const PART: usize = 1 << 14;

impl Decimal {
    /// How many digits [`Self::write`] appends.
    pub(in crate::task::fibonacci) fn n_digits(&self) -> usize {
        let Self { limbs, base, .. } = self;
        for idx in (0..limbs.len()).rev() {
            let group = Borrow::before(limbs, idx).group(limbs[idx], *base);
            if let Some(log) = group.checked_ilog10() {
                return idx * base.n_digits as usize + log as usize + 1;
            }
        }
        0
    }

    /// Appends all digits.
    pub(in crate::task::fibonacci) fn write(&self, text: &mut Vec<u8>) {
        let Self { limbs, base, .. } = self;
        let start = text.len();
        text.resize(start + self.n_digits(), b'0');
        let group_len = base.n_digits as usize;
        text[start..].par_rchunks_mut(PART * group_len).enumerate().for_each(|(part, text)| {
            let mut borrow = Borrow::before(limbs, part * PART);
            for (digits, limb) in text.rchunks_mut(group_len).zip(&limbs[part * PART..]) {
                put(digits, borrow.group(*limb, *base));
            }
        });
    }
}

/// Whether limbs so far were below zero together.
struct Borrow(bool);

impl Borrow {
    /// Of the limbs before `idx`: the highest that is not zero decides.
    fn before(limbs: &[Limb], idx: usize) -> Self {
        Self(limbs[..idx].iter().rev().find(|limb| **limb != 0).is_some_and(|limb| *limb < 0))
    }

    /// The digits of the next limb.
    fn group(&mut self, limb: Limb, base: Base) -> u32 {
        let limb = limb - Limb::from(self.0);
        self.0 = limb < 0;
        (if self.0 { limb + base.value() } else { limb }).unsigned_abs()
    }
}

/// The last digits of a number, as many as there is room for.
fn put(digits: &mut [u8], mut number: u32) {
    for pair in digits.rchunks_mut(2) {
        let [tens, ones] = PAIRS[(number % 100) as usize];
        number /= 100;
        match pair {
            [first, second] => (*first, *second) = (tens, ones),
            [only] => *only = ones,
            _ => unreachable!("pairs"),
        }
    }
}

/// `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut tens = 0;
    while tens < 10 {
        let mut ones = 0;
        while ones < 10 {
            pairs[10 * tens + ones] = [b"0123456789"[tens], b"0123456789"[ones]];
            ones += 1;
        }
        tens += 1;
    }
    pairs
};

//! Limbs: decimal digits in groups, of either sign.
//!
//! A number is the sum of limb j times base^j; limbs lie between minus half the base and half
//! the base, so that those of products have no sign to speak of and stay small.

use crate::task::fibonacci::term;

/// A group of digits.
pub(super) type Limb = i32;

/// Terms up to this n have limbs of five digits; longer ones, whose numbers would be off whole
/// ones by more than 0.1, have four.
const LAST_OF_FIVE: u64 = 4_000_000_000;

/// How many decimal digits a limb has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) n_digits: u32,
}

impl Base {
    /// That of the computation of F(n).
    pub(super) fn of_term(n: u64) -> Self {
        Self { n_digits: if n <= LAST_OF_FIVE { 5 } else { 4 } }
    }

    /// 100,000 for limbs of five digits.
    pub(super) fn value(self) -> Limb {
        Limb::pow(10, self.n_digits)
    }

    /// Limbs of F(n), or a few more.
    pub(super) fn limbs_of_term(self, n: u64) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "it is in memory")]
        #[allow(clippy::cast_sign_loss, reason = "a term has no fewer than no digits")]
        let n_digits = term::digits(n) as usize;
        n_digits / self.n_digits as usize + 3
    }
}

/// A number of up to 38 digits.
pub(super) fn of(mut number: u128, base: Base) -> Vec<Limb> {
    let value = base.value();
    let divisor = u128::from(value.unsigned_abs());
    let mut limbs = Vec::new();
    while number > 0 {
        let rest = Limb::try_from(number % divisor).expect("below the base");
        let limb = if rest > value / 2 { rest - value } else { rest };
        number = number / divisor + u128::from(limb < 0);
        limbs.push(limb);
    }
    limbs
}

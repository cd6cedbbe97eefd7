//! A large term's decimal digits, in pieces, so that a time limit is looked at in between.
//!
//! Divide and conquer as GMP does it: by powers of ten that are repeated squares, the upper
//! half's digits before the lower half's. Pieces of [`PIECE`] digits are GMP's. It takes 3 to
//! 5 % longer than GMP alone, and no more memory.
//!
//! **Invariant:** pure arithmetic.

use rug::integer::IntegerExt64 as _;
use rug::{Assign, Integer};

/// Digits up to which a piece is GMP's: about a millisecond.
const PIECE: u64 = 1 << 16;

/// A power of ten without its factors of two: 10^exponent = five * 2^exponent.
struct Power {
    exponent: u64,
    five: Integer,
}

/// The digits of `term`; `check` is asked between steps, and its error ends the conversion.
///
/// The longest step is the first division, a sixth of the whole.
pub(super) fn digits<E>(term: Integer, check: impl Fn() -> Result<(), E>) -> Result<String, E> {
    let n_digits = most_digits(&term);
    let (mut piece, mut n_levels) = (n_digits, 0);
    while piece > PIECE {
        piece = piece.div_ceil(2);
        n_levels += 1;
    }
    let text = String::with_capacity(usize::try_from(n_digits).expect("it is in memory"));
    let powers = powers(piece, n_levels, &check)?;
    let mut pieces = Pieces { powers, check, text };
    pieces.write(term, n_levels)?;
    Ok(pieces.text)
}

/// Digits of `term`, or one more.
fn most_digits(term: &Integer) -> u64 {
    let n_bits = term.significant_digits::<bool>() as f64;
    #[allow(clippy::cast_possible_truncation, reason = "digits are fewer than bits")]
    #[allow(clippy::cast_sign_loss, reason = "a number of bits has no sign")]
    let n_digits = n_bits.mul_add(std::f64::consts::LOG10_2, 2.0) as u64;
    n_digits
}

/// Powers of ten: `piece`, then twice as many zeros each, `n` of them.
fn powers<E>(piece: u64, n: usize, check: &impl Fn() -> Result<(), E>) -> Result<Vec<Power>, E> {
    let piece = u32::try_from(piece).expect("a piece is small");
    let mut powers: Vec<Power> = Vec::with_capacity(n);
    for _ in 0..n {
        check()?;
        let next = match powers.last() {
            None => {
                Power { exponent: piece.into(), five: Integer::from(Integer::u_pow_u(5, piece)) }
            }
            Some(Power { exponent, five }) => {
                Power { exponent: 2 * exponent, five: Integer::from(five.square_ref()) }
            }
        };
        powers.push(next);
    }
    Ok(powers)
}

struct Pieces<C> {
    powers: Vec<Power>,
    check: C,
    text: String,
}

impl<E, C: Fn() -> Result<(), E>> Pieces<C> {
    /// Appends the digits of `part`, which is below the square of the power below `level`; with
    /// all their zeros, unless they are the first.
    fn write(&mut self, mut part: Integer, level: usize) -> Result<(), E> {
        (self.check)()?;
        let Some(level) = level.checked_sub(1) else {
            self.write_piece(&part);
            return Ok(());
        };
        let (upper, lower) = {
            let Power { exponent, five } = &self.powers[level];
            let twos = usize::try_from(*exponent).expect("it is in memory");
            let shifted = Integer::from(&part >> twos);
            part.keep_bits_64_mut(*exponent);
            let (mut upper, mut rest) = (Integer::new(), Integer::new());
            (&mut upper, &mut rest).assign(shifted.div_rem_ref(five));
            rest <<= twos;
            part += rest;
            (upper, part)
        };
        self.write(upper, level)?;
        self.write(lower, level)
    }

    fn write_piece(&mut self, part: &Integer) {
        let digits = part.to_string_radix(10);
        if !self.text.is_empty() {
            let width = self.powers.first().map_or(0, |power| power.exponent);
            let n_zeros = usize::try_from(width).expect("a piece is small") - digits.len();
            self.text.extend(std::iter::repeat_n('0', n_zeros));
        } else if digits == "0" {
            // The estimate of digits may leave the first pieces empty.
            return;
        }
        self.text.push_str(&digits);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    fn whole(term: &Integer) -> String {
        digits(term.clone(), || Ok::<(), Infallible>(())).unwrap()
    }

    #[test]
    fn digits_are_those_of_gmp() {
        for n in [186, 1000, 313_000, 314_000, 1_000_000, 1_234_567] {
            let term = Integer::from(Integer::fibonacci(n));
            assert!(whole(&term) == term.to_string_radix(10), "F({n})");
        }
    }

    #[test]
    fn zeros_between_pieces_are_kept() {
        for exponent in [65_535, 65_536, 131_072, 262_143, 262_144, 400_000] {
            let power = Integer::from(Integer::u_pow_u(10, exponent));
            for term in [power.clone() - 1, power.clone(), power + 1] {
                assert!(whole(&term) == term.to_string_radix(10), "around 10^{exponent}");
            }
        }
    }

    #[test]
    fn every_check_can_end_it() {
        let term = Integer::from(Integer::fibonacci(2_000_000));
        let n_checks = Cell::new(0);
        let count = |limit: u32| {
            let n_checks = &n_checks;
            move || {
                n_checks.set(n_checks.get() + 1);
                if n_checks.get() > limit { Err(()) } else { Ok(()) }
            }
        };
        digits(term.clone(), count(u32::MAX)).unwrap();
        let all = n_checks.replace(0);
        assert!(all >= 15, "only {all} checks");
        for limit in 0..all {
            assert_eq!(digits(term.clone(), count(limit)), Err(()));
            assert_eq!(n_checks.replace(0), limit + 1);
        }
    }
}

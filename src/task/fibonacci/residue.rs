//! F(n) modulo m, for any n of 64 bits.
//!
//! By doubling from n's leading bits. The odd part of m by Montgomery's multiplication, which
//! needs no division; the power of two by machine words; both together by the Chinese remainder
//! theorem. (With divisions of 128 bits it takes several times longer.)
//!
//! **Invariant:** pure arithmetic.

use super::term;

/// Where the doubling starts: F(k + 1) is below 2^64.
const LARGEST_START: u64 = 92;

/// F(n) mod m, for m from 1.
pub(super) fn of(n: u64, m: u64) -> u64 {
    let n_twos = m.trailing_zeros();
    let odd = Odd::new(m >> n_twos);
    let of_odd = odd.plain(double(&odd, n));
    if n_twos == 0 {
        return of_odd;
    }
    // Of the numbers that are right modulo the odd part, the one that is so modulo 2^n_twos.
    let n_steps = double(&Word, n).wrapping_sub(of_odd).wrapping_mul(odd.inverse);
    of_odd + odd.modulus * (n_steps & ((1 << n_twos) - 1))
}

/// Numbers modulo something.
trait Ring {
    fn of(&self, number: u64) -> u64;
    fn add(&self, a: u64, b: u64) -> u64;
    fn subtract(&self, a: u64, b: u64) -> u64;
    fn multiply(&self, a: u64, b: u64) -> u64;
}

/// F(n), by F(2k) = F(k) (2 F(k+1) - F(k)) and F(2k+1) = F(k)² + F(k+1)².
fn double(ring: &impl Ring, n: u64) -> u64 {
    let n_steps = (0..64).find(|step| n >> step <= LARGEST_START).unwrap_or(64);
    let start = |k| {
        let term = term::small(k).and_then(|term| u64::try_from(term).ok());
        ring.of(term.expect("the doubling starts low enough"))
    };
    let (mut at, mut next) = (start(n >> n_steps), start((n >> n_steps) + 1));
    for step in (0..n_steps).rev() {
        let even = ring.multiply(at, ring.subtract(ring.add(next, next), at));
        let odd = ring.add(ring.multiply(at, at), ring.multiply(next, next));
        (at, next) = if n >> step & 1 == 0 { (even, odd) } else { (odd, ring.add(even, odd)) };
    }
    at
}

/// Modulo 2^64.
struct Word;

impl Ring for Word {
    fn of(&self, number: u64) -> u64 {
        number
    }

    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    fn subtract(&self, a: u64, b: u64) -> u64 {
        a.wrapping_sub(b)
    }

    fn multiply(&self, a: u64, b: u64) -> u64 {
        a.wrapping_mul(b)
    }
}

/// Modulo an odd number; x stands as x * 2^64 mod m.
struct Odd {
    modulus: u64,
    /// Of the modulus, modulo 2^64.
    inverse: u64,
    /// 2^128 modulo the modulus.
    square: u64,
}

impl Odd {
    fn new(modulus: u64) -> Self {
        // Right in three bits, then in twice as many each time.
        let inverse = (0..5).fold(modulus, |inverse, _| {
            inverse.wrapping_mul(2_u64.wrapping_sub(modulus.wrapping_mul(inverse)))
        });
        let square = (u128::MAX % u128::from(modulus) + 1) % u128::from(modulus);
        Self { modulus, inverse, square: lower(square) }
    }

    /// x, of which `number` is x * 2^64.
    fn plain(&self, number: u64) -> u64 {
        self.reduce(number.into())
    }

    /// A product below m * 2^64, divided by 2^64.
    fn reduce(&self, product: u128) -> u64 {
        let quotient = lower(product).wrapping_mul(self.inverse);
        let taken = upper(u128::from(quotient) * u128::from(self.modulus));
        self.subtract(upper(product), taken)
    }
}

impl Ring for Odd {
    fn of(&self, number: u64) -> u64 {
        self.multiply(number % self.modulus, self.square)
    }

    fn add(&self, a: u64, b: u64) -> u64 {
        self.subtract(a, self.modulus - b)
    }

    fn subtract(&self, a: u64, b: u64) -> u64 {
        let (difference, is_below) = a.overflowing_sub(b);
        if is_below { difference.wrapping_add(self.modulus) } else { difference }
    }

    fn multiply(&self, a: u64, b: u64) -> u64 {
        self.reduce(u128::from(a) * u128::from(b))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn lower(number: u128) -> u64 {
    number as u64
}

fn upper(number: u128) -> u64 {
    lower(number >> 64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By divisions, from F(0) and F(1).
    fn plainly(n: u64, m: u64) -> u64 {
        let m = u128::from(m);
        let (mut at, mut next) = (0, 1 % m);
        for bit in (0..u64::BITS - n.leading_zeros()).rev() {
            let even = at * ((2 * next + m - at) % m) % m;
            let odd = (at * at % m + next * next % m) % m;
            (at, next) = if n >> bit & 1 == 0 { (even, odd) } else { (odd, (even + odd) % m) };
        }
        lower(at)
    }

    #[test]
    fn every_small_modulus_is_right() {
        for m in 1..300 {
            for n in (0..200).chain([1 << 20, u64::MAX]) {
                assert_eq!(of(n, m), plainly(n, m), "F({n}) mod {m}");
            }
        }
    }

    #[test]
    fn every_power_of_two_is_right() {
        for bit in 0..64 {
            for m in [1 << bit, 3 << bit, u64::MAX << bit, u64::MAX >> bit] {
                if m > 0 {
                    assert_eq!(of(1 << 63, m), plainly(1 << 63, m), "modulo {m}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn remainders_are_those_of_divisions(n in any::<u64>(), m in 1..=u64::MAX) {
            prop_assert_eq!(of(n, m), plainly(n, m));
        }
    }
}

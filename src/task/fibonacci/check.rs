//! Whether a long term is right: its remainders against those of F(n), computed apart from it.
//!
//! The digits themselves are read, as they stand in the record, so that nothing behind them needs
//! to be trusted: not the rounding of a transform, nor a core or a memory that errs. A wrong digit
//! always shows; of worse errors, one in 2^92 does not.
//!
//! **Invariant:** pure arithmetic.

use rayon::prelude::*;
use rug::Integer;

use super::residue;
use crate::task::{ErrorClass, TaskError};

/// Remainders by such primes need no division.
const PRIMES: [Mersenne; 2] = [Mersenne(61), Mersenne(31)];

/// Digits that a thread reads at a time.
const PART: usize = 1 << 17;

/// Digits read at once: what a machine word holds.
const GROUP: usize = 16;

/// 10^[`GROUP`] and 10^[`PART`] by each prime.
const POWERS: [[u64; 2]; 2] = [
    [PRIMES[0].power_of_ten(GROUP), PRIMES[1].power_of_ten(GROUP)],
    [PRIMES[0].power_of_ten(PART), PRIMES[1].power_of_ten(PART)],
];

/// Numbers of a transform that are so far off whole ones may have been rounded to the wrong one.
const MOST_OFF: f64 = 0.4;

/// Fails if a number that should be whole was `farthest` off.
pub(super) fn rounding(n: u64, farthest: f64) -> Result<(), TaskError> {
    if farthest < MOST_OFF {
        return Ok(());
    }
    Err(wrong(n, &format!("a number that should be whole is off by {farthest:.2}")))
}

/// Fails unless these digits have the remainders of F(n).
pub(super) fn decimal(n: u64, digits: &[u8]) -> Result<(), TaskError> {
    let parts: Vec<_> = if digits.len() <= PART {
        vec![remainders(digits)]
    } else {
        digits.par_rchunks(PART).map(remainders).collect()
    };
    for (idx, prime) in PRIMES.into_iter().enumerate() {
        let upper_first = parts.iter().rev().map(|part| part[idx]);
        let whole = upper_first.fold(0, |whole, part| prime.append(whole, POWERS[1][idx], part));
        compare(n, prime, whole)?;
    }
    Ok(())
}

/// Fails unless this number has the remainders of F(n).
pub(super) fn binary(n: u64, number: &Integer) -> Result<(), TaskError> {
    for prime in PRIMES {
        let remainder = Integer::from(number % prime.value());
        compare(n, prime, remainder.to_u64().expect("a remainder is below a machine word"))?;
    }
    Ok(())
}

fn compare(n: u64, prime: Mersenne, remainder: u64) -> Result<(), TaskError> {
    let expected = residue::of(n, prime.value());
    if remainder == expected {
        return Ok(());
    }
    let Mersenne(exponent) = prime;
    Err(wrong(n, &format!("it is {remainder} modulo 2^{exponent} - 1 in place of {expected}")))
}

fn wrong(n: u64, why: &str) -> TaskError {
    let way_out = "the machine may be faulty: try it on another";
    let message = format!("F({n}) was computed wrongly: {why}; {way_out}");
    TaskError::new(ErrorClass::WrongResult, message)
}

/// Of a number in decimal, by each prime.
fn remainders(digits: &[u8]) -> [u64; PRIMES.len()] {
    let (first, groups) = digits.split_at(digits.len() % GROUP);
    let first =
        first.iter().fold(0, |value, digit| value * 10 + u64::from(digit.wrapping_sub(b'0')));
    let mut remainders = PRIMES.map(|prime| prime.reduce(first.into()));
    for group in groups.chunks_exact(GROUP) {
        let (upper, lower) = group.split_at(GROUP / 2);
        let group = eight(upper) * 100_000_000 + eight(lower);
        for (idx, prime) in PRIMES.into_iter().enumerate() {
            remainders[idx] = prime.append(remainders[idx], POWERS[0][idx], group);
        }
    }
    remainders
}

/// The value of eight digits, pairs at a time.
fn eight(digits: &[u8]) -> u64 {
    let bytes: [u8; 8] = digits.try_into().expect("half a group");
    let ones = u64::from_le_bytes(bytes).wrapping_sub(0x3030_3030_3030_3030);
    let twos = (ones.wrapping_mul(10).wrapping_add(ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul(100).wrapping_add(twos >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xffff_ffff
}

/// The prime 2^k - 1.
#[derive(Clone, Copy)]
struct Mersenne(u32);

impl Mersenne {
    const fn value(self) -> u64 {
        (1 << self.0) - 1
    }

    /// The remainder of a product of two remainders and a machine word: 2^k is 1.
    #[allow(clippy::cast_possible_truncation, reason = "a number that was folded twice is short")]
    const fn reduce(self, number: u128) -> u64 {
        let prime = self.value() as u128;
        let once = (number & prime) + (number >> self.0);
        let twice = ((once & prime) + (once >> self.0)) as u64;
        if twice >= self.value() { twice - self.value() } else { twice }
    }

    /// `upper` * `power` + `lower`.
    const fn append(self, upper: u64, power: u64, lower: u64) -> u64 {
        self.reduce(upper as u128 * power as u128 + lower as u128)
    }

    const fn power_of_ten(self, exponent: usize) -> u64 {
        let (mut power, mut square, mut left) = (1, 10, exponent);
        while left > 0 {
            if left % 2 == 1 {
                power = self.append(power, square, 0);
            }
            square = self.append(square, square, 0);
            left /= 2;
        }
        power
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_those_of_gmp() {
        for n in [187, 1000, 12_345, 700_000, 1_000_000] {
            let term = Integer::from(Integer::fibonacci(n));
            let text = term.to_string_radix(10);
            for (idx, prime) in PRIMES.into_iter().enumerate() {
                let expected = Integer::from(&term % prime.value());
                assert_eq!(remainders(text.as_bytes())[idx], expected, "F({n})");
            }
            decimal(n.into(), text.as_bytes()).unwrap();
            binary(n.into(), &term).unwrap();
        }
    }

    #[test]
    fn a_wrong_digit_shows_wherever_it_is() {
        let text = Integer::from(Integer::fibonacci(700_000)).to_string_radix(10).into_bytes();
        for at in (0..text.len()).step_by(9973).chain([text.len() - 1]) {
            for digit in b'0'..=b'9' {
                let mut text = text.clone();
                let is_right = std::mem::replace(&mut text[at], digit) == digit;
                assert_eq!(decimal(700_000, &text).is_ok(), is_right);
            }
        }
        decimal(700_000, &text[1..]).unwrap_err();
        decimal(700_000, &[&text[..], b"0"].concat()).unwrap_err();
    }

    #[test]
    fn the_error_says_what_to_do() {
        let error = decimal(1000, b"43").unwrap_err();
        assert_eq!(error.class, ErrorClass::WrongResult);
        let expected = residue::of(1000, Mersenne(61).value());
        assert_eq!(
            error.message,
            format!(
                "F(1000) was computed wrongly: it is 43 modulo 2^61 - 1 in place of {expected}; \
                 the machine may be faulty: try it on another"
            )
        );
    }

    #[test]
    fn what_is_far_off_is_refused() {
        rounding(1000, 0.01).unwrap();
        let error = rounding(1000, 0.5).unwrap_err();
        assert!(error.message.contains("should be whole is off by 0.50; "), "{error}");
    }

    #[test]
    fn reducing_is_exact_at_its_limits() {
        for prime in PRIMES {
            let p = u128::from(prime.value());
            let most = (p - 1) * (p - 1) + 10_u128.pow(16);
            for number in [0, 1, p - 1, p, p + 1, 2 * p, p * p, p * (p + 1), most] {
                assert_eq!(u128::from(prime.reduce(number)), number % p);
            }
        }
    }
}

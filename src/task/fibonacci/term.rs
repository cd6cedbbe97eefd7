//! Terms of the Fibonacci sequence: F(0) = 0, F(1) = 1, F(n) = F(n-1) + F(n-2).
//!
//! Pure arithmetic: machine words up to n = 186, beyond that GMP's integers by doubling.

use rug::{Assign, Integer};

/// The largest n whose term fits into 128 bits.
pub(super) const LAST_SMALL: u64 = 186;

/// F(0) to F(186).
static SMALL: [u128; 187] = {
    let mut terms = [0; 187];
    terms[1] = 1;
    let mut n = 2;
    while n < terms.len() {
        terms[n] = terms[n - 1] + terms[n - 2];
        n += 1;
    }
    terms
};

/// F(n), if it fits into 128 bits.
pub(super) fn small(n: u64) -> Option<u128> {
    SMALL.get(usize::try_from(n).ok()?).copied()
}

/// F(n) for an n whose term fits into memory; the caller has checked that.
///
/// Doubling as in GMP's own `mpz_fib_ui`, two squarings a step and one product at the end:
/// F(2k+1) = 4 F(k)² - F(k-1)² + 2 (-1)^k, F(2k-1) = F(k)² + F(k-1)², and F(2k) is their
/// difference. (It takes the same time, knows n above 2^32, and can stop between steps: `check`
/// is asked there, and its error ends it. The last two steps take most of the time.)
pub(super) fn large<E>(n: u64, check: impl Fn() -> Result<(), E>) -> Result<Integer, E> {
    let n_steps = (n.max(1).ilog2() + 1).saturating_sub(LAST_SMALL.ilog2());
    let mut k = n >> n_steps;
    let Some(n_squarings) = n_steps.checked_sub(1) else {
        return Ok(leading(k, 0));
    };
    // Short terms are not worth an allocation a step; long ones grow as they need it.
    let n_bits = if n < 100_000 { usize::try_from(n).unwrap_or(0) } else { 0 };
    let (at, before) = (leading(k, n_bits), leading(k - 1, n_bits));
    let mut pair = Pair { at, before, spare: Integer::with_capacity(n_bits) };
    for step in (1..=n_squarings).rev() {
        check()?;
        pair.double(k % 2 == 1, n >> step & 1 == 1);
        k = n >> step;
    }
    check()?;
    Ok(pair.last(k % 2 == 1, n % 2 == 1))
}

/// F(k) of the leading bits of an index, with room for `n_bits`.
fn leading(k: u64, n_bits: usize) -> Integer {
    let mut term = Integer::with_capacity(n_bits);
    term.assign(small(k).expect("k has at most seven bits"));
    term
}

/// F(k) and F(k-1) for some k.
struct Pair {
    at: Integer,
    before: Integer,
    spare: Integer,
}

impl Pair {
    /// Goes on to 2k, or to 2k+1 where `up`. `odd` tells whether k is odd.
    fn double(&mut self, odd: bool, up: bool) {
        let Self { at, before, spare } = self;
        spare.assign(at.square_ref());
        at.assign(before.square_ref());
        // Here `spare` is F(k)² and `at` is F(k-1)².
        before.assign(&*spare + &*at);
        *spare <<= 2;
        *spare -= &*at;
        *spare += if odd { -2 } else { 2 };
        // Here `before` is F(2k-1) and `spare` is F(2k+1).
        at.assign(&*spare - &*before);
        if up {
            std::mem::swap(at, before);
            std::mem::swap(at, spare);
        }
    }

    /// F(2k), or F(2k+1) where `up`, by one product:
    /// F(2k) = F(k) (F(k) + 2 F(k-1)), F(2k+1) = (2 F(k) + F(k-1)) (2 F(k) - F(k-1)) + 2 (-1)^k.
    fn last(self, odd: bool, up: bool) -> Integer {
        let Self { mut at, mut before, mut spare } = self;
        if up {
            at <<= 1;
            spare.assign(&at + &before);
            at -= &before;
            drop(before);
            at *= spare;
            at += if odd { -2 } else { 2 };
        } else {
            before <<= 1;
            before += &at;
            drop(spare);
            at *= before;
        }
        at
    }
}

/// Bits of F(n), up to the rounding of a float: n log2(φ) - log2(√5).
pub(super) fn bits(n: u64) -> f64 {
    (n as f64).mul_add(0.694_241_913_630_617_3, -1.160_964_047_443_681).max(0.0).ceil()
}

/// Decimal digits of F(n), up to the rounding of a float: n log10(φ) - log10(√5).
pub(super) fn digits(n: u64) -> f64 {
    (n as f64).mul_add(0.208_987_640_249_978_73, -0.349_485_002_168_009_4).max(1.0).ceil()
}

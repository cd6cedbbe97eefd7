//! Long terms in decimal from the start, so that nothing has to be converted.
//!
//! GMP needs seven times longer to print F(10^8) than to compute it. Here a number is a row of
//! limbs of five decimal digits, and a product is one of complex Fourier transforms of floats
//! ([`transform`]): F(10^8) with its 20,898,764 digits took 0.35 s of a core in place of GMP's
//! 5.4 s, side by side on a busy machine, and threads share the work. (Conversion by several
//! threads on top of GMP would gain no more than their number.)
//!
//! Floats round: with limbs between -50,000 and 50,000, what a number of a transform is off its
//! whole value by grows with their count: 0.01 for F(10^8), 0.05 for F(10^9). That is no proof,
//! so that whoever gathers the digits checks them ([`super::check`]).
//!
//! **Invariant:** pure arithmetic; memory as [`super::memory`] tells.

mod carry;
mod limbs;
mod plan;
mod room;
mod text;
mod transform;

use rustfft::num_complex::Complex64;

use super::term;
use limbs::{Base, Limb};
use plan::Plan;
use room::Numbers;

/// Asked between steps; its error ends the computation.
pub(super) type Check<'a, E> = &'a (dyn Fn() -> Result<(), E> + Sync);

/// Where the doubling starts: F(k + 1) is still a [`term::small`].
const LARGEST_START: u64 = term::LAST_SMALL - 1;

/// A long term.
#[derive(Debug)]
pub(super) struct Decimal {
    limbs: Numbers<Limb>,
    base: Base,
    farthest: f64,
}

impl Decimal {
    /// F(n) for an n above [`term::LAST_SMALL`] whose term fits into memory.
    ///
    /// By doubling, two transforms there and two back a step, one back in the last:
    /// F(2k) = F(k) (2 F(k+1) - F(k)), F(2k+1) = F(k)² + F(k+1)², and F(2k+2) = F(k+1) (2 F(k) +
    /// F(k+1)). The last step takes almost half of the time.
    pub(super) fn term<E: Send>(n: u64, check: Check<'_, E>) -> Result<Self, E> {
        let base = Base::of_term(n);
        let n_steps = (0..64).find(|step| n >> step <= LARGEST_START).unwrap_or(64);
        let mut pair = Pair::start(n >> n_steps, base);
        let mut room = Room::new(Plan::of(base.limbs_of_term(n)).len());
        for step in (1..n_steps).rev() {
            pair.double(n >> step, &mut room, check)?;
        }
        pair.last(n, room, check)
    }

    /// How far off a whole value the numbers of its transforms were at most; by half, they would
    /// be lost.
    pub(super) fn farthest(&self) -> f64 {
        self.farthest
    }

    /// The same, with whatever limbs; for tests of what does not come by itself.
    #[cfg(test)]
    fn of(limbs: Vec<Limb>, base: Base) -> Self {
        Self { limbs: limbs.into(), base, farthest: 0.0 }
    }
}

/// Room for the two transforms of a step: of the last one, and each step uses the beginning.
struct Room([Numbers<Complex64>; 2]);

impl Room {
    fn new(len: usize) -> Self {
        Self([Numbers::new(len), Numbers::new(len)])
    }

    fn of(&mut self, plan: &Plan) -> [&mut [Complex64]; 2] {
        self.0.each_mut().map(|numbers| &mut numbers[..plan.len()])
    }
}

/// F(k) and F(k+1) for some k.
struct Pair {
    limbs: [Numbers<Limb>; 2],
    base: Base,
    farthest: f64,
}

impl Pair {
    fn start(k: u64, base: Base) -> Self {
        let limbs = [k, k + 1].map(|k| {
            limbs::of(term::small(k).expect("the doubling starts low enough"), base).into()
        });
        Self { limbs, base, farthest: 0.0 }
    }

    /// Goes on to `n`, which is 2k or 2k + 1.
    fn double<E: Send>(&mut self, n: u64, room: &mut Room, check: Check<'_, E>) -> Result<(), E> {
        let plan = Plan::of(self.base.limbs_of_term(n + 1));
        let [left, right] = room.of(&plan);
        self.columns(&plan, [left, right], check)?;
        self.limbs = [Numbers::new(0), Numbers::new(0)];
        let numbers = [&mut *left, &mut *right];
        if n.is_multiple_of(2) {
            transform::rows(&plan, numbers, |a, b| [even(a, b), odd(a, b)], 2, check)?;
        } else {
            transform::rows(&plan, numbers, |a, b| [odd(a, b), above(a, b)], 2, check)?;
        }
        self.limbs = [self.limbs(&plan, left, check)?, self.limbs(&plan, right, check)?];
        Ok(())
    }

    /// The same, but F(n) alone, and each thing is dropped as soon as it can be.
    fn last<E: Send>(mut self, n: u64, mut room: Room, check: Check<'_, E>) -> Result<Decimal, E> {
        let plan = Plan::of(self.base.limbs_of_term(n));
        let numbers = room.of(&plan);
        self.columns(&plan, numbers, check)?;
        self.limbs = [Numbers::new(0), Numbers::new(0)];
        let numbers = room.of(&plan);
        if n.is_multiple_of(2) {
            transform::rows(&plan, numbers, |a, b| [even(a, b), b], 1, check)?;
        } else {
            transform::rows(&plan, numbers, |a, b| [odd(a, b), b], 1, check)?;
        }
        let Room([mut numbers, rest]) = room;
        drop(rest);
        let limbs = self.limbs(&plan, &mut numbers[..plan.len()], check)?;
        Ok(Decimal { limbs, base: self.base, farthest: self.farthest })
    }

    fn columns<E: Send>(
        &self,
        plan: &Plan,
        numbers: [&mut [Complex64]; 2],
        check: Check<'_, E>,
    ) -> Result<(), E> {
        for (limbs, numbers) in self.limbs.iter().zip(numbers) {
            transform::columns(plan, limbs, numbers, check)?;
        }
        Ok(())
    }

    fn limbs<E: Send>(
        &mut self,
        plan: &Plan,
        numbers: &mut [Complex64],
        check: Check<'_, E>,
    ) -> Result<Numbers<Limb>, E> {
        transform::columns_back(plan, numbers, check)?;
        check()?;
        let (limbs, farthest) = carry::limbs(plan, numbers, self.base);
        self.farthest = self.farthest.max(farthest);
        Ok(limbs)
    }
}

/// Digits of a limb on the way to F(n).
pub(super) fn limb_digits(n: u64) -> u32 {
    Base::of_term(n).n_digits
}

/// Of F(2k).
fn even(at: Complex64, next: Complex64) -> Complex64 {
    at * (next + next - at)
}

/// Of F(2k+1).
fn odd(at: Complex64, next: Complex64) -> Complex64 {
    at * at + next * next
}

/// Of F(2k+2).
fn above(at: Complex64, next: Complex64) -> Complex64 {
    next * (at + at + next)
}

#[cfg(test)]
mod tests;

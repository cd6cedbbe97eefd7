//! From the numbers of a transform to limbs: rounding and carrying.
//!
//! Every row of numbers is carried along by itself, all rows of a strip at a time; what is left
//! at a row's end is added to the next one's beginning in the end.

use rayon::prelude::*;
use rustfft::num_complex::Complex64;

use super::limbs::{Base, Limb};
use super::plan::{Plan, SIDE};
use super::room::Numbers;
use super::transform;

/// A float to which it is added is rounded to a whole number: 1.5 * 2^52.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// A real and an imaginary part for each row of a strip.
const LANES: usize = 2 * SIDE;

/// The limbs of a product, and how far off a whole value the numbers were at most.
pub(super) fn limbs(plan: &Plan, numbers: &[Complex64], base: Base) -> (Numbers<Limb>, f64) {
    let mut limbs = Numbers::new(2 * plan.len());
    let (low, high) = limbs.split_at_mut(plan.len());
    let size = SIDE * plan.columns;
    let parts = low.par_chunks_exact_mut(size).zip(high.par_chunks_exact_mut(size));
    let strips = numbers.par_chunks_exact(size).zip(parts).with_min_len(transform::grain(plan));
    let ends: Vec<_> = strips
        .map(|(numbers, (low, high))| strip(numbers, plan.columns, base, [low, high]))
        .collect();
    for part in 0..2 {
        let rows = ends.iter().flat_map(|end| end.carries.iter().skip(part).step_by(2));
        for (row, &carry) in rows.enumerate() {
            add(&mut limbs, part * plan.len() + (row + 1) * plan.columns, carry, base);
        }
    }
    let len = limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
    limbs.truncate(len);
    (limbs, ends.iter().map(|end| end.farthest).fold(0.0, f64::max))
}

/// What is left of a strip.
struct End {
    /// Of each row, to be added after it.
    carries: [f64; LANES],
    farthest: f64,
}

/// Rounds and carries along the rows of a strip.
fn strip(
    numbers: &[Complex64],
    n_columns: usize,
    base: Base,
    [low, high]: [&mut [Limb]; 2],
) -> End {
    let base = f64::from(base.value());
    let inverse = 1.0 / base;
    let (mut carries, mut farthest) = ([0.0; LANES], [0.0_f64; LANES]);
    for (column, numbers) in numbers.chunks_exact(SIDE).enumerate() {
        let mut lanes = [0.0; LANES];
        for (row, number) in numbers.iter().enumerate() {
            (lanes[2 * row], lanes[2 * row + 1]) = (number.re, number.im);
        }
        for lane in 0..LANES {
            let whole = (lanes[lane] + ROUNDER) - ROUNDER;
            farthest[lane] = farthest[lane].max((lanes[lane] - whole).abs());
            let sum = whole + carries[lane];
            carries[lane] = (sum * inverse + ROUNDER) - ROUNDER;
            lanes[lane] = sum - carries[lane] * base;
        }
        for row in 0..SIDE {
            low[row * n_columns + column] = limb(lanes[2 * row]);
            high[row * n_columns + column] = limb(lanes[2 * row + 1]);
        }
    }
    End { carries, farthest: farthest.into_iter().fold(0.0, f64::max) }
}

/// A whole number of at most half the base.
#[allow(clippy::cast_possible_truncation, reason = "limbs are far below 2^31")]
fn limb(number: f64) -> Limb {
    number as Limb
}

/// Adds to the limb at `at`, and to those after it what it cannot hold.
fn add(limbs: &mut [Limb], at: usize, mut carry: f64, base: Base) {
    let base = f64::from(base.value());
    for to in limbs.iter_mut().skip(at) {
        if carry == 0.0 {
            return;
        }
        let sum = f64::from(*to) + carry;
        carry = (sum / base).round();
        *to = limb(sum - carry * base);
    }
}

//! Products of long numbers by a complex Fourier transform of their limbs.
//!
//! A number of `len` limbs becomes as many complex numbers: limb j times exp(i π j / (2 len)).
//! So a product of twice as many limbs comes out of transforms of `len`, limb j as the real part of
//! the j-th number and limb j + len as its imaginary part, and no padding is transformed.
//!
//! A transform is one of columns, then one of rows, each of which fits into a core's own cache;
//! what is between them is never brought into order, for products do not ask for it. Numbers lie
//! in tiles of [`SIDE`] rows and columns, a strip of tiles after the other, so that a column and a
//! row are both read in long pieces and threads share the work without copies.

use rayon::prelude::*;
use rustfft::num_complex::Complex64;

use super::Check;
use super::limbs::Limb;
use super::plan::{Plan, SIDE};

/// Numbers from which on threads share the work: a transform takes half a millisecond then.
const SHARED_LEN: usize = 1 << 15;

const TILE: usize = SIDE * SIDE;

/// Parts of a transform that a thread takes at least.
pub(super) fn grain(plan: &Plan) -> usize {
    if plan.len() < SHARED_LEN { usize::MAX } else { 1 }
}

/// The first half of a transform: of columns.
pub(super) fn columns<E: Send>(
    plan: &Plan,
    limbs: &[Limb],
    numbers: &mut [Complex64],
    check: Check<'_, E>,
) -> Result<(), E> {
    let fft = &plan.of_column[0];
    let scratch = || {
        (
            vec![Complex64::ZERO; SIDE * plan.rows],
            vec![Complex64::ZERO; fft.get_inplace_scratch_len()],
        )
    };
    let blocks = by_column(plan, numbers).into_par_iter().enumerate().with_min_len(grain(plan));
    blocks.try_for_each_init(scratch, |(columns, scratch), (block, tiles)| {
        check()?;
        for (row, &weight) in plan.weights.iter().enumerate() {
            let start = (row * plan.columns + block * SIDE).min(limbs.len());
            let limbs = &limbs[start..(start + SIDE).min(limbs.len())];
            for c in 0..SIDE {
                let limb = limbs.get(c).copied().unwrap_or(0);
                columns[c * plan.rows + row] = weight * f64::from(limb);
            }
        }
        fft.process_with_scratch(columns, scratch);
        for (strip, tile) in tiles.into_iter().enumerate() {
            for (c, part) in tile.chunks_exact_mut(SIDE).enumerate() {
                let start = c * plan.rows + strip * SIDE;
                part.copy_from_slice(&columns[start..start + SIDE]);
            }
        }
        Ok(())
    })
}

/// Undoes [`columns`]: the numbers are limbs of a product then, not yet rounded.
pub(super) fn columns_back<E: Send>(
    plan: &Plan,
    numbers: &mut [Complex64],
    check: Check<'_, E>,
) -> Result<(), E> {
    let fft = &plan.of_column[1];
    let scratch = || {
        (
            vec![Complex64::ZERO; SIDE * plan.rows],
            vec![Complex64::ZERO; fft.get_inplace_scratch_len()],
        )
    };
    let blocks = by_column(plan, numbers).into_par_iter().with_min_len(grain(plan));
    blocks.try_for_each_init(scratch, |(columns, scratch), mut tiles| {
        check()?;
        for (strip, tile) in tiles.iter().enumerate() {
            for (c, part) in tile.chunks_exact(SIDE).enumerate() {
                let start = c * plan.rows + strip * SIDE;
                columns[start..start + SIDE].copy_from_slice(part);
            }
        }
        fft.process_with_scratch(columns, scratch);
        for (strip, tile) in tiles.iter_mut().enumerate() {
            let weights = &plan.weights[strip * SIDE..][..SIDE];
            for (c, part) in tile.chunks_exact_mut(SIDE).enumerate() {
                let column = &columns[c * plan.rows + strip * SIDE..][..SIDE];
                for ((number, column), weight) in part.iter_mut().zip(column).zip(weights) {
                    *number = column * weight.conj();
                }
            }
        }
        Ok(())
    })
}

/// Numbers by blocks of [`SIDE`] columns, each with its tiles from the first strip to the last.
fn by_column<'a>(plan: &Plan, numbers: &'a mut [Complex64]) -> Vec<Vec<&'a mut [Complex64]>> {
    let n_blocks = plan.columns / SIDE;
    let mut blocks: Vec<_> = (0..n_blocks).map(|_| Vec::with_capacity(plan.rows / SIDE)).collect();
    for (idx, tile) in numbers.chunks_exact_mut(TILE).enumerate() {
        blocks[idx % n_blocks].push(tile);
    }
    blocks
}

/// The second half of two transforms, of rows, what `combine` makes of the two, and back.
pub(super) fn rows<E: Send>(
    plan: &Plan,
    pair: [&mut [Complex64]; 2],
    combine: impl Fn(Complex64, Complex64) -> [Complex64; 2] + Sync,
    n_results: usize,
    check: Check<'_, E>,
) -> Result<(), E> {
    let [there, back] = &plan.of_row;
    let n_scratch = there.get_inplace_scratch_len().max(back.get_inplace_scratch_len());
    let row = || vec![Complex64::ZERO; plan.columns];
    let scratch = || ([row(), row(), row()], vec![Complex64::ZERO; n_scratch]);
    let scale = 1.0 / plan.len() as f64;
    let [left, right] = pair.map(|numbers| numbers.par_chunks_exact_mut(SIDE * plan.columns));
    let strips = left.zip(right).enumerate().with_min_len(grain(plan));
    strips.try_for_each_init(scratch, |([a, b, twiddles], scratch), (strip, (left, right))| {
        check()?;
        for row in 0..SIDE {
            plan.twiddles(strip * SIDE + row, twiddles);
            for (line, tiles) in [(&mut *a, &*left), (&mut *b, &*right)] {
                let numbers = tiles.iter().skip(row).step_by(SIDE);
                for ((to, number), twiddle) in line.iter_mut().zip(numbers).zip(&*twiddles) {
                    *to = number * twiddle;
                }
                there.process_with_scratch(line, scratch);
            }
            for (a, b) in a.iter_mut().zip(&mut *b) {
                [*a, *b] = combine(*a, *b);
            }
            for (line, tiles) in
                [(&mut *a, &mut *left), (&mut *b, &mut *right)].into_iter().take(n_results)
            {
                back.process_with_scratch(line, scratch);
                let numbers = tiles.iter_mut().skip(row).step_by(SIDE);
                for ((number, from), twiddle) in numbers.zip(line).zip(&*twiddles) {
                    *number = *from * twiddle.conj() * scale;
                }
            }
        }
        Ok(())
    })
}

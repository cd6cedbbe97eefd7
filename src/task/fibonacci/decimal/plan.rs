//! Transforms of one length: its rows and columns, and the roots of unity that they need.

use std::collections::HashMap;
use std::f64::consts::FRAC_PI_2;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};

/// Rows and columns are multiples of it: tiles have so many of either.
pub(super) const SIDE: usize = 8;

/// A transform of `rows * columns` complex numbers, for products of twice as many limbs.
pub(super) struct Plan {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Along a row (over all columns), and back.
    pub(super) of_row: [Arc<dyn Fft<f64>>; 2],
    /// Along a column (over all rows), and back.
    pub(super) of_column: [Arc<dyn Fft<f64>>; 2],
    /// exp(i π r / (2 rows)) for each row r.
    pub(super) weights: Vec<Complex64>,
    roots: Roots,
}

/// By rows and columns.
type Plans = HashMap<(usize, usize), Arc<Plan>>;

impl Plan {
    /// The smallest for products of `n_limbs`; each is made once, and kept: all together need
    /// little.
    pub(super) fn of(n_limbs: usize) -> Arc<Self> {
        static PLANS: LazyLock<Mutex<Plans>> = LazyLock::new(Mutex::default);
        let (rows, columns) = sides(n_limbs.div_ceil(2));
        // A holder that panicked left the table whole.
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        let plan =
            plans.entry((rows, columns)).or_insert_with(|| Arc::new(Self::new(rows, columns)));
        Arc::clone(plan)
    }

    fn new(rows: usize, columns: usize) -> Self {
        let mut planner = FftPlanner::new();
        let mut both = |len| [planner.plan_fft_forward(len), planner.plan_fft_inverse(len)];
        let angle = |row| FRAC_PI_2 * row as f64 / rows as f64;
        Self {
            rows,
            columns,
            of_row: both(columns),
            of_column: both(rows),
            weights: (0..rows).map(|row| Complex64::cis(angle(row))).collect(),
            roots: Roots::new(4 * rows * columns),
        }
    }

    /// How many complex numbers.
    pub(super) fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// What a row's numbers are multiplied by between the two transforms: the roots of the whole
    /// transform, and what is left of the weights, exp(-i π c (4 row - 1) / (2 len)) for column c.
    pub(super) fn twiddles(&self, row: usize, twiddles: &mut [Complex64]) {
        let order = self.roots.order();
        let step = (4 * row + order - 1) % order;
        let mut near = [Complex64::ONE; SIDE * 4];
        for (c, root) in near.iter_mut().enumerate() {
            *root = self.roots.power(step * c % order);
        }
        for (block, twiddles) in twiddles.chunks_mut(near.len()).enumerate() {
            let far = self.roots.power(step * (block * near.len()) % order);
            for (twiddle, near) in twiddles.iter_mut().zip(near) {
                *twiddle = far * near;
            }
        }
    }
}

/// Two sides whose product is at least `len`, and as little more as can be.
pub(super) fn sides(len: usize) -> (usize, usize) {
    let mut best = (usize::MAX, 0, 0);
    for twos in 3..24 {
        for threes in 0..4 {
            let rows = 3_usize.pow(threes) << twos;
            let columns = side(len.div_ceil(rows));
            let is_oblong = columns > 2 * rows.max(SIDE) || rows > 2 * columns;
            if !is_oblong && rows * columns < best.0 {
                best = (rows * columns, rows, columns);
            }
        }
    }
    (best.1, best.2)
}

/// The smallest side of at least `len`.
fn side(len: usize) -> usize {
    let sides = (0..4).map(|threes| {
        let odd = 3_usize.pow(threes);
        odd * len.div_ceil(odd).next_power_of_two().max(SIDE)
    });
    sides.min().expect("four of them")
}

/// Powers of exp(-2πi / order), each a product of two that are kept.
struct Roots {
    near: Vec<Complex64>,
    far: Vec<Complex64>,
}

impl Roots {
    fn new(order: usize) -> Self {
        let n_near = 1 << (order.ilog2() / 2);
        // Angles below a right one, so that they are rounded little.
        let root = |power: usize| {
            let quarter = order / 4;
            let root = Complex64::cis(-FRAC_PI_2 * (power % quarter) as f64 / quarter as f64);
            (0..power / quarter).fold(root, |root, _| Complex64::new(root.im, -root.re))
        };
        let near = (0..n_near).map(root).collect();
        let far = (0..order / n_near).map(|idx| root(idx * n_near)).collect();
        Self { near, far }
    }

    fn order(&self) -> usize {
        self.near.len() * self.far.len()
    }

    fn power(&self, power: usize) -> Complex64 {
        self.far[power / self.near.len()] * self.near[power % self.near.len()]
    }
}

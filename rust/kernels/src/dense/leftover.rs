//! The last few columns of a dense product, where they do not fill a vector: `C ← A·B` or `C ← C + f·A·B` for a B of
//! one to four columns.
//!
//! Other kernels keep a vector of columns side by side, so two columns cost them as much as sixteen. Here sixteen terms
//! of a sum are side by side, a row of A against a column of B:
//!
//! ```text
//! C[i, j] ←  Σ_l  s_l,     s_l = A[i, l]·B[l, j] + A[i, l + 16]·B[l + 16, j] + …
//! ```
//!
//! Cost: one pass over A. Time of the whole product, relative to the `gemm` crate alone (`examples/beside_gemm.rs`, one
//! core of a Xeon with AVX-512, minimum and maximum of five runs):
//!
//! | | f32 | f64 |
//! |---|---|---|
//! | 100 × 784 · 784 × 50 | 0.85 to 0.92 | 0.95 to 1.00 |
//! | 100 × 100 · 100 × 3 | 0.52 to 0.57 | |
//! | 100 × 50 · 50 × 10 | | 1.06 to 1.22 |
//! | 100 × 50 · 50 × 1, 1.5 µs | 1.9 to 2.4 | 1.8 to 2.2 |
//!
//! So this is slower for a single column, and for two after eight in f64. They are still computed here: the order of a
//! sum depends on its length alone, and another order would change the bits of earlier trainings.

use crate::dense::onto::Onto;
use crate::dense::padded::LANES;
use crate::machine::level::{Arithmetic, Kernel};
use crate::Float;
use ndarray::{ArrayView2, ArrayViewMut2};

/// The most columns computed this way.
pub(crate) const FEW: usize = 4;

/// How many of the last columns of B are computed here: those that do not fill a vector of 64 bytes. None if the rows
/// of A are not contiguous, if there is a single row, or if there are too few terms to pay.
pub(crate) fn columns<T>(a: &ArrayView2<'_, T>, b: &ArrayView2<'_, T>) -> usize {
    let few = b.ncols() % (64 / size_of::<T>());
    let worth_it = a.strides()[1] == 1 && a.nrows() > 1 && a.ncols() >= LANES && few <= FEW;
    if worth_it {
        few
    } else {
        0
    }
}

/// The product.
pub(crate) struct Leftover<'a, T> {
    /// Each row contiguous.
    pub a: ArrayView2<'a, T>,
    /// Column-major.
    pub b: &'a [T],
    /// At most [`FEW`] columns.
    pub c: ArrayViewMut2<'a, T>,
    pub onto: Onto<T>,
}

impl<T: Float> Kernel for Leftover<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        // As many rows at a time as their sums fit in registers, so that no addition waits for the one before.
        match self.c.ncols() {
            1 => self.rows::<1, 4>(arithmetic),
            2 => self.rows::<2, 4>(arithmetic),
            3 => self.rows::<3, 2>(arithmetic),
            4 => self.rows::<4, 2>(arithmetic),
            _ => {}
        }
    }
}

impl<T: Float> Leftover<'_, T> {
    #[inline(always)]
    fn rows<const N: usize, const R: usize>(mut self, arithmetic: impl Arithmetic) {
        let k = self.a.ncols();
        let columns: [_; N] = std::array::from_fn(|j| &self.b[j * k..][..k]);
        let whole = self.a.nrows() / R * R;
        for first in (0..whole).step_by(R) {
            self.some::<N, R>(first, &columns, arithmetic);
        }
        for first in whole..self.a.nrows() {
            self.some::<N, 1>(first, &columns, arithmetic);
        }
    }

    /// `R` rows of C, from `first` on.
    #[inline(always)]
    fn some<const N: usize, const R: usize>(&mut self, first: usize, columns: &[&[T]; N], arithmetic: impl Arithmetic) {
        let k = self.a.ncols();
        let rows: [&[T]; R] = std::array::from_fn(|r| &self.a.row(first + r).to_slice().unwrap_or(&[])[..k]);
        let mut sums = [[[T::zero(); LANES]; N]; R];
        for p in 0..k / LANES {
            let a: [&[T; LANES]; R] = std::array::from_fn(|r| &rows[r].as_chunks().0[p]);
            let b: [&[T; LANES]; N] = std::array::from_fn(|j| &columns[j].as_chunks().0[p]);
            for r in 0..R {
                for j in 0..N {
                    add_products(&mut sums[r][j], a[r], b[j], arithmetic);
                }
            }
        }
        if !k.is_multiple_of(LANES) {
            let a: [[T; LANES]; R] = std::array::from_fn(|r| rest(rows[r]));
            let b: [[T; LANES]; N] = std::array::from_fn(|j| rest(columns[j]));
            for r in 0..R {
                for j in 0..N {
                    add_products(&mut sums[r][j], &a[r], &b[j], arithmetic);
                }
            }
        }
        // All totals at once: otherwise the compiler keeps `sums` in memory for the loop below.
        let totals: [[T; N]; R] = std::array::from_fn(|r| std::array::from_fn(|j| total(sums[r][j])));
        for (r, totals) in totals.iter().enumerate() {
            for (j, &total) in totals.iter().enumerate() {
                let c = &mut self.c[[first + r, j]];
                *c = match self.onto {
                    Onto::Nothing => total,
                    Onto::Itself(factor) => *c + factor * total,
                };
            }
        }
    }
}

/// The remainder after the whole lanes, padded with zeros.
#[inline(always)]
fn rest<T: Float>(numbers: &[T]) -> [T; LANES] {
    let rest = numbers.as_chunks::<LANES>().1;
    std::array::from_fn(|i| rest.get(i).copied().unwrap_or(T::zero()))
}

#[inline(always)]
fn add_products<T: Float>(sum: &mut [T; LANES], a: &[T; LANES], b: &[T; LANES], arithmetic: impl Arithmetic) {
    for i in 0..LANES {
        sum[i] = arithmetic.mul_add(a[i], b[i], sum[i]);
    }
}

/// The sum of the lane, by halving it.
#[inline(always)]
fn total<T: Float>(lane: [T; LANES]) -> T {
    let eight: [T; 8] = std::array::from_fn(|i| lane[i] + lane[i + 8]);
    let four: [T; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::machine::level::available;
    use crate::sparse::product::tests::{bound, three_loops, wide};
    use ndarray::Array2;

    fn each_number_of_columns<T: Float>() {
        // No whole lane; one; two and a remainder. No whole group of rows, and every remainder.
        for (n, m, k) in (1..=FEW).flat_map(|n| [(1, 3), (2, 16), (5, 17), (7, 35), (8, 48)].map(|(m, k)| (n, m, k))) {
            let (a, b, before) = (numbers::<T>((m, k), 1), numbers::<T>((k, n), 2), numbers::<T>((m, n), 3));
            let columns: Vec<T> = b.t().iter().copied().collect();
            let (sums, sizes) = three_loops(wide(&a).view(), wide(&b).view());
            for &level in available() {
                for onto in [Onto::Nothing, Onto::Itself(T::of(-0.75))] {
                    // The output is not read unless it is added to.
                    let (mut c, factor, added_to) = match onto {
                        Onto::Nothing => (Array2::from_elem((m, n), T::nan()), 1.0, Array2::zeros((m, n))),
                        Onto::Itself(factor) => (before.clone(), factor.wide(), wide(&before)),
                    };
                    level.run(Leftover { a: a.view(), b: &columns, c: c.view_mut(), onto });
                    for (at, c) in c.indexed_iter() {
                        let (want, size) =
                            (added_to[at] + factor * sums[at], added_to[at].abs() + factor.abs() * sizes[at]);
                        // Each term is rounded as a product, and in as many sums as there are terms, or 16.
                        assert!((c.wide() - want).abs() <= bound::<T>(k + 20, size), "{c} for {want}, {n} columns");
                    }
                }
            }
        }
    }

    #[test]
    fn each_number_of_columns_in_f32() {
        each_number_of_columns::<f32>();
    }

    #[test]
    fn each_number_of_columns_in_f64() {
        each_number_of_columns::<f64>();
    }

    #[test]
    fn only_columns_that_would_have_a_vector_for_themselves() {
        let (a, of) = (Array2::<f32>::zeros((5, 20)), |n| Array2::<f32>::zeros((20, n)));
        for (n, want) in [(0, 0), (1, 1), (4, 4), (5, 0), (16, 0), (48, 0), (50, 2), (53, 0)] {
            assert_eq!(columns(&a.view(), &of(n).view()), want, "{n} columns");
        }
        let (wide, of_wide) = (Array2::<f64>::zeros((5, 20)), Array2::<f64>::zeros((20, 10)));
        assert_eq!(columns(&wide.view(), &of_wide.view()), 2);
        let turned = Array2::<f32>::zeros((20, 5));
        assert_eq!(columns(&turned.t(), &of(50).view()), 0);
        assert_eq!(columns(&a.slice(ndarray::s![..1, ..]), &of(50).view()), 0);
        assert_eq!(columns(&a.slice(ndarray::s![.., ..8]), &of(50).slice(ndarray::s![..8, ..])), 0);
    }
}

//! The transpose of a matrix, as a copy: `to[j][i] ← from[i][j]`.
//!
//! Works on blocks of sixteen rows by sixteen columns, in registers: swap the upper right and the lower left quarter,
//! then those of each quarter, and so on down to single numbers. Each of the four rounds is a shuffle of whole lanes,
//! and memory is read and written a cache line at a time. Down a column, number by number, every number is in another
//! cache line. With rows of 1024 numbers these lines share the same few sets of the L1 cache, and each is evicted
//! before its next number is needed.
//! Cost: every number is read once and written once; 0.4 ns each for 1024 × 1024 in f32 on a Zen 4, against 2.5 number
//! by number.

use crate::dense::padded::{Lane, LANES};
use crate::machine::level::{Arithmetic, Kernel};
use crate::Float;
use ndarray::{ArrayView2, Axis};

/// `to ←` the transpose of `from`, row-major.
pub(crate) struct Transpose<'a, T> {
    /// Of shape (m, n), each row contiguous.
    pub from: ArrayView2<'a, T>,
    /// m·n numbers.
    pub to: &'a mut [T],
}

impl<T: Float> Kernel for Transpose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let Self { from, to } = self;
        let (m, n) = from.dim();
        let mut square = [Lane([T::zero(); LANES]); LANES];
        for (i, rows) in (0..m).step_by(LANES).zip(from.axis_chunks_iter(Axis(0), LANES)) {
            for j in (0..n).step_by(LANES) {
                let (height, width) = (rows.nrows(), LANES.min(n - j));
                for (lane, row) in square.iter_mut().zip(rows.outer_iter()) {
                    copy(&row.to_slice().unwrap_or(&[])[j..j + width], &mut lane.0);
                }
                swap_quarters::<T, 8>(&mut square, arithmetic);
                swap_quarters::<T, 4>(&mut square, arithmetic);
                swap_quarters::<T, 2>(&mut square, arithmetic);
                swap_quarters::<T, 1>(&mut square, arithmetic);
                for (lane, to) in square.iter().zip(to[j * m..].chunks_exact_mut(m)).take(width) {
                    copy(&lane.0[..height], &mut to[i..i + height]);
                }
            }
        }
    }
}

/// `to ← from`, as much as there is. Whole lanes avoid a call of memcpy, which takes as long as all the rest.
#[inline(always)]
fn copy<T: Float>(from: &[T], to: &mut [T]) {
    match (from.first_chunk::<LANES>(), to.first_chunk_mut::<LANES>()) {
        (Some(from), Some(to)) => *to = *from,
        _ => to[..from.len()].copy_from_slice(from),
    }
}

/// Swap the upper right and the lower left quarter of every square of 2·`S` rows and columns.
#[inline(always)]
fn swap_quarters<T: Float, const S: usize>(square: &mut [Lane<T>; LANES], arithmetic: impl Arithmetic) {
    for pair in 0..LANES / 2 {
        let i = pair / S * 2 * S + pair % S;
        let (above, below) = square.split_at_mut(i + S);
        arithmetic.exchange::<T, S>(&mut above[i].0, &mut below[0].0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::machine::level::available;
    use ndarray::s;

    fn every_shape_at_every_level<T: Float>() {
        for &level in available() {
            for m in [0, 1, 2, 15, 16, 17, 33] {
                for n in [0, 1, 2, 15, 16, 17, 50] {
                    // Rows that are not contiguous with each other.
                    let around = numbers::<T>((m, n + 3), 1);
                    let from = around.slice(s![.., 1..=n]);
                    let mut to = vec![T::nan(); m * n];
                    level.run(Transpose { from, to: &mut to });
                    let want: Vec<T> = (0..n).flat_map(|j| (0..m).map(move |i| (i, j))).map(|at| from[at]).collect();
                    assert_eq!(to, want, "{m} × {n} at {}", level.name());
                }
            }
        }
    }

    #[test]
    fn every_shape_at_every_level_in_f32() {
        every_shape_at_every_level::<f32>();
    }

    #[test]
    fn every_shape_at_every_level_in_f64() {
        every_shape_at_every_level::<f64>();
    }
}

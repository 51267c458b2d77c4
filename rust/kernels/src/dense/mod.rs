//! Products of dense matrices, and the layouts for them.

pub mod aligned;
pub mod matmul;
pub mod onto;
pub mod padded;

pub(crate) mod leftover;
pub(crate) mod transpose;

use crate::KernelError;
use ndarray::{ArrayView2, ArrayViewMut2};

/// `numbers` as a row-major matrix of `rows` × `columns`.
pub(crate) fn matrix<T>(numbers: &[T], rows: usize, columns: usize) -> Result<ArrayView2<'_, T>, KernelError> {
    let got = numbers.len();
    let wanted = rows.saturating_mul(columns);
    ArrayView2::from_shape((rows, columns), numbers).map_err(|_| wrong_size(got, wanted))
}

/// The same, mutable.
pub(crate) fn matrix_mut<T>(
    numbers: &mut [T],
    rows: usize,
    columns: usize,
) -> Result<ArrayViewMut2<'_, T>, KernelError> {
    let got = numbers.len();
    let wanted = rows.saturating_mul(columns);
    ArrayViewMut2::from_shape((rows, columns), numbers).map_err(|_| wrong_size(got, wanted))
}

fn wrong_size(got: usize, wanted: usize) -> KernelError {
    KernelError::Sizes { what: "the size of an array", got, with: "its rows times its columns", wanted }
}

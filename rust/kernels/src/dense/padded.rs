//! A row-major matrix whose rows are padded to whole vectors and aligned to cache lines.
//!
//! A row of 50 floats is stored as 64: four lanes of 16, the rest zero. So a kernel holds a row in registers without a
//! remainder, and no load crosses a cache line: with unaligned rows that are read again and again, the products of
//! `sparse` took half as long again. A matrix that is read once at a time can be padded to half lanes, 56 numbers: an
//! eighth less to read, write and update.

use crate::error::reserve;
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::{Float, KernelError};

/// Numbers per lane.
pub const LANES: usize = 16;

/// Half a lane.
pub(crate) const HALF: usize = LANES / 2;

/// Bytes per cache line.
const CACHE_LINE: usize = 64;

/// Sixteen numbers aligned to a cache line, for use outside a [`Padded`]: one AVX-512 register of f32, two of f64; on
/// other levels, as many as it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Lane<T>(pub [T; LANES]);

/// The matrix.
#[derive(Debug)]
pub struct Padded<T> {
    /// The matrix starts at index `first`, which is aligned to a cache line.
    numbers: Vec<T>,
    first: usize,
    columns: usize,
    /// Distance between the starts of rows: a multiple of `unit`.
    apart: usize,
    unit: usize,
}

impl<T> Default for Padded<T> {
    fn default() -> Self {
        Self { numbers: Vec::new(), first: 0, columns: 0, apart: 0, unit: LANES }
    }
}

impl<T: Float> Padded<T> {
    /// Zeros.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn zeros(rows: usize, columns: usize) -> Result<Self, KernelError> {
        let mut zeros = Self::default();
        zeros.reshape(rows, columns)?;
        Ok(zeros)
    }

    /// An empty matrix whose rows will be padded to half lanes. It has no [`lanes`](Self::lanes).
    pub(crate) fn of_halves() -> Self {
        Self { unit: HALF, ..Self::default() }
    }

    /// Resize to `rows` × `columns`, in the existing memory if it is large enough. The values are unspecified, but the
    /// padding is zero unless somebody has written to it.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub(crate) fn reshape(&mut self, rows: usize, columns: usize) -> Result<(), KernelError> {
        let apart = columns.checked_next_multiple_of(self.unit).ok_or(KernelError::Memory { numbers: columns })?;
        let wanted = rows.saturating_mul(apart);
        if columns != self.columns || self.first.saturating_add(wanted) > self.numbers.capacity() {
            let in_a_line = CACHE_LINE / size_of::<T>();
            self.numbers.clear();
            (self.first, self.columns, self.apart) = (0, 0, 0); // if the allocation fails
            reserve(&mut self.numbers, wanted.saturating_add(in_a_line))?;
            self.first = self.numbers.as_ptr().align_offset(CACHE_LINE).min(in_a_line);
        }
        self.numbers.resize(self.first + wanted, T::zero());
        (self.columns, self.apart) = (columns, apart);
        Ok(())
    }

    /// Lanes per row.
    #[inline(always)]
    pub fn width(&self) -> usize {
        self.columns.div_ceil(LANES)
    }

    /// The number of rows; zero without columns.
    pub(crate) fn rows(&self) -> usize {
        self.numbers().len() / self.apart.max(1)
    }

    /// Distance between the starts of rows.
    #[inline(always)]
    pub(crate) fn apart(&self) -> usize {
        self.apart
    }

    /// Numbers per row, without the padding.
    #[inline(always)]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All numbers with their padding, row-major.
    #[inline(always)]
    pub(crate) fn numbers(&self) -> &[T] {
        &self.numbers[self.first..]
    }

    /// The same, mutable.
    #[inline(always)]
    pub(crate) fn numbers_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.first..]
    }

    /// All numbers with their padding, and the distance between the starts of rows.
    #[inline(always)]
    pub(crate) fn as_rows(&self) -> (&[T], usize) {
        (self.numbers(), self.apart)
    }

    /// All lanes, row-major.
    #[inline(always)]
    pub fn lanes(&self) -> &[[T; LANES]] {
        self.numbers().as_chunks().0
    }

    /// All lanes, row-major, mutable. Keep the padding zero: nothing clears it.
    #[inline(always)]
    pub fn lanes_mut(&mut self) -> &mut [[T; LANES]] {
        self.numbers_mut().as_chunks_mut().0
    }

    /// The lanes of one row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[[T; LANES]] {
        &self.lanes()[row * self.width()..][..self.width()]
    }

    /// Copy in contiguous rows.
    pub fn load(&mut self, level: Level, rows: &[T]) {
        level.run(Load { rows, columns: self.columns, apart: self.apart, numbers: self.numbers_mut() });
    }

    /// Copy the numbers of another matrix of the same shape.
    pub(crate) fn copy(&mut self, from: &Self) {
        self.numbers_mut().copy_from_slice(from.numbers());
    }

    /// Add the numbers of another matrix of the same shape.
    pub(crate) fn add(&mut self, level: Level, from: &Self) {
        level.run(Add { to: self.numbers_mut(), from: from.numbers() });
    }

    /// Copy out the first rows, contiguously.
    pub fn store(&self, level: Level, rows: &mut [T]) {
        level.run(Store { rows, columns: self.columns, apart: self.apart, numbers: self.numbers() });
    }
}

struct Add<'a, T> {
    to: &'a mut [T],
    from: &'a [T],
}

impl<T: Float> Kernel for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        self.to.iter_mut().zip(self.from).for_each(|(to, &from)| *to += from);
    }
}

struct Load<'a, T> {
    rows: &'a [T],
    columns: usize,
    apart: usize,
    numbers: &'a mut [T],
}

impl<T: Float> Kernel for Load<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let rows = self.rows.chunks_exact(self.columns.max(1));
        for (row, numbers) in rows.zip(self.numbers.chunks_exact_mut(self.apart.max(1))) {
            // Whole lanes have a length known at compile time. Otherwise each is a call of memcpy, which takes as long
            // as the copy.
            let (whole, rest) = row.as_chunks::<LANES>();
            let (lanes, behind) = numbers.as_chunks_mut::<LANES>();
            lanes.iter_mut().zip(whole).for_each(|(lane, numbers)| *lane = *numbers);
            if let Some(lane) = lanes.get_mut(whole.len()) {
                fill(lane, rest);
            } else if let Some(half) = behind.first_chunk_mut::<HALF>() {
                fill(half, rest);
            }
        }
    }
}

/// `to ← from`, padded with zeros.
#[inline(always)]
fn fill<T: Float, const N: usize>(to: &mut [T; N], from: &[T]) {
    for i in 0..N {
        to[i] = if i < from.len() { from[i] } else { T::zero() };
    }
}

struct Store<'a, T> {
    rows: &'a mut [T],
    columns: usize,
    apart: usize,
    numbers: &'a [T],
}

impl<T: Float> Kernel for Store<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let rows = self.rows.chunks_exact_mut(self.columns.max(1));
        for (row, numbers) in rows.zip(self.numbers.chunks_exact(self.apart.max(1))) {
            let (whole, rest) = row.as_chunks_mut::<LANES>();
            let (lanes, _) = numbers.as_chunks::<LANES>();
            whole.iter_mut().zip(lanes).for_each(|(to, lane)| *to = *lane);
            rest.iter_mut().zip(&numbers[whole.len() * LANES..]).for_each(|(number, x)| *number = *x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::level::{available, detect};

    fn level() -> Level {
        detect().unwrap()
    }

    #[test]
    fn what_is_loaded_is_stored_and_the_rest_is_zero() {
        for (columns, &level) in [1, 15, 16, 17, 50].into_iter().flat_map(|n| available().iter().map(move |l| (n, l))) {
            let numbers: Vec<f32> = (0..3 * columns).map(|i| i as f32 + 1.0).collect();
            let mut padded = Padded::zeros(3, columns).unwrap();
            // Something in the padding too, as kernels that work on whole lanes leave there.
            padded.lanes_mut().fill([7.0; LANES]);
            padded.load(level, &numbers);
            assert_eq!(padded.lanes().as_ptr() as usize % 64, 0);
            let total: f32 = padded.lanes().iter().flatten().copied().sum();
            assert_eq!(total, numbers.iter().sum());
            let mut back = vec![0.0; numbers.len()];
            padded.store(level, &mut back);
            assert_eq!(back, numbers);
        }
    }

    #[test]
    fn reshaped_it_has_its_rows_and_zeros_behind_the_last_column() {
        let mut padded = Padded::<f32>::default();
        for (rows, columns) in [(3, 50), (3, 17), (9, 17), (2, 17), (3, 33), (3, 32), (1, 64), (0, 5), (4, 5), (4, 0)] {
            padded.reshape(rows, columns).unwrap();
            assert_eq!((padded.columns(), padded.width()), (columns, columns.div_ceil(LANES)));
            assert_eq!(padded.lanes().len(), rows * padded.width());
            assert_eq!(padded.lanes().as_ptr().align_offset(CACHE_LINE), 0);
            // Before anything is loaded: `load` would clear the padding itself.
            for row in 0..rows {
                let behind = padded.row(row).as_flattened()[columns..].iter();
                assert!(behind.copied().all(|x| x == 0.0), "{rows} rows of {columns}");
            }
            padded.load(level(), &vec![1.0; rows * columns]);
            for row in 0..rows {
                let numbers = padded.row(row).as_flattened();
                assert!(numbers[..columns].iter().all(|&x| x == 1.0));
                assert!(numbers[columns..].iter().all(|&x| x == 0.0), "{rows} rows of {columns}");
            }
        }
    }

    #[test]
    fn no_columns_and_no_rows() {
        let mut none = Padded::<f64>::zeros(0, 0).unwrap();
        none.load(level(), &[]);
        none.store(level(), &mut []);
        assert!(none.lanes().is_empty());
    }
}

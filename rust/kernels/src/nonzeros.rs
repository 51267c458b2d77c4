//! The numbers of a data set that are not zero, row by row.
//!
//! Four of five pixels of MNIST are zero, and a zero adds nothing to `x·W` nor to `xᵀ·d`. So a data set that is sparse enough is
//! gone through once, and each row kept as the list of its non-zero numbers and their columns (compressed sparse rows):
//!
//! ```text
//! row  n:   columns[starts[n] .. starts[n + 1]],  values[the same]
//! ```
//!
//! Numbers are converted to the type computed in, and multiplied by the scale of a leading `Rescaling` layer, here, once, instead of at
//! every step. Cost: about 0.8 ns a number gone through, one in five of them kept; 2 + 4 bytes (f32) or 2 + 8 (f64) a number kept.

use crate::error::{agree, reserve, zeros};
use crate::level::{Kernel, Level, MulAdd};
use crate::stack::Rows;
use crate::{Float, KernelError};
use ndarray::ArrayView2;
use std::ops::Range;

/// Data with a larger share of non-zero numbers goes through the dense kernels. Measured with AVX-512 in f32, batch 100, 784
/// features: a training step costs the same both ways at a share of 0.46, with 50 outputs and with 200; going through the data comes on top.
pub const DENSE: f64 = 0.4;

/// Columns are kept as `u16`, with room to count past the last one.
const MOST_FEATURES: usize = 1 << 15;

/// Compressed sparse rows.
#[derive(Debug)]
pub struct Nonzeros<T> {
    features: usize,
    starts: Vec<usize>,
    columns: Vec<u16>,
    values: Vec<T>,
}

impl<T: Float> Nonzeros<T> {
    /// No rows yet, of `features` numbers.
    pub fn new(features: usize) -> Self {
        Self { features, starts: vec![0], columns: Vec::new(), values: Vec::new() }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many numbers a row has, zeros included.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The columns and values of a row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> (&[u16], &[T]) {
        let numbers = self.starts[row]..self.starts[row + 1];
        (&self.columns[numbers.clone()], &self.values[numbers])
    }

    /// Append rows of `x`, each number times `scale`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`]; the rows appended so far stay. [`KernelError::Sizes`] if `x` has rows of another length.
    pub fn extend(&mut self, level: Level, x: Rows<'_>, rows: Range<usize>, scale: f64) -> Result<(), KernelError> {
        agree("the number of columns of x", x.dim().1, "the number of features", self.features)?;
        if self.features > MOST_FEATURES {
            return Err(KernelError::Memory { numbers: self.features });
        }
        match x {
            // A byte has 256 values: each is converted and scaled once.
            Rows::Bytes(x) => {
                let value: [T; 256] = std::array::from_fn(|byte| T::of(byte as f64 * scale));
                self.append(level, x, rows, |byte| value[usize::from(byte)])
            }
            Rows::Single(x) => self.append(level, x, rows, |number| T::of(f64::from(number) * scale)),
            Rows::Double(x) => self.append(level, x, rows, |number| T::of(number * scale)),
        }
    }

    fn append<S: Copy + Default + PartialEq>(
        &mut self,
        level: Level,
        x: ArrayView2<'_, S>,
        rows: Range<usize>,
        value: impl Fn(S) -> T + Copy,
    ) -> Result<(), KernelError> {
        // Room for a row without zeros, and for the one number that is written before it is known to be zero.
        let room = self.features + 1;
        let (mut columns, mut values) = (Vec::new(), zeros(room)?);
        reserve(&mut columns, room)?;
        columns.resize(room, 0);
        for row in rows {
            let row = x.row(row);
            let numbers = row.as_slice().unwrap_or(&[]);
            let found = level.run(Compress { numbers, value, columns: &mut columns, values: &mut values });
            reserve(&mut self.columns, found)?;
            reserve(&mut self.values, found)?;
            self.columns.extend_from_slice(&columns[..found]);
            self.values.extend_from_slice(&values[..found]);
            self.starts.push(self.columns.len());
        }
        Ok(())
    }
}

/// The non-zero numbers of one row, and how many there are.
struct Compress<'a, S, T, F> {
    numbers: &'a [S],
    value: F,
    columns: &'a mut [u16],
    values: &'a mut [T],
}

impl<S: Copy + Default + PartialEq, T: Float, F: Fn(S) -> T> Kernel for Compress<'_, S, T, F> {
    type Output = usize;

    #[inline(always)]
    fn run(self, _: impl MulAdd) -> usize {
        let zero = S::default();
        let mut end = 0;
        for (chunk, start) in self.numbers.chunks(16).zip((0u16..).step_by(16)) {
            // Looked at as a whole first: most chunks of most images are empty.
            if !chunk.iter().fold(false, |any, &number| any | (number != zero)) {
                continue;
            }
            for (&number, column) in chunk.iter().zip(start..) {
                // Written always, kept only if not zero: no branch for the CPU to guess wrong.
                self.columns[end] = column;
                self.values[end] = (self.value)(number);
                end += usize::from(number != zero);
            }
        }
        end
    }
}

/// Whether skipping the zeros of `x` pays: judged by up to 1,000 rows spread over the data, the same ones every time.
pub fn pays(x: Rows<'_>) -> bool {
    let (n, features) = x.dim();
    if n == 0 || features == 0 || features > MOST_FEATURES {
        return false;
    }
    let step = n.div_ceil(1000);
    let looked_at = (0..n).step_by(step);
    let numbers = looked_at.len() * features;
    let nonzero: usize = looked_at.map(|row| x.nonzeros_in(row)).sum();
    (nonzero as f64) < DENSE * numbers as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::detect;
    use ndarray::{array, Array2};

    fn level() -> Level {
        detect().unwrap()
    }

    #[test]
    fn zeros_are_left_out_and_numbers_scaled() {
        let x = array![[0u8, 2, 0, 0, 255], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]];
        let mut sparse = Nonzeros::<f32>::new(5);
        sparse.extend(level(), Rows::Bytes(x.view()), 0..3, 1.0 / 255.0).unwrap();
        assert_eq!(sparse.rows(), 3);
        assert_eq!(sparse.row(0), (&[1u16, 4][..], &[2.0 / 255.0, 1.0][..]));
        assert_eq!(sparse.row(1), (&[][..], &[][..]));
        assert_eq!(sparse.row(2), (&[0u16][..], &[1.0 / 255.0][..]));
    }

    #[test]
    fn rows_longer_than_a_chunk_from_each_kind() {
        let x = Array2::from_shape_fn((4, 37), |(i, j)| if (i * j) % 5 == 1 { (i + j) as u8 } else { 0 });
        let (single, double) = (x.mapv(f32::from), x.mapv(f64::from));
        for rows in [Rows::Bytes(x.view()), Rows::Single(single.view()), Rows::Double(double.view())] {
            let mut sparse = Nonzeros::<f64>::new(37);
            sparse.extend(level(), rows, 1..3, 1.0).unwrap();
            sparse.extend(level(), rows, 3..4, 1.0).unwrap();
            for (i, row) in (1..4).enumerate() {
                let mut back = vec![0.0; 37];
                let (columns, values) = sparse.row(i);
                columns.iter().zip(values).for_each(|(&column, &value)| back[usize::from(column)] = value);
                assert_eq!(back, double.row(row).to_vec());
            }
        }
    }

    #[test]
    fn nan_is_kept_and_negative_zero_left_out() {
        let mut sparse = Nonzeros::<f64>::new(2);
        sparse.extend(level(), Rows::Double(array![[f64::NAN, -0.0]].view()), 0..1, 1.0).unwrap();
        let (columns, values) = sparse.row(0);
        assert_eq!(columns, [0]);
        assert!(values[0].is_nan());
    }

    #[test]
    fn it_pays_for_sparse_data_only() {
        let share = |one_in: usize| Array2::from_shape_fn((50, 20), |(i, j)| u8::from((i * 20 + j) % one_in == 0));
        assert!(pays(Rows::Bytes(share(5).view())));
        assert!(!pays(Rows::Bytes(share(2).view())));
        assert!(!pays(Rows::Bytes(share(1).view())));
        assert!(!pays(Rows::Bytes(Array2::zeros((0, 20)).view())));
        assert!(!pays(Rows::Bytes(Array2::zeros((1, MOST_FEATURES + 1)).view())));
    }
}

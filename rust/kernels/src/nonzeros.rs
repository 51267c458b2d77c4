//! The numbers of a data set that are not zero, row by row.
//!
//! Four of five pixels of MNIST are zero, and a zero adds nothing to `x·W` nor to `xᵀ·d`. So a data set that is sparse enough is
//! gone through once, and each row kept as the list of its non-zero numbers and their columns (compressed sparse rows):
//!
//! ```text
//! row  n:   columns[starts[n] .. starts[n + 1]],  numbers[the same]
//! ```
//!
//! Floats are converted to the type computed in, and multiplied by the scale of a leading `Rescaling` layer, here, once, instead of at
//! every step. Bytes stay bytes, and a table says what each of the 256 means: 60,000 images then take 27 MB, which a last-level
//! cache may hold, and a batch drawn at random is not waited for as long. Cost: about 0.8 ns a number gone through, one in five of them
//! kept; 2 bytes for the column of a number kept, and 1, 4 or 8 for the number.

use crate::error::{agree, reserve};
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
    scale: f64,
    starts: Vec<usize>,
    columns: Vec<u16>,
    numbers: Numbers<T>,
}

/// The numbers of all rows, one after the other.
#[derive(Debug)]
pub(crate) enum Numbers<T> {
    /// Bytes, and what each of the 256 stands for.
    Bytes(Vec<u8>, Box<[T; 256]>),
    /// The numbers themselves.
    Floats(Vec<T>),
}

impl<T: Float> Nonzeros<T> {
    /// No rows yet, of `features` numbers stored as those of `x` are, and multiplied by `scale`.
    pub fn new(features: usize, x: Rows<'_>, scale: f64) -> Self {
        let numbers = match x {
            Rows::Bytes(_) => {
                let table = std::array::from_fn(|byte| T::of(byte as f64 * scale));
                Numbers::Bytes(Vec::new(), Box::new(table))
            }
            Rows::Single(_) | Rows::Double(_) => Numbers::Floats(Vec::new()),
        };
        Self { features, scale, starts: vec![0], columns: Vec::new(), numbers }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many numbers a row has, zeros included.
    pub fn features(&self) -> usize {
        self.features
    }

    pub(crate) fn numbers(&self) -> &Numbers<T> {
        &self.numbers
    }

    /// The columns of a row, and where its numbers are.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> (&[u16], Range<usize>) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.columns[range.clone()], range)
    }

    /// Append rows of `x`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`]; the rows appended so far stay. [`KernelError::Sizes`] or [`KernelError::Kind`] if `x` has rows of another
    /// length or kind.
    pub fn extend(&mut self, level: Level, x: Rows<'_>, rows: Range<usize>) -> Result<(), KernelError> {
        agree("the number of columns of x", x.dim().1, "the number of features", self.features)?;
        if self.features > MOST_FEATURES {
            return Err(KernelError::Memory { numbers: self.features });
        }
        let Self { scale, starts, columns, .. } = self;
        let (scale, zero) = (*scale, T::zero());
        match (x, &mut self.numbers) {
            (Rows::Bytes(x), Numbers::Bytes(bytes, _)) => {
                append(level, x, rows, (starts, columns, bytes), 0, |byte| byte)
            }
            (Rows::Single(x), Numbers::Floats(floats)) => {
                append(level, x, rows, (starts, columns, floats), zero, |x| T::of(f64::from(x) * scale))
            }
            (Rows::Double(x), Numbers::Floats(floats)) => {
                append(level, x, rows, (starts, columns, floats), zero, |x| T::of(x * scale))
            }
            _ => Err(KernelError::Kind),
        }
    }
}

/// Append what is not zero in `rows` of `x`, kept as `keep` gives it; `blank` is any value of that type.
fn append<S: Copy + Default + PartialEq, V: Copy>(
    level: Level,
    x: ArrayView2<'_, S>,
    rows: Range<usize>,
    (starts, columns, numbers): (&mut Vec<usize>, &mut Vec<u16>, &mut Vec<V>),
    blank: V,
    keep: impl Fn(S) -> V + Copy,
) -> Result<(), KernelError> {
    // Room for a row without zeros, and for the one number that is written before it is known to be zero.
    let room = x.ncols() + 1;
    let (mut row_columns, mut row_numbers) = (Vec::new(), Vec::new());
    reserve(&mut row_columns, room)?;
    reserve(&mut row_numbers, room)?;
    row_columns.resize(room, 0);
    row_numbers.resize(room, blank);
    for row in rows {
        let row = x.row(row);
        let row = row.as_slice().unwrap_or(&[]);
        let found = level.run(Compress { row, keep, columns: &mut row_columns, numbers: &mut row_numbers });
        reserve(columns, found)?;
        reserve(numbers, found)?;
        columns.extend_from_slice(&row_columns[..found]);
        numbers.extend_from_slice(&row_numbers[..found]);
        starts.push(columns.len());
    }
    Ok(())
}

/// The non-zero numbers of one row, and how many there are.
struct Compress<'a, S, V, F> {
    row: &'a [S],
    keep: F,
    columns: &'a mut [u16],
    numbers: &'a mut [V],
}

impl<S: Copy + Default + PartialEq, V, F: Fn(S) -> V> Kernel for Compress<'_, S, V, F> {
    type Output = usize;

    #[inline(always)]
    fn run(self, _: impl MulAdd) -> usize {
        let zero = S::default();
        let mut end = 0;
        for (chunk, start) in self.row.chunks(16).zip((0u16..).step_by(16)) {
            // Looked at as a whole first: most chunks of most images are empty.
            if !chunk.iter().fold(false, |any, &number| any | (number != zero)) {
                continue;
            }
            for (&number, column) in chunk.iter().zip(start..) {
                // Written always, kept only if not zero: no branch for the CPU to guess wrong.
                self.columns[end] = column;
                self.numbers[end] = (self.keep)(number);
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

    /// The columns of a row and what its numbers stand for.
    fn row<T: Float>(sparse: &Nonzeros<T>, row: usize) -> (Vec<u16>, Vec<T>) {
        let (columns, at) = sparse.row(row);
        let numbers = match sparse.numbers() {
            Numbers::Bytes(bytes, table) => bytes[at].iter().map(|&byte| table[usize::from(byte)]).collect(),
            Numbers::Floats(floats) => floats[at].to_vec(),
        };
        (columns.to_vec(), numbers)
    }

    #[test]
    fn rows_of_another_kind_or_length_are_refused() {
        let (bytes, floats, short) = (array![[1u8, 2]], array![[1.0f32, 2.0]], array![[1u8]]);
        let mut sparse = Nonzeros::<f64>::new(2, Rows::Bytes(bytes.view()), 1.0);
        assert!(sparse.extend(level(), Rows::Single(floats.view()), 0..1).is_err());
        assert!(sparse.extend(level(), Rows::Bytes(short.view()), 0..1).is_err());
        assert_eq!(sparse.rows(), 0);
    }

    #[test]
    fn zeros_are_left_out_and_numbers_scaled() {
        let x = array![[0u8, 2, 0, 0, 255], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]];
        let mut sparse = Nonzeros::<f32>::new(5, Rows::Bytes(x.view()), 1.0 / 255.0);
        sparse.extend(level(), Rows::Bytes(x.view()), 0..3).unwrap();
        assert_eq!(sparse.rows(), 3);
        assert_eq!(row(&sparse, 0), (vec![1, 4], vec![2.0 / 255.0, 1.0]));
        assert_eq!(row(&sparse, 1), (vec![], vec![]));
        assert_eq!(row(&sparse, 2), (vec![0], vec![1.0 / 255.0]));
    }

    #[test]
    fn rows_longer_than_a_chunk_from_each_kind() {
        let x = Array2::from_shape_fn((4, 37), |(i, j)| if (i * j) % 5 == 1 { (i + j) as u8 } else { 0 });
        let (single, double) = (x.mapv(f32::from), x.mapv(f64::from));
        for rows in [Rows::Bytes(x.view()), Rows::Single(single.view()), Rows::Double(double.view())] {
            let mut sparse = Nonzeros::<f64>::new(37, rows, 1.0);
            sparse.extend(level(), rows, 1..3).unwrap();
            sparse.extend(level(), rows, 3..4).unwrap();
            for (i, original) in (1..4).enumerate() {
                let mut back = vec![0.0; 37];
                let (columns, values) = row(&sparse, i);
                columns.iter().zip(values).for_each(|(&column, value)| back[usize::from(column)] = value);
                assert_eq!(back, double.row(original).to_vec());
            }
        }
    }

    #[test]
    fn nan_is_kept_and_negative_zero_left_out() {
        let x = array![[f64::NAN, -0.0]];
        let mut sparse = Nonzeros::<f64>::new(2, Rows::Double(x.view()), 1.0);
        sparse.extend(level(), Rows::Double(x.view()), 0..1).unwrap();
        let (columns, values) = row(&sparse, 0);
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

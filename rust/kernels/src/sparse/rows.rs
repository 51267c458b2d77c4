//! The examples as the caller stores them.

use crate::Float;
use ndarray::ArrayView2;

/// The examples, one per row, as the caller stores them: read in place, converted to floats when they are gathered.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Bytes, such as pixels, each standing for the float of the same value.
    Bytes(ArrayView2<'a, u8>),
    /// Single precision.
    Single(ArrayView2<'a, f32>),
    /// Double precision.
    Double(ArrayView2<'a, f64>),
}

impl Rows<'_> {
    /// (how many rows, how many features).
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::Bytes(x) => x.dim(),
            Self::Single(x) => x.dim(),
            Self::Double(x) => x.dim(),
        }
    }

    /// Whether the data is contiguous and row-major.
    pub(crate) fn lie_end_to_end(&self) -> bool {
        match self {
            Self::Bytes(x) => x.is_standard_layout(),
            Self::Single(x) => x.is_standard_layout(),
            Self::Double(x) => x.is_standard_layout(),
        }
    }

    /// Copy the chosen rows to `out`, one after the other. The caller has checked that they exist.
    pub(crate) fn gather<T: Float>(&self, rows: impl Iterator<Item = usize>, out: &mut [T]) {
        fn copy<S: Copy, T>(x: &ArrayView2<S>, rows: impl Iterator<Item = usize>, out: &mut [T], f: fn(S) -> T) {
            for (row, out) in rows.zip(out.chunks_exact_mut(x.ncols().max(1))) {
                out.iter_mut().zip(x.row(row)).for_each(|(out, &x)| *out = f(x));
            }
        }
        match self {
            Self::Bytes(x) => copy(x, rows, out, T::of_byte),
            Self::Single(x) => copy(x, rows, out, T::of_single),
            Self::Double(x) => copy(x, rows, out, T::of),
        }
    }
}

/// A row number that the caller has checked.
pub(crate) fn index(row: &i64) -> usize {
    *row as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::affine::tests::full;
    use crate::sparse::product::tests::Kinds;
    use ndarray::s;

    #[test]
    fn rows_gathered_in_any_order_from_any_layout() {
        let x = full(9, 14);
        for x in Kinds::of(&x).each() {
            let every_second = match x {
                Rows::Bytes(x) => Rows::Bytes(x.slice_move(s![.., ..;2])),
                Rows::Single(x) => Rows::Single(x.slice_move(s![.., ..;2])),
                Rows::Double(x) => Rows::Double(x.slice_move(s![.., ..;2])),
            };
            let mut out = vec![0.0f64; 4 * 7];
            every_second.gather([8, 0, 0, 3].into_iter(), &mut out);
            let wide = Kinds::wide(every_second);
            let wanted = [8, 0, 0, 3].into_iter().flat_map(|row| wide.row(row).to_vec());
            assert!(wanted.eq(out));
        }
    }
}

//! What a network is made of, in the order its layers are called, and its forward pass over many rows.
//!
//! ```text
//! affine    out = x·W + b             activation    out = f(x), element by element
//! ```
//!
//! A [`Stack`] knows shapes only. The parameters are the caller's: one slice each, `W` then `b`, in the order of the affine
//! layers, passed to every call. So the same stack serves the caller's arrays in place, and holds nothing that could go stale.
//!
//! Cost of [`Stack::scores`]: the matrix products, in blocks of [`BLOCK`] rows, so that what flows between the layers stays in the
//! cache and nothing as long as the data is ever allocated. The blocks are the same however the work is divided into calls.

use crate::error::{agree, zeros};
use crate::matmul;
use crate::{Float, KernelError};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Deref;
use std::time::Instant;

/// Rows evaluated at a time: 256 rows of 784 floats are 800 kB in f32, an L2 cache.
pub const BLOCK: usize = 256;

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// `out = x·W + b`, with as many columns as told.
    Affine(usize),
    /// An elementwise function.
    Activation(Activation),
}

/// The elementwise layers. Each one's derivative is a function of its output, so only the output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x` where `x > 0`, else 0; nan stays nan.
    Relu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    fn value<T: Float>(self, x: T) -> T {
        match self {
            Self::Relu if x <= T::zero() => T::zero(),
            Self::Relu => x,
            Self::Sigmoid => {
                // The exponent is never above 0, so nothing overflows.
                let z = (-x.abs()).exp();
                (if x >= T::zero() { T::one() } else { z }) / (T::one() + z)
            }
        }
    }

    fn slope<T: Float>(self, out: T) -> T {
        match self {
            Self::Relu if out <= T::zero() => T::zero(),
            Self::Relu => T::one(),
            Self::Sigmoid => out * (T::one() - out),
        }
    }

    /// `out ← f(x)`.
    pub(crate) fn forward<T: Float>(self, x: &[T], out: &mut [T]) {
        x.iter().zip(out).for_each(|(&x, out)| *out = self.value(x));
    }

    /// `d`: the gradient of the output in, of the input out. A slope of 0 gives 0, also of a nan.
    pub(crate) fn backward<T: Float>(self, out: &[T], d: &mut [T]) {
        out.iter().zip(d).for_each(|(&out, d)| {
            let slope = self.slope(out);
            *d = if slope == T::zero() { T::zero() } else { *d * slope };
        });
    }
}

/// The examples, one a row, as the caller stores them: read in place, turned into floats when they are gathered.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Bytes, such as pixels; the float of the same value.
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

    /// The chosen rows, one after the other, into `out`. The caller has checked that they exist.
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

/// The layers of a network and how wide what flows between them is.
#[derive(Clone, Debug)]
pub struct Stack {
    pub(crate) features: usize,
    pub(crate) layers: Vec<Layer>,
}

impl Stack {
    /// Layers for rows of `features` numbers.
    pub fn new(features: usize, layers: Vec<Layer>) -> Self {
        Self { features, layers }
    }

    /// How many numbers a row has after the first `layers` layers.
    pub(crate) fn width_after(&self, layers: usize) -> usize {
        let affine = |layer: &Layer| match layer {
            Layer::Affine(outputs) => Some(*outputs),
            Layer::Activation(_) => None,
        };
        self.layers[..layers].iter().rev().find_map(affine).unwrap_or(self.features)
    }

    /// How many numbers a row of scores has.
    pub fn classes(&self) -> usize {
        self.width_after(self.layers.len())
    }

    /// The most numbers a row has anywhere.
    pub(crate) fn widest(&self) -> usize {
        (0..=self.layers.len()).map(|i| self.width_after(i)).max().unwrap_or(0)
    }

    /// (inputs, outputs) of each affine layer.
    pub fn affine_shapes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.layers.iter().enumerate().filter_map(|(i, layer)| match layer {
            Layer::Affine(outputs) => Some((self.width_after(i), *outputs)),
            Layer::Activation(_) => None,
        })
    }

    /// `Ok` if `params` are `W` and `b` of each affine layer, of the right lengths.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`].
    pub fn check<T, P: Deref<Target = [T]>>(&self, params: &[P]) -> Result<(), KernelError> {
        let affine = self.affine_shapes().count();
        agree("the number of parameters", params.len(), "twice the number of affine layers", 2 * affine)?;
        for ((inputs, outputs), pair) in self.affine_shapes().zip(params.chunks_exact(2)) {
            let size = inputs.saturating_mul(outputs);
            agree("the size of a W", pair[0].len(), "its inputs times its outputs", size)?;
            agree("the size of a b", pair[1].len(), "the outputs of its layer", outputs)?;
        }
        Ok(())
    }

    /// The scores of the rows from `first` on, until all are done or `deadline` has passed; at least one block is.
    /// Answers how many rows have scores now: where to go on.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`] if rows, parameters or `scores` do not fit the stack, [`KernelError::Memory`].
    pub fn scores<T: Float, P: Deref<Target = [T]>>(
        &self,
        params: &[P],
        x: Rows<'_>,
        first: usize,
        deadline: Instant,
        mut scores: ArrayViewMut2<'_, T>,
    ) -> Result<usize, KernelError> {
        let (n, features) = x.dim();
        self.check(params)?;
        agree("the number of columns of x", features, "the number of features", self.features)?;
        agree("the number of rows of scores", scores.nrows(), "the number of rows of x", n)?;
        agree("the number of columns of scores", scores.ncols(), "the number of classes", self.classes())?;
        let size = BLOCK.min(n).saturating_mul(self.widest());
        let (mut x_block, mut out_block) = (zeros::<T>(size)?, zeros::<T>(size)?);
        let mut done = first;
        while done < n {
            let rows = done..n.min(done + BLOCK);
            let count = rows.len();
            x.gather(rows.clone(), &mut x_block[..count * features]);
            let mut affine = params.chunks_exact(2);
            for (i, layer) in self.layers.iter().enumerate() {
                let (inputs, outputs) = (self.width_after(i), self.width_after(i + 1));
                let (x, out) = (&x_block[..count * inputs], &mut out_block[..count * outputs]);
                layer.forward(&mut affine, (count, inputs, outputs), x, out)?;
                std::mem::swap(&mut x_block, &mut out_block);
            }
            for (mut scores, row) in scores.rows_mut().into_iter().skip(done).zip(0..count) {
                let start = row * self.classes();
                scores.iter_mut().zip(&x_block[start..]).for_each(|(scores, &x)| *scores = x);
            }
            done = rows.end;
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(done.min(n))
    }
}

impl Layer {
    /// `out ← layer(x)`; an affine layer takes the next `W, b` of `params`.
    pub(crate) fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        params: &mut std::slice::ChunksExact<'_, P>,
        (rows, inputs, outputs): (usize, usize, usize),
        x: &[T],
        out: &mut [T],
    ) -> Result<(), KernelError> {
        match self {
            Self::Activation(f) => f.forward(x, out),
            Self::Affine(_) => {
                if let Some([w, b]) = params.next() {
                    let (x, w) = (matrix(x, rows, inputs)?, matrix(w, inputs, outputs)?);
                    matmul::affine(x, w, b, matrix_mut(out, rows, outputs)?)?;
                }
            }
        }
        Ok(())
    }
}

/// `numbers` as `rows` rows of `columns`.
pub(crate) fn matrix<T>(numbers: &[T], rows: usize, columns: usize) -> Result<ArrayView2<'_, T>, KernelError> {
    let got = numbers.len();
    let wanted = rows.saturating_mul(columns);
    ArrayView2::from_shape((rows, columns), numbers).map_err(|_| wrong_size(got, wanted))
}

/// `numbers` as `rows` rows of `columns`, to be written.
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{array, Array2};
    use std::time::Duration;

    fn xor() -> (Stack, Vec<Vec<f64>>) {
        // |a - b| as relu(a - b) + relu(b - a): exact on 0 and 1.
        let layers = vec![Layer::Affine(2), Layer::Activation(Activation::Relu), Layer::Affine(1)];
        (Stack::new(2, layers), vec![vec![1., -1., -1., 1.], vec![0., 0.], vec![1., 1.], vec![0.5]])
    }

    fn slices(params: &[Vec<f64>]) -> Vec<&[f64]> {
        params.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn a_network_by_hand_from_each_kind_of_rows() {
        let (stack, params) = xor();
        let x = array![[0u8, 0], [0, 1], [1, 0], [1, 1]];
        let (single, double) = (x.mapv(f32::from), x.mapv(f64::from));
        for rows in [Rows::Bytes(x.view()), Rows::Single(single.view()), Rows::Double(double.view())] {
            let mut scores = Array2::zeros((4, 1));
            let done = stack.scores(&slices(&params), rows, 0, Instant::now(), scores.view_mut());
            assert_eq!(done, Ok(4));
            assert_eq!(scores, array![[0.5], [1.5], [1.5], [0.5]]);
        }
    }

    #[test]
    fn a_deadline_stops_after_a_block_and_the_rest_gives_the_same_scores() {
        let (stack, params) = xor();
        let n = 2 * BLOCK + 7;
        let x = Array2::from_shape_fn((n, 2), |(i, j)| (i * 2 + j) as f64);
        let (mut at_once, mut in_parts) = (Array2::zeros((n, 1)), Array2::zeros((n, 1)));
        let late = Instant::now() + Duration::from_secs(60);
        let x = Rows::Double(x.view());
        assert_eq!(stack.scores(&slices(&params), x, 0, late, at_once.view_mut()), Ok(n));
        let mut done = 0;
        for want in [BLOCK, 2 * BLOCK, n] {
            let now = Instant::now();
            done = stack.scores(&slices(&params), x, done, now, in_parts.view_mut()).unwrap();
            assert_eq!(done, want);
        }
        assert_eq!(at_once, in_parts);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (stack, params) = xor();
        let now = Instant::now();
        let mut scores = Array2::zeros((1, 1));
        let (narrow, x) = (Array2::<f64>::zeros((1, 3)), Array2::<f64>::zeros((1, 2)));
        let params = slices(&params);
        assert!(stack.scores(&params, Rows::Double(narrow.view()), 0, now, scores.view_mut()).is_err());
        assert!(stack.scores(&params[..3], Rows::Double(x.view()), 0, now, scores.view_mut()).is_err());
        let swapped = [params[1], params[0], params[2], params[3]];
        assert!(stack.scores(&swapped, Rows::Double(x.view()), 0, now, scores.view_mut()).is_err());
        let mut wide = Array2::zeros((1, 2));
        assert!(stack.scores(&params, Rows::Double(x.view()), 0, now, wide.view_mut()).is_err());
    }

    #[test]
    fn activations_at_the_ends_of_the_line() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let mut out = [9.0; 5];
        Activation::Sigmoid.forward(&[-inf, -1000.0, 0.0, inf, nan], &mut out);
        assert_eq!(out[..4], [0.0, 0.0, 0.5, 1.0]);
        assert!(out[4].is_nan());
        Activation::Relu.forward(&[-inf, -0.0, 0.0, inf, nan], &mut out);
        assert_eq!(out[..4], [0.0, 0.0, 0.0, inf]);
        assert!(out[4].is_nan());
        let mut d = [1.0, nan, 3.0];
        Activation::Relu.backward(&[2.0, 0.0, nan], &mut d);
        assert_eq!(d, [1.0, 0.0, 3.0]);
    }
}

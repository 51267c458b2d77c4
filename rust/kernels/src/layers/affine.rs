//! The two products of a layer `x·W + b`, called one by one.
//!
//! ```text
//! out = x·W + b          dW = xᵀ·d
//! ```
//!
//! `x` is read in place, whatever the type computed in. If it is mostly zeros, it is scanned first, block by block, and
//! its zeros are skipped ([`marks`](crate::sparse::marks)). Training scans the data once; here each call scans anew,
//! except for a gradient whose caller says that `x` is still that of the forward product.
//!
//! Zero times infinity is nan, and that must not be skipped: if `W` (or `d`) holds an infinity, the dense product is
//! used.

use crate::dense::matmul::{self, ColumnSums};
use crate::dense::onto::Onto;
use crate::dense::padded::{Lane, Padded, LANES};
use crate::dense::{matrix, matrix_mut};
use crate::error::{agree, zeros};
use crate::layers::{Definition, Flow, Gradients, Layer, Pass};
use crate::loss::Loss;
use crate::machine::interrupt;
use crate::machine::level::{Arithmetic, Level};
use crate::network::optimize::Optimizer;
use crate::network::stack::{Data, Stack, BLOCK};
use crate::sparse::first_layer::InSteps;
use crate::sparse::marks::Marks;
use crate::sparse::nonzeros::{skips, AllFinite};
use crate::sparse::product::Store;
use crate::sparse::rows::Rows;
use crate::{Float, KernelError};
use ndarray::{s, ArrayView2, ArrayViewMut2};
use std::ops::Deref;
use std::time::{Duration, Instant};

/// Memory to work in, which the caller keeps between calls: allocating half a megabyte anew costs as much as the
/// product itself.
#[derive(Debug)]
pub struct Scratch<T> {
    /// `out` in the forward pass, `d` in the backward pass.
    rows: Padded<T>,
    marks: Marks,
    /// Whether the marks are those of the last [`affine`].
    marked: bool,
}

impl<T: Float> Default for Scratch<T> {
    fn default() -> Self {
        Self { rows: Padded::default(), marks: Marks::default(), marked: false }
    }
}

/// `out ← x·W + b`, one row per example.
///
/// # Errors
///
/// [`KernelError::Sizes`] if the shapes do not fit together, [`KernelError::Memory`].
pub fn affine<T: Float>(
    level: Level,
    x: Rows<'_>,
    w: ArrayView2<'_, T>,
    b: &[T],
    mut out: ArrayViewMut2<'_, T>,
    scratch: &mut Scratch<T>,
) -> Result<(), KernelError> {
    let ((n, features), outputs) = (x.dim(), w.ncols());
    agree("the number of columns of x", features, "the number of rows of W", w.nrows())?;
    agree("the length of b", b.len(), "the number of columns of W", outputs)?;
    agree("the number of rows of the output", out.nrows(), "the number of rows of x", n)?;
    agree("the number of columns of the output", out.ncols(), "the number of columns of W", outputs)?;
    let w_as_slice = w.as_standard_layout();
    let w_as_slice = w_as_slice.as_slice().unwrap_or(&[]);
    let skip = skips(level, x, outputs, w_as_slice);
    scratch.marked = false;
    if let (Some(x), false) = (T::stored(&x), skip) {
        return matmul::affine(level, x, w, b, out);
    }
    if let (true, true, Some(out)) = (skip, n <= BLOCK, out.as_slice_mut()) {
        let Scratch { rows, marks, marked } = scratch;
        rows.reshape(n, outputs)?;
        marks.refill(level, x, 0..n)?;
        *marked = true;
        marks.forward(level, (x, 1.0), (w_as_slice, outputs), b, rows);
        rows.store(level, out);
        return Ok(());
    }
    // A network of this one layer, whose loss is never computed.
    let stack = Stack::new(features, vec![Layer::affine(outputs)], Loss::Squared);
    let all_of_it = Instant::now() + Duration::from_secs(1 << 30);
    stack.scores_skipping(skip, level, &[w_as_slice, b], Data::Rows(x), 0, all_of_it, out).map(|_| ())
}

/// `dW ← xᵀ·d`. `same_x` says that x is the one of the last [`affine`] with this scratch: then it is not scanned again.
///
/// # Errors
///
/// [`KernelError::Sizes`] if the shapes do not fit together, [`KernelError::Memory`].
pub fn weight_gradient<T: Float>(
    level: Level,
    x: Rows<'_>,
    d: ArrayView2<'_, T>,
    mut d_w: ArrayViewMut2<'_, T>,
    scratch: &mut Scratch<T>,
    same_x: bool,
) -> Result<(), KernelError> {
    let ((n, features), outputs) = (x.dim(), d.ncols());
    agree("the number of rows of dout", d.nrows(), "the number of rows of x", n)?;
    agree("the number of rows of dW", d_w.nrows(), "the number of columns of x", features)?;
    agree("the number of columns of dW", d_w.ncols(), "the number of columns of dout", outputs)?;
    let d_as_slice = d.as_standard_layout();
    let d_as_slice = d_as_slice.as_slice().unwrap_or(&[]);
    let marked = std::mem::take(&mut scratch.marked) && same_x && scratch.marks.dim() == x.dim();
    let skip = if marked { level.run(AllFinite(d_as_slice)) } else { skips(level, x, outputs, d_as_slice) };
    if let (Some(x), false) = (T::stored(&x), skip) {
        return matmul::matmul_at_b(level, x, d, d_w);
    }
    let blocks = (0..n).step_by(BLOCK).map(|start| start..n.min(start + BLOCK));
    if let (true, Some(d_w)) = (skip, d_w.as_slice_mut()) {
        for rows in blocks {
            interrupt::check()?;
            let d_block = &mut scratch.rows;
            d_block.reshape(rows.len(), outputs)?;
            d_block.load(level, &d_as_slice[rows.start * outputs..rows.end * outputs]);
            if !marked {
                scratch.marks.refill(level, x, rows.clone())?;
            }
            let onto_itself = rows.start > 0;
            let each = Store { d_w, outputs, onto_itself };
            scratch.marks.backward(level, x, d_block, each, !onto_itself);
        }
        return Ok(());
    }
    d_w.fill(T::zero());
    let mut block = zeros(n.min(BLOCK).saturating_mul(features))?;
    for rows in blocks {
        interrupt::check()?;
        let block = &mut block[..rows.len() * features];
        x.gather(rows.clone(), block);
        let x = matrix(block, rows.len(), features)?;
        matmul::matmul(level, x.reversed_axes(), d.slice(s![rows, ..]), d_w.view_mut(), Onto::Itself(T::one()))?;
    }
    Ok(())
}

/// The index of `W` among a layer's parameters.
pub(crate) const W: usize = 0;

/// Whether any of the products of a step is divided among threads: `x·W`, `xᵀ·d`, `d·Wᵀ`.
fn divides_products(rows: usize, inputs: usize, outputs: usize) -> bool {
    let products = [(rows, inputs, outputs), (inputs, rows, outputs), (rows, outputs, inputs)];
    products.into_iter().any(|(m, k, n)| matmul::is_divided(m, k, n))
}

/// A layer's `W` and `b` as one matrix: `b` is an extra last row, for a feature that is 1 in every example.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coefficients<'a> {
    w: &'a [f64],
    b: &'a [f64],
}

impl<'a> Coefficients<'a> {
    /// Those of a layer with these parameters.
    pub(crate) fn new(params: &[&'a [f64]]) -> Self {
        let &[w, b] = params else { return Self { w: &[], b: &[] } };
        Self { w, b }
    }

    /// Numbers per row of the layer's output.
    pub(crate) fn columns(self) -> usize {
        self.b.len()
    }

    /// Numbers per column.
    pub(crate) fn rows(self) -> usize {
        self.w.len() / self.b.len().max(1) + 1
    }

    /// The row and column of an entry of one of the parameters.
    #[inline(always)]
    pub(crate) fn place(self, parameter: usize, entry: usize) -> (usize, usize) {
        let (row, column) = (entry / self.columns(), entry % self.columns());
        (if parameter == W { row } else { self.rows() - 1 }, column)
    }

    /// The numbers of a column.
    #[inline(always)]
    pub(crate) fn column(self, column: usize) -> impl Iterator<Item = f64> + 'a {
        self.w.chunks_exact(self.columns()).map(move |row| row[column]).chain([self.b[column]])
    }
}

/// A layer's parameters, padded to whole vectors: `W`, and `b` as one row.
#[derive(Debug, Default)]
pub(crate) struct InVectors<T> {
    pub w: Padded<T>,
    pub b: Padded<T>,
}

impl<T: Float> InVectors<T> {
    /// Copy in the parameters of a layer with `outputs` outputs, with memory for `rows` rows of `W`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub(crate) fn load<P: Deref<Target = [T]>>(
        &mut self,
        level: Level,
        params: &[P],
        rows: usize,
        outputs: usize,
    ) -> Result<(), KernelError> {
        self.w.reshape(rows, outputs)?;
        self.b.reshape(1, outputs)?;
        if let [w, b] = params {
            self.w.load(level, w);
            self.b.load(level, b);
        }
        Ok(())
    }

    /// Copy `b` alone, if `W` has not changed.
    pub(crate) fn load_b<P: Deref<Target = [T]>>(&mut self, level: Level, params: &[P]) {
        if let [_, b] = params {
            self.b.load(level, b);
        }
    }
}

/// `out ← x·W + b` in a training step that skips the zeros of `x`.
pub(crate) fn forward_skipping<T: Float, P: Deref<Target = [T]>>(
    first: &mut InSteps<'_, T>,
    optimizer: &Optimizer,
    params: &[P],
    out: &mut [T],
) -> Result<(), KernelError> {
    let [_, b] = params else { return Ok(()) };
    first.forward(optimizer, b, out)
}

/// The backward pass of that step: `first` updates `W`; the gradient of `b` is stored where it would follow that of
/// `W`. The gradient of `x` is never needed.
pub(crate) fn backward_skipping<T: Float>(
    level: Level,
    first: &mut InSteps<'_, T>,
    Flow { rows, inputs, outputs, .. }: Flow,
    Gradients { d, d_params, .. }: &mut Gradients<T>,
    optimizer: &Optimizer,
) {
    let d = &d[..rows * outputs];
    level.run(ColumnSums { d, d_b: &mut d_params[inputs * outputs..][..outputs] });
    first.backward(optimizer, d);
}

/// Update `b` alone, by its part of the gradient of both.
pub(crate) fn update_b<T: Float>(
    level: Level,
    params: &mut [&mut [T]],
    state: &mut [&mut [T]],
    optimizer: &Optimizer,
    gradient: &[T],
) {
    let [w, b] = params else { return };
    let state_b = state[optimizer.rule.states()..].iter_mut().map(|state| &mut **state);
    optimizer.update(level, b, &gradient[w.len()..][..b.len()], state_b, false);
}

/// The layer in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    /// Numbers per row of the output.
    pub outputs: usize,
}

impl Definition for Affine {
    const ARRAYS: usize = 2;

    fn outputs(self, _: usize) -> usize {
        self.outputs
    }

    fn shapes(self, inputs: usize) -> Vec<Vec<usize>> {
        vec![vec![inputs, self.outputs], vec![self.outputs]]
    }

    fn divides(self, rows: usize, inputs: usize) -> bool {
        divides_products(rows, inputs, self.outputs)
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        Flow { rows, inputs, outputs, .. }: Flow,
        x: &[T],
        out: &mut [T],
        _: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let [w, b] = arrays else { return Ok(()) };
        let (x, w) = (matrix(x, rows, inputs)?, matrix(w, inputs, outputs)?);
        matmul::affine(level, x, w, b, matrix_mut(out, rows, outputs)?)
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        Flow { rows, inputs, outputs, .. }: Flow,
        (x, _): (&[T], &[T]),
        wanted: bool,
        Gradients { d, d_x, d_params }: &mut Gradients<T>,
        _: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let [w, _] = arrays else { return Ok(()) };
        let (d_w, d_b) = d_params.split_at_mut(inputs * outputs);
        let (x, d_out) = (matrix(x, rows, inputs)?, matrix(&d[..rows * outputs], rows, outputs)?);
        level.run(ColumnSums { d: &d[..rows * outputs], d_b: &mut d_b[..outputs] });
        matmul::matmul_at_b(level, x, d_out, matrix_mut(d_w, inputs, outputs)?)?;
        if wanted {
            let d_x = matrix_mut(&mut d_x[..rows * inputs], rows, inputs)?;
            matmul::matmul_a_bt(level, d_out, matrix(w, inputs, outputs)?, d_x)?;
        }
        std::mem::swap(d, d_x);
        Ok(())
    }

    /// One column of the output.
    fn again<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        arrays: &[P],
        Flow { inputs, outputs, .. }: Flow,
        x: &[T],
        out: &mut [T],
        _: &mut Pass<'_, T>,
        (_, entry): (usize, usize),
    ) -> Result<(), KernelError> {
        let [w, b] = arrays else { return Ok(()) };
        let column = entry % outputs.max(1);
        for (row, out) in out.chunks_exact_mut(outputs.max(1)).enumerate() {
            let terms = x[row * inputs..][..inputs].iter().zip(w.iter().skip(column).step_by(outputs));
            out[column] = terms.fold(b[column], |sum, (&x, &w)| sum + x * w);
        }
        Ok(())
    }

    /// The parameters are updated as soon as `d·Wᵀ` is computed, while their gradient is still in the cache. Under
    /// plain gradient descent `W ← W - η xᵀ·d` is one product, and the gradient is never stored.
    fn backward<T: Float>(
        self,
        level: Level,
        Flow { rows, inputs, outputs, .. }: Flow,
        (x, _): (&[T], &[T]),
        wanted: bool,
        Gradients { d, d_x, d_params }: &mut Gradients<T>,
        arrays: &mut [&mut [T]],
        state: &mut [&mut [T]],
        optimizer: &Optimizer,
        _: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let [w, b] = arrays else { return Ok(()) };
        let (state_w, state_b) = state.split_at_mut(optimizer.rule.states());
        let (d_w, d_b) = d_params.split_at_mut(inputs * outputs);
        let d_b = &mut d_b[..outputs];
        level.run(ColumnSums { d: &d[..rows * outputs], d_b });
        let (x, d_out) = (matrix(x, rows, inputs)?, matrix(&d[..rows * outputs], rows, outputs)?);
        if wanted {
            let d_x = matrix_mut(&mut d_x[..rows * inputs], rows, inputs)?;
            matmul::matmul_a_bt(level, d_out, matrix(w, inputs, outputs)?, d_x)?;
        }
        if optimizer.rests_on_zero() {
            let onto = Onto::Itself(T::of(-optimizer.learning_rate));
            matmul::matmul(level, x.reversed_axes(), d_out, matrix_mut(w, inputs, outputs)?, onto)?;
        } else {
            matmul::matmul_at_b(level, x, d_out, matrix_mut(d_w, inputs, outputs)?)?;
            optimizer.update(level, w, d_w, state_w.iter_mut().map(|state| &mut **state), true);
        }
        optimizer.update(level, b, d_b, state_b.iter_mut().map(|state| &mut **state), false);
        std::mem::swap(d, d_x);
        Ok(())
    }
}

type Numbers = Lane<f64>;

/// `out ← x·W + b`, sixteen rows side by side.
#[inline(always)]
pub(crate) fn side_by_side<A: Arithmetic>(x: &[Numbers], params: &[&[f64]], out: &mut [Numbers], arithmetic: A) {
    let &[w, b] = params else { return };
    let mut done = 0;
    while A::SUMS >= 8 * size_of::<Numbers>() && done + 8 <= b.len() {
        some_outputs::<8>(x, w, b, done, out, arithmetic);
        done += 8;
    }
    while A::SUMS >= 2 * size_of::<Numbers>() && done + 2 <= b.len() {
        some_outputs::<2>(x, w, b, done, out, arithmetic);
        done += 2;
    }
    for first in done..b.len() {
        some_outputs::<1>(x, w, b, first, out, arithmetic);
    }
}

/// `N` outputs at once, in registers. The order of each sum does not depend on `N`.
#[inline(always)]
fn some_outputs<const N: usize>(
    x: &[Numbers],
    w: &[f64],
    b: &[f64],
    first: usize,
    out: &mut [Numbers],
    arithmetic: impl Arithmetic,
) {
    let mut sums: [Numbers; N] = std::array::from_fn(|output| Lane([b[first + output]; LANES]));
    for (x, w) in x.iter().zip(w.chunks_exact(b.len())) {
        let w = &w[first..][..N];
        for output in 0..N {
            for i in 0..LANES {
                sums[output].0[i] = arithmetic.mul_add(x.0[i], w[output], sums[output].0[i]);
            }
        }
    }
    out[first..][..N].copy_from_slice(&sums);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::machine::level::{available, detect};
    use crate::sparse::nonzeros::TILE;
    use crate::sparse::product::tests::{bound, mostly_zeros, three_loops, wide, Kinds};
    use ndarray::{Array2, ShapeBuilder};

    /// Enough features and outputs that zeros are looked for from 255 rows on; an odd number of features; three lanes,
    /// the last with one number.
    const FEATURES: usize = TILE + 1;
    const OUTPUTS: usize = 33;
    const ROWS: [usize; 4] = [BLOCK - 1, BLOCK, BLOCK + 1, 600];

    fn level() -> Level {
        detect().unwrap()
    }

    /// A few zeros in every row and column.
    pub(crate) fn full(n: usize, features: usize) -> Array2<u8> {
        Array2::from_shape_fn((n, features), |(i, j)| if (i + j) % 37 == 0 { 0 } else { (i * 7 + j * 13) as u8 | 1 })
    }

    /// The values of the rows, rounded to the type computed in.
    fn values<T: Float>(x: Rows<'_>) -> Array2<f64> {
        Kinds::wide(x).mapv(|x| T::of(x).wide())
    }

    /// `W`, optionally with an infinity where some examples have a zero.
    fn weights<T: Float>(shape: (usize, usize), infinity: bool) -> Array2<T> {
        let mut w = numbers(shape, 1);
        if infinity {
            w[[shape.0 / 2, 7]] = T::infinity();
        }
        w
    }

    /// Each number is as close to the oracle's as `roundings` allow, and infinite or nan where that is.
    fn assert_near<T: Float>(got: ArrayView2<'_, T>, (want, sizes): &(Array2<f64>, Array2<f64>), roundings: usize) {
        assert_eq!(got.dim(), want.dim());
        for ((at, got), (want, &size)) in got.indexed_iter().zip(want.iter().zip(sizes)) {
            let got = got.wide();
            let fits = match want.is_finite() {
                true => (got - want).abs() <= bound::<T>(roundings, size),
                false => got == *want || (got.is_nan() && want.is_nan()),
            };
            assert!(fits, "{got} for {want} at {at:?}");
        }
    }

    /// x·W + b by three loops, and the sums of the absolute values of its terms.
    fn affine_by_loops<T: Float>(x: &Array2<f64>, w: &Array2<T>, b: &[T]) -> (Array2<f64>, Array2<f64>) {
        let (mut sums, mut sizes) = three_loops(x.view(), wide(w).view());
        sums.rows_mut().into_iter().for_each(|mut row| row.iter_mut().zip(b).for_each(|(x, b)| *x += b.wide()));
        sizes.rows_mut().into_iter().for_each(|mut row| row.iter_mut().zip(b).for_each(|(x, b)| *x += b.wide().abs()));
        (sums, sizes)
    }

    /// A term is rounded as a product, in as many sums as there are terms and the bias, and all of that in f64 again.
    const AFFINE_ROUNDINGS: usize = 2 * (1 + FEATURES + 1);

    /// A term is rounded as a product, in as many sums as there are rows, at the end of each block, and all of that in
    /// f64 again.
    const fn gradient_roundings(n: usize) -> usize {
        2 * (1 + n + n.div_ceil(BLOCK))
    }

    /// Each type of rows: `(x, whether zeros are skipped, whether W and d have an infinity)`.
    fn each_case(mut see: impl FnMut(Rows<'_>, bool, bool)) {
        for n in ROWS {
            for (x, sparse) in [(mostly_zeros(n, FEATURES, 3), true), (full(n, FEATURES), false)] {
                for x in Kinds::of(&x).each() {
                    see(x, sparse, false);
                    see(x, false, true);
                }
            }
        }
    }

    fn affine_is_three_loops<T: Float>() {
        let mut scratch = Scratch::default();
        each_case(|x, skipping, infinity| {
            let n = x.dim().0;
            let (w, b) =
                (weights((FEATURES, OUTPUTS), infinity), numbers::<T>((1, OUTPUTS), 2).into_raw_vec_and_offset().0);
            let want = affine_by_loops(&values::<T>(x), &w, &b);
            assert_eq!(infinity, want.0.iter().any(|x| x.is_nan()));
            for &level in available() {
                assert_eq!(skips(level, x, OUTPUTS, w.as_slice().unwrap()), skipping);
                // The old contents of the output are not read.
                let mut out = Array2::from_elem((n, OUTPUTS), T::nan());
                scratch.rows = Padded::default();
                affine(level, x, w.view(), &b, out.view_mut(), &mut scratch).unwrap();
                assert_near(out.view(), &want, AFFINE_ROUNDINGS);
                assert_eq!(!scratch.rows.numbers().is_empty(), skipping && n <= BLOCK);
            }
        });
    }

    #[test]
    fn affine_is_three_loops_in_f32() {
        affine_is_three_loops::<f32>();
    }

    #[test]
    fn affine_is_three_loops_in_f64() {
        affine_is_three_loops::<f64>();
    }

    fn weight_gradient_is_three_loops<T: Float>() {
        let mut scratch = Scratch::default();
        each_case(|x, skipping, infinity| {
            let n = x.dim().0;
            let d = weights((n, OUTPUTS), infinity);
            let want = three_loops(values::<T>(x).t(), wide(&d).view());
            assert_eq!(infinity, want.0.iter().any(|x| x.is_nan()));
            for &level in available() {
                assert_eq!(skips(level, x, OUTPUTS, d.as_slice().unwrap()), skipping);
                let mut d_w = Array2::from_elem((FEATURES, OUTPUTS), T::nan());
                scratch.rows = Padded::default();
                weight_gradient(level, x, d.view(), d_w.view_mut(), &mut scratch, false).unwrap();
                assert_near(d_w.view(), &want, gradient_roundings(n));
                assert_eq!(!scratch.rows.numbers().is_empty(), skipping);
            }
        });
    }

    #[test]
    fn the_same_x_is_looked_through_once() {
        let (mut scratch, n) = (Scratch::default(), BLOCK);
        let (w, b, d) = (numbers::<f64>((FEATURES, OUTPUTS), 1), [0.5; OUTPUTS], numbers::<f64>((n, OUTPUTS), 3));
        let (sparse, dense) = (mostly_zeros(n, FEATURES, 3), full(n, FEATURES));
        let other = mostly_zeros(n, FEATURES, 4);
        // Not the array's own format, which abbreviates; in a string nan equals nan.
        let all = |numbers: &Array2<f64>| format!("{:?}", numbers.as_slice());
        for (x, d, marked) in [
            (&sparse, &d, true),
            (&dense, &d, false),
            // Zeros are not skipped with an infinity present, whether scanned or not.
            (&sparse, &weights((n, OUTPUTS), true), true),
        ] {
            for (x, other) in Kinds::of(x).each().into_iter().zip(Kinds::of(&other).each()) {
                let mut out = Array2::zeros((n, OUTPUTS));
                affine(level(), x, w.view(), &b, out.view_mut(), &mut scratch).unwrap();
                assert_eq!(scratch.marked, marked);
                let [mut anew, mut again] = [(); 2].map(|()| Array2::from_elem((FEATURES, OUTPUTS), f64::NAN));
                weight_gradient(level(), x, d.view(), anew.view_mut(), &mut Scratch::default(), false).unwrap();
                scratch.rows = Padded::default();
                weight_gradient(level(), x, d.view(), again.view_mut(), &mut scratch, true).unwrap();
                assert!(all(&again) == all(&anew));
                let skipped = marked && d.iter().all(|d| d.is_finite());
                assert_eq!(!scratch.rows.numbers().is_empty(), skipped);
                // The marks are those of the last product only, whatever the caller says of x.
                assert!(!scratch.marked);
                affine(level(), x, w.view(), &b, out.view_mut(), &mut scratch).unwrap();
                weight_gradient(level(), other, d.view(), again.view_mut(), &mut scratch, false).unwrap();
                weight_gradient(level(), x, d.view(), again.view_mut(), &mut scratch, true).unwrap();
                assert!(all(&again) == all(&anew));
            }
        }
    }

    #[test]
    fn marks_of_another_x_are_not_used() {
        let (w, b, d) = (numbers::<f64>((FEATURES, OUTPUTS), 1), [0.5; OUTPUTS], numbers::<f64>((BLOCK, OUTPUTS), 3));
        let (sparse, dense) = (mostly_zeros(BLOCK, FEATURES, 3), full(BLOCK, FEATURES));
        let (mut out, mut scratch) = (Array2::zeros((BLOCK, OUTPUTS)), Scratch::default());
        let gradient = |x: &Array2<u8>, d: ArrayView2<'_, f64>, scratch: &mut Scratch<f64>, same_x: bool| {
            let mut d_w = Array2::from_elem((x.ncols(), OUTPUTS), f64::NAN);
            weight_gradient(level(), Rows::Bytes(x.view()), d, d_w.view_mut(), scratch, same_x).unwrap();
            d_w
        };
        // Nobody asks for the gradient of the sparse one, so its marks are still there when the dense one comes.
        for x in [&sparse, &dense] {
            affine(level(), Rows::Bytes(x.view()), w.view(), &b, out.view_mut(), &mut scratch).unwrap();
        }
        let want = gradient(&dense, d.view(), &mut Scratch::default(), false);
        assert_eq!(gradient(&dense, d.view(), &mut scratch, true), want);
        // Marks of fewer rows, and of another number of columns, whatever the caller says of x.
        for x in [mostly_zeros(BLOCK - 1, FEATURES, 3), mostly_zeros(BLOCK, FEATURES + 9, 3)] {
            affine(level(), Rows::Bytes(sparse.view()), w.view(), &b, out.view_mut(), &mut scratch).unwrap();
            let d = d.slice(s![..x.nrows(), ..]);
            let want = gradient(&x, d, &mut Scratch::default(), false);
            assert_eq!(gradient(&x, d, &mut scratch, true), want);
        }
    }

    #[test]
    fn weight_gradient_is_three_loops_in_f32() {
        weight_gradient_is_three_loops::<f32>();
    }

    #[test]
    fn weight_gradient_is_three_loops_in_f64() {
        weight_gradient_is_three_loops::<f64>();
    }

    #[test]
    fn any_layout_of_what_is_computed_in_and_of_the_results() {
        let mut scratch = Scratch::default();
        for n in [BLOCK - 1, BLOCK + 1] {
            for x in [mostly_zeros(n, FEATURES, 3), full(n, FEATURES)] {
                for x in Kinds::of(&x).each() {
                    let (w, d) = (numbers::<f64>((FEATURES, OUTPUTS), 1), numbers::<f64>((n, OUTPUTS), 3));
                    let b = [0.5; OUTPUTS];
                    let want = affine_by_loops(&values::<f64>(x), &w, &b);
                    let want_d_w = three_loops(values::<f64>(x).t(), d.view());
                    let turned = |x: &Array2<f64>| x.t().as_standard_layout().into_owned().reversed_axes();
                    let (w, d) = (turned(&w), turned(&d));
                    // Column-major arrays, and rows with a gap after each.
                    let shapes = [(n, OUTPUTS), (FEATURES, OUTPUTS)];
                    let [mut out, mut d_w] = shapes.map(|shape| Array2::from_elem(shape.f(), f64::NAN));
                    let [mut wide_out, mut wide_d_w] = shapes.map(|(n, m)| Array2::from_elem((n, m + 2), 7.0));
                    for (mut out, mut d_w) in [
                        (out.view_mut(), d_w.view_mut()),
                        (wide_out.slice_mut(s![.., 1..=OUTPUTS]), wide_d_w.slice_mut(s![.., 1..=OUTPUTS])),
                    ] {
                        affine(level(), x, w.view(), &b, out.view_mut(), &mut scratch).unwrap();
                        assert_near(out.view(), &want, AFFINE_ROUNDINGS);
                        weight_gradient(level(), x, d.view(), d_w.view_mut(), &mut scratch, false).unwrap();
                        assert_near(d_w.view(), &want_d_w, gradient_roundings(n));
                    }
                    for wide in [wide_out, wide_d_w] {
                        assert!(wide.column(0).iter().chain(wide.column(OUTPUTS + 1)).all(|&x| x == 7.0));
                    }
                }
            }
        }
    }

    fn one_scratch_for_many_shapes<T: Float>() {
        let mut used = Scratch::default();
        // Fewer rows, features and outputs than before, and more; an odd number of features where there was one more;
        // too few multiplications to look for zeros; more than one block.
        let shapes = [
            (256, 130, 33),
            (255, 129, 33),
            (200, 393, 50),
            (3, 393, 50),
            (20, 3000, 40),
            (600, 131, 40),
            (256, 64, 65),
            (60, 196, 130),
            (256, 63, 66),
            (256, 130, 33),
        ];
        for ((n, features, outputs), seed) in shapes.into_iter().zip(100..) {
            let mut x = Kinds::of(&mostly_zeros(n, features, seed));
            // Infinite values reach the padding of the last lane, and stay there.
            x.make_infinite((n - 1, 0));
            for x in x.each() {
                let (w, d) = (numbers::<T>((features, outputs), seed), numbers::<T>((n, outputs), seed + 1));
                let b = numbers::<T>((1, outputs), seed + 2);
                let both = |scratch: &mut Scratch<T>| {
                    let (mut out, mut d_w) = (Array2::zeros((n, outputs)), Array2::zeros((features, outputs)));
                    affine(level(), x, w.view(), b.as_slice().unwrap(), out.view_mut(), scratch).unwrap();
                    weight_gradient(level(), x, d.view(), d_w.view_mut(), scratch, false).unwrap();
                    out.iter().chain(&d_w).map(|x| x.wide().to_bits()).collect::<Vec<_>>()
                };
                assert!(both(&mut used) == both(&mut Scratch::default()), "{n} {features} {outputs}");
            }
        }
    }

    #[test]
    fn any_layout_of_x() {
        let mut scratch = Scratch::default();
        let (w, b, d) = (numbers::<f64>((FEATURES, OUTPUTS), 1), [0.5; OUTPUTS], numbers::<f64>((BLOCK, OUTPUTS), 3));
        let x = Kinds::wide(Kinds::of(&mostly_zeros(BLOCK, FEATURES, 3)).each()[2]);
        let turned = x.t().as_standard_layout().into_owned().reversed_axes();
        let mut wide = Array2::from_elem((BLOCK, FEATURES + 3), 7.0);
        wide.slice_mut(s![.., 1..=FEATURES]).assign(&x);
        let (want, want_d_w) = (affine_by_loops(&x, &w, &b), three_loops(x.t(), d.view()));
        for x in [x.view(), turned.view(), wide.slice(s![.., 1..=FEATURES])] {
            let (mut out, mut d_w) = (Array2::zeros((BLOCK, OUTPUTS)), Array2::zeros((FEATURES, OUTPUTS)));
            affine(level(), Rows::Double(x), w.view(), &b, out.view_mut(), &mut scratch).unwrap();
            assert_near(out.view(), &want, AFFINE_ROUNDINGS);
            weight_gradient(level(), Rows::Double(x), d.view(), d_w.view_mut(), &mut scratch, true).unwrap();
            assert_near(d_w.view(), &want_d_w, gradient_roundings(BLOCK));
        }
    }

    #[test]
    fn one_scratch_for_many_shapes_in_f32() {
        one_scratch_for_many_shapes::<f32>();
    }

    #[test]
    fn one_scratch_for_many_shapes_in_f64() {
        one_scratch_for_many_shapes::<f64>();
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_and_nothing_written() {
        let mut scratch = Scratch::default();
        // Zeros looked for in several blocks, in one, and not at all.
        for n in [300, 200, 4] {
            for x in Kinds::of(&mostly_zeros(n, FEATURES, 3)).each() {
                let matrix = |rows, columns| Array2::<f32>::ones((rows, columns));
                let right = ((FEATURES, OUTPUTS), OUTPUTS, (n, OUTPUTS));
                let mut try_affine = |(w, b, out): ((usize, usize), usize, (usize, usize))| {
                    let mut out = matrix(out.0, out.1) * 7.0;
                    let done = affine(level(), x, matrix(w.0, w.1).view(), &vec![1.0; b], out.view_mut(), &mut scratch);
                    (done, out.iter().all(|&x| x == 7.0))
                };
                assert_eq!(try_affine(right), (Ok(()), false));
                for wrong in [
                    ((FEATURES - 1, OUTPUTS), right.1, right.2),
                    ((FEATURES + 1, OUTPUTS), right.1, right.2),
                    ((FEATURES, OUTPUTS - 1), right.1, right.2),
                    ((FEATURES, OUTPUTS + 1), right.1, right.2),
                    ((OUTPUTS, FEATURES), right.1, right.2),
                    (right.0, OUTPUTS - 1, right.2),
                    (right.0, OUTPUTS + 1, right.2),
                    (right.0, right.1, (n - 1, OUTPUTS)),
                    (right.0, right.1, (n + 1, OUTPUTS)),
                    (right.0, right.1, (n, OUTPUTS - 1)),
                    (right.0, right.1, (n, OUTPUTS + 1)),
                ] {
                    let (done, untouched) = try_affine(wrong);
                    assert!(matches!(done, Err(KernelError::Sizes { .. })) && untouched, "{wrong:?}");
                }
                let right = ((n, OUTPUTS), (FEATURES, OUTPUTS));
                let mut try_gradient = |(d, d_w): ((usize, usize), (usize, usize))| {
                    let mut d_w = matrix(d_w.0, d_w.1) * 7.0;
                    let done =
                        weight_gradient(level(), x, matrix(d.0, d.1).view(), d_w.view_mut(), &mut scratch, false);
                    (done, d_w.iter().all(|&x| x == 7.0))
                };
                assert_eq!(try_gradient(right), (Ok(()), false));
                for wrong in [
                    ((n - 1, OUTPUTS), right.1),
                    ((n + 1, OUTPUTS), right.1),
                    ((n, OUTPUTS - 1), right.1),
                    ((n, OUTPUTS + 1), right.1),
                    (right.0, (FEATURES - 1, OUTPUTS)),
                    (right.0, (FEATURES + 1, OUTPUTS)),
                    (right.0, (FEATURES, OUTPUTS - 1)),
                    (right.0, (FEATURES, OUTPUTS + 1)),
                ] {
                    let (done, untouched) = try_gradient(wrong);
                    assert!(matches!(done, Err(KernelError::Sizes { .. })) && untouched, "{wrong:?}");
                }
            }
        }
    }

    #[test]
    fn no_rows_no_features_and_no_outputs() {
        let mut scratch = Scratch::default();
        for (n, features, outputs) in [(0, 3, 2), (4, 0, 2), (4, 3, 0), (0, 0, 0)] {
            for x in Kinds::of(&Array2::ones((n, features))).each() {
                let (w, b) = (Array2::<f32>::ones((features, outputs)), vec![0.5; outputs]);
                let (mut out, mut d_w) = (Array2::zeros((n, outputs)), Array2::from_elem(w.dim(), f32::NAN));
                affine(level(), x, w.view(), &b, out.view_mut(), &mut scratch).unwrap();
                assert!(out.iter().all(|&x| x == 0.5));
                weight_gradient(level(), x, Array2::ones((n, outputs)).view(), d_w.view_mut(), &mut scratch, false)
                    .unwrap();
                assert!(d_w.iter().all(|&x| x == 0.0));
            }
        }
    }
}

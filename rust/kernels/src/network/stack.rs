//! The layers of a network, in the order they are called, and its forward pass over many rows.
//!
//! ```text
//! x → layer → layer → … → scores, each row by itself, except in layers that look at a whole batch in training
//! ```
//!
//! A [`Stack`] knows shapes only. The parameters are the caller's: one slice each, in the order of the layers, passed
//! to every call. So the same stack works on the caller's arrays in place, and holds nothing that could go stale.
//!
//! Cost of [`Stack::scores`]: the layers, in blocks of [`BLOCK`] rows, or fewer where they are wide, so that the
//! numbers between layers stay in the cache and no buffer is as long as the data. The blocks are divided among threads.
//! They do not depend on the number of threads, nor on how the work is divided into calls.

use crate::dense::aligned::Aligned;
use crate::dense::padded::{Padded, LANES};
use crate::error::{agree, resize};
use crate::layers::affine::{self, InVectors};
use crate::layers::side_by_side::{rearrange, LEAST};
use crate::layers::{Draws, Flow, Layer, Memory, Mode, Pass};
use crate::loss::Loss;
use crate::machine::level::Level;
use crate::machine::threads;
use crate::sparse::marks::Marks;
use crate::sparse::nonzeros::{self, Nonzeros};
use crate::sparse::product::Product;
use crate::sparse::rows::Rows;
use crate::{Float, KernelError};
use ndarray::{ArrayViewMut2, Axis};
use std::ops::{Deref, Range};
use std::time::Instant;

/// Rows evaluated at a time: 256 rows of 784 floats are 800 kB in f32, the size of an L2 cache.
pub const BLOCK: usize = 256;

/// Numbers evaluated at a time where rows are wide: 128 rows of the 4,320 that chapter 7's network has after its
/// pooling, 64 of chapter 8's 12,544. With 16 rows, preparing the weights for each block took a third of the time of
/// the former.
const AT_ONCE: usize = 1 << 20;

/// Rows whose zeros are marked at a time: 128 rows of 56 floats are 28 kB in f32, the size of an L1 cache.
const MARKED: usize = 128;

/// The layers of a network, the width of its input, and its loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    pub(crate) features: usize,
    pub(crate) layers: Vec<Layer>,
    pub(crate) loss: Loss,
}

impl Stack {
    /// Layers for rows of `features` numbers, and the loss of their output.
    pub fn new(features: usize, layers: Vec<Layer>, loss: Loss) -> Self {
        Self { features, layers, loss }
    }

    /// Numbers per row of the data.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Numbers per row after the first `layers` layers.
    pub(crate) fn width_after(&self, layers: usize) -> usize {
        self.layers[..layers].iter().fold(self.features, |inputs, layer| layer.outputs(inputs))
    }

    /// The flow through layer `i` with `rows` rows.
    pub(crate) fn flow(&self, i: usize, rows: usize) -> Flow {
        Flow::of_rows(rows, self.width_after(i), self.width_after(i + 1))
    }

    /// Whether layer `i` takes that many rows side by side; its output is then side by side too. The final scores never
    /// are.
    pub(crate) fn side_by_side(&self, i: usize, rows: usize) -> bool {
        let mut before = self.layers[..self.layers.len().min(i + 1)].iter().rev();
        i < self.layers.len() && rows >= LEAST && before.find_map(|layer| layer.takes_side_by_side()).unwrap_or(false)
    }

    /// Layer `first`, fused with the layers behind it where possible, and the range of these layers.
    pub(crate) fn step(&self, first: usize) -> (Layer, Range<usize>) {
        let (mut all, mut end) = (self.layers[first], first + 1);
        while let Some(one_more) = self.layers.get(end).and_then(|&behind| all.with(behind)) {
            (all, end) = (one_more, end + 1);
        }
        (all, first..end)
    }

    /// The flow through such a [`step`](Self::step), side by side where it takes rows so.
    pub(crate) fn flow_arranged(&self, step: &Range<usize>, rows: usize) -> Flow {
        let (inputs, outputs) = (self.width_after(step.start), self.width_after(step.end));
        Flow { rows, inputs, outputs, side_by_side: self.side_by_side(step.start, rows) }
    }

    /// `Ok` if each layer accepts the output of the one before it.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`].
    pub fn fits(&self) -> Result<(), KernelError> {
        self.layers.iter().enumerate().try_for_each(|(i, layer)| layer.expect_inputs(self.width_after(i)))
    }

    /// The range of layer `i`'s arrays among the network's.
    pub(crate) fn arrays_of(&self, i: usize) -> Range<usize> {
        let first = self.layers[..i].iter().map(|layer| layer.arrays()).sum();
        first..first + self.layers[i].arrays()
    }

    /// The range of layer `i`'s parameters among the network's, not counting statistics.
    pub(crate) fn parameters_of(&self, i: usize) -> Range<usize> {
        let first = self.layers[..i].iter().map(|layer| layer.parameters()).sum();
        first..first + self.layers[i].parameters()
    }

    /// Whether training differs from evaluation.
    pub fn trains_otherwise(&self) -> bool {
        self.layers.iter().any(|layer| layer.trains_otherwise())
    }

    /// The first layer with parameters, if there is one.
    pub(crate) fn first_with_parameters(&self) -> Option<usize> {
        self.layers.iter().position(|layer| layer.parameters() > 0)
    }

    /// The shapes of all parameters, in order, without the statistics.
    pub fn shapes_of_parameters(&self) -> impl Iterator<Item = Vec<usize>> + '_ {
        let its = |(i, layer): (usize, &Layer)| {
            layer.shapes(self.width_after(i)).into_iter().take(layer.parameters()).collect::<Vec<_>>()
        };
        self.layers.iter().enumerate().flat_map(its)
    }

    /// The shapes of all arrays, in order.
    pub fn shapes(&self) -> impl Iterator<Item = Vec<usize>> + '_ {
        self.layers.iter().enumerate().flat_map(|(i, layer)| layer.shapes(self.width_after(i)))
    }

    /// Numbers per row of scores.
    pub fn classes(&self) -> usize {
        self.width_after(self.layers.len())
    }

    /// The units of work, in order: a layer, or one fused with those behind it.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (Layer, Range<usize>)> + '_ {
        let mut end = 0;
        std::iter::from_fn(move || {
            let step = (end < self.layers.len()).then(|| self.step(end))?;
            end = step.1.end;
            Some(step)
        })
    }

    /// The most numbers per row before or after any layer.
    pub(crate) fn widest(&self) -> usize {
        (0..=self.layers.len()).map(|i| self.width_after(i)).max().unwrap_or(0)
    }

    /// The most numbers per row between [steps](Self::steps).
    pub(crate) fn widest_between(&self) -> usize {
        self.steps().map(|(_, step)| self.width_after(step.end)).fold(self.features, usize::max)
    }

    /// The size of each array, in order; saturates.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.layers.iter().enumerate().flat_map(|(i, layer)| layer.sizes(self.width_after(i)))
    }

    /// Multiplications per row; saturates.
    pub(crate) fn cost(&self) -> usize {
        let costs = self.layers.iter().enumerate().map(|(i, layer)| layer.cost(self.width_after(i)));
        costs.fold(0, usize::saturating_add)
    }

    /// `Ok` if `params` are the arrays of all layers, with the right lengths.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`].
    pub fn check<T, P: Deref<Target = [T]>>(&self, params: &[P]) -> Result<(), KernelError> {
        let wanted = self.layers.iter().map(|layer| layer.arrays()).sum();
        agree("the number of parameters", params.len(), "the number of those that the layers have", wanted)?;
        for (i, layer) in self.layers.iter().enumerate() {
            layer.check(self.width_after(i), &params[self.arrays_of(i)])?;
        }
        Ok(())
    }

    /// The factor that the data is scaled by first: a leading layer that only scales needs no pass of its own.
    pub fn scale(&self) -> Option<f64> {
        self.layers.first()?.scale()
    }

    /// The product that reads the data itself, scaled or not, if there is one: the index of its layer, and its outputs.
    pub fn first_product(&self) -> Option<(usize, usize)> {
        let first = usize::from(self.scale().is_some());
        Some((first, self.layers.get(first)?.product()?))
    }

    /// Whether zeros of `x` can be skipped, and there are enough of them for that to pay.
    pub fn skips_zeros(&self, level: Level, x: Rows<'_>) -> bool {
        self.first_product().is_some() && nonzeros::pays(level, x)
    }

    /// Whether any work of a step with `batch` rows is divided among threads, not counting the layers before layer
    /// `from`.
    pub(crate) fn divides(&self, batch: usize, from: usize) -> bool {
        let mut layers = self.layers.iter().enumerate().skip(from);
        layers.any(|(i, layer)| layer.divides(batch, self.width_after(i)))
    }

    /// The mode of layer `i` in a training pass, with the i-th of `draws`.
    pub(crate) fn mode(&self, i: usize, draws: &[Draws]) -> Mode {
        Mode::Train(draws.get(i).copied().unwrap_or_default())
    }

    /// Run `rows` rows through some of the layers as in training, without updating statistics: `x` holds the input,
    /// then the output; `out` is memory for that.
    #[allow(clippy::too_many_arguments)] // a network, the part of it to run, and what flows
    pub(crate) fn train_forward<T: Float, P: Deref<Target = [T]>>(
        &self,
        level: Level,
        arrays: &[P],
        layers: Range<usize>,
        rows: usize,
        draws: &[Draws],
        x: &mut Vec<T>,
        out: &mut Vec<T>,
    ) -> Result<(), KernelError> {
        for i in layers {
            let (layer, flow) = (self.layers[i], self.flow(i, rows));
            resize(out, rows.saturating_mul(flow.outputs), T::zero())?;
            let otherwise = layer.trains_otherwise();
            let mut memory = if otherwise { Memory::of(layer, flow)? } else { Memory::default() };
            let mut pass = match otherwise {
                true => memory.pass(layer, flow, self.mode(i, draws)),
                false => Pass::evaluating(), // the same, but nothing is remembered
            };
            layer.forward(level, &arrays[self.arrays_of(i)], flow, x, out, &mut pass)?;
            std::mem::swap(x, out);
        }
        Ok(())
    }

    /// Compute the scores of the rows from `first` on, until all are done or `deadline` has passed; always at least one
    /// round of blocks. Returns the number of rows that have scores now: the `first` of the next call.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`] if rows, parameters or `scores` do not fit the stack, [`KernelError::Memory`].
    pub fn scores<T: Float, P: Deref<Target = [T]> + Sync>(
        &self,
        level: Level,
        params: &[P],
        x: Data<'_, T>,
        first: usize,
        deadline: Instant,
        scores: ArrayViewMut2<'_, T>,
    ) -> Result<usize, KernelError> {
        self.scores_skipping(self.skips(level, params, x), level, params, x, first, deadline, scores)
    }

    /// Whether the first product skips the zeros of this data.
    pub(crate) fn skips<T: Float, P: Deref<Target = [T]>>(&self, level: Level, params: &[P], x: Data<'_, T>) -> bool {
        match (x, self.first_product()) {
            (Data::Nonzeros(_), _) => true,
            (Data::Rows(x), Some((layer, outputs))) => {
                let w = params.get(self.arrays_of(layer).start + affine::W);
                w.is_some_and(|w| nonzeros::skips(level, x, outputs, w))
            }
            (Data::Rows(_), None) => false,
        }
    }

    /// The same, with `skip` saying whether to skip the zeros of the data.
    #[allow(clippy::too_many_arguments)] // those of `scores`
    pub(crate) fn scores_skipping<T: Float, P: Deref<Target = [T]> + Sync>(
        &self,
        skip: bool,
        level: Level,
        params: &[P],
        x: Data<'_, T>,
        first: usize,
        deadline: Instant,
        mut scores: ArrayViewMut2<'_, T>,
    ) -> Result<usize, KernelError> {
        let n = x.rows();
        self.check(params)?;
        x.check(self)?;
        agree("the number of rows of scores", scores.nrows(), "the number of rows of x", n)?;
        agree("the number of columns of scores", scores.ncols(), "the number of classes", self.classes())?;
        let first = first.min(n);
        let mut ready = None;
        if skip {
            self.load_first(level, params, ready.insert(InVectors::default()))?;
        }
        let mut done = first;
        while done < n {
            let end = n.min(done + self.round());
            let mut todo = scores.slice_mut(ndarray::s![done..end, ..]);
            let block = self.block();
            let blocks = (done..end).step_by(block).zip(todo.axis_chunks_iter_mut(Axis(0), block));
            threads::try_each_with(blocks, Workspace::default, |work, (start, out)| {
                let rows = start..start + out.nrows();
                self.scores_of_block(level, params, ready.as_ref(), x, rows, work, out)
            })?;
            done = end;
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(done)
    }

    /// Rows evaluated at a time.
    pub(crate) fn block(&self) -> usize {
        // A power of two, so that a round is whole blocks.
        1 << (AT_ONCE / self.widest_between().max(1)).clamp(LANES, BLOCK).ilog2()
    }

    /// Rows between two looks at the clock: enough for each thread that waking it costs little, and few enough that
    /// even with the largest network the clock is read every few milliseconds.
    pub(crate) fn round(&self) -> usize {
        const MULTIPLICATIONS: usize = 1 << 27;
        if threads::is_alone() {
            return BLOCK;
        }
        BLOCK * threads::count() * (MULTIPLICATIONS / self.cost().saturating_mul(BLOCK).max(1)).clamp(1, 16)
    }

    /// Load the parameters of the product that skips zeros, which takes rows of `W` in pairs.
    pub(crate) fn load_first<T: Float, P: Deref<Target = [T]>>(
        &self,
        level: Level,
        params: &[P],
        first: &mut InVectors<T>,
    ) -> Result<(), KernelError> {
        let Some((layer, outputs)) = self.first_product() else { return Ok(()) };
        first.load(level, &params[self.arrays_of(layer)], self.features.next_multiple_of(2), outputs)
    }

    #[allow(clippy::too_many_arguments)] // the network and its data, which rows, the output, and memory to work in
    pub(crate) fn scores_of_block<T: Float, P: Deref<Target = [T]>>(
        &self,
        level: Level,
        params: &[P],
        ready: Option<&InVectors<T>>,
        x: Data<'_, T>,
        rows: Range<usize>,
        work: &mut Workspace<T>,
        mut scores: ArrayViewMut2<'_, T>,
    ) -> Result<(), KernelError> {
        let n = rows.len();
        let Workspace { marks, product: out, x: x_block, out: out_block } = work;
        let (mut from, mut side_by_side) = (0, false); // the layers before `from` are done
        let mut stored = None; // rows that need no conversion are read in place
        match (x, ready) {
            (_, Some(InVectors { w, b })) => {
                let (layer, outputs) = self.first_product().unwrap_or((0, 0));
                out.reshape(n, outputs)?;
                x_block.resize(n * outputs)?;
                match x {
                    Data::Nonzeros(x) => {
                        level.run(Product { x, rows, w, b, out });
                        out.store(level, x_block);
                    }
                    Data::Rows(x) => {
                        let chunks = rows.clone().step_by(MARKED).map(|start| start..rows.end.min(start + MARKED));
                        for (chunk, scores) in chunks.zip(x_block.chunks_mut((MARKED * outputs).max(1))) {
                            marks.refill(level, x, chunk)?;
                            marks.forward(
                                level,
                                (x, self.scale().unwrap_or(1.0)),
                                w.as_rows(),
                                b.row(0).as_flattened(),
                                out,
                            );
                            out.store(level, scores);
                        }
                    }
                }
                from = layer + 1;
            }
            (Data::Rows(x), None) => {
                stored = T::stored(&x).and_then(|x| x.slice_move(ndarray::s![rows.clone(), ..]).to_slice());
                if stored.is_none() {
                    x_block.resize(n * self.features)?;
                    x.gather(rows, x_block);
                }
            }
            (Data::Nonzeros(_), None) => {}
        }
        for (layer, step) in self.steps().filter(|(_, step)| step.start >= from) {
            let (i, flow) = (step.start, self.flow_arranged(&step, n));
            if flow.side_by_side != side_by_side {
                out_block.resize(n.next_multiple_of(LANES) * flow.inputs)?;
                let x = stored.take().unwrap_or(x_block);
                rearrange(level, flow.side_by_side, (n, flow.inputs), x, out_block)?;
                std::mem::swap(x_block, out_block);
                side_by_side = flow.side_by_side;
            }
            out_block.resize(flow.room() * flow.outputs)?;
            let x = &stored.take().unwrap_or(x_block)[..flow.room() * flow.inputs];
            layer.forward(level, &params[self.arrays_of(i)], flow, x, out_block, &mut Pass::evaluating())?;
            std::mem::swap(x_block, out_block);
        }
        if side_by_side {
            out_block.resize(n * self.classes())?;
            rearrange(level, false, (n, self.classes()), x_block, out_block)?;
            std::mem::swap(x_block, out_block);
        }
        for (mut scores, x) in scores.rows_mut().into_iter().zip(x_block.chunks_exact(self.classes().max(1))) {
            scores.iter_mut().zip(x).for_each(|(score, &x)| *score = x);
        }
        Ok(())
    }
}

/// Memory to work in, reused from block to block.
#[derive(Debug, Default)]
pub(crate) struct Workspace<T> {
    marks: Marks,
    /// The result of a product that skips zeros.
    product: Padded<T>,
    /// The input and the output of a layer.
    x: Aligned<T>,
    out: Aligned<T>,
}

/// The data as it is stored, or with its zeros left out.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a, T> {
    /// As it is stored.
    Rows(Rows<'a>),
    /// With its zeros left out, and the stack's scale applied.
    Nonzeros(&'a Nonzeros<T>),
}

impl<T: Float> Data<'_, T> {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Rows(x) => x.dim().0,
            Self::Nonzeros(x) => x.rows(),
        }
    }

    /// `Ok` if the rows are as long as `stack` expects.
    pub(crate) fn check(&self, stack: &Stack) -> Result<(), KernelError> {
        let features = match self {
            Self::Rows(x) => x.dim().1,
            Self::Nonzeros(x) => x.features(),
        };
        agree("the number of columns of x", features, "the number of features", stack.features)?;
        let needed = usize::from(matches!(self, Self::Nonzeros(_)));
        let there = usize::from(stack.first_product().is_some());
        agree("the products that read the data", there.min(needed), "what data without its zeros needs", needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::layers::activation::Activation;
    use crate::machine::level::{available, detect};
    use crate::sparse::nonzeros::TILE;
    use crate::sparse::product::tests::{bound, mostly_zeros, three_loops, Kinds};
    use ndarray::{array, Array2};
    use std::time::Duration;

    fn xor() -> (Stack, Vec<Vec<f64>>) {
        // |a - b| as relu(a - b) + relu(b - a): exact on 0 and 1.
        let layers = vec![Layer::affine(2), Layer::Activation(Activation::Relu), Layer::affine(1)];
        (Stack::new(2, layers, Loss::Softmax), vec![vec![1., -1., -1., 1.], vec![0., 0.], vec![1., 1.], vec![0.5]])
    }

    fn level() -> Level {
        detect().unwrap()
    }

    fn slices(params: &[Vec<f64>]) -> Vec<&[f64]> {
        params.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn large_products_are_divided() {
        let more = threads::count() > 1;
        // 3·2^20 multiplications and more are divided: 4·784·1024 and 3·1024·1024, but not 3·784·1024 or 2·1024·1024.
        let cases = [(&[1024, 10], 4, 0, true), (&[1024, 10], 4, 1, false), (&[1024, 10], 3, 0, false)];
        let deep = [(&[1024, 1024], 3, 1, true), (&[1024, 1024], 2, 1, false)];
        for (outputs, batch, skipped, divided) in cases.into_iter().chain(deep) {
            let stack = Stack::new(784, outputs.map(Layer::affine).to_vec(), Loss::Softmax);
            assert_eq!(stack.divides(batch, skipped), divided && more, "{outputs:?} {batch}");
        }
    }

    #[test]
    fn a_network_by_hand_from_each_kind_of_rows() {
        let (stack, params) = xor();
        let x = array![[0u8, 0], [0, 1], [1, 0], [1, 1]];
        let (single, double) = (x.mapv(f32::from), x.mapv(f64::from));
        for rows in [Rows::Bytes(x.view()), Rows::Single(single.view()), Rows::Double(double.view())] {
            let mut scores = Array2::zeros((4, 1));
            let done = stack.scores(level(), &slices(&params), Data::Rows(rows), 0, Instant::now(), scores.view_mut());
            assert_eq!(done, Ok(4));
            assert_eq!(scores, array![[0.5], [1.5], [1.5], [0.5]]);
        }
    }

    #[test]
    fn images_without_channels_give_the_biases_in_every_row() {
        let window = |channels| [channels, 2, 2, 1, 1, 1, 0];
        let filters = |filters, channels| [&[filters][..], &window(channels)].concat();
        let described =
            [("convolution", filters(0, 1)), ("convolution", filters(2, 0)), ("max_pooling", window(2).to_vec())];
        let layers = described.map(|(name, sizes)| Layer::from_description(name, &sizes, &[]).unwrap());
        let stack = Stack::new(4, layers.to_vec(), Loss::Squared);
        for n in [1, 8, 40] {
            let (x, mut scores) = (numbers::<f64>((n, 4), 1), Array2::zeros((n, 8)));
            let (rows, params) = (Data::Rows(Rows::Double(x.view())), [&[][..], &[], &[], &[3.0, 5.0]]);
            stack.scores(level(), &params, rows, 0, Instant::now(), scores.view_mut()).unwrap();
            assert_eq!(scores, Array2::from_shape_fn((n, 8), |(_, at)| if at < 4 { 3.0 } else { 5.0 }));
        }
    }

    #[test]
    fn a_deadline_stops_between_blocks_and_the_rest_gives_the_same_scores() {
        let (stack, params) = xor();
        let n = 5 * 16 * threads::count() * BLOCK + 7; // five rounds and a little
        let x = Array2::from_shape_fn((n, 2), |(i, j)| (i * 2 + j) as f64);
        let (mut at_once, mut in_parts) = (Array2::zeros((n, 1)), Array2::zeros((n, 1)));
        let late = Instant::now() + Duration::from_secs(60);
        let x = Data::Rows(Rows::Double(x.view()));
        assert_eq!(stack.scores(level(), &slices(&params), x, 0, late, at_once.view_mut()), Ok(n));
        let (mut done, mut calls) = (0, 0);
        while done < n {
            done = stack.scores(level(), &slices(&params), x, done, Instant::now(), in_parts.view_mut()).unwrap();
            calls += 1;
        }
        assert!(calls > 4);
        assert_eq!(at_once, in_parts);
    }

    /// More than a block.
    const ROWS: usize = BLOCK + 200;

    fn two_products() -> Stack {
        let layers = vec![Layer::Activation(Activation::Scale(0.5)), Layer::affine(37), Layer::affine(3)];
        Stack::new(TILE + 1, layers, Loss::Softmax)
    }

    fn params<T: Float>(stack: &Stack) -> Vec<Vec<T>> {
        let fill = |n: usize| numbers::<T>((1, n), n as u64).into_iter().collect();
        stack.sizes().map(fill).collect()
    }

    fn skipping_the_zeros_changes_no_score_beyond_rounding<T: Float>() {
        let stack = two_products();
        let features = stack.features();
        let params = params::<T>(&stack);
        let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
        let matrix = |numbers: &[T], rows| {
            Array2::from_shape_fn((rows, numbers.len() / rows), |(i, j)| numbers[i * (numbers.len() / rows) + j].wide())
        };
        for x in Kinds::of(&mostly_zeros(ROWS, features, 1)).each() {
            assert!(stack.skips_zeros(level(), x));
            let mut sparse = Nonzeros::<T>::new(features, x, 0.5);
            sparse.extend(level(), x, 0..ROWS).unwrap();
            // The sums of the absolute values of the terms of a score.
            let mut sizes = Kinds::wide(x).mapv(|x| T::of(x / 2.0).wide().abs());
            for layer in [1, 2] {
                let its = &params[stack.arrays_of(layer)];
                let [w, b] = [matrix(its[0], stack.width_after(layer)), matrix(its[1], 1)].map(|x| x.mapv(f64::abs));
                sizes = three_loops(sizes.view(), w.view()).0 + b;
            }
            for &level in available() {
                let run = |skip, data: Data<'_, T>| {
                    let (mut out, late) = (Array2::zeros((ROWS, 3)), Instant::now() + Duration::from_secs(60));
                    let done = stack.scores_skipping(skip, level, &params, data, 0, late, out.view_mut());
                    assert_eq!(done, Ok(ROWS));
                    out
                };
                let dense = run(false, Data::Rows(x));
                let skipped = [run(true, Data::Nonzeros(&sparse)), run(true, Data::Rows(x))];
                // A term is rounded as a product of three, in the sum of the features and that of the 37, with the
                // biases, and at the end of each of two tiles; the same without skipping.
                let roundings = 2 * (2 + features + 37 + 2 + 2);
                for skipped in skipped {
                    for ((a, b), &size) in dense.iter().zip(&skipped).zip(&sizes) {
                        let off = (a.wide() - b.wide()).abs();
                        assert!(off <= bound::<T>(roundings, size), "{off} at {}", level.name());
                    }
                }
            }
        }
    }

    #[test]
    fn skipping_the_zeros_changes_no_score_beyond_rounding_at_any_level_in_f32() {
        skipping_the_zeros_changes_no_score_beyond_rounding::<f32>();
    }

    #[test]
    fn skipping_the_zeros_changes_no_score_beyond_rounding_at_any_level_in_f64() {
        skipping_the_zeros_changes_no_score_beyond_rounding::<f64>();
    }

    #[test]
    fn zeros_are_skipped_unless_a_weight_is_infinite() {
        let stack = two_products();
        let mut params = params::<f64>(&stack);
        let x = mostly_zeros(ROWS, stack.features(), 1);
        let x = Data::Rows(Rows::Bytes(x.view()));
        let run = |skip: Option<bool>, params: &[Vec<f64>]| {
            let (params, late) = (slices(params), Instant::now() + Duration::from_secs(60));
            let mut out = Array2::zeros((ROWS, 3));
            match skip {
                None => stack.scores(level(), &params, x, 0, late, out.view_mut()),
                Some(skip) => stack.scores_skipping(skip, level(), &params, x, 0, late, out.view_mut()),
            }
            .unwrap();
            out.mapv(f64::to_bits)
        };
        // Portable kernels add in the same order both ways: there, only an infinite weight shows which way was taken.
        let differs = run(Some(true), &params) != run(Some(false), &params);
        assert_eq!(differs, level().is_fused(), "the order of the sums cannot be seen");
        assert_eq!(run(None, &params), run(Some(true), &params));
        params[0][40] = f64::INFINITY;
        assert_eq!(run(None, &params), run(Some(false), &params));
        // Row 3 is empty: its 0 · ∞ must not be skipped.
        assert!(run(None, &params).row(3).iter().all(|&score| f64::from_bits(score).is_nan()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (stack, params) = xor();
        let now = Instant::now();
        let mut scores = Array2::zeros((1, 1));
        let (narrow, x) = (Array2::<f64>::zeros((1, 3)), Array2::<f64>::zeros((1, 2)));
        let params = slices(&params);
        assert!(stack
            .scores(level(), &params, Data::Rows(Rows::Double(narrow.view())), 0, now, scores.view_mut())
            .is_err());
        for few in [&params[..3], &params[..0]] {
            let x = Data::Rows(Rows::Double(x.view()));
            assert!(stack.scores(level(), few, x, 0, now, scores.view_mut()).is_err());
        }
        let swapped = [params[1], params[0], params[2], params[3]];
        assert!(stack
            .scores(level(), &swapped, Data::Rows(Rows::Double(x.view())), 0, now, scores.view_mut())
            .is_err());
        let mut wide = Array2::zeros((1, 2));
        assert!(stack.scores(level(), &params, Data::Rows(Rows::Double(x.view())), 0, now, wide.view_mut()).is_err());
    }
}

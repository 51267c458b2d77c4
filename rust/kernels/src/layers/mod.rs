//! The layers, one by one, and what a network asks of any of them.
//!
//! What a layer is, is said by a [`Definition`] in a file of its own: the shapes of its arrays, the way forward and the way back. A [`Layer`] is one of
//! those; a [`stack`](crate::network::stack) knows how many arrays each has, and no more. A layer more is a file here, a row in [`Layer`], in [`defined`] and in
//! [`Layer::from_description`]. What only some layers can do is asked of any, and answered with an `Option`: nobody else looks which layer it is.
//!
//! A layer's arrays are its parameters, which an optimizer changes, and behind them its statistics, which training moves as it goes.

pub mod activation;
pub mod affine;
pub mod alone;
pub mod convolution;
pub mod dropout;
pub mod normalization;
pub mod pooling;
pub mod window;

pub(crate) mod behind;
pub(crate) mod filtering;
pub(crate) mod side_by_side;
pub(crate) mod unfolded;

use crate::dense::aligned::Aligned;
use crate::dense::padded::{Lane, LANES};
use crate::error::{agree, zeros};
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::machine::threads;
use crate::network::optimize::Optimizer;
use crate::{Float, KernelError};
use activation::Activation;
use affine::Affine;
use convolution::Convolution;
use dropout::Dropout;
use normalization::{BatchNorm, LayerNorm};
use pooling::Pooling;
use std::ops::Deref;

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layer {
    /// `out = x·W + b`.
    Affine(Affine),
    /// An elementwise function.
    Activation(Activation),
    /// Filters moved over an image.
    Convolution(Convolution),
    /// The largest number, or the mean, of each window of an image.
    Pooling(Pooling),
    /// Each channel of a batch with mean 0 and variance 1, then scaled and shifted.
    BatchNorm(BatchNorm),
    /// Each example by itself likewise.
    LayerNorm(LayerNorm),
    /// Zeros for some numbers, drawn anew in each training step.
    Dropout(Dropout),
}

/// The body, with what is in the layer in hand.
macro_rules! defined {
    ($layer:expr, $its:ident => $body:expr) => {
        match $layer {
            Layer::Affine($its) => $body,
            Layer::Activation($its) => $body,
            Layer::Convolution($its) => $body,
            Layer::Pooling($its) => $body,
            Layer::BatchNorm($its) => $body,
            Layer::LayerNorm($its) => $body,
            Layer::Dropout($its) => $body,
        }
    };
}

/// How many rows flow through a layer, and how many numbers a row has before and behind it.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Examples.
    pub rows: usize,
    /// Numbers of each that come in.
    pub inputs: usize,
    /// Numbers of each that come out.
    pub outputs: usize,
    /// Whether sixteen rows after the other lie [side by side](side_by_side), and not each by itself.
    pub side_by_side: bool,
}

impl Flow {
    /// Rows each by itself.
    pub fn of_rows(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self { rows, inputs, outputs, side_by_side: false }
    }

    /// How many rows there is room for: side by side, whole sixteens.
    pub(crate) fn room(self) -> usize {
        if self.side_by_side {
            up_to_lanes(self.rows)
        } else {
            self.rows
        }
    }

    /// How many rows lie side by side.
    pub(crate) fn together(self) -> usize {
        if self.side_by_side {
            LANES
        } else {
            1
        }
    }
}

/// Rows of a batch that go through a network in training at a time: what they are worked on in then has a bound, however large the batch. As many as
/// terms that a product adds up at a time, so that sums over the batch are in the same order as where it is taken whole.
const AT_ONCE: usize = crate::dense::matmul::DEPTH;

/// Rows of so many that go through `layers` in training at a time: all, if one of them looks at the whole batch.
pub(crate) fn rows_at_once(layers: &[Layer], rows: usize) -> usize {
    if layers.iter().all(|layer| layer.by_rows()) {
        rows.min(AT_ONCE)
    } else {
        rows
    }
}

/// `sums ← d`, or, if told so, onto what they are.
pub(crate) fn add<T: Float>(sums: &mut [T], d: &[T], onto_themselves: bool) {
    sums.iter_mut().zip(d).for_each(|(sum, &d)| *sum = if onto_themselves { *sum + d } else { d });
}

/// Whole sixteens of so many, or as many as can be counted.
pub(crate) fn up_to_lanes(rows: usize) -> usize {
    rows.checked_next_multiple_of(LANES).unwrap_or(usize::MAX)
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is drawn, statistics are read, nothing is remembered.
    Evaluate,
    /// Statistics are the batch's own; what is drawn, is drawn from the place of the stream that is told.
    Train(Draws),
}

/// A place in the stream of random numbers: whoever names it gets the same ones, on any machine, at any number of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// Of the training run.
    pub seed: u64,
    /// Which step of it.
    pub step: u64,
    /// Which layer.
    pub layer: u64,
    /// Which row of the batch the first one here is.
    pub row: u64,
}

/// One pass forward, and what the way back needs of it: as much as the layer [remembers](Layer::remembers).
#[derive(Debug)]
pub struct Pass<'a, T> {
    /// What it is for.
    pub mode: Mode,
    /// Numbers to be remembered.
    pub numbers: &'a mut [T],
    /// Places to be remembered.
    pub places: &'a mut [u32],
}

impl<T> Pass<'_, T> {
    /// A pass that remembers nothing.
    pub(crate) fn evaluating() -> Self {
        Self { mode: Mode::Evaluate, numbers: &mut [], places: &mut [] }
    }
}

/// Memory for [passes](Pass) through a layer.
#[derive(Debug, Default)]
pub(crate) struct Memory<T> {
    pub numbers: Vec<T>,
    pub places: Vec<u32>,
}

impl<T: Float> Memory<T> {
    /// As much as a layer remembers of such a flow.
    pub(crate) fn of(layer: Layer, flow: Flow) -> Result<Self, KernelError> {
        let (numbers, places) = layer.remembers(flow);
        let mut memory = Self { numbers: zeros(numbers)?, places: Vec::new() };
        crate::error::resize(&mut memory.places, places, 0)?;
        Ok(memory)
    }

    /// A pass that remembers in it, for a flow of no more rows than it was made for.
    pub(crate) fn pass(&mut self, layer: Layer, flow: Flow, mode: Mode) -> Pass<'_, T> {
        let (numbers, places) = layer.remembers(flow);
        Pass { mode, numbers: &mut self.numbers[..numbers], places: &mut self.places[..places] }
    }
}

/// The gradients on their way back through a network.
#[derive(Debug)]
pub struct Gradients<T> {
    /// Of the output of the layer whose turn it is, and behind it of its input.
    pub d: Aligned<T>,
    /// Buffer for the next.
    pub d_x: Aligned<T>,
    /// Of a layer's parameters, one after the other.
    pub d_params: Vec<T>,
}

impl<T: Float> Gradients<T> {
    /// Buffers for so many numbers that flow, and so many of a layer's parameters.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn new(flowing: usize, params: usize) -> Result<Self, KernelError> {
        Ok(Self { d: Aligned::zeros(flowing)?, d_x: Aligned::zeros(flowing)?, d_params: zeros(params)? })
    }
}

/// What a layer is. What has a body here, most layers have not to say.
pub(crate) trait Definition: Copy {
    /// How many arrays it has.
    const ARRAYS: usize = 0;
    /// How many of them, the last, are statistics.
    const STATISTICS: usize = 0;

    /// How many numbers a row has that can come in, if that is the layer's to say.
    fn inputs(self) -> Option<usize> {
        None
    }

    /// How many numbers a row of `inputs` has behind the layer.
    fn outputs(self, inputs: usize) -> usize {
        inputs
    }

    /// The shape of each of its arrays, for rows of `inputs` numbers: the parameters, and behind them the statistics.
    fn shapes(self, _inputs: usize) -> Vec<Vec<usize>> {
        vec![]
    }

    /// Multiplications that a row costs; by default as many as there are numbers in its parameters, or as many as can be counted.
    fn cost(self, inputs: usize) -> usize {
        self.shapes(inputs).into_iter().map(size).fold(0, usize::saturating_add)
    }

    /// Whether the work of a step with so many rows is divided among threads.
    fn divides(self, _rows: usize, _inputs: usize) -> bool {
        false
    }

    /// Whether training goes another way than evaluation.
    fn trains_otherwise(self) -> bool {
        false
    }

    /// Whether each row goes through in training whatever the others are: then a batch can be taken some rows at a time.
    fn by_rows(self) -> bool {
        true
    }

    /// Whether it takes rows side by side, or each by itself; `None` if as they come.
    fn takes_side_by_side(self) -> Option<bool> {
        Some(false)
    }

    /// How many numbers, and how many places, the way back needs to know of the way forward, beside what came in and what came out.
    fn remembers(self, _flow: Flow) -> (usize, usize) {
        (0, 0)
    }

    /// `out ← layer(x)`.
    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
    ) -> Result<(), KernelError>;

    /// `out`, where a number of a parameter, `(which, entry)`, was another when it was computed, brought up to date: what the number touches, or all.
    #[allow(clippy::too_many_arguments)] // those of `forward`, and the number
    fn again<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
        _moved: (usize, usize),
    ) -> Result<(), KernelError> {
        self.forward(level, arrays, flow, x, out, pass)
    }

    /// Bring the statistics up to date with a pass in training.
    fn note<T: Float>(self, _arrays: &mut [&mut [T]], _pass: &Pass<'_, T>) {}

    /// The way back for rows `x` that gave `out`: `gradients.d` is that of `out`, and then, if it is `wanted`, of `x`; `gradients.d_params ←` those of the
    /// parameters.
    #[allow(clippy::too_many_arguments)] // what flowed, and what flows back
    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        through: (&[T], &[T]),
        wanted: bool,
        gradients: &mut Gradients<T>,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError>;

    /// The same, and the parameters are updated, and the optimizer's `state` of them.
    #[allow(clippy::too_many_arguments)] // what flowed, what flows back, and what is updated
    fn backward<T: Float>(
        self,
        level: Level,
        flow: Flow,
        through: (&[T], &[T]),
        wanted: bool,
        gradients: &mut Gradients<T>,
        arrays: &mut [&mut [T]],
        state: &mut [&mut [T]],
        optimizer: &Optimizer,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        self.back(level, arrays, flow, through, wanted, gradients, pass)?;
        let shapes = self.shapes(flow.inputs);
        optimizer.update_each(level, &shapes[..Self::ARRAYS - Self::STATISTICS], arrays, &gradients.d_params, state);
        Ok(())
    }
}

/// How many numbers an array of such a shape has, or as many as can be counted.
pub(crate) fn size(shape: Vec<usize>) -> usize {
    shape.into_iter().fold(1, usize::saturating_mul)
}

impl Layer {
    /// `x·W + b` with so many outputs.
    pub fn affine(outputs: usize) -> Self {
        Self::Affine(Affine { outputs })
    }

    /// The layer of that name, with the sizes and the numbers that go with it, if there is such a one.
    pub fn from_description(name: &str, sizes: &[usize], numbers: &[f64]) -> Option<Self> {
        Some(match (name, sizes, numbers) {
            ("affine", &[outputs], []) => Self::affine(outputs),
            ("convolution", &[filters, ..], []) => {
                Self::Convolution(Convolution::new(filters, window::Window::from_sizes(&sizes[1..])?))
            }
            ("max_pooling" | "average_pooling", _, []) => {
                let has_pixels = |its: &window::Window| its.height.min(its.width) > its.pad && its.pixels() > 0;
                let window = window::Window::from_sizes(sizes).filter(has_pixels)?;
                Self::Pooling(Pooling { window, average: name != "max_pooling" })
            }
            ("batch_norm", &[channels, pixels], &[momentum]) => {
                Self::BatchNorm(BatchNorm { channels, pixels, momentum })
            }
            ("layer_norm", &[size], []) => Self::LayerNorm(LayerNorm { size }),
            ("dropout", [], &[ratio]) => Self::Dropout(Dropout { ratio }),
            (_, [], _) => Self::Activation(Activation::from_name(name, numbers.first().copied())?),
            _ => return None,
        })
    }

    /// `Ok` if rows of so many numbers can come in.
    pub(crate) fn expect_inputs(self, inputs: usize) -> Result<(), KernelError> {
        let wanted = defined!(self, its => its.inputs()).unwrap_or(inputs);
        agree("the number of features that come into a layer", inputs, "the number it takes", wanted)
    }

    /// How many numbers a row of `inputs` has behind the layer.
    pub fn outputs(self, inputs: usize) -> usize {
        defined!(self, its => its.outputs(inputs))
    }

    /// How many arrays it has: parameters and statistics.
    pub fn arrays(self) -> usize {
        fn of<D: Definition>(_: D) -> usize {
            D::ARRAYS
        }
        defined!(self, its => of(its))
    }

    /// How many parameters it has.
    pub fn parameters(self) -> usize {
        fn of<D: Definition>(_: D) -> usize {
            D::ARRAYS - D::STATISTICS
        }
        defined!(self, its => of(its))
    }

    /// The shape of each of its arrays, for rows of `inputs` numbers.
    pub fn shapes(self, inputs: usize) -> Vec<Vec<usize>> {
        defined!(self, its => its.shapes(inputs))
    }

    /// How many numbers each of them has, or as many as can be counted.
    pub(crate) fn sizes(self, inputs: usize) -> impl Iterator<Item = usize> {
        self.shapes(inputs).into_iter().map(size)
    }

    /// How many numbers its parameters have together, or as many as can be counted.
    pub fn size(self, inputs: usize) -> usize {
        self.sizes(inputs).take(self.parameters()).fold(0, usize::saturating_add)
    }

    /// What a row costs in multiplications, or as many as can be counted.
    pub(crate) fn cost(self, inputs: usize) -> usize {
        defined!(self, its => its.cost(inputs))
    }

    /// Whether the work of a step with so many rows is divided among threads.
    pub(crate) fn divides(self, rows: usize, inputs: usize) -> bool {
        defined!(self, its => its.divides(rows, inputs))
    }

    /// Whether training goes another way than evaluation.
    pub fn trains_otherwise(self) -> bool {
        defined!(self, its => its.trains_otherwise())
    }

    /// Whether each row goes through in training whatever the others are.
    fn by_rows(self) -> bool {
        defined!(self, its => its.by_rows())
    }

    /// Whether it takes rows side by side, or each by itself; `None` if as they come.
    pub(crate) fn takes_side_by_side(self) -> Option<bool> {
        defined!(self, its => its.takes_side_by_side())
    }

    /// The layer with that one behind it, if it takes that on while what comes out is still in the cache.
    pub(crate) fn with(self, behind: Self) -> Option<Self> {
        let both = match (self, behind) {
            (Self::Convolution(its), Self::Activation(f)) => its.with_function(f),
            (Self::Convolution(its), Self::Pooling(pooling)) => its.with_pooling(pooling),
            _ => None,
        };
        both.map(Self::Convolution)
    }

    /// How many numbers, and how many places, the way back needs to know of the way forward.
    pub fn remembers(self, flow: Flow) -> (usize, usize) {
        defined!(self, its => its.remembers(flow))
    }

    /// How many outputs it has, if it is a product `x·W + b` and its parameters are those two: one that [`sparse`](crate::sparse) can take in its
    /// place, without the zeros of `x`.
    pub(crate) fn product(self) -> Option<usize> {
        match self {
            Self::Affine(Affine { outputs }) => Some(outputs),
            _ => None,
        }
    }

    /// The function, if it is applied to one number after the other.
    pub(crate) fn elementwise(self) -> Option<Activation> {
        match self {
            Self::Activation(f) => Some(f),
            _ => None,
        }
    }

    /// What every number is multiplied by, if that is all it does.
    pub(crate) fn scale(self) -> Option<f64> {
        match self {
            Self::Activation(Activation::Scale(scale)) => Some(scale),
            _ => None,
        }
    }

    /// `Ok` if each of `arrays` is as long as its shape says.
    pub(crate) fn check<T, P: Deref<Target = [T]>>(self, inputs: usize, arrays: &[P]) -> Result<(), KernelError> {
        for (array, size) in arrays.iter().zip(self.sizes(inputs)) {
            agree("the size of a parameter", array.len(), "the size its layer wants", size)?;
        }
        Ok(())
    }

    /// See [`Definition::forward`].
    pub(crate) fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        defined!(self, its => its.forward(level, arrays, flow, x, out, pass))
    }

    /// See [`Definition::again`].
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn again<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
        moved: (usize, usize),
    ) -> Result<(), KernelError> {
        defined!(self, its => its.again(level, arrays, flow, x, out, pass, moved))
    }

    /// See [`Definition::note`].
    pub(crate) fn note<T: Float>(self, arrays: &mut [&mut [T]], pass: &Pass<'_, T>) {
        defined!(self, its => its.note(arrays, pass));
    }

    /// See [`Definition::back`].
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        through: (&[T], &[T]),
        wanted: bool,
        gradients: &mut Gradients<T>,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        defined!(self, its => its.back(level, arrays, flow, through, wanted, gradients, pass))
    }

    /// See [`Definition::backward`].
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn backward<T: Float>(
        self,
        level: Level,
        flow: Flow,
        through: (&[T], &[T]),
        wanted: bool,
        gradients: &mut Gradients<T>,
        arrays: &mut [&mut [T]],
        state: &mut [&mut [T]],
        optimizer: &Optimizer,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        defined!(self, its => its.backward(level, flow, through, wanted, gradients, arrays, state, optimizer, pass))
    }

    /// Sixteen rows side by side, of which `x[k]` holds the k-th numbers, through a product or an elementwise layer: `x` in and out, of `inputs` numbers and
    /// of as many as are answered; `out` is memory for that. For use in a kernel.
    #[inline(always)]
    pub(crate) fn side_by_side(
        self,
        params: &[&[f64]],
        inputs: usize,
        x: &mut Vec<Lane<f64>>,
        out: &mut Vec<Lane<f64>>,
        arithmetic: impl Arithmetic,
    ) -> usize {
        if let Some(outputs) = self.product() {
            affine::side_by_side(&x[..inputs], params, &mut out[..outputs], arithmetic);
            std::mem::swap(x, out);
            return outputs;
        }
        if let Some(f) = self.elementwise() {
            for lane in &mut x[..inputs] {
                let x = lane.0;
                activation::Forward { f, x: &x, out: &mut lane.0 }.run(arithmetic);
            }
        }
        inputs
    }
}

/// The rows of `x` and of `out`, some to an item, for work that is divided among threads if there is so much of it.
pub(crate) fn in_parts<T: Float, R>(
    rows_each: usize,
    (x, inputs): (&[T], usize),
    (out, outputs): (&mut [T], usize),
    worth_threads: bool,
    workspace: impl Fn() -> R + Sync + Send,
    work: impl Fn(&mut R, usize, &[T], &mut [T]) -> Result<(), KernelError> + Sync + Send,
) -> Result<(), KernelError> {
    if inputs == 0 || outputs == 0 {
        return Ok(());
    }
    let parts = x.chunks(rows_each * inputs).zip(out.chunks_mut(rows_each * outputs)).enumerate();
    let items = parts.map(|(part, (x, out))| (part * rows_each, x, out));
    let all = || threads::try_each_with(items, workspace, |workspace, (first, x, out)| work(workspace, first, x, out));
    if worth_threads {
        all()
    } else {
        threads::alone(all)
    }
}

#[cfg(test)]
mod tests;

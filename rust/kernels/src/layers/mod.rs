//! The layers, and the interface through which a network uses any of them.
//!
//! A [`Definition`], in a file of its own, says what a layer is: the shapes of its arrays, its forward pass and its
//! backward pass. A [`Layer`] is one of those; a [`stack`](crate::network::stack) knows how many arrays each has, and
//! no more. To add a layer, add a file here, and a row in [`Layer`], in `defined!` and in [`Layer::from_description`].
//! What only some layers can do is asked of any layer, and answered with an `Option`: no other code checks which layer
//! it has.
//!
//! A layer's arrays are its parameters, which an optimizer changes, followed by its statistics, which training updates.

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
    /// Normalizes each channel over the batch to mean 0 and variance 1, then scales and shifts it.
    BatchNorm(BatchNorm),
    /// The same for each example by itself.
    LayerNorm(LayerNorm),
    /// Sets random numbers to zero, drawn anew in each training step.
    Dropout(Dropout),
}

/// The body, with `$its` bound to the definition inside the layer.
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

/// The rows that go through a layer, and the numbers per row before and after it.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Examples.
    pub rows: usize,
    /// Numbers per row of the input.
    pub inputs: usize,
    /// Numbers per row of the output.
    pub outputs: usize,
    /// Whether groups of sixteen rows are stored [side by side](side_by_side), instead of row by row.
    pub side_by_side: bool,
}

impl Flow {
    /// Row-major rows, not side by side.
    pub fn of_rows(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self { rows, inputs, outputs, side_by_side: false }
    }

    /// Rows that there is memory for: side by side, a multiple of sixteen.
    pub(crate) fn room(self) -> usize {
        if self.side_by_side {
            up_to_lanes(self.rows)
        } else {
            self.rows
        }
    }

    /// Rows that are stored side by side.
    pub(crate) fn together(self) -> usize {
        if self.side_by_side {
            LANES
        } else {
            1
        }
    }
}

/// Rows of a batch that go through a network in training at a time: this bounds the buffers, however large the batch.
/// As many as a product accumulates terms per block, so that sums over the batch are in the same order as for the whole
/// batch at once.
const AT_ONCE: usize = crate::dense::matmul::DEPTH;

/// Rows, out of a batch of `rows`, that go through `layers` in training at a time: all, if one of the layers looks at
/// the whole batch.
pub(crate) fn rows_at_once(layers: &[Layer], rows: usize) -> usize {
    if layers.iter().all(|layer| layer.by_rows()) {
        rows.min(AT_ONCE)
    } else {
        rows
    }
}

/// `sums ← d`, or `sums ← sums + d` with `onto_themselves`.
pub(crate) fn add<T: Float>(sums: &mut [T], d: &[T], onto_themselves: bool) {
    sums.iter_mut().zip(d).for_each(|(sum, &d)| *sum = if onto_themselves { *sum + d } else { d });
}

/// The next multiple of sixteen; saturates.
pub(crate) fn up_to_lanes(rows: usize) -> usize {
    rows.checked_next_multiple_of(LANES).unwrap_or(usize::MAX)
}

/// The purpose of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is drawn, statistics are read, nothing is remembered.
    Evaluate,
    /// Statistics are those of the batch; random numbers come from this place in the stream.
    Train(Draws),
}

/// A place in the stream of random numbers: the same place gives the same numbers, on any machine, at any number of
/// threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// The seed of the training run.
    pub seed: u64,
    /// The step of the run.
    pub step: u64,
    /// The layer.
    pub layer: u64,
    /// The row of the batch that is the first one here.
    pub row: u64,
}

/// A forward pass, and what its backward pass needs: as much as the layer [remembers](Layer::remembers).
#[derive(Debug)]
pub struct Pass<'a, T> {
    /// Its purpose.
    pub mode: Mode,
    /// The remembered numbers.
    pub numbers: &'a mut [T],
    /// The remembered places.
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
    /// As much as a layer remembers for this flow.
    pub(crate) fn of(layer: Layer, flow: Flow) -> Result<Self, KernelError> {
        let (numbers, places) = layer.remembers(flow);
        let mut memory = Self { numbers: zeros(numbers)?, places: Vec::new() };
        crate::error::resize(&mut memory.places, places, 0)?;
        Ok(memory)
    }

    /// A pass that stores its notes here, for a flow of at most as many rows as this was made for.
    pub(crate) fn pass(&mut self, layer: Layer, flow: Flow, mode: Mode) -> Pass<'_, T> {
        let (numbers, places) = layer.remembers(flow);
        Pass { mode, numbers: &mut self.numbers[..numbers], places: &mut self.places[..places] }
    }
}

/// The gradients during the backward pass through a network.
#[derive(Debug)]
pub struct Gradients<T> {
    /// Of the output of the current layer, and after its step of its input.
    pub d: Aligned<T>,
    /// Buffer for the next one.
    pub d_x: Aligned<T>,
    /// Of a layer's parameters, concatenated.
    pub d_params: Vec<T>,
}

impl<T: Float> Gradients<T> {
    /// Buffers for `flowing` numbers between layers, and `params` numbers of a layer's parameters.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn new(flowing: usize, params: usize) -> Result<Self, KernelError> {
        Ok(Self { d: Aligned::zeros(flowing)?, d_x: Aligned::zeros(flowing)?, d_params: zeros(params)? })
    }
}

/// What a layer is. Most layers need not override the methods with a default.
pub(crate) trait Definition: Copy {
    /// The number of arrays.
    const ARRAYS: usize = 0;
    /// How many of them, the last ones, are statistics.
    const STATISTICS: usize = 0;

    /// Numbers per input row, if the layer determines that.
    fn inputs(self) -> Option<usize> {
        None
    }

    /// Numbers per output row, for input rows of `inputs` numbers.
    fn outputs(self, inputs: usize) -> usize {
        inputs
    }

    /// The shape of each array, for rows of `inputs` numbers: parameters first, then statistics.
    fn shapes(self, _inputs: usize) -> Vec<Vec<usize>> {
        vec![]
    }

    /// Multiplications per row; by default the size of the parameters. Saturates.
    fn cost(self, inputs: usize) -> usize {
        self.shapes(inputs).into_iter().map(size).fold(0, usize::saturating_add)
    }

    /// Whether a step with `rows` rows is divided among threads.
    fn divides(self, _rows: usize, _inputs: usize) -> bool {
        false
    }

    /// Whether training differs from evaluation.
    fn trains_otherwise(self) -> bool {
        false
    }

    /// Whether each row is independent of the others in training: then a batch can be processed some rows at a time.
    fn by_rows(self) -> bool {
        true
    }

    /// Whether it takes rows side by side, or row by row; `None` if either.
    fn takes_side_by_side(self) -> Option<bool> {
        Some(false)
    }

    /// How many numbers, and how many places, the backward pass needs from the forward pass, besides input and output.
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

    /// Bring `out` up to date after a change of one number of a parameter, `(which, entry)`: what that number affects,
    /// or all.
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

    /// Update the statistics after a training pass.
    fn note<T: Float>(self, _arrays: &mut [&mut [T]], _pass: &Pass<'_, T>) {}

    /// The backward pass for rows `x` that gave `out`: `gradients.d` is the gradient of `out`, and afterwards, if
    /// `wanted`, that of `x`; `gradients.d_params ←` those of the parameters.
    #[allow(clippy::too_many_arguments)] // what flowed forward, and what flows back
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

    /// The same, and updates the parameters and their optimizer state.
    #[allow(clippy::too_many_arguments)] // what flowed forward, what flows back, and what is updated
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

/// The number of elements of a shape; saturates.
pub(crate) fn size(shape: Vec<usize>) -> usize {
    shape.into_iter().fold(1, usize::saturating_mul)
}

impl Layer {
    /// `x·W + b` with `outputs` outputs.
    pub fn affine(outputs: usize) -> Self {
        Self::Affine(Affine { outputs })
    }

    /// The layer of that name with these sizes and numbers, if there is one.
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

    /// `Ok` if input rows may have `inputs` numbers.
    pub(crate) fn expect_inputs(self, inputs: usize) -> Result<(), KernelError> {
        let wanted = defined!(self, its => its.inputs()).unwrap_or(inputs);
        agree("the number of features that come into a layer", inputs, "the number it takes", wanted)
    }

    /// Numbers per output row, for input rows of `inputs` numbers.
    pub fn outputs(self, inputs: usize) -> usize {
        defined!(self, its => its.outputs(inputs))
    }

    /// The number of arrays: parameters and statistics.
    pub fn arrays(self) -> usize {
        fn of<D: Definition>(_: D) -> usize {
            D::ARRAYS
        }
        defined!(self, its => of(its))
    }

    /// The number of parameters.
    pub fn parameters(self) -> usize {
        fn of<D: Definition>(_: D) -> usize {
            D::ARRAYS - D::STATISTICS
        }
        defined!(self, its => of(its))
    }

    /// The shape of each array, for rows of `inputs` numbers.
    pub fn shapes(self, inputs: usize) -> Vec<Vec<usize>> {
        defined!(self, its => its.shapes(inputs))
    }

    /// The number of elements of each array; saturates.
    pub(crate) fn sizes(self, inputs: usize) -> impl Iterator<Item = usize> {
        self.shapes(inputs).into_iter().map(size)
    }

    /// The number of elements of all parameters; saturates.
    pub fn size(self, inputs: usize) -> usize {
        self.sizes(inputs).take(self.parameters()).fold(0, usize::saturating_add)
    }

    /// Multiplications per row; saturates.
    pub(crate) fn cost(self, inputs: usize) -> usize {
        defined!(self, its => its.cost(inputs))
    }

    /// Whether a step with `rows` rows is divided among threads.
    pub(crate) fn divides(self, rows: usize, inputs: usize) -> bool {
        defined!(self, its => its.divides(rows, inputs))
    }

    /// Whether training differs from evaluation.
    pub fn trains_otherwise(self) -> bool {
        defined!(self, its => its.trains_otherwise())
    }

    /// Whether each row is independent of the others in training.
    fn by_rows(self) -> bool {
        defined!(self, its => its.by_rows())
    }

    /// Whether it takes rows side by side, or row by row; `None` if either.
    pub(crate) fn takes_side_by_side(self) -> Option<bool> {
        defined!(self, its => its.takes_side_by_side())
    }

    /// The layer fused with the one `behind` it, if that is possible: then the second works while the output is still
    /// in the cache.
    pub(crate) fn with(self, behind: Self) -> Option<Self> {
        let both = match (self, behind) {
            (Self::Convolution(its), Self::Activation(f)) => its.with_function(f),
            (Self::Convolution(its), Self::Pooling(pooling)) => its.with_pooling(pooling),
            _ => None,
        };
        both.map(Self::Convolution)
    }

    /// How many numbers, and how many places, the backward pass needs from the forward pass.
    pub fn remembers(self, flow: Flow) -> (usize, usize) {
        defined!(self, its => its.remembers(flow))
    }

    /// Its outputs, if it is a product `x·W + b` with just these two parameters: [`sparse`](crate::sparse) can then
    /// compute it without the zeros of `x`.
    pub(crate) fn product(self) -> Option<usize> {
        match self {
            Self::Affine(Affine { outputs }) => Some(outputs),
            _ => None,
        }
    }

    /// The function, if the layer is elementwise.
    pub(crate) fn elementwise(self) -> Option<Activation> {
        match self {
            Self::Activation(f) => Some(f),
            _ => None,
        }
    }

    /// The factor, if all the layer does is multiply by one.
    pub(crate) fn scale(self) -> Option<f64> {
        match self {
            Self::Activation(Activation::Scale(scale)) => Some(scale),
            _ => None,
        }
    }

    /// `Ok` if each of `arrays` has the size of its shape.
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

    /// Sixteen rows side by side, where `x[k]` holds the k-th number of each, through a product or an elementwise
    /// layer. `x` holds the input, then the output; returns the number of outputs. `out` is memory for that. For use
    /// inside kernels.
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

/// Run `work` on items of `rows_each` rows of `x` and of `out`, divided among threads if `worth_threads`.
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

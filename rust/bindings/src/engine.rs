//! A network's layers, run many steps or many rows at a time over the caller's arrays.
//!
//! Every call returns after about [`SLICE`] with its progress. The caller's Python loop continues from there, and in
//! between the interpreter checks for Ctrl-C. A step or a block that takes longer [checks](crate::call) by itself. The
//! arrays of parameters are borrowed only for the call.

use crate::arrays::{held, held_mut, memory, separate, view, view_mut, Stored, Teaching};
use crate::call::{call, level, to_python};
use crate::dtype::{either, Dtype, Either, Made};
use chainrule_kernels::layers::{Draws, Layer};
use chainrule_kernels::loss::Loss;
use chainrule_kernels::machine::level::Level;
use chainrule_kernels::network::evaluation;
use chainrule_kernels::network::optimize::{Optimizer, Rule};
use chainrule_kernels::network::stack::{Data, Stack, BLOCK};
use chainrule_kernels::network::training::{update, Batches, Beside, Parameters, Progress, Trainer};
use chainrule_kernels::numeric::directions::{self, losses_along};
use chainrule_kernels::numeric::entries::{self, Moves};
use chainrule_kernels::sparse::nonzeros::Nonzeros;
use chainrule_kernels::sparse::rows::Rows;
use chainrule_kernels::{Float, KernelError};
use numpy::{
    PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn, PyReadwriteArray1, PyReadwriteArray2, PyReadwriteArrayDyn,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::time::{Duration, Instant};

/// Ctrl-C must be noticed within 50 ms.
const SLICE: Duration = Duration::from_millis(20);

/// Data without its zeros.
struct WithoutZeros;

impl Made for WithoutZeros {
    type For<T: Float> = Nonzeros<T>;
}

/// Buffers for training, made by the first steps and kept for the next.
struct Training;

impl Made for Training {
    type For<T: Float> = Option<Trainer<T>>;
}

struct Evaluating;

impl Made for Evaluating {
    type For<T: Float> = evaluation::Evaluation<T>;
}

/// A data set as an engine reads it: the caller's array, or, if it is mostly zeros, its nonzeros.
#[pyclass]
pub(crate) struct Examples {
    x: Py<PyAny>,
    nonzeros: Option<Either<WithoutZeros>>,
    scale: f64,
}

#[pymethods]
impl Examples {
    /// Process more of the data, if zeros are to be left out; returns whether all is ready.
    fn prepare(&mut self, py: Python<'_>) -> PyResult<bool> {
        let stored = Stored::new(self.x.bind(py))?;
        let (level, x) = (level()?, stored.rows()?);
        let Some(nonzeros) = &mut self.nonzeros else { return Ok(true) };
        either!(nonzeros, T, nonzeros => call(py, || prepare(level, nonzeros, x)))
    }
}

impl Examples {
    /// `Ok` if these were prepared for networks that scale their data as `stack` does.
    fn expect_stack(&self, stack: &Stack) -> PyResult<()> {
        let same = self.scale == stack.scale().unwrap_or(1.0) && stack.first_product().is_some();
        if self.nonzeros.is_none() || same {
            Ok(())
        } else {
            Err(PyTypeError::new_err("the examples were made ready for another network"))
        }
    }
}

/// The data to read: an array, or the `Examples` of one.
struct Read<'py> {
    examples: Option<PyRef<'py, Examples>>,
    stored: Stored<'py>,
}

impl<'py> Read<'py> {
    fn new(stack: &Stack, x: &Bound<'py, PyAny>) -> PyResult<Self> {
        let examples = x.extract::<PyRef<'_, Examples>>().ok();
        if let Some(examples) = &examples {
            examples.expect_stack(stack)?;
        }
        let stored = Stored::new(examples.as_ref().map_or(x, |examples| examples.x.bind(x.py())))?;
        Ok(Self { examples, stored })
    }

    fn rows<T: Dtype>(&self) -> PyResult<Data<'_, T>> {
        let nonzeros = self.examples.as_ref().and_then(|examples| T::get(examples.nonzeros.as_ref()?));
        Ok(match nonzeros {
            Some(nonzeros) => Data::Nonzeros(nonzeros),
            None => Data::Rows(self.stored.rows()?),
        })
    }
}

fn prepare<T: Float>(level: Level, nonzeros: &mut Nonzeros<T>, x: Rows<'_>) -> Result<bool, KernelError> {
    let (deadline, n) = (Instant::now() + SLICE, x.dim().0);
    while nonzeros.rows() < n && Instant::now() < deadline {
        let done = nonzeros.rows();
        nonzeros.extend(level, x, done..n.min(done + BLOCK))?;
    }
    Ok(nonzeros.rows() == n)
}

/// Engine(dtype, features, layers, loss): each of `layers` is a name, sizes and numbers, as in
/// [`Layer::from_description`]: ("affine", [50], []), ("relu", [], []), ("leaky_relu", [], [slope]), …; `loss` is
/// "softmax", "squared" or "sigmoid".
#[pyclass]
pub(crate) struct Engine {
    stack: Stack,
    trainer: Either<Training>,
    along: directions::Scratch,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(dtype: &str, features: usize, layers: Vec<Description>, loss: &str) -> PyResult<Self> {
        let layers = layers.iter().map(layer).collect::<PyResult<_>>()?;
        let trainer = match dtype {
            "float32" => Either::Single(None),
            "float64" => Either::Double(None),
            _ => return Err(PyValueError::new_err(format!("dtype must be float32 or float64, got {dtype}"))),
        };
        let stack = Stack::new(features, layers, loss_called(loss)?);
        stack.fits().map_err(to_python)?;
        Ok(Self { stack, trainer, along: directions::Scratch::default() })
    }

    /// Whether training differs from evaluation.
    fn trains_otherwise(&self) -> bool {
        self.stack.trains_otherwise()
    }

    /// A data set to train on, without its zeros if that is allowed and pays; call its `prepare` until it returns True.
    #[pyo3(signature = (x, leave_out = true))]
    fn examples(&self, x: &Bound<'_, PyAny>, leave_out: bool) -> PyResult<Examples> {
        let (array, stored) = (x, Stored::new(x)?);
        let (x, scale) = (stored.rows()?, self.stack.scale().unwrap_or(1.0));
        let features = self.stack.features();
        let nonzeros = (leave_out && self.stack.skips_zeros(level()?, x))
            .then(|| either!(&self.trainer, T, _ => T::either(Nonzeros::new(features, x, scale))));
        Ok(Examples { x: array.clone().unbind(), nonzeros, scale })
    }

    /// Run steps over the batches in `rows`, updating `params` and the optimizer's `state` in place; returns (steps
    /// done, whether the next one diverged). The number of steps is also written to `done`, even if the call then
    /// raises an exception. `optimizer` is (rule, learning rate, weight decay, two factors, steps taken before).
    /// Threads that would be idle continue the evaluations `beside`. `weights` are the weights of the rows of `t`. A
    /// gradient longer than `largest_norm` is scaled down to it; `draws` are the seed and the step of the first batch's
    /// random numbers.
    #[allow(clippy::too_many_arguments)] // those of a training step
    #[pyo3(signature = (params, state, x, t, rows, batch_size, optimizer, stop_if_diverged, losses, beside = vec![], weights = None, largest_norm = None, draws = (0, 0), done = None))]
    fn steps(
        &mut self,
        py: Python<'_>,
        params: Vec<Bound<'_, PyAny>>,
        state: Vec<Bound<'_, PyAny>>,
        x: &Examples,
        t: &Bound<'_, PyAny>,
        rows: PyReadonlyArray1<'_, i64>,
        batch_size: usize,
        optimizer: (String, f64, f64, f64, f64, u64),
        stop_if_diverged: bool,
        mut losses: PyReadwriteArray1<'_, f64>,
        beside: Vec<PyRefMut<'_, Evaluation>>,
        weights: Option<&Bound<'_, PyAny>>,
        largest_norm: Option<f64>,
        draws: (u64, u64),
        done: Option<PyReadwriteArray1<'_, i64>>,
    ) -> PyResult<(usize, bool)> {
        expect_shapes(&self.stack, &params)?;
        x.expect_stack(&self.stack)?;
        let optimizer = Optimizer { largest_norm, ..rule(optimizer)? };
        for i in 0..optimizer.rule.states() {
            let ith: Vec<_> = state.iter().skip(i).step_by(optimizer.rule.states()).cloned().collect();
            expect_shapes_of(self.stack.shapes_of_parameters(), &ith)?;
        }
        let draws = Draws { seed: draws.0, step: draws.1, layer: 0, row: 0 };
        let (rows, losses) = (rows.as_slice()?, losses.as_slice_mut()?);
        let before = optimizer.steps;
        let mut plan = Steps { x, rows, batch_size, optimizer, draws, stop_if_diverged, losses, beside };
        let progress = either!(&self.trainer, T, _ => plan.run::<T>(py, self, &params, &state, (t, weights)));
        if let Some(mut done) = done {
            done.as_slice_mut()?.fill((plan.optimizer.steps - before).cast_signed());
        }
        progress.map(|progress| (progress.steps, progress.diverged))
    }

    /// `out ← g`, or `out ← out + g` if `adding`: the gradient over the rows `rows` of a batch of `of_batch`, with all
    /// parameters one after the other. There are at most `size` rows, and the first is row number `draws[2]` of its
    /// batch. Returns the sum of their losses. The running statistics in `params` follow these rows.
    #[allow(clippy::too_many_arguments)] // a network, which rows of what data, and where to
    #[pyo3(signature = (params, x, t, rows, size, of_batch, adding, out, weights = None, draws = (0, 0, 0)))]
    fn gradient(
        &mut self,
        py: Python<'_>,
        params: Vec<Bound<'_, PyAny>>,
        x: &Examples,
        t: &Bound<'_, PyAny>,
        rows: PyReadonlyArray1<'_, i64>,
        size: usize,
        of_batch: usize,
        adding: bool,
        out: &Bound<'_, PyAny>,
        weights: Option<&Bound<'_, PyAny>>,
        draws: (u64, u64, u64),
    ) -> PyResult<f64> {
        expect_shapes(&self.stack, &params)?;
        x.expect_stack(&self.stack)?;
        let draws = Draws { seed: draws.0, step: draws.1, layer: 0, row: draws.2 };
        let rows = rows.as_slice()?;
        let shard = Shard { x, rows, size, of_batch, adding, draws };
        either!(&self.trainer, T, _ => shard.run::<T>(py, self, &params, (t, weights), out))
    }

    /// Update the learned `params` and the optimizer's `state` with their gradient, one parameter after the other in
    /// an array. `optimizer` is that of `steps`.
    fn update(
        &self,
        py: Python<'_>,
        params: Vec<Bound<'_, PyAny>>,
        state: Vec<Bound<'_, PyAny>>,
        gradient: &Bound<'_, PyAny>,
        optimizer: (String, f64, f64, f64, f64, u64),
    ) -> PyResult<()> {
        let mut optimizer = rule(optimizer)?;
        either!(&self.trainer, T, _ => self.update_as::<T>(py, &params, &state, gradient, &mut optimizer))
    }

    /// Write the scores of the rows of `x`, an array or `Examples`, from `first` on to `out`; returns the number of
    /// rows that have scores now.
    fn scores(
        &self,
        py: Python<'_>,
        params: Vec<Bound<'_, PyAny>>,
        x: &Bound<'_, PyAny>,
        first: usize,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        expect_shapes(&self.stack, &params)?;
        either!(&self.trainer, T, _ => self.scores_as::<T>(py, &params, x, first, out))
    }

    /// Evaluations of the network with the current values of these parameters: one for each pair of data, an array or
    /// `Examples`, and targets.
    fn evaluations(
        &self,
        params: Vec<Bound<'_, PyAny>>,
        sets: Vec<(Py<PyAny>, Py<PyAny>)>,
        py: Python<'_>,
    ) -> PyResult<Vec<Evaluation>> {
        expect_shapes(&self.stack, &params)?;
        either!(&self.trainer, T, _ => self.evaluations_as::<T>(py, &params, sets))
    }

    /// The mean losses with single numbers moved: `out[e, k]` is the loss with `entries[e]` of `params[index]` replaced
    /// by itself plus `offsets[e, k]`. All in float64, whatever the engine computes in; the i-th layer draws from the
    /// place `draws[i]`. Starts at entry `first`; returns the number of entries done now.
    #[allow(clippy::too_many_arguments)] // a network, its data, what to move, and how far to go
    #[pyo3(signature = (params, x, t, index, entries, offsets, out, first, draws = vec![]))]
    fn losses(
        &self,
        py: Python<'_>,
        params: Vec<Bound<'_, PyAny>>,
        x: PyReadonlyArray2<'_, f64>,
        t: &Bound<'_, PyAny>,
        index: usize,
        entries: PyReadonlyArray1<'_, i64>,
        offsets: PyReadonlyArray2<'_, f64>,
        mut out: PyReadwriteArray2<'_, f64>,
        first: usize,
        draws: Vec<(u64, u64, u64)>,
    ) -> PyResult<usize> {
        expect_shapes(&self.stack, &params)?;
        let params = params.iter().map(doubles).collect::<PyResult<Vec<_>>>()?;
        let t = Teaching::<f64>::new(t, None)?;
        let inputs = params.iter().map(|p| memory(p));
        let inputs: Vec<_> = inputs.chain(t.memory()).chain([memory(&x), memory(&entries), memory(&offsets)]).collect();
        separate(&[memory(&out)], &inputs)?;
        let params = params.iter().map(|p| Ok(p.as_slice()?)).collect::<PyResult<Vec<&[f64]>>>()?;
        let (x, t, entries, level) = (view(&x)?, t.targets()?, entries.as_slice()?, level()?);
        let (offsets, mut out) = (view(&offsets)?, view_mut(&mut out)?);
        expect_size("rows of the offsets", offsets.nrows(), "entries", entries.len())?;
        expect_size("rows of the output", out.nrows(), "entries", entries.len())?;
        expect_size("columns of the output", out.ncols(), "columns of the offsets", offsets.ncols())?;
        let (Some(all), Some(out)) = (offsets.as_slice(), out.as_slice_mut()) else {
            return Err(PyTypeError::new_err("expected C-contiguous offsets and output"));
        };
        let moves = Moves { parameter: index, entries, each: offsets.ncols(), offsets: all };
        let (stack, deadline, draws) = (&self.stack, Instant::now() + SLICE, draws_of(draws));
        call(py, || entries::losses(level, stack, &params, x, t, &draws, moves, first, deadline, out))
    }

    /// The mean losses with `params` moved along `directions` (an array like its parameter, or None if that stays):
    /// `out[k]` is the loss with each replaced by itself plus `offsets[k]` times its direction. In float64; `x` is an
    /// array or `Examples`. Starts at offset `first`; returns the number of offsets done now.
    #[allow(clippy::too_many_arguments)] // a network, its data, the direction, and how far to go
    #[pyo3(signature = (params, directions, x, t, offsets, out, first, draws = vec![]))]
    fn losses_along(
        &mut self,
        py: Python<'_>,
        params: Vec<Bound<'_, PyAny>>,
        directions: Vec<Option<Bound<'_, PyAny>>>,
        x: &Bound<'_, PyAny>,
        t: &Bound<'_, PyAny>,
        offsets: PyReadonlyArray1<'_, f64>,
        mut out: PyReadwriteArray1<'_, f64>,
        first: usize,
        draws: Vec<(u64, u64, u64)>,
    ) -> PyResult<usize> {
        expect_shapes(&self.stack, &params)?;
        let params = params.iter().map(doubles).collect::<PyResult<Vec<_>>>()?;
        let directions =
            directions.iter().map(|v| v.as_ref().map(doubles).transpose()).collect::<PyResult<Vec<_>>>()?;
        let t = Teaching::<f64>::new(t, None)?;
        let data = Read::new(&self.stack, x)?;
        let arrays = params.iter().chain(directions.iter().flatten()).map(|array| memory(array));
        let inputs: Vec<_> = arrays.chain(t.memory()).chain([data.stored.memory(), memory(&offsets)]).collect();
        separate(&[memory(&out)], &inputs)?;
        let params = params.iter().map(|p| Ok(p.as_slice()?)).collect::<PyResult<Vec<&[f64]>>>()?;
        let directions = directions.iter().map(|v| v.as_ref().map(|v| Ok(v.as_slice()?)).transpose());
        let directions = directions.collect::<PyResult<Vec<Option<&[f64]>>>>()?;
        let (x, t, level, deadline) = (data.rows::<f64>()?, t.targets()?, level()?, Instant::now() + SLICE);
        let (offsets, out, stack, scratch) = (offsets.as_slice()?, out.as_slice_mut()?, &self.stack, &mut self.along);
        let draws = draws_of(draws);
        call(py, || {
            losses_along(level, stack, &params, &directions, x, t, &draws, offsets, first, deadline, out, scratch)
        })
    }
}

fn doubles<'py>(array: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArrayDyn<'py, f64>> {
    held(array)
}

fn expect_size(what: &str, got: usize, with: &str, wanted: usize) -> PyResult<()> {
    if got == wanted {
        Ok(())
    } else {
        Err(PyValueError::new_err(format!("there are {got} {what}, but {wanted} {with}; they must agree")))
    }
}

impl Engine {
    /// The trainer for batches of `batch_size` rows, created anew if the last one had another size.
    fn trainer_for<T: Dtype>(&mut self, batch_size: usize) -> PyResult<&mut Trainer<T>> {
        let Some(trainer) = T::get_mut(&mut self.trainer) else {
            return Err(PyTypeError::new_err("the engine computes in another dtype"));
        };
        let ready = trainer.take().filter(|ready| ready.batch() == batch_size);
        let ready = match ready {
            Some(ready) => ready,
            None => Trainer::new(self.stack.clone(), level()?, batch_size).map_err(to_python)?,
        };
        Ok(trainer.insert(ready))
    }

    fn evaluations_as<T: Dtype>(
        &self,
        py: Python<'_>,
        params: &[Bound<'_, PyAny>],
        sets: Vec<(Py<PyAny>, Py<PyAny>)>,
    ) -> PyResult<Vec<Evaluation>> {
        let params = params.iter().map(held).collect::<PyResult<Vec<PyReadonlyArrayDyn<T>>>>()?;
        let params = params.iter().map(|p| Ok(p.as_slice()?)).collect::<PyResult<Vec<&[T]>>>()?;
        let (level, copies) = (level()?, call(py, || evaluation::copies(&params))?);
        let evaluation = |(x, t)| {
            let inner = evaluation::Evaluation::new(&self.stack, level, copies.clone()).map_err(to_python)?;
            Ok(Evaluation { inner: T::either(inner), x, t })
        };
        sets.into_iter().map(evaluation).collect()
    }

    fn update_as<T: Dtype>(
        &self,
        py: Python<'_>,
        params: &[Bound<'_, PyAny>],
        state: &[Bound<'_, PyAny>],
        gradient: &Bound<'_, PyAny>,
        optimizer: &mut Optimizer,
    ) -> PyResult<()> {
        let mut params = params.iter().map(held_mut).collect::<PyResult<Vec<PyReadwriteArrayDyn<T>>>>()?;
        let mut state = state.iter().map(held_mut).collect::<PyResult<Vec<PyReadwriteArrayDyn<T>>>>()?;
        let gradient: PyReadonlyArray1<'_, T> = held(gradient)?;
        let written: Vec<_> = params.iter().chain(&state).map(|p| memory(p)).collect();
        separate(&written, &[memory(&gradient)])?;
        let mut params = params.iter_mut().map(|p| Ok(p.as_slice_mut()?)).collect::<PyResult<Vec<&mut [T]>>>()?;
        let mut state = state.iter_mut().map(|p| Ok(p.as_slice_mut()?)).collect::<PyResult<Vec<&mut [T]>>>()?;
        let (level, gradient) = (level()?, gradient.as_slice()?);
        let params = Parameters { values: &mut params, state: &mut state };
        call(py, || update(level, &self.stack, params, gradient, optimizer))
    }

    fn scores_as<T: Dtype>(
        &self,
        py: Python<'_>,
        params: &[Bound<'_, PyAny>],
        x: &Bound<'_, PyAny>,
        first: usize,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let params = params.iter().map(held).collect::<PyResult<Vec<PyReadonlyArrayDyn<T>>>>()?;
        let mut out: PyReadwriteArray2<T> = out.extract()?;
        let data = Read::new(&self.stack, x)?;
        let inputs: Vec<_> = params.iter().map(|p| memory(p)).chain([data.stored.memory()]).collect();
        separate(&[memory(&out)], &inputs)?;
        let (x, level, out) = (data.rows::<T>()?, level()?, view_mut(&mut out)?);
        let params = params.iter().map(|p| Ok(p.as_slice()?)).collect::<PyResult<Vec<&[T]>>>()?;
        call(py, || self.stack.scores(level, &params, x, first, Instant::now() + SLICE, out))
    }
}

/// The mean loss and the share of right answers of a network over a data set: call `advance` until it returns True.
#[pyclass]
pub(crate) struct Evaluation {
    inner: Either<Evaluating>,
    x: Py<PyAny>,
    t: Py<PyAny>,
}

#[pymethods]
impl Evaluation {
    /// Evaluate more rows; returns whether all are done.
    fn advance(&mut self, py: Python<'_>) -> PyResult<bool> {
        let Self { inner, x, t } = self;
        either!(inner, T, evaluation => advance(py, evaluation, x, t))
    }

    /// The mean loss, and the share of right rows: nan if the loss has no right and wrong.
    fn result(&self) -> (f64, f64) {
        either!(&self.inner, T, evaluation => evaluation.result())
    }
}

fn advance<T: Dtype>(
    py: Python<'_>,
    evaluation: &mut evaluation::Evaluation<T>,
    x: &Py<PyAny>,
    t: &Py<PyAny>,
) -> PyResult<bool> {
    let (x, t) = read(py, evaluation, x, t)?;
    let (x, t) = (x.rows::<T>()?, t.targets()?);
    call(py, || evaluation.advance(x, t, Instant::now() + SLICE))
}

/// The data and the targets of an evaluation.
fn read<'py, T: Dtype>(
    py: Python<'py>,
    evaluation: &evaluation::Evaluation<T>,
    x: &Py<PyAny>,
    t: &Py<PyAny>,
) -> PyResult<(Read<'py>, Teaching<'py, T>)> {
    Ok((Read::new(evaluation.stack(), x.bind(py))?, Teaching::new(t.bind(py), None)?))
}

/// The loss of that name.
pub(crate) fn loss_called(name: &str) -> PyResult<Loss> {
    Loss::from_name(name).ok_or_else(|| PyValueError::new_err(format!("no loss is called {name:?}")))
}

/// A layer's name, sizes and numbers.
pub(crate) type Description = (String, Vec<usize>, Vec<f64>);

/// The layer with that description.
pub(crate) fn layer((name, sizes, numbers): &Description) -> PyResult<Layer> {
    Layer::from_description(name, sizes, numbers).ok_or_else(|| {
        PyValueError::new_err(format!(
            "no layer is called {name:?} and goes with sizes {sizes:?} and numbers {numbers:?}"
        ))
    })
}

/// Each layer's draws, as (seed, step, layer).
fn draws_of(draws: Vec<(u64, u64, u64)>) -> Vec<Draws> {
    draws.into_iter().map(|(seed, step, layer)| Draws { seed, step, layer, row: 0 }).collect()
}

fn rule(
    (name, learning_rate, weight_decay, first, second, steps): (String, f64, f64, f64, f64, u64),
) -> PyResult<Optimizer> {
    let rule = Rule::from_name(&name, first, second)
        .ok_or_else(|| PyValueError::new_err(format!("no optimizer is called {name:?}")))?;
    Ok(Optimizer { rule, learning_rate, weight_decay, steps, largest_norm: None })
}

/// `Ok` if `params` are C-ordered arrays with the shapes of the layers' arrays. (The kernel checks their number.)
fn expect_shapes(stack: &Stack, params: &[Bound<'_, PyAny>]) -> PyResult<()> {
    expect_shapes_of(stack.shapes(), params)
}

/// The same for these shapes.
pub(crate) fn expect_shapes_of(
    shapes: impl IntoIterator<Item = Vec<usize>>,
    params: &[Bound<'_, PyAny>],
) -> PyResult<()> {
    for (array, wanted) in params.iter().zip(shapes) {
        let array = array.cast::<PyUntypedArray>()?;
        let shape = array.shape();
        if shape.len() != wanted.len() {
            let (got, axes) = (shape.len(), wanted.len());
            return Err(PyTypeError::new_err(format!("a parameter has {got} axes, its layer wants {axes}")));
        }
        if let Some(i) = (0..wanted.len()).find(|&i| shape[i] != wanted[i]) {
            let (got, size) = (shape[i], wanted[i]);
            let text =
                format!("the size of a parameter's axis {i} is {got}, but its layer's is {size}; they must agree");
            return Err(PyValueError::new_err(text));
        }
        if !array.is_c_contiguous() {
            return Err(PyTypeError::new_err("expected C-contiguous parameters"));
        }
    }
    Ok(())
}

/// The arguments of `Engine.steps` that do not depend on the dtype.
struct Steps<'a> {
    x: &'a Examples,
    rows: &'a [i64],
    batch_size: usize,
    optimizer: Optimizer,
    draws: Draws,
    stop_if_diverged: bool,
    losses: &'a mut [f64],
    beside: Vec<PyRefMut<'a, Evaluation>>,
}

impl Steps<'_> {
    fn run<T: Dtype>(
        &mut self,
        py: Python<'_>,
        engine: &mut Engine,
        params: &[Bound<'_, PyAny>],
        state: &[Bound<'_, PyAny>],
        (t, weights): (&Bound<'_, PyAny>, Option<&Bound<'_, PyAny>>),
    ) -> PyResult<Progress> {
        let t = Teaching::<T>::new(t, weights)?;
        let stored = Stored::new(self.x.x.bind(py))?;
        let mut params = params.iter().map(held_mut).collect::<PyResult<Vec<PyReadwriteArrayDyn<T>>>>()?;
        let mut state = state.iter().map(held_mut).collect::<PyResult<Vec<PyReadwriteArrayDyn<T>>>>()?;
        let written: Vec<_> = params.iter().chain(&state).map(|p| memory(p)).collect();
        separate(&written, &t.memory().chain([stored.memory()]).collect::<Vec<_>>())?;
        // An evaluation that cannot run beside these steps is left for later, and so is its error, if it has one.
        let fits = |(x, t): &(Read<'_>, Teaching<'_, T>)| {
            separate(&written, &t.memory().chain([x.stored.memory()]).collect::<Vec<_>>()).is_ok()
        };
        let readable = self.beside.iter_mut().filter_map(|evaluation| {
            let Evaluation { inner, x, t } = &mut **evaluation;
            let evaluation = T::get_mut(inner)?;
            let data = read(py, evaluation, x, t).ok().filter(fits)?;
            Some((evaluation, data))
        });
        let mut readable: Vec<_> = readable.collect();
        let mut params = params.iter_mut().map(|p| Ok(p.as_slice_mut()?)).collect::<PyResult<Vec<&mut [T]>>>()?;
        let mut state = state.iter_mut().map(|p| Ok(p.as_slice_mut()?)).collect::<PyResult<Vec<&mut [T]>>>()?;
        engine.stack.check(&params).map_err(to_python)?;
        let x = match self.x.nonzeros.as_ref().and_then(T::get) {
            Some(nonzeros) => Data::Nonzeros(nonzeros),
            None => Data::Rows(stored.rows()?),
        };
        let batches = Batches { x, t: t.targets()?, rows: self.rows, size: self.batch_size, draws: self.draws };
        let trainer = engine.trainer_for::<T>(self.batch_size)?;
        let (stop, losses, optimizer) = (self.stop_if_diverged, &mut *self.losses, &mut self.optimizer);
        let params = Parameters { values: &mut params, state: &mut state };
        let mut evaluations = Vec::new();
        for (evaluation, (x, t)) in &mut readable {
            evaluations.push((evaluation, x.rows::<T>()?, t.targets()?));
        }
        let any = !evaluations.is_empty();
        let mut left = evaluations.iter_mut();
        let mut now = left.next();
        let mut beside = || {
            if let Some((evaluation, x, t)) = &mut now {
                if evaluation.advance(*x, *t, Instant::now()) != Ok(false) {
                    now = left.next();
                }
            }
            now.is_some()
        };
        let beside = Some(&mut beside as Beside<'_>).filter(|_| any);
        call(py, || trainer.run(params, batches, optimizer, stop, Instant::now() + SLICE, losses, beside))
    }
}

/// The arguments of `Engine.gradient` that do not depend on the dtype.
struct Shard<'a> {
    x: &'a Examples,
    rows: &'a [i64],
    size: usize,
    of_batch: usize,
    adding: bool,
    draws: Draws,
}

impl Shard<'_> {
    fn run<T: Dtype>(
        &self,
        py: Python<'_>,
        engine: &mut Engine,
        params: &[Bound<'_, PyAny>],
        (t, weights): (&Bound<'_, PyAny>, Option<&Bound<'_, PyAny>>),
        out: &Bound<'_, PyAny>,
    ) -> PyResult<f64> {
        let t = Teaching::<T>::new(t, weights)?;
        let stored = Stored::new(self.x.x.bind(py))?;
        let mut params = params.iter().map(held_mut).collect::<PyResult<Vec<PyReadwriteArrayDyn<T>>>>()?;
        let mut out: PyReadwriteArray1<'_, T> = held_mut(out)?;
        let written: Vec<_> = params.iter().map(|p| memory(p)).chain([memory(&out)]).collect();
        separate(&written, &t.memory().chain([stored.memory()]).collect::<Vec<_>>())?;
        let mut params = params.iter_mut().map(|p| Ok(p.as_slice_mut()?)).collect::<PyResult<Vec<&mut [T]>>>()?;
        let x = match &self.x.nonzeros {
            Some(_) => return Err(PyTypeError::new_err("the gradient of a shard is of data with its zeros")),
            None => Data::Rows(stored.rows()?),
        };
        let shard = Batches { x, t: t.targets()?, rows: self.rows, size: self.size, draws: self.draws };
        let (of_batch, adding, out) = (self.of_batch, self.adding, out.as_slice_mut()?);
        let trainer = engine.trainer_for::<T>(self.size)?;
        call(py, || trainer.gradient(&mut params, shard, of_batch, adding, out))
    }
}

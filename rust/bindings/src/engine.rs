//! A network's layers, ready to be run many steps or many rows at a time over the caller's arrays.
//!
//! Both calls return after about [`SLICE`], with how far they came: the caller's Python loop goes on from there, and in between the
//! interpreter looks for Ctrl-C. The arrays of parameters are borrowed for the call only.

use crate::arrays::{call, memory, separate, to_python, view, view_mut, Teaching};
use chainrule_kernels::stack::{Activation, Layer, Rows, Stack};
use chainrule_kernels::training::{Batches, Progress, Trainer};
use chainrule_kernels::Float;
use numpy::{
    Element, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn, PyReadwriteArray1, PyReadwriteArray2,
    PyReadwriteArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Ctrl-C is to be seen within 50 ms.
const SLICE: Duration = Duration::from_millis(20);

/// The examples, in whichever type they are stored.
#[derive(FromPyObject)]
enum Examples<'py> {
    Bytes(PyReadonlyArray2<'py, u8>),
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
}

impl Examples<'_> {
    fn memory(&self) -> Range<usize> {
        match self {
            Self::Bytes(x) => memory(x),
            Self::Single(x) => memory(x),
            Self::Double(x) => memory(x),
        }
    }

    fn rows(&self) -> PyResult<Rows<'_>> {
        Ok(match self {
            Self::Bytes(x) => Rows::Bytes(view(x)?),
            Self::Single(x) => Rows::Single(view(x)?),
            Self::Double(x) => Rows::Double(view(x)?),
        })
    }
}

/// Scratch for training, made by the first call of `steps` and kept for the next.
enum AnyTrainer {
    Single(Option<Trainer<f32>>),
    Double(Option<Trainer<f64>>),
}

/// Engine(dtype, features, layers): `layers` holds ("affine", outputs), ("relu", 0), ("sigmoid", 0).
#[pyclass]
pub(crate) struct Engine {
    stack: Stack,
    trainer: AnyTrainer,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(dtype: &str, features: usize, layers: Vec<(String, usize)>) -> PyResult<Self> {
        let layers = layers.iter().map(|(kind, outputs)| layer(kind, *outputs)).collect::<PyResult<_>>()?;
        let trainer = match dtype {
            "float32" => AnyTrainer::Single(None),
            "float64" => AnyTrainer::Double(None),
            _ => return Err(PyValueError::new_err(format!("dtype must be float32 or float64, got {dtype}"))),
        };
        Ok(Self { stack: Stack::new(features, layers), trainer })
    }

    /// Steps through the batches in `rows`, updating `params` in place: (steps done, whether the next one diverged).
    #[allow(clippy::too_many_arguments)] // a training step's own
    fn steps(
        &mut self,
        py: Python<'_>,
        params: Vec<Bound<'_, PyAny>>,
        x: Examples<'_>,
        t: &Bound<'_, PyAny>,
        rows: PyReadonlyArray1<'_, i64>,
        batch_size: usize,
        learning_rate: f64,
        stop_if_diverged: bool,
        mut losses: PyReadwriteArray1<'_, f64>,
    ) -> PyResult<(usize, bool)> {
        expect_shapes(&self.stack, &params)?;
        let (rows, losses) = (rows.as_slice()?, losses.as_slice_mut()?);
        let plan = Steps { x: &x, rows, batch_size, learning_rate, stop_if_diverged, losses };
        let done = match &mut self.trainer {
            AnyTrainer::Single(trainer) => plan.run(py, &self.stack, trainer, &params, t),
            AnyTrainer::Double(trainer) => plan.run(py, &self.stack, trainer, &params, t),
        }?;
        Ok((done.steps, done.diverged))
    }

    /// The scores of the rows of `x` from `first` on, written into `out`: how many rows have scores now.
    fn scores(
        &self,
        py: Python<'_>,
        params: Vec<Bound<'_, PyAny>>,
        x: Examples<'_>,
        first: usize,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        expect_shapes(&self.stack, &params)?;
        match &self.trainer {
            AnyTrainer::Single(_) => scores::<f32>(py, &self.stack, &params, &x, first, out),
            AnyTrainer::Double(_) => scores::<f64>(py, &self.stack, &params, &x, first, out),
        }
    }
}

fn layer(kind: &str, outputs: usize) -> PyResult<Layer> {
    match kind {
        "affine" => Ok(Layer::Affine(outputs)),
        "relu" => Ok(Layer::Activation(Activation::Relu)),
        "sigmoid" => Ok(Layer::Activation(Activation::Sigmoid)),
        _ => Err(PyValueError::new_err(format!("no layer is called {kind:?}"))),
    }
}

/// `Ok` if `params` are arrays in C order with the shapes (D, M), (M,) of each affine layer in turn. (The kernel counts them.)
fn expect_shapes(stack: &Stack, params: &[Bound<'_, PyAny>]) -> PyResult<()> {
    let shapes = stack.affine_shapes().flat_map(|(inputs, outputs)| [vec![inputs, outputs], vec![outputs]]);
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
    x: &'a Examples<'a>,
    rows: &'a [i64],
    batch_size: usize,
    learning_rate: f64,
    stop_if_diverged: bool,
    losses: &'a mut [f64],
}

impl Steps<'_> {
    fn run<T: Float + Element>(
        self,
        py: Python<'_>,
        stack: &Stack,
        trainer: &mut Option<Trainer<T>>,
        params: &[Bound<'_, PyAny>],
        t: &Bound<'_, PyAny>,
    ) -> PyResult<Progress> {
        let t = Teaching::<T>::new(t)?;
        let mut params = params.iter().map(|p| p.extract()).collect::<PyResult<Vec<PyReadwriteArrayDyn<T>>>>()?;
        let written: Vec<_> = params.iter().map(|p| memory(p)).collect();
        separate(&written, &[self.x.memory(), t.memory()])?;
        let mut params = params.iter_mut().map(|p| Ok(p.as_slice_mut()?)).collect::<PyResult<Vec<&mut [T]>>>()?;
        let batches = Batches { x: self.x.rows()?, t: t.targets()?, rows: self.rows, size: self.batch_size };
        let (rate, stop, losses) = (T::of(self.learning_rate), self.stop_if_diverged, self.losses);
        stack.check(&params).map_err(to_python)?;
        let trainer = match trainer {
            Some(ready) if ready.batch() == self.batch_size => ready,
            other => other.insert(Trainer::new(stack.clone(), self.batch_size).map_err(to_python)?),
        };
        call(py, || trainer.run(&mut params, batches, rate, stop, Instant::now() + SLICE, losses))
    }
}

fn scores<T: Float + Element>(
    py: Python<'_>,
    stack: &Stack,
    params: &[Bound<'_, PyAny>],
    x: &Examples<'_>,
    first: usize,
    out: &Bound<'_, PyAny>,
) -> PyResult<usize> {
    let params = params.iter().map(|p| p.extract()).collect::<PyResult<Vec<PyReadonlyArrayDyn<T>>>>()?;
    let mut out: PyReadwriteArray2<T> = out.extract()?;
    let inputs: Vec<_> = params.iter().map(|p| memory(p)).chain([x.memory()]).collect();
    separate(&[memory(&out)], &inputs)?;
    let (x, out) = (x.rows()?, view_mut(&mut out)?);
    let params = params.iter().map(|p| Ok(p.as_slice()?)).collect::<PyResult<Vec<&[T]>>>()?;
    call(py, || stack.scores(&params, x, first, Instant::now() + SLICE, out))
}

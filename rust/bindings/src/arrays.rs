//! NumPy arrays as the kernels read them.

use crate::call::to_python;
use chainrule_kernels::loss::Targets;
use chainrule_kernels::sparse::rows::Rows;
use chainrule_kernels::Float;
use ndarray::{ArrayView2, ArrayViewMut2, Dimension};
use numpy::{
    BorrowError, Element, PyArray, PyArray2, PyArrayMethods, PyReadonlyArray, PyReadonlyArray1, PyReadonlyArray2,
    PyReadwriteArray, PyReadwriteArray2, PyUntypedArray,
};
use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use std::ops::Range;

/// The examples, in whichever type they are stored.
pub(crate) enum Stored<'py> {
    Bytes(PyReadonlyArray2<'py, u8>),
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
}

impl<'py> Stored<'py> {
    pub(crate) fn new(x: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(x) = x.extract() {
            Ok(Self::Bytes(x))
        } else if let Ok(x) = x.extract() {
            Ok(Self::Single(x))
        } else if let Ok(x) = x.extract() {
            Ok(Self::Double(x))
        } else {
            Err(PyTypeError::new_err("examples must be an array of uint8, float32 or float64 with two axes"))
        }
    }

    pub(crate) fn memory(&self) -> Range<usize> {
        match self {
            Self::Bytes(x) => memory(x),
            Self::Single(x) => memory(x),
            Self::Double(x) => memory(x),
        }
    }

    pub(crate) fn rows(&self) -> PyResult<Rows<'_>> {
        Ok(match self {
            Self::Bytes(x) => Rows::Bytes(view(x)?),
            Self::Single(x) => Rows::Single(view(x)?),
            Self::Double(x) => Rows::Double(view(x)?),
        })
    }
}

/// The targets, as prepared by `_gate.py`, and the weight of each row.
pub(crate) struct Teaching<'py, T: Element> {
    wanted: Wanted<'py, T>,
    weights: Option<PyReadonlyArray1<'py, T>>,
}

enum Wanted<'py, T: Element> {
    Ids(PyReadonlyArray1<'py, i64>),
    Numbers(PyReadonlyArray2<'py, T>),
}

impl<'py, T: Element + Float> Teaching<'py, T> {
    pub(crate) fn new(t: &Bound<'py, PyAny>, weights: Option<&Bound<'py, PyAny>>) -> PyResult<Self> {
        let weights = weights.map(|weights| weights.extract()).transpose()?;
        let wanted = t.extract().map(Wanted::Ids).or_else(|_| t.extract().map(Wanted::Numbers))?;
        Ok(Self { wanted, weights })
    }

    pub(crate) fn memory(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let wanted = match &self.wanted {
            Wanted::Ids(ids) => memory(ids),
            Wanted::Numbers(t) => memory(t),
        };
        self.weights.iter().map(|weights| memory(weights)).chain([wanted])
    }

    pub(crate) fn targets(&self) -> PyResult<Targets<'_, T>> {
        let targets = match &self.wanted {
            Wanted::Ids(ids) => Targets::ids(ids.as_slice()?),
            Wanted::Numbers(t) => Targets::numbers(view(t)?),
        };
        let weights = self.weights.as_ref().map(|weights| weights.as_slice()).transpose()?;
        targets.weighted(weights).map_err(to_python)
    }
}

/// Borrow a network's array for reading; a `RuntimeError` while another call writes to it.
pub(crate) fn held<'py, T: Element, D: Dimension>(array: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray<'py, T, D>> {
    array.cast::<PyArray<T, D>>()?.try_readonly().map_err(in_use)
}

/// Borrow it for writing; a `RuntimeError` also while another call reads it.
pub(crate) fn held_mut<'py, T: Element, D: Dimension>(
    array: &Bound<'py, PyAny>,
) -> PyResult<PyReadwriteArray<'py, T, D>> {
    array.cast::<PyArray<T, D>>()?.try_readwrite().map_err(in_use)
}

fn in_use(error: BorrowError) -> PyErr {
    match error {
        BorrowError::AlreadyBorrowed => PyRuntimeError::new_err(
            "the network's arrays are in use: while one call trains it, no other may read or train it; wait for it, or give each thread a copy",
        ),
        error => error.into(),
    }
}

/// Whether `array` holds float32; a `TypeError` if it holds neither float32 nor float64.
pub(crate) fn is_single(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = array.py();
    let found = array.cast::<PyUntypedArray>()?.dtype();
    if found.is_equiv_to(&numpy::dtype::<f32>(py)) {
        Ok(true)
    } else if found.is_equiv_to(&numpy::dtype::<f64>(py)) {
        Ok(false)
    } else {
        Err(PyTypeError::new_err(format!("expected an array of float32 or float64, got {found}")))
    }
}

/// The body, with `$T` standing for the element type of the array.
macro_rules! by_dtype {
    ($array:expr, $T:ident => $body:block) => {
        if $crate::arrays::is_single($array)? {
            type $T = f32;
            $body
        } else {
            type $T = f64;
            $body
        }
    };
}
pub(crate) use by_dtype;

/// The address range of an array's numbers, if they are contiguous, as [`view`] demands.
pub(crate) fn memory<T: Element, D: Dimension>(array: &Bound<'_, PyArray<T, D>>) -> Range<usize> {
    let start = array.data() as usize;
    start..start.saturating_add(array.len().saturating_mul(size_of::<T>()))
}

/// `Ok` if no output shares memory with an input or another output. NumPy has many ways to share memory (a view, a
/// memoryview, DLPack); rust-numpy's own check sees only the first.
pub(crate) fn separate(outputs: &[Range<usize>], inputs: &[Range<usize>]) -> PyResult<()> {
    let overlap = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    for (i, output) in outputs.iter().enumerate() {
        if outputs[..i].iter().chain(inputs).any(|other| overlap(output, other)) {
            return Err(PyTypeError::new_err("an array to be written shares memory with another argument"));
        }
    }
    Ok(())
}

/// A C-contiguous, aligned array as a matrix; anything else is a `TypeError`.
pub(crate) fn view<'a, T: Element>(array: &'a PyReadonlyArray2<'_, T>) -> PyResult<ArrayView2<'a, T>> {
    let shape = c_shape(array)?;
    ArrayView2::from_shape(shape, array.as_slice()?).map_err(|error| PyTypeError::new_err(error.to_string()))
}

/// The same, mutable.
pub(crate) fn view_mut<'a, T: Element>(array: &'a mut PyReadwriteArray2<'_, T>) -> PyResult<ArrayViewMut2<'a, T>> {
    let shape = c_shape(array)?;
    ArrayViewMut2::from_shape(shape, array.as_slice_mut()?).map_err(|error| PyTypeError::new_err(error.to_string()))
}

/// (rows, columns) of an array in C order.
fn c_shape<T: Element>(array: &Bound<'_, PyArray2<T>>) -> PyResult<(usize, usize)> {
    in_c_order(array)?;
    Ok((array.shape()[0], array.shape()[1]))
}

/// `Ok` if the array is in C order: `as_slice` also accepts Fortran order, and would give the transpose.
pub(crate) fn in_c_order<T: Element, D: Dimension>(array: &Bound<'_, PyArray<T, D>>) -> PyResult<()> {
    if array.is_c_contiguous() {
        Ok(())
    } else {
        Err(PyTypeError::new_err("expected a C-contiguous array"))
    }
}

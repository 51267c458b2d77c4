//! A layer called by itself. It is described as for an engine; what its backward pass needs is stored in arrays of the
//! caller.

use crate::arrays::{by_dtype, held, in_c_order, memory, separate, view, view_mut};
use crate::call::{call, level, to_python};
use crate::engine::{expect_shapes_of, layer, Description};
use chainrule_kernels::layers::dropout::Dropout;
use chainrule_kernels::layers::{alone, Draws, Mode, Pass};
use chainrule_kernels::KernelError;
use numpy::{
    PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn, PyReadwriteArray1, PyReadwriteArray2, PyReadwriteArrayDyn,
};
use pyo3::prelude::*;

/// The mode of a pass that draws no random numbers.
fn mode(training: bool) -> Mode {
    if training {
        Mode::Train(Draws::default())
    } else {
        Mode::Evaluate
    }
}

/// A copy.
fn own<T: Copy>(numbers: &[T]) -> PyResult<Vec<T>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(numbers.len()).map_err(|_| to_python(KernelError::Memory { numbers: numbers.len() }))?;
    copy.extend_from_slice(numbers);
    Ok(copy)
}

/// (numbers per row of the output, and numbers and places remembered for `rows` rows)
#[pyfunction]
pub(crate) fn layer_sizes(described: Description, rows: usize, inputs: usize) -> PyResult<(usize, usize, usize)> {
    alone::sizes(layer(&described)?, rows, inputs).map_err(to_python)
}

/// out ← layer(x), one row per example; `numbers` and `places` ← what `layer_backward` needs
#[pyfunction]
#[allow(clippy::too_many_arguments)] // a layer, what flows, and what it remembers
pub(crate) fn layer_forward(
    py: Python<'_>,
    described: Description,
    arrays: Vec<Bound<'_, PyAny>>,
    x: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    numbers: &Bound<'_, PyAny>,
    mut places: PyReadwriteArray1<'_, u32>,
    training: bool,
) -> PyResult<()> {
    let layer = layer(&described)?;
    by_dtype!(x, T => {
        let x: PyReadonlyArray2<T> = x.extract()?;
        let (mut out, mut numbers): (PyReadwriteArray2<T>, PyReadwriteArray1<T>) = (out.extract()?, numbers.extract()?);
        let rows_and_inputs = view(&x)?.dim();
        expect_shapes_of(layer.shapes(rows_and_inputs.1), &arrays)?;
        let arrays = arrays.iter().map(held).collect::<PyResult<Vec<PyReadonlyArrayDyn<T>>>>()?;
        let inputs: Vec<_> = arrays.iter().map(|p| memory(p)).chain([memory(&x)]).collect();
        separate(&[memory(&out), memory(&numbers), memory(&places)], &inputs)?;
        in_c_order(&out)?;
        let arrays = arrays.iter().map(|p| Ok(p.as_slice()?)).collect::<PyResult<Vec<&[T]>>>()?;
        let (x, out, level) = (x.as_slice()?, out.as_slice_mut()?, level()?);
        let pass = Pass { mode: mode(training), numbers: numbers.as_slice_mut()?, places: places.as_slice_mut()? };
        call(py, || alone::forward(level, layer, &arrays, rows_and_inputs, x, out, pass))
    })
}

/// dx and d_params ← the gradients of the input and of the parameters, from dout, the output's
#[pyfunction]
#[allow(clippy::too_many_arguments)] // a layer, what flowed forward, what flows back, and what it remembers
pub(crate) fn layer_backward(
    py: Python<'_>,
    described: Description,
    arrays: Vec<Bound<'_, PyAny>>,
    x: &Bound<'_, PyAny>,
    dout: &Bound<'_, PyAny>,
    dx: &Bound<'_, PyAny>,
    d_params: Vec<Bound<'_, PyAny>>,
    numbers: &Bound<'_, PyAny>,
    places: PyReadonlyArray1<'_, u32>,
    training: bool,
) -> PyResult<()> {
    let layer = layer(&described)?;
    by_dtype!(x, T => {
        let (x, dout): (PyReadonlyArray2<T>, PyReadonlyArray2<T>) = (x.extract()?, dout.extract()?);
        let (mut dx, numbers): (PyReadwriteArray2<T>, PyReadonlyArray1<T>) = (dx.extract()?, numbers.extract()?);
        let rows_and_inputs = view(&x)?.dim();
        let shapes = layer.shapes(rows_and_inputs.1);
        expect_shapes_of(shapes.clone(), &arrays)?;
        expect_shapes_of(shapes, &d_params)?;
        let arrays = arrays.iter().map(held).collect::<PyResult<Vec<PyReadonlyArrayDyn<T>>>>()?;
        let mut d_params = d_params.iter().map(|p| p.extract()).collect::<PyResult<Vec<PyReadwriteArrayDyn<T>>>>()?;
        let inputs: Vec<_> = arrays.iter().map(|p| memory(p)).chain([memory(&x), memory(&dout)]).collect();
        let outputs: Vec<_> = d_params.iter().map(|p| memory(p)).chain([memory(&dx)]).collect();
        separate(&outputs, &inputs)?;
        let arrays = arrays.iter().map(|p| Ok(p.as_slice()?)).collect::<PyResult<Vec<&[T]>>>()?;
        let mut d_params = d_params.iter_mut().map(|p| Ok(p.as_slice_mut()?)).collect::<PyResult<Vec<&mut [T]>>>()?;
        in_c_order(&dout)?;
        in_c_order(&dx)?;
        let (x, dout, dx, level) = (x.as_slice()?, dout.as_slice()?, dx.as_slice_mut()?, level()?);
        let (mut numbers, mut places) = (own(numbers.as_slice()?)?, own(places.as_slice()?)?);
        let pass = Pass { mode: mode(training), numbers: &mut numbers, places: &mut places };
        call(py, || alone::backward(level, layer, &arrays, rows_and_inputs, x, dout, dx, &mut d_params, pass))
    })
}

/// mask ← 1 where a number stays, one row per example, for the place (seed, step, layer, row) of the stream
#[pyfunction]
pub(crate) fn dropout_mask(
    py: Python<'_>,
    ratio: f64,
    draws: (u64, u64, u64, u64),
    mut mask: PyReadwriteArray2<'_, u8>,
) -> PyResult<()> {
    let mut mask = view_mut(&mut mask)?;
    let numbers = mask.ncols();
    let Some(mask) = mask.as_slice_mut() else { return Ok(()) }; // not reached: it is in C order
    call(py, || {
        let (seed, step, layer, row) = draws;
        Dropout { ratio }.mask(Draws { seed, step, layer, row }, numbers, mask);
        Ok(())
    })
}

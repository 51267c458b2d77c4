//! The interface between Python and the kernels: arrays in, a kernel called, arrays out.
//!
//! Everything that arrives here has passed Python's `_gate.py`, but nothing here relies on it. An array of another
//! dtype, rank or layout, a read-only output, or an output that is also an input is a `TypeError`; shapes that do not
//! fit are the kernels' `ValueError`. Arrays are read as a slice and a shape, never by their strides: rust-numpy
//! misreads strides that are not a multiple of the item size. Outputs are allocated by the caller, with NumPy, whose
//! `MemoryError` leaves the process alive.
//!
//! Every kernel runs under [`call`]: interpreter lock released, panics caught.

mod arrays;
mod call;
mod dtype;
mod engine;
mod header;
mod inflate;
mod layer;
mod scratch;
mod segments;
mod tensors;

use crate::scratch::Scratch;
use arrays::{by_dtype, held, in_c_order, memory, separate, view, view_mut, Stored, Teaching};
use call::{call, level};
use chainrule_kernels::dense::matmul;
use chainrule_kernels::layers::activation;
use chainrule_kernels::layers::affine as product;
use chainrule_kernels::machine::put_by::Allocator;
use chainrule_kernels::machine::threads as at_work;
use engine::loss_called;
use numpy::{
    PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn, PyReadwriteArray1, PyReadwriteArray2, PyReadwriteArrayDyn,
};
use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// chainrule's kernels. Private: use the functions and layers of `chainrule`.
// No interpreter lock is needed: kernels have always run without it, beside threads that may write to their arrays.
// State that is kept between calls is behind a mutex (`Scratch`), PyO3's own borrow count (`Engine`, `Examples`), an
// atomic or a thread-local (`call`).
#[pymodule(gil_used = false)]
mod _kernels {
    use numpy::{get_array_module, PyUntypedArray};
    use pyo3::prelude::*;
    use pyo3::PyTypeInfo;

    #[pymodule_export]
    use super::{
        affine, column_sums, instruction_set, limit_threads, loss, matmul_a_bt, not_a_distribution, threads,
        weight_gradient, zero_where,
    };

    #[pymodule_export]
    use super::engine::{Engine, Evaluation, Examples};

    #[pymodule_export]
    use super::inflate::inflate_segments;

    #[pymodule_export]
    use super::layer::{dropout_mask, layer_backward, layer_forward, layer_sizes};

    #[pymodule_export]
    use super::scratch::Scratch;

    #[pymodule_export]
    use super::tensors::from_safetensors;

    /// The version of the package, which is the workspace's.
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Look up NumPy's C API here, as rust-numpy would at the first array, where it panics if Ctrl-C arrives while
    /// NumPy's Python code reports its version. Here that is a `KeyboardInterrupt`, and the rest of the lookup runs no
    /// Python.
    #[pymodule_init]
    fn look_up_numpy(module: &Bound<'_, PyModule>) -> PyResult<()> {
        get_array_module(module.py())?;
        PyUntypedArray::type_object(module.py());
        Ok(())
    }
}

/// out ← x·W + b
#[pyfunction]
#[pyo3(signature = (x, W, b, out, scratch))]
#[allow(non_snake_case)] // Python's name
fn affine(
    py: Python<'_>,
    x: &Bound<'_, PyAny>,
    W: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    scratch: &Scratch,
) -> PyResult<()> {
    let x = Stored::new(x)?;
    by_dtype!(W, T => {
        let w: PyReadonlyArray2<T> = held(W)?;
        let b: PyReadonlyArray1<T> = held(b)?;
        let mut out: PyReadwriteArray2<T> = out.extract()?;
        separate(&[memory(&out)], &[x.memory(), memory(&w), memory(&b)])?;
        let (x, w, b, out) = (x.rows()?, view(&w)?, b.as_slice()?, view_mut(&mut out)?);
        let level = level()?;
        call(py, || scratch.with(|scratch| product::affine(level, x, w, b, out, scratch)))
    })
}

/// out ← xᵀ·dout. `same_x` says that x is the one of the last `affine` with this scratch.
#[pyfunction]
#[pyo3(signature = (x, dout, out, scratch, same_x = false))]
fn weight_gradient(
    py: Python<'_>,
    x: &Bound<'_, PyAny>,
    dout: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    scratch: &Scratch,
    same_x: bool,
) -> PyResult<()> {
    let x = Stored::new(x)?;
    by_dtype!(dout, T => {
        let d: PyReadonlyArray2<T> = dout.extract()?;
        let mut out: PyReadwriteArray2<T> = out.extract()?;
        separate(&[memory(&out)], &[x.memory(), memory(&d)])?;
        let (x, d, out) = (x.rows()?, view(&d)?, view_mut(&mut out)?);
        let level = level()?;
        call(py, || scratch.with(|scratch| product::weight_gradient(level, x, d, out, scratch, same_x)))
    })
}

/// out ← the column sums of dout
#[pyfunction]
fn column_sums(py: Python<'_>, dout: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
    by_dtype!(dout, T => {
        let d: PyReadonlyArray2<T> = dout.extract()?;
        let mut out: PyReadwriteArray1<T> = out.extract()?;
        separate(&[memory(&out)], &[memory(&d)])?;
        let (d, out) = (view(&d)?, out.as_slice_mut()?);
        let level = level()?;
        call(py, || matmul::column_sums(level, d, out))
    })
}

/// out ← dout, but 0 where the mask is not 0: arrays of any number of axes, of which only the sizes are compared.
#[pyfunction]
fn zero_where(
    py: Python<'_>,
    mask: &Bound<'_, PyAny>,
    dout: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    by_dtype!(dout, T => {
        let (mask, d): (PyReadonlyArrayDyn<u8>, PyReadonlyArrayDyn<T>) = (mask.extract()?, dout.extract()?);
        let mut out: PyReadwriteArrayDyn<T> = out.extract()?;
        separate(&[memory(&out)], &[memory(&mask), memory(&d)])?;
        in_c_order(&mask)?;
        in_c_order(&d)?;
        in_c_order(&out)?;
        let (mask, d, out) = (mask.as_slice()?, d.as_slice()?, out.as_slice_mut()?);
        let level = level()?;
        call(py, || activation::zero_where(level, mask, d, out))
    })
}

/// out ← a·bᵀ
#[pyfunction]
fn matmul_a_bt(py: Python<'_>, a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
    by_dtype!(a, T => {
        let (a, b): (PyReadonlyArray2<T>, PyReadonlyArray2<T>) = (a.extract()?, held(b)?);
        let mut out: PyReadwriteArray2<T> = out.extract()?;
        separate(&[memory(&out)], &[memory(&a), memory(&b)])?;
        let (a, b, out) = (view(&a)?, view(&b)?, view_mut(&mut out)?);
        let level = level()?;
        call(py, || matmul::matmul_a_bt(level, a, b, out))
    })
}

/// The mean loss; y ← the network's output for these scores, d_scores ← the gradient of the mean loss. `weights` are
/// the weights of the rows.
#[pyfunction]
#[pyo3(signature = (name, scores, t, y, d_scores, weights = None))]
fn loss(
    py: Python<'_>,
    name: &str,
    scores: &Bound<'_, PyAny>,
    t: &Bound<'_, PyAny>,
    y: &Bound<'_, PyAny>,
    d_scores: &Bound<'_, PyAny>,
    weights: Option<&Bound<'_, PyAny>>,
) -> PyResult<f64> {
    let loss = loss_called(name)?;
    by_dtype!(scores, T => {
        let scores: PyReadonlyArray2<T> = scores.extract()?;
        let mut y: PyReadwriteArray2<T> = y.extract()?;
        let mut d_scores: PyReadwriteArray2<T> = d_scores.extract()?;
        let t = Teaching::<T>::new(t, weights)?;
        let inputs: Vec<_> = t.memory().chain([memory(&scores)]).collect();
        separate(&[memory(&y), memory(&d_scores)], &inputs)?;
        let (scores, y, d_scores) = (view(&scores)?, view_mut(&mut y)?, view_mut(&mut d_scores)?);
        let (t, level) = (t.targets()?, level()?);
        call(py, || loss.run(level, scores, t, y, d_scores))
    })
}

/// The first row of `t` that is not a distribution, if there is one.
#[pyfunction]
fn not_a_distribution(py: Python<'_>, t: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    by_dtype!(t, T => {
        let t: PyReadonlyArray2<T> = t.extract()?;
        let t = view(&t)?;
        call(py, || Ok(chainrule_kernels::loss::softmax::not_a_distribution(t)))
    })
}

/// The instruction set in use: "avx512", "avx2", "neon" or "portable".
#[pyfunction]
fn instruction_set() -> PyResult<&'static str> {
    level().map(|level| level.name())
}

/// The number of threads that large work of this thread is divided among.
#[pyfunction]
fn threads() -> PyResult<usize> {
    level().map(|_| at_work::allowed())
}

/// Limit that number to at most `most`; returns the previous limit.
#[pyfunction]
fn limit_threads(most: usize) -> usize {
    at_work::limit(most)
}

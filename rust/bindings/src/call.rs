//! The way a kernel is called, and what its errors are in Python.

use chainrule_kernels::machine::level::{detect, Level};
use chainrule_kernels::machine::threads::check;
use chainrule_kernels::KernelError;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Run a kernel without the interpreter lock. Its error becomes Python's; a panic, which would be a bug of ours, becomes a
/// `RuntimeError` where PyO3 would raise a `BaseException`.
pub(crate) fn call<R: Send>(py: Python<'_>, kernel: impl FnOnce() -> Result<R, KernelError> + Send) -> PyResult<R> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(kernel))) {
        Ok(result) => result.map_err(to_python),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(PyRuntimeError::new_err(format!("internal error, please report: {text}")))
        }
    }
}

/// The instruction set to use; a `RuntimeError` if `CHAINRULE_SIMD` asks for one that is not to be had, or `CHAINRULE_NUM_THREADS` for what is no number.
pub(crate) fn level() -> PyResult<Level> {
    check().and_then(|()| detect()).map_err(to_python)
}

pub(crate) fn to_python(error: KernelError) -> PyErr {
    match error {
        KernelError::Level { .. } | KernelError::Threads { .. } => PyRuntimeError::new_err(error.to_string()),
        KernelError::Memory { .. } => PyMemoryError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

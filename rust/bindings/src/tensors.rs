//! The Python function for the [`header`] of a safetensors file.

use crate::call::call;
use crate::header::{self, Tensor};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::BTreeMap;

/// Read the header of a file: (metadata, tensors in the order of their bytes).
#[pyfunction]
pub(crate) fn from_safetensors(py: Python<'_>, file: &[u8]) -> PyResult<(BTreeMap<String, String>, Vec<Tensor>)> {
    call(py, || Ok(header::read(file)))?.map_err(PyValueError::new_err)
}

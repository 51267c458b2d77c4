//! The way from Python to the gzip files of [`segments`].

use crate::call::call;
use crate::segments;
use numpy::PyReadwriteArray1;
use pyo3::prelude::*;

/// `out ←` what a gzip file of segments holds behind its first segment, which holds as much as `first`; whether the file is one, and whole.
#[pyfunction]
pub(crate) fn inflate_segments(
    py: Python<'_>,
    file: &[u8],
    first: usize,
    mut out: PyReadwriteArray1<'_, u8>,
) -> PyResult<bool> {
    let out = out.as_slice_mut()?;
    call(py, || Ok(segments::inflate(file, first, out).is_some()))
}

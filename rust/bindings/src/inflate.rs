//! The Python function for the gzip files of [`segments`].

use crate::call::call;
use crate::segments;
use numpy::PyReadwriteArray1;
use pyo3::prelude::*;

/// Inflate a gzip file of segments: `out ←` the contents after the first segment, which holds `first` bytes. Returns
/// whether the file is one of these, and intact.
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

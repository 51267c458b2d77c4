//! Arrays as the bytes of a safetensors file, and back: a header of JSON, then the numbers, little-endian, end to end.
//!
//! Only bytes pass here; files are Python's (`storage/atomic_write.py`, `storage/model_files.py`). A file is read no
//! further than its header: the caller gets for each tensor where its numbers lie, which is inside the bytes, without a
//! hole or an overlap, and as long as its shape says.

use crate::call::call;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use safetensors::tensor::TensorView;
use safetensors::{serialize, Dtype, SafeTensorError, SafeTensors};
use std::collections::BTreeMap;

/// Longer headers are refused, read or written: ours have some 100 bytes a tensor.
const LARGEST_HEADER: usize = 1 << 20;
/// The header's length stands in front of it.
const LENGTH: usize = size_of::<u64>();

/// The types we write. Any other is read too, by its name.
const KINDS: [(&str, Dtype); 3] = [("F32", Dtype::F32), ("F64", Dtype::F64), ("I64", Dtype::I64)];

/// Name, dtype, shape and bytes of each array.
type Written = (String, String, Vec<usize>, PyBackedBytes);
/// Name, dtype, shape, and the place of the first byte of each array.
type Read = (String, String, Vec<usize>, usize);

/// A file's bytes.
#[pyfunction]
pub(crate) fn to_safetensors<'py>(
    py: Python<'py>,
    tensors: Vec<Written>,
    metadata: BTreeMap<String, String>,
) -> PyResult<Bound<'py, PyBytes>> {
    let all: usize = tensors.iter().map(|(.., bytes)| bytes.len()).sum();
    buffer_of(all.saturating_add(LARGEST_HEADER))?; // `serialize` would end the process
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let found = KINDS.iter().find(|(known, _)| known == dtype);
        let (_, dtype) = found.ok_or_else(|| PyValueError::new_err(format!("no dtype is called {dtype:?}")))?;
        Ok((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| refused(&error))?))
    });
    let views = views.collect::<PyResult<Vec<_>>>()?;
    let file = call(py, || Ok(serialize(views, None)))?.map_err(|error| refused(&error))?;
    let file = with_metadata(&file, &metadata)?;
    let header = header_length(&file).unwrap_or(usize::MAX);
    if header > LARGEST_HEADER {
        return Err(PyValueError::new_err(format!(
            "the file's header would have {header} bytes, more than {LARGEST_HEADER}"
        )));
    }
    Ok(PyBytes::new(py, &file))
}

/// The file with metadata at the front of its header. `serialize` would put the keys in another order each time, and the same network is
/// to have the same bytes.
fn with_metadata(file: &[u8], metadata: &BTreeMap<String, String>) -> PyResult<Vec<u8>> {
    let length = header_length(file).unwrap_or(0);
    let (header, numbers) = file[LENGTH..].split_at(length);
    let tensors = header.trim_ascii().strip_prefix(b"{").unwrap_or_default();
    let metadata = serde_json::to_string(metadata).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let mut header = format!("{{\"__metadata__\":{metadata}").into_bytes();
    if tensors != b"}" {
        header.push(b',');
    }
    header.extend_from_slice(tensors);
    header.resize(header.len().next_multiple_of(LENGTH), b' '); // the numbers are to be aligned
    let length = header.len() as u64;
    let mut file = buffer_of(LENGTH + header.len() + numbers.len())?;
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&header);
    file.extend_from_slice(numbers);
    Ok(file)
}

fn buffer_of(bytes: usize) -> PyResult<Vec<u8>> {
    let mut buffer = Vec::new();
    let enough = buffer.try_reserve_exact(bytes);
    enough.map_err(|_| PyMemoryError::new_err(format!("no memory for a file of {bytes} bytes")))?;
    Ok(buffer)
}

/// What the header of a file's bytes says: (metadata, tensors in the order of their bytes).
#[pyfunction]
pub(crate) fn from_safetensors(py: Python<'_>, file: &[u8]) -> PyResult<(BTreeMap<String, String>, Vec<Read>)> {
    let header = header_length(file).unwrap_or(0);
    if header > LARGEST_HEADER {
        return Err(PyValueError::new_err(format!(
            "at byte 0: the header is said to have {header} bytes, more than {LARGEST_HEADER}"
        )));
    }
    let (length, found) = call(py, || Ok(SafeTensors::read_metadata(file)))?
        .map_err(|error| where_and_why(&error, file.len(), header))?;
    let infos = found.tensors();
    let mut tensors = Vec::new();
    for name in found.offset_keys() {
        if let Some(info) = infos.get(&name) {
            tensors.push((name, info.dtype.to_string(), info.shape.clone(), LENGTH + length + info.data_offsets.0));
        }
    }
    let metadata = found.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
    Ok((metadata.collect(), tensors))
}

fn header_length(file: &[u8]) -> Option<usize> {
    let bytes = file.first_chunk::<LENGTH>()?;
    Some(usize::try_from(u64::from_le_bytes(*bytes)).unwrap_or(usize::MAX))
}

fn refused(error: &SafeTensorError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The place in a file of `length` bytes, with a header of `header`, that an error is about, and the error.
fn where_and_why(error: &SafeTensorError, length: usize, header: usize) -> PyErr {
    let end = LENGTH + header;
    let (at, why) = match error {
        SafeTensorError::HeaderTooSmall => {
            (length, "the file ends within the 8 bytes of the header's length".to_string())
        }
        SafeTensorError::InvalidHeaderLength => {
            (length, format!("the file ends within its header, which is said to end at byte {end}"))
        }
        SafeTensorError::InvalidHeader(error) => (LENGTH + error.valid_up_to(), "the header is not UTF-8".to_string()),
        SafeTensorError::InvalidHeaderDeserialization(error) if error.line() == 1 => {
            (LENGTH + error.column(), format!("the header is not as it should be: {error}"))
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            (end, format!("the tensors of the header do not make up the {} bytes behind it", length - end))
        }
        SafeTensorError::InvalidOffset(name) => {
            (LENGTH, format!("tensor {name:?} overlaps another, or there is a hole before it"))
        }
        SafeTensorError::TensorInvalidInfo => (LENGTH, "a tensor's shape does not fit its number of bytes".to_string()),
        other => (LENGTH, other.to_string()),
    };
    PyValueError::new_err(format!("at byte {at}: {why}"))
}

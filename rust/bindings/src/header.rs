//! The contents of a safetensors file: a JSON header, then the numbers, little-endian and contiguous.
//!
//! Only bytes pass through here; Python opens the files, and writes them (`storage/safetensors.py`). A file is read no
//! further than its header. The caller gets the position of each tensor's numbers; it lies within the file, without
//! gaps or overlaps, and its length matches the shape.

use safetensors::{SafeTensorError, SafeTensors};
use std::collections::BTreeMap;

/// Longer headers are refused: ours have some 100 bytes per tensor.
const LARGEST_HEADER: usize = 1 << 20;
/// The header is preceded by its length.
const LENGTH: usize = size_of::<u64>();

/// Name, dtype, shape, and position of the first byte of each array.
pub(crate) type Tensor = (String, String, Vec<usize>, usize);

/// Read the header of a file: (metadata, tensors in the order of their bytes); or the position of what is wrong, and
/// what it is.
pub(crate) fn read(file: &[u8]) -> Result<(BTreeMap<String, String>, Vec<Tensor>), String> {
    let header = header_length(file).unwrap_or(0);
    if header > LARGEST_HEADER {
        return Err(format!("at byte 0: the header is said to have {header} bytes, more than {LARGEST_HEADER}"));
    }
    let (length, found) =
        SafeTensors::read_metadata(file).map_err(|error| where_and_why(&error, file.len(), header))?;
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

/// The position of an error in a file of `length` bytes with a header of `header` bytes, and its description.
fn where_and_why(error: &SafeTensorError, length: usize, header: usize) -> String {
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
    format!("at byte {at}: {why}")
}

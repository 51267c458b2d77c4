//! What the bytes of a safetensors file hold: a header of JSON, then the numbers, little-endian, end to end.
//!
//! Only bytes pass here; files are Python's, and are written there (`storage/safetensors.py`). A file is read no
//! further than its header: the caller gets for each tensor where its numbers lie, which is inside the bytes, without a
//! hole or an overlap, and as long as its shape says.

use safetensors::{SafeTensorError, SafeTensors};
use std::collections::BTreeMap;

/// Longer headers are refused: ours have some 100 bytes a tensor.
const LARGEST_HEADER: usize = 1 << 20;
/// The header's length stands in front of it.
const LENGTH: usize = size_of::<u64>();

/// Name, dtype, shape, and the place of the first byte of each array.
pub(crate) type Tensor = (String, String, Vec<usize>, usize);

/// What the header of a file's bytes says: (metadata, tensors in the order of their bytes); or the place of what is wrong, and what it is.
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

/// The place in a file of `length` bytes, with a header of `header`, that an error is about, and the error.
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

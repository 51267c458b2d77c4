//! Any bytes as a model file: they are refused, or each tensor has as many bytes as its shape says, contiguously up to
//! the end of the file. The memory used depends on the length of the file, whatever its header says.

#![no_main]

use chainrule_fuzz::memory::{most_of, Counting};
use libfuzzer_sys::fuzz_target;

#[path = "../../bindings/src/header.rs"]
mod header;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory kept while a header is read: some maps of it, which double as they grow, and the text of an error.
fn cap(file: &[u8]) -> usize {
    32 * file.len() + 4096
}

/// Bits per number of that dtype: the first number in its name.
fn bits(dtype: &str) -> usize {
    let digits = dtype.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|bits| bits.parse().ok()).unwrap_or(8)
    // BOOL
}

fuzz_target!(|file: &[u8]| {
    let (found, most) = most_of(|| header::read(file));
    assert!(most <= cap(file), "{most} bytes of memory for {} of a file", file.len());
    let Ok((_, tensors)) = found else { return };
    let header = u64::from_le_bytes(file[..8].try_into().unwrap());
    let mut end = 8 + header as usize;
    for (name, dtype, shape, start) in tensors {
        assert_eq!(start, end, "{name}");
        end += bits(&dtype) * shape.iter().product::<usize>() / 8;
    }
    assert_eq!(end, file.len());
});

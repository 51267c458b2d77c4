//! Gzip files whose stream is in segments that do not refer to each other, inflated by all threads at once.
//!
//! To any other program such a file is what it is: one gzip member with one deflate stream. The extra field of its
//! header (RFC 1952) says where its segments end: a subfield `CR` of pairs of numbers, for each segment its compressed
//! and its uncompressed length, 32 bits each, little-endian. A segment ends with an empty stored block, as
//! `Z_FULL_FLUSH` writes it, so the next one starts on a byte boundary with nothing to refer back to.
//!
//! Nothing is trusted: any deviation, down to the checksum at the end, gives `None`, and leaves the file to a reader
//! that can say what is wrong.

use chainrule_kernels::machine::threads;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// An empty last block: valid wherever one block has ended and another has not begun.
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// A number of 32 bits, and the bytes after it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// Inflate a gzip file of segments: `out ←` the contents after the first segment, which holds `first` bytes. `None` if
/// the file is not one of these, or not intact.
pub(crate) fn inflate(file: &[u8], first: usize, out: &mut [u8]) -> Option<()> {
    // Deflate, and nothing in the header but the extra field, with nothing in that but our own subfield.
    let rest = file.strip_prefix(&[0x1f, 0x8b, 8, 4])?.get(6..)?;
    let (&[low, high, b'C', b'R', _, _], rest) = rest.split_first_chunk()? else { return None };
    let (mut table, mut rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])).checked_sub(4)?)?;
    let mut header = [0; 64];
    let mut header = Some(header.get_mut(..first)?);
    let whole = first + out.len(); // `first` is known to be small here
    let (mut segments, mut to) = (Vec::new(), out);
    while !table.is_empty() {
        let (stored, held);
        (stored, table) = number(table)?;
        (held, table) = number(table)?;
        let (segment, its);
        (segment, rest) = rest.split_at_checked(stored as usize)?;
        if segments.is_empty() {
            its = header.take().filter(|_| held as usize == first)?;
        } else {
            (its, to) = std::mem::take(&mut to).split_at_mut_checked(held as usize)?;
        }
        segments.push((segments.len(), segment, its, None));
    }
    let (crc, rest) = number(rest)?;
    let (size, behind) = number(rest)?;
    if !to.is_empty() || !behind.is_empty() || size as usize != whole {
        return None;
    }
    let last = segments.len().checked_sub(1)?;
    threads::each_with(
        &mut segments,
        || Decompress::new(false),
        |stream, (place, segment, its, found)| {
            stream.reset(false);
            let numbers = stream.decompress(segment, its, FlushDecompress::Sync);
            // After the last byte no other follows, and the stream ends in the last segment. In any other segment it
            // must be able to end here, but not end: so no block continues into the next segment, where another reader
            // would look for the rest of it.
            let rest = segment.get(stream.total_in() as usize..).unwrap_or_default();
            let behind = stream.decompress(rest, &mut [0], FlushDecompress::Sync);
            let whole = (stream.total_in(), stream.total_out()) == (segment.len() as u64, its.len() as u64);
            let ended = matches!(behind, Ok(Status::StreamEnd));
            let mut could_end =
                || matches!(stream.decompress(&END, &mut [0], FlushDecompress::Sync), Ok(Status::StreamEnd));
            let ends = if *place == last { ended } else { !ended && could_end() };
            *found = (numbers.is_ok() && behind.is_ok() && ends && whole).then(|| {
                let mut crc = Crc::new();
                crc.update(its);
                crc
            });
        },
    );
    let mut sum = Crc::new();
    for (.., found) in &segments {
        sum.combine(found.as_ref()?);
    }
    (sum.sum() == crc).then_some(())
}

//! Gzip files whose stream is in segments that do not refer to each other, inflated by all threads at once.
//!
//! Any other program reads such a file as what it is: one gzip member of one deflate stream. Where its segments end says the extra field of its header
//! (RFC 1952): a subfield `CR` of pairs of numbers, for each segment its length in the file and that of what it holds, 32 bits each, the lowest byte first.
//! A segment ends with an empty stored block, as `Z_FULL_FLUSH` writes it, so that the next one begins with a byte of its own and nothing to refer back to.
//!
//! Nothing is believed: what is not exactly so, to the checksum at the end, is `None` here, and for the reader that can say what is wrong.

use chainrule_kernels::machine::threads;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// A last block, with nothing in it: what can stand where one block is over, and another has not begun.
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// A number of 32 bits, and what is behind it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// `out ←` what a gzip file of segments holds behind its first segment, which holds as much as `first`; `None` if it is not one, or not whole.
pub(crate) fn inflate(file: &[u8], first: usize, out: &mut [u8]) -> Option<()> {
    // Deflate, and nothing in the header but the extra field, with nothing in that but our own.
    let rest = file.strip_prefix(&[0x1f, 0x8b, 8, 4])?.get(6..)?;
    let (&[low, high, b'C', b'R', _, _], rest) = rest.split_first_chunk()? else { return None };
    let (mut table, mut rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])).checked_sub(4)?)?;
    let mut header = [0; 64];
    let mut header = Some(header.get_mut(..first)?);
    let whole = first + out.len(); // `first` is a small number by now
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
            // Behind the last number comes no other, and in the last segment the end. Before that, the end would be in its place: no block goes on
            // into the next segment, where another reader would look for what is left of it.
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

//! Gzip files of segments, intact and damaged: the contents are those that any other reader reads, and an intact file
//! is read.

#![no_main]

use chainrule_fuzz::Case;
use flate2::read::GzDecoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::io::Read;

#[path = "../../bindings/src/segments.rs"]
mod segments;

thread_local! {
    /// Made once: making it takes longer than using it.
    static STREAM: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(6), false));
}

/// A file of these segments.
fn file_of(segments: &[Vec<u8>]) -> Vec<u8> {
    let (mut table, mut stored, mut crc) = (Vec::new(), Vec::new(), Crc::new());
    STREAM.with_borrow_mut(|stream| {
        stream.reset();
        for (i, segment) in segments.iter().enumerate() {
            let flush = if i + 1 == segments.len() { FlushCompress::Finish } else { FlushCompress::Full };
            let mut packed = Vec::with_capacity(2 * segment.len() + 64);
            stream.compress_vec(segment, &mut packed, flush).unwrap();
            crc.update(segment);
            table.extend([packed.len(), segment.len()].map(|length| (length as u32).to_le_bytes()).concat());
            stored.extend(packed);
        }
    });
    let field = (table.len() as u16).to_le_bytes();
    let extra = (table.len() as u16 + 4).to_le_bytes();
    let head = [&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255], &extra[..], b"CR", &field, &table].concat();
    [head, stored, crc.sum().to_le_bytes().to_vec(), crc.amount().to_le_bytes().to_vec()].concat()
}

/// A run of bytes: equal ones, or as good as random.
fn some(case: &mut Case<'_>) -> Vec<u8> {
    let (size, factor) = (case.size(80), case.byte());
    (0..size).map(|i| (i * i * usize::from(factor)) as u8).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let mut case = Case::new(bytes);
    let wanted: Vec<_> = (0..1 + case.size(4)).map(|_| some(&mut case)).collect();
    let mut file = file_of(&wanted);
    let damages = case.size(3);
    for _ in 0..damages {
        let (at, bits) = (case.word() as usize % file.len(), case.byte());
        match bits {
            0 => file.truncate(at.max(1)),
            bits => file[at] ^= bits,
        }
    }
    let all = wanted.concat();
    let first = if case.byte() < 250 { wanted[0].len() } else { case.word() as usize };
    let mut out = vec![0; all.len() - wanted[0].len()];
    let found = segments::inflate(&file, first, &mut out);
    let told = damages == 0 && first == wanted[0].len() && first <= 64;
    assert!(found.is_some() || !told, "a whole file is not read");
    if found.is_some() {
        let mut whole = Vec::new();
        GzDecoder::new(&file[..]).read_to_end(&mut whole).unwrap();
        assert_eq!(out, whole[first..]);
    }
});

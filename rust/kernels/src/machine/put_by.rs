//! Memory set aside for code that would end the process if an allocation failed.
//!
//! The gemm crate allocates memory to pack its operands into, and aborts if it gets none. So the memory it may need is
//! allocated before, fallibly ([`with_room`]), and handed to it if the system has no more. That works only in a program
//! whose global allocator is [`Allocator`], as in the extension; elsewhere the memory is allocated and freed again
//! without being used.
//!
//! Why not check how much memory is free: another thread may take it before the crate does. Cost: two thread-local
//! reads at each free.

use crate::error::reserve;
use crate::KernelError;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Memory from which pieces are handed out, one after the other, to one thread.
#[derive(Clone, Copy)]
struct Block {
    start: *mut u8,
    length: usize,
    /// How much has been handed out, and how many pieces have not come back.
    given: usize,
    out: usize,
}

const NONE: Block = Block { start: std::ptr::null_mut(), length: 0, given: 0, out: 0 };

thread_local! {
    /// The memory set aside now, and a block of which the crate has kept a piece: it keeps one per thread, from its
    /// first product on.
    static NOW: Cell<Block> = const { Cell::new(NONE) };
    static KEPT: Cell<Block> = const { Cell::new(NONE) };
}

impl Block {
    fn holds(&self, piece: *mut u8) -> bool {
        (piece as usize).wrapping_sub(self.start as usize) < self.length
    }

    /// The next piece with this layout; null if the block has no room for it.
    fn give(&mut self, layout: Layout) -> *mut u8 {
        let first = (self.start as usize + self.given).next_multiple_of(layout.align()) - self.start as usize;
        match first.checked_add(layout.size()) {
            Some(end) if end <= self.length => {
                (self.given, self.out) = (end, self.out + 1);
                self.start.wrapping_add(first)
            }
            _ => std::ptr::null_mut(),
        }
    }
}

/// Run `work` with this many bytes set aside.
///
/// # Errors
///
/// [`KernelError::Memory`] if they cannot be allocated; `work` does not run then.
pub(crate) fn with_room<R>(bytes: usize, work: impl FnOnce() -> R) -> Result<R, KernelError> {
    let mut memory = Vec::<u8>::new();
    reserve(&mut memory, bytes)?;
    NOW.set(Block { start: memory.as_mut_ptr(), length: memory.capacity(), given: 0, out: 0 });
    let result = work();
    let block = NOW.replace(NONE);
    if block.out > 0 {
        // Once per thread: the crate keeps one piece, and gives all others back.
        KEPT.set(block);
        std::mem::forget(memory);
    }
    Ok(result)
}

/// A piece of the memory set aside now; null if it has no room.
fn from_block(layout: Layout) -> *mut u8 {
    let mut block = NOW.get();
    let piece = block.give(layout);
    NOW.set(block);
    piece
}

/// The system's allocator, and where that fails, the memory set aside.
pub struct Allocator;

// SAFETY: memory from `System` is passed on, and goes back to it; memory in a block never came from it. Pieces of a
// block are disjoint, aligned, and lie in memory that lives as long as they do: `with_room` frees a block only when all
// of its pieces have come back. A piece comes back on the thread that took it, since the crate uses no other. Nothing
// here allocates or panics.
unsafe impl GlobalAlloc for Allocator {
    // SAFETY: `System` asks the same of its caller.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is `System`'s.
        let found = unsafe { System.alloc(layout) };
        if found.is_null() {
            from_block(layout)
        } else {
            found
        }
    }

    // SAFETY: as `alloc`.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is `System`'s.
        let found = unsafe { System.alloc_zeroed(layout) };
        if !found.is_null() {
            return found;
        }
        let found = from_block(layout);
        if !found.is_null() {
            // SAFETY: the piece has that size, and is nobody else's.
            unsafe { found.write_bytes(0, layout.size()) };
        }
        found
    }

    // SAFETY: the piece came from here, out of a block or from `System`.
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        for place in [&NOW, &KEPT] {
            let mut block = place.get();
            if block.holds(piece) {
                block.out -= 1;
                return place.set(block);
            }
        }
        // SAFETY: the caller's promise holds for `System`, since the piece is not from a block.
        unsafe { System.dealloc(piece, layout) };
    }

    // SAFETY: as `dealloc`.
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if [&NOW, &KEPT].into_iter().any(|place| place.get().holds(piece)) {
            return std::ptr::null_mut(); // pieces are too short-lived to grow, so this counts as out of memory
        }
        // SAFETY: the caller's promise holds for `System`, since the piece is not from a block.
        unsafe { System.realloc(piece, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_disjoint_and_aligned_and_a_block_is_not_given_beyond_its_end() {
        let mut memory = [0u8; 1000];
        let mut block = Block { start: memory.as_mut_ptr(), length: 1000, given: 0, out: 0 };
        let mut end = block.start as usize;
        for (size, align) in [(1, 1), (100, 64), (7, 8), (300, 128), (0, 1)] {
            let piece = block.give(Layout::from_size_align(size, align).unwrap());
            assert_eq!(piece as usize % align, 0);
            assert!(piece as usize >= end && (size == 0 || block.holds(piece)));
            end = piece as usize + size;
        }
        assert_eq!(block.out, 5);
        assert!(block.give(Layout::from_size_align(1000, 1).unwrap()).is_null());
        assert!(NONE.clone().give(Layout::from_size_align(1, 1).unwrap()).is_null() && !NONE.holds(&raw mut memory[0]));
    }

    #[test]
    fn what_is_put_by_is_given_where_there_is_none_and_goes_when_all_has_come_back() {
        let layout = Layout::from_size_align(1 << 12, 64).unwrap();
        // More than the system has. Where half of all addresses can be allocated at once, take them until none are
        // left.
        let too_much = Layout::from_size_align(isize::MAX as usize - 63, 64).unwrap();
        // SAFETY: the layout is not empty.
        let all_there_is = std::iter::repeat_with(|| unsafe { System.alloc(too_much) });
        let all_there_is: Vec<_> = all_there_is.take_while(|piece| !piece.is_null()).collect();
        // SAFETY: the layouts are not empty, and each piece is given back with the layout it was allocated with.
        let taken = with_room(1 << 14, || unsafe {
            assert!(Allocator.alloc(too_much).is_null() && Allocator.alloc_zeroed(too_much).is_null());
            let piece = from_block(layout);
            assert!(Allocator.realloc(piece, layout, 1 << 13).is_null());
            Allocator.dealloc(piece, layout);
            assert_eq!((NOW.get().out, KEPT.get().length), (0, 0));
            let own = Allocator.alloc(layout);
            assert!(!NOW.get().holds(own));
            let own = Allocator.realloc(own, layout, 1 << 13);
            Allocator.dealloc(own, Layout::from_size_align(1 << 13, 64).unwrap());
            from_block(layout)
        })
        .unwrap();
        // SAFETY: each was allocated with that layout.
        all_there_is.into_iter().for_each(|piece| unsafe { System.dealloc(piece, too_much) });
        assert_eq!((NOW.get().length, KEPT.get().out), (0, 1));
        // SAFETY: as above.
        unsafe { Allocator.dealloc(taken, layout) };
        assert_eq!(KEPT.get().out, 0);
        assert_eq!(with_room(usize::MAX, || ()), Err(KernelError::Memory { numbers: usize::MAX }));
    }
}

//! Sets random numbers to zero, drawn anew in each training step.
//!
//! ```text
//! training     out = x where it stays, else 0         dx = d where it stays, else 0
//! evaluation   out = (1 - ratio)·x
//! ```
//!
//! Each number stays with probability `1 - ratio`. Which do is a function of (seed, step, layer, row of the batch,
//! place in the row) alone: so no mask is stored, and the bits are the same at any number of threads, and after
//! training is resumed. The random words of a row are those of a SplitMix64 generator, seeded with a hash of the first
//! four.
//!
//! Sources: Srivastava et al., "Dropout", 2014; K. Saitoh, "Deep Learning from Scratch" §6.4.3, which has the same
//! factor in evaluation; Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014, for SplitMix64.
//! Cost: three multiplications of words per number.

use crate::layers::{in_parts, Definition, Draws, Flow, Gradients, Mode, Pass};
use crate::machine::level::Level;
use crate::{Float, KernelError};
use std::ops::Deref;

/// Numbers from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 17;

/// The layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The fraction set to 0, from 0 to 1.
    pub ratio: f64,
}

/// 2⁶⁴ divided by the golden ratio, odd: the increment of a SplitMix64 generator.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A word in which every bit depends on every bit of `word`.
#[inline(always)]
fn mixed(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

impl Draws {
    /// The generator's initial state for a row.
    fn row(self, row: usize) -> u64 {
        [self.seed, self.step, self.layer, self.row.wrapping_add(row as u64)]
            .into_iter()
            .fold(0, |state, word| mixed(state.wrapping_add(GOLDEN) ^ mixed(word.wrapping_add(GOLDEN))))
    }
}

impl Dropout {
    /// Call `see(place, whether it stays)` for each number of a row.
    #[inline(always)]
    fn row(self, start: u64, numbers: usize, mut see: impl FnMut(usize, bool)) {
        // 53 bits are a number in [0, 1): it stays if that is not below the ratio.
        let least = (self.ratio * (1u64 << 53) as f64).ceil() as u64;
        let mut state = start;
        for place in 0..numbers {
            state = state.wrapping_add(GOLDEN);
            see(place, mixed(state) >> 11 >= least);
        }
    }

    /// A mask with 1 for each number that stays, in rows of `numbers` numbers.
    pub fn mask(self, draws: Draws, numbers: usize, mask: &mut [u8]) {
        for (row, mask) in mask.chunks_mut(numbers.max(1)).enumerate() {
            self.row(draws.row(row), mask.len(), |place, stays| mask[place] = u8::from(stays));
        }
    }

    /// `out ← x` where it stays, else 0.
    fn masked<T: Float>(self, draws: Draws, rows: usize, x: &[T], out: &mut [T]) -> Result<(), KernelError> {
        let numbers = x.len() / rows.max(1);
        let worth = x.len() >= WORTH_THREADS;
        in_parts(
            1,
            (x, numbers),
            (out, numbers),
            worth,
            || (),
            |(), row, x, out| {
                self.row(draws.row(row), numbers, |place, stays| out[place] = if stays { x[place] } else { T::zero() });
                Ok(())
            },
        )
    }
}

impl Definition for Dropout {
    fn cost(self, inputs: usize) -> usize {
        inputs.saturating_mul(4)
    }

    fn divides(self, rows: usize, inputs: usize) -> bool {
        rows.saturating_mul(inputs) >= WORTH_THREADS
    }

    fn trains_otherwise(self) -> bool {
        true
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        _: &[P],
        flow: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        match pass.mode {
            Mode::Train(draws) => self.masked(draws, flow.rows, x, out),
            Mode::Evaluate => {
                let stays = T::of(1.0 - self.ratio);
                x.iter().zip(out).for_each(|(&x, out)| *out = x * stays);
                Ok(())
            }
        }
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        _: &[P],
        flow: Flow,
        _: (&[T], &[T]),
        _: bool,
        Gradients { d, d_x, .. }: &mut Gradients<T>,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let n = flow.rows * flow.inputs;
        match pass.mode {
            Mode::Train(draws) => self.masked(draws, flow.rows, &d[..n], &mut d_x[..n])?,
            Mode::Evaluate => {
                let stays = T::of(1.0 - self.ratio);
                d[..n].iter().zip(&mut d_x[..n]).for_each(|(&d, d_x)| *d_x = d * stays);
            }
        }
        std::mem::swap(d, d_x);
        Ok(())
    }
}

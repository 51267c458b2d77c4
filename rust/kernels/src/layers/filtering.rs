//! Filters moved over sixteen images [side by side](crate::layers::side_by_side): the arithmetic of a convolution, and of its way back.
//!
//! ```text
//! out[f, y, x]     = b[f] + Σ over c, i, j of  w[f, c, i, j] · image[c, y·stride + i, x·stride + j]
//! d_w[f, c, i, j] ←+        Σ over y, x    of  d[f, y, x]    · image[c, y·stride + i, x·stride + j]
//! ```
//!
//! Padding is in the image already. The gradient of an image is the first formula once more, with the filters turned around and the gradients of the places
//! set [apart](crate::layers::side_by_side::Place::turned).
//!
//! Some filters times some neighbouring places are a block, whose sums stay in registers until they are whole: 8 × 3 in AVX-512, where 24 multiply-adds take
//! 3 loads and 8 numbers that go to all lanes. For `d_w` a block is some filters times some neighbours along the window, and goes through as many rows of `d`
//! as the nearest cache holds. Every sum is taken in the order of its formula, c before i before j, y before x, whatever the block: levels that round once
//! give the same bits.
//!
//! Cost: a multiply-add for each term of each sum.

use crate::dense::padded::LANES;
use crate::error::resize;
use crate::layers::window::Window;
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::{Float, KernelError};
use std::marker::PhantomData;
use std::ops::Range;

type Numbers<T> = [T; LANES];

/// Bytes of `d` that are gone through again and again: half of the nearest cache.
const NEAR: usize = 24 << 10;

/// How many filters, and how many places, have their sums in registers at once. They may take three quarters of the registers: hardly anything else is held.
const fn block<T, A: Arithmetic>() -> (usize, usize) {
    match A::SUMS * 3 / 2 / size_of::<Numbers<T>>() {
        24.. => (8, 3),
        12.. => (4, 3),
        6.. => (6, 1),
        3.. => (3, 1),
        _ => (1, 1),
    }
}

/// A kernel that is compiled for the block of each level.
trait InBlocks<T: Float>: Sized {
    /// The body, for `F` filters and `P` places at once.
    fn run_in<A: Arithmetic, const F: usize, const P: usize>(self, arithmetic: A);

    #[inline(always)]
    fn run_in_blocks<A: Arithmetic>(self, arithmetic: A) {
        // A `const`, so that no other one is compiled.
        match const { block::<T, A>() } {
            (8, 3) => self.run_in::<A, 8, 3>(arithmetic),
            (4, 3) => self.run_in::<A, 4, 3>(arithmetic),
            (6, 1) => self.run_in::<A, 6, 1>(arithmetic),
            (3, 1) => self.run_in::<A, 3, 1>(arithmetic),
            _ => self.run_in::<A, 1, 1>(arithmetic),
        }
    }
}

/// How many filters a block has.
struct AtOnce<T>(PhantomData<T>);

impl<T> Kernel for AtOnce<T> {
    type Output = usize;

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) -> usize {
        fn filters<T, A: Arithmetic>(_: A) -> usize {
            block::<T, A>().0
        }
        filters::<T, _>(arithmetic)
    }
}

pub(crate) fn filters_at_once<T>(level: Level) -> usize {
    level.run(AtOnce(PhantomData::<T>))
}

/// Filters as the kernel reads them: those of a block side by side, one number of the window after the other.
#[derive(Debug, Default)]
pub(crate) struct Filters<T> {
    weights: Vec<T>,
    biases: Vec<T>,
    count: usize,
}

impl<T: Float> Filters<T> {
    /// `weight(filter, number of the window)`, and the biases; without any, 0.
    pub(crate) fn new(
        level: Level,
        (count, under): (usize, usize),
        biases: &[T],
        weight: impl Fn(usize, usize) -> T,
    ) -> Result<Self, KernelError> {
        let at_once = filters_at_once::<T>(level);
        let padded = count.next_multiple_of(at_once);
        let mut filters = Self { count, ..Self::default() };
        resize(&mut filters.biases, padded, T::zero())?;
        filters.biases.iter_mut().zip(biases).for_each(|(to, &b)| *to = b);
        resize(&mut filters.weights, padded.saturating_mul(under), T::zero())?;
        for (first, block) in
            (0..count).step_by(at_once).zip(filters.weights.chunks_exact_mut((at_once * under).max(1)))
        {
            for (k, weights) in block.chunks_exact_mut(at_once).enumerate() {
                weights.iter_mut().zip(first..count).for_each(|(to, filter)| *to = weight(filter, k));
            }
        }
        Ok(filters)
    }
}

/// `out ←` the sums under each place.
pub(crate) struct Filtered<'a, T> {
    /// Without padding.
    pub window: Window,
    pub filters: &'a Filters<T>,
    /// Channels × rows × columns.
    pub image: &'a [Numbers<T>],
    /// Filters × places.
    pub out: &'a mut [Numbers<T>],
}

impl<T: Float> Kernel for Filtered<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        self.run_in_blocks(arithmetic);
    }
}

impl<T: Float> InBlocks<T> for Filtered<'_, T> {
    #[inline(always)]
    fn run_in<A: Arithmetic, const F: usize, const P: usize>(self, arithmetic: A) {
        let Self { window, filters, image, out } = self;
        let (down, across) = window.places();
        let blocks = filters.weights.chunks_exact((F * window.under()).max(1)).zip(filters.biases.as_chunks::<F>().0);
        for (block, (weights, biases)) in blocks.enumerate() {
            let weights = weights.as_chunks::<F>().0;
            let filters = (filters.count - block * F).min(F);
            for y in 0..down {
                let image = &image[y * window.stride * window.columns..];
                let mut x = 0;
                while x < across {
                    let (image, at) = (&image[x * window.stride..], (block * F * down + y) * across + x);
                    let left = across - x;
                    x += if left >= P {
                        let sums = sums::<T, A, F, P>(arithmetic, window, weights, biases, image);
                        write::<T, F, P>(&sums, filters, out, at, down * across)
                    } else if const { P > 2 } && left == 2 {
                        let sums = sums::<T, A, F, 2>(arithmetic, window, weights, biases, image);
                        write::<T, F, 2>(&sums, filters, out, at, down * across)
                    } else {
                        let sums = sums::<T, A, F, 1>(arithmetic, window, weights, biases, image);
                        write::<T, F, 1>(&sums, filters, out, at, down * across)
                    };
                }
            }
        }
    }
}

/// The sums of `F` filters at `P` places, the first of which begins where `image` does.
#[inline(always)]
fn sums<T: Float, A: Arithmetic, const F: usize, const P: usize>(
    arithmetic: A,
    Window { channels, rows, columns, height, width, stride, .. }: Window,
    weights: &[[T; F]],
    biases: &[T; F],
    image: &[Numbers<T>],
) -> [[Numbers<T>; P]; F] {
    let mut sums: [[Numbers<T>; P]; F] = std::array::from_fn(|f| [[biases[f]; LANES]; P]);
    let mut weights = weights.iter();
    for channel in 0..channels {
        for i in 0..height {
            let row = &image[(channel * rows + i) * columns..][..width + (P - 1) * stride];
            for (j, weights) in (0..width).zip(&mut weights) {
                // The pixels stay in registers, and one weight at a time: more would not leave room for the sums.
                let pixels: [&Numbers<T>; P] = std::array::from_fn(|p| &row[j + p * stride]);
                for f in 0..F {
                    for p in 0..P {
                        arithmetic.add_scaled(&mut sums[f][p], weights[f], pixels[p]);
                    }
                }
            }
        }
    }
    sums
}

/// Write the sums of the filters there are, `apart` from each other, from `at` on; how many places that are.
#[inline(always)]
fn write<T: Float, const F: usize, const P: usize>(
    sums: &[[Numbers<T>; P]; F],
    filters: usize,
    out: &mut [Numbers<T>],
    at: usize,
    apart: usize,
) -> usize {
    for (f, sums) in sums.iter().enumerate().take(filters) {
        out[at + f * apart..][..P].copy_from_slice(sums);
    }
    P
}

/// `sums ← sums +` the products of the gradients of the places and what was under them, for [`Totals`].
pub(crate) struct Products<'a, T> {
    /// Without padding.
    pub window: Window,
    pub filters: usize,
    /// Channels × rows × columns.
    pub image: &'a [Numbers<T>],
    /// Filters × places.
    pub d: &'a [Numbers<T>],
    /// For each number of each filter, in the order of [`Filters`].
    pub sums: &'a mut [Numbers<T>],
}

impl<T: Float> Kernel for Products<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        self.run_in_blocks(arithmetic);
    }
}

impl<T: Float> InBlocks<T> for Products<'_, T> {
    #[inline(always)]
    fn run_in<A: Arithmetic, const F: usize, const P: usize>(self, arithmetic: A) {
        let Window { channels, height, width, .. } = self.window;
        let (down, across) = self.window.places();
        let rows = (NEAR / (F * across * size_of::<Numbers<T>>())).max(1);
        for (block, sums) in self.sums.chunks_exact_mut((F * self.window.under()).max(1)).enumerate() {
            // Behind the last filter it once more: its sums are not read.
            let of: [&[Numbers<T>]; F] = std::array::from_fn(|f| {
                &self.d[(block * F + f).min(self.filters - 1) * down * across..][..down * across]
            });
            for top in (0..down).step_by(rows) {
                let rows = top..down.min(top + rows);
                for channel in 0..channels {
                    for i in 0..height {
                        let sums = sums[(channel * height + i) * width * F..][..width * F].as_chunks_mut::<F>().0;
                        let mut sums = &mut sums[..];
                        let mut j = 0;
                        while j < width {
                            let (at, left) = ((channel, i, j), width - j);
                            let now = if left >= P { P } else { left.min(2).min(P) };
                            let (these, others) = sums.split_at_mut(now);
                            let (window, image, rows) = (self.window, self.image, rows.clone());
                            if now == P {
                                products::<T, A, F, P>(arithmetic, window, image, of, rows, at, these);
                            } else if const { P > 2 } && now == 2 {
                                products::<T, A, F, 2>(arithmetic, window, image, of, rows, at, these);
                            } else {
                                products::<T, A, F, 1>(arithmetic, window, image, of, rows, at, these);
                            }
                            sums = others;
                            j += now;
                        }
                    }
                }
            }
        }
    }
}

/// Some rows' part of the sums of `F` filters, for `P` neighbours along a row of the window.
#[inline(always)]
fn products<T: Float, A: Arithmetic, const F: usize, const P: usize>(
    arithmetic: A,
    window: Window,
    image: &[Numbers<T>],
    d: [&[Numbers<T>]; F],
    rows: Range<usize>,
    (channel, i, j): (usize, usize, usize),
    sums: &mut [[Numbers<T>; F]],
) {
    let (_, across) = window.places();
    let Some(sums) = sums.first_chunk_mut::<P>() else { return };
    let mut now = *sums;
    for y in rows {
        let row = (channel * window.rows + y * window.stride + i) * window.columns + j;
        let row = &image[row..][..(across - 1) * window.stride + P];
        let d: [&[Numbers<T>]; F] = std::array::from_fn(|f| &d[f][y * across..][..across]);
        for x in 0..across {
            let pixels: [&Numbers<T>; P] = std::array::from_fn(|p| &row[x * window.stride + p]);
            for f in 0..F {
                for p in 0..P {
                    arithmetic.add_products(&mut now[p][f], pixels[p], &d[f][x]);
                }
            }
        }
    }
    *sums = now;
}

/// `d_w ← d_w +` the sums of all lanes of [`Products`], in the order that W has.
pub(crate) struct Totals<'a, T> {
    pub at_once: usize,
    pub sums: &'a [Numbers<T>],
    pub d_w: &'a mut [T],
    pub under: usize,
}

impl<T: Float> Kernel for Totals<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { at_once, sums, d_w, under } = self;
        let blocks = d_w.chunks_mut((at_once * under).max(1)).zip(sums.chunks_exact((at_once * under).max(1)));
        for (d_w, sums) in blocks {
            for (f, d_w) in d_w.chunks_exact_mut(under).enumerate() {
                let its = sums[f..].iter().step_by(at_once);
                d_w.iter_mut().zip(its).for_each(|(d_w, numbers)| *d_w += total(*numbers));
            }
        }
    }
}

/// `d_b ← d_b +` the sums of the gradients of all places, a filter after the other.
pub(crate) struct OfBiases<'a, T> {
    /// Filters × places.
    pub d: &'a [Numbers<T>],
    pub places: usize,
    pub d_b: &'a mut [T],
}

impl<T: Float> Kernel for OfBiases<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        for (d, d_b) in self.d.chunks_exact(self.places).zip(self.d_b) {
            // Four sums, so that none waits for the one before it.
            let mut sums = [[T::zero(); LANES]; 4];
            let (fours, rest) = d.as_chunks::<4>();
            for four in fours {
                for (sum, d) in sums.iter_mut().zip(four) {
                    arithmetic.add_scaled(sum, T::one(), d);
                }
            }
            for (sum, d) in sums.iter_mut().zip(rest) {
                arithmetic.add_scaled(sum, T::one(), d);
            }
            let [a, b, c, d] = sums.map(total);
            *d_b += (a + b) + (c + d);
        }
    }
}

/// The sum of all lanes: those of either half, then those of either quarter, and so on.
#[inline(always)]
fn total<T: Float>(numbers: Numbers<T>) -> T {
    let eight: [T; 8] = std::array::from_fn(|i| numbers[i] + numbers[i + 8]);
    let four: [T; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

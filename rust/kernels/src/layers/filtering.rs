//! Filters moved over sixteen images [side by side](crate::layers::side_by_side): the arithmetic of a convolution, and
//! of its backward pass.
//!
//! ```text
//! out[f, y, x]     = b[f] + Σ over c, i, j of  w[f, c, i, j] · image[c, y·stride + i, x·stride + j]
//! d_w[f, c, i, j] ←+        Σ over y, x    of  d[f, y, x]    · image[c, y·stride + i, x·stride + j]
//! ```
//!
//! The image already includes its padding. The gradient of an image is the first formula once more, with the filters
//! turned around and the gradients of the places [spread out](crate::layers::side_by_side::Place::turned).
//!
//! Some filters times some neighbouring places are a block, whose sums stay in registers until they are complete: 8 × 3
//! in AVX-512, where 24 multiply-adds take 3 loads and 8 broadcasts. With [pooling](crate::layers::behind) fused, two
//! rows of a block at a time are kept until their largest numbers are found. For `d_w` a block is some filters times
//! some neighbours along the window, over as many rows of `d` as fit in the L1 cache. The order of every sum is that of
//! its formula, c before i before j, y before x, whatever the block: levels that round once give the same bits.
//!
//! Cost: one multiply-add for each term of each sum.

use crate::dense::padded::{Padded, LANES};
use crate::error::resize;
use crate::layers::behind::RowByRow;
use crate::layers::pooling::Pooling;
use crate::layers::window::Window;
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::{Float, KernelError};
use std::marker::PhantomData;
use std::ops::Range;

type Numbers<T> = [T; LANES];

/// Bytes of `d` that are produced, then read again and again: half of the L1 cache.
const NEAR: usize = 24 << 10;

/// How many filters, and how many places, have their sums in registers at once. The sums may take three quarters of the
/// registers, since hardly anything else is held.
const fn block<T, A: Arithmetic>() -> (usize, usize) {
    match A::SUMS * 3 / 2 / size_of::<Numbers<T>>() {
        24.. => (8, 3),
        12.. => (4, 3),
        6.. => (6, 1),
        3.. => (3, 1),
        _ => (1, 1),
    }
}

/// A kernel that is compiled for the block size of each level.
trait InBlocks<T: Float>: Sized {
    /// The body, for `F` filters and `P` places at once.
    fn run_in<A: Arithmetic, const F: usize, const P: usize>(self, arithmetic: A);

    #[inline(always)]
    fn run_in_blocks<A: Arithmetic>(self, arithmetic: A) {
        // A `const`, so that only one of these is compiled.
        match const { block::<T, A>() } {
            (8, 3) => self.run_in::<A, 8, 3>(arithmetic),
            (4, 3) => self.run_in::<A, 4, 3>(arithmetic),
            (6, 1) => self.run_in::<A, 6, 1>(arithmetic),
            (3, 1) => self.run_in::<A, 3, 1>(arithmetic),
            _ => self.run_in::<A, 1, 1>(arithmetic),
        }
    }
}

/// Filters per block.
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

/// Filters in the order in which the kernel reads them: for each entry of the window, the weights of all filters of a
/// block.
#[derive(Debug, Default)]
pub(crate) struct Filters<T> {
    weights: Vec<T>,
    biases: Vec<T>,
}

impl<T: Float> Filters<T> {
    /// From `weight(filter, entry of the window)` and the biases, which are 0 if there are none.
    pub(crate) fn new(
        level: Level,
        (count, under): (usize, usize),
        biases: &[T],
        weight: impl Fn(usize, usize) -> T,
    ) -> Result<Self, KernelError> {
        let at_once = filters_at_once::<T>(level);
        let padded = count.next_multiple_of(at_once);
        let mut filters = Self::default();
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

/// `out ←` the sums at each place; or, with pooling, the largest of each 2 × 2 of them.
pub(crate) struct Filtered<'a, T> {
    /// Without padding.
    pub window: Window,
    pub filters: &'a Filters<T>,
    /// The filters to compute, starting at a multiple of the block.
    pub which: Range<usize>,
    /// Channels × rows × columns.
    pub image: &'a [Numbers<T>],
    /// The rows of a channel outside which all are 0.
    pub inside: Range<usize>,
    /// Those filters × places.
    pub out: &'a mut [Numbers<T>],
    pub largest: Option<Largest<'a, T>>,
}

/// What pooling needs.
pub(crate) struct Largest<'a, T> {
    pub pooling: Pooling,
    /// The pixel of the map that each number of `out` came from; empty if not needed.
    pub places: &'a mut [[u32; LANES]],
    /// Memory for two rows of a block's map.
    pub rows: &'a mut Padded<T>,
}

impl<'a, T: Float> Largest<'a, T> {
    /// For the map of this window.
    pub(crate) fn new(
        level: Level,
        window: Window,
        pooling: Pooling,
        places: &'a mut [[u32; LANES]],
        rows: &'a mut Padded<T>,
    ) -> Result<Self, KernelError> {
        rows.reshape(2 * filters_at_once::<T>(level) * window.places().1, LANES)?;
        Ok(Self { pooling, places, rows })
    }
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
        let Self { window, filters, which, image, inside, out, mut largest } = self;
        let (down, across) = window.places();
        let numbers = filters.weights.chunks_exact((F * window.under()).max(1)).zip(filters.biases.as_chunks::<F>().0);
        for ((weights, biases), first) in numbers.skip(which.start / F).zip(which.clone().step_by(F)) {
            let (weights, count) = (weights.as_chunks().0, (which.end - first).min(F));
            let block = Block::<T, F> { window, weights, biases, filters: count, image, inside: &inside };
            let first = first - which.start;
            let Some(Largest { pooling, places, rows }) = &mut largest else {
                for y in 0..down {
                    let at = (first * down + y) * across;
                    block.row::<A, P>(arithmetic, y, (&mut out[at..], down * across));
                }
                continue;
            };
            let rows = rows.lanes_mut();
            for y in (0..down).step_by(2) {
                for i in 0..2 {
                    block.row::<A, P>(arithmetic, y + i, (&mut rows[i * across..], 2 * across));
                }
                for (f, rows) in rows.chunks_exact(2 * across).enumerate().take(block.filters) {
                    let its = ((first + f) * (down / 2) + y / 2) * (across / 2);
                    let (upper, lower) = rows.split_at(across);
                    let (out, places) = (&mut out[its..][..across / 2], places.get_mut(its..).unwrap_or_default());
                    pooling.largest_of_rows::<T, 2>(y * across, [upper, lower], out, places);
                }
            }
        }
    }
}

/// `F` filters, of which `filters` exist, and the image they move over.
struct Block<'a, T, const F: usize> {
    window: Window,
    weights: &'a [[T; F]],
    biases: &'a [T; F],
    filters: usize,
    image: &'a [Numbers<T>],
    inside: &'a Range<usize>,
}

impl<T: Float, const F: usize> Block<'_, T, F> {
    /// `out ←` row `y` of each filter's map, with the maps `apart` from each other.
    #[inline(always)]
    fn row<A: Arithmetic, const P: usize>(&self, arithmetic: A, y: usize, (out, apart): (&mut [Numbers<T>], usize)) {
        let (mut x, (_, across)) = (0, self.window.places());
        while x < across {
            x += match across - x {
                left if left >= P => write(&self.sums::<A, P>(arithmetic, y, x), self.filters, out, x, apart),
                2 if const { P > 2 } => write(&self.sums::<A, 2>(arithmetic, y, x), self.filters, out, x, apart),
                _ => write(&self.sums::<A, 1>(arithmetic, y, x), self.filters, out, x, apart),
            };
        }
    }

    /// The sums of the filters at `P` places, starting at `(y, x)`. Rows of zeros are skipped.
    #[inline(always)]
    fn sums<A: Arithmetic, const P: usize>(&self, arithmetic: A, y: usize, x: usize) -> [[Numbers<T>; P]; F] {
        let Window { channels, rows, columns, height, width, stride, .. } = self.window;
        let mut sums: [[Numbers<T>; P]; F] = std::array::from_fn(|f| [[self.biases[f]; LANES]; P]);
        let under =
            self.inside.start.saturating_sub(y * stride)..self.inside.end.saturating_sub(y * stride).min(height);
        for channel in 0..channels {
            for i in under.clone() {
                let row = (channel * rows + y * stride + i) * columns + x * stride;
                let row = &self.image[row..][..width + (P - 1) * stride];
                let weights = &self.weights[(channel * height + i) * width..][..width];
                for (j, weights) in weights.iter().enumerate() {
                    // The pixels stay in registers, and one weight at a time: more would leave no room for the sums.
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
}

/// Write the sums of the filters that exist, starting at `at` and `apart` from each other; returns the number of
/// places.
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

/// `sums ← sums +` the products of the places' gradients and the pixels under them; after those of a block, the
/// gradients alone, for [`Totals`].
pub(crate) struct Products<'a, T> {
    /// Without padding.
    pub window: Window,
    pub filters: usize,
    /// Channels × rows × columns.
    pub image: &'a [Numbers<T>],
    /// The rows of a channel outside which all are 0.
    pub inside: Range<usize>,
    /// Filters × places.
    pub d: RowByRow<'a, T>,
    /// Memory for some rows of `d`.
    pub rows: &'a mut Padded<T>,
    /// [`Products::sums`] of them.
    pub sums: &'a mut [Numbers<T>],
}

impl<T: Float> Products<'_, T> {
    /// The number of sums.
    pub(crate) fn sums(level: Level, window: Window, filters: usize) -> usize {
        filters.next_multiple_of(filters_at_once::<T>(level)) * (window.under() + 1)
    }

    /// Rows of a filter's gradients per pass.
    fn rows_at_once(at_once: usize, window: Window) -> usize {
        let (down, across) = window.places();
        (NEAR / (at_once * across * size_of::<Numbers<T>>()).max(1)).clamp(1, down)
    }

    /// Memory for the rows.
    pub(crate) fn reserve(level: Level, window: Window, rows: &mut Padded<T>) -> Result<(), KernelError> {
        let at_once = filters_at_once::<T>(level);
        rows.reshape(at_once * Self::rows_at_once(at_once, window) * window.places().1, LANES)
    }
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
        let at_once = Self::rows_at_once(F, self.window);
        let made = self.rows.lanes_mut();
        for (block, sums) in self.sums.chunks_exact_mut(F * (self.window.under() + 1)).enumerate() {
            let (sums, alone) = sums.split_at_mut(F * self.window.under());
            for top in (0..down).step_by(at_once) {
                let rows = top..down.min(top + at_once);
                let each = rows.len() * across;
                for (f, made) in made.chunks_exact_mut(each).enumerate().take(F) {
                    // After the last filter, repeat it: those sums are not read.
                    let filter = (block * F + f).min(self.filters - 1);
                    for (y, row) in rows.clone().zip(made.chunks_exact_mut(across)) {
                        self.d.row(arithmetic, filter, y, row);
                    }
                }
                let d: [&[Numbers<T>]; F] = std::array::from_fn(|f| &made[f * each..][..each]);
                let mut now: [Numbers<T>; F] = std::array::from_fn(|f| alone[f]);
                for i in 0..each {
                    now.iter_mut().zip(d).for_each(|(now, d)| arithmetic.add_scaled(now, T::one(), &d[i]));
                }
                alone.copy_from_slice(&now);
                for channel in 0..channels {
                    for i in 0..height {
                        let sums = sums[(channel * height + i) * width * F..][..width * F].as_chunks_mut::<F>().0;
                        let mut sums = &mut sums[..];
                        let mut j = 0;
                        while j < width {
                            let (at, left) = ((channel, i, j), width - j);
                            let now = if left >= P { P } else { left.min(2).min(P) };
                            let (these, others) = sums.split_at_mut(now);
                            let (window, image, rows) = (self.window, (self.image, &self.inside), rows.clone());
                            if now == P {
                                products::<T, A, F, P>(arithmetic, window, image, d, rows, at, these);
                            } else if const { P > 2 } && now == 2 {
                                products::<T, A, F, 2>(arithmetic, window, image, d, rows, at, these);
                            } else {
                                products::<T, A, F, 1>(arithmetic, window, image, d, rows, at, these);
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

/// Adds the contribution of some rows to the sums of `F` filters, for `P` neighbours along a row of the window.
#[inline(always)]
fn products<T: Float, A: Arithmetic, const F: usize, const P: usize>(
    arithmetic: A,
    window: Window,
    (image, inside): (&[Numbers<T>], &Range<usize>),
    d: [&[Numbers<T>]; F],
    rows: Range<usize>,
    (channel, i, j): (usize, usize, usize),
    sums: &mut [[Numbers<T>; F]],
) {
    let (_, across) = window.places();
    let Some(sums) = sums.first_chunk_mut::<P>() else { return };
    let mut now = *sums;
    for (made, y) in rows.enumerate().filter(|(_, y)| inside.contains(&(y * window.stride + i))) {
        let row = (channel * window.rows + y * window.stride + i) * window.columns + j;
        let row = &image[row..][..(across - 1) * window.stride + P];
        let d: [&[Numbers<T>]; F] = std::array::from_fn(|f| &d[f][made * across..][..across]);
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

/// `d_w ←` the lane totals of [`Products`], in the order of W, and `d_b ←` those of the gradients alone.
pub(crate) struct Totals<'a, T> {
    pub window: Window,
    pub sums: &'a [Numbers<T>],
    pub d_w: &'a mut [T],
    pub d_b: &'a mut [T],
}

impl<T: Float> Kernel for Totals<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        self.run_in_blocks(arithmetic);
    }
}

impl<T: Float> InBlocks<T> for Totals<'_, T> {
    #[inline(always)]
    fn run_in<A: Arithmetic, const F: usize, const P: usize>(self, _: A) {
        let Self { window, sums, d_w, d_b } = self;
        let under = window.under();
        let blocks = sums.chunks_exact(F * (under + 1)).zip(d_b.chunks_mut(F)).zip(d_w.chunks_mut((F * under).max(1)));
        for ((sums, d_b), d_w) in blocks {
            for (f, (d_b, d_w)) in d_b.iter_mut().zip(d_w.chunks_exact_mut(under)).enumerate() {
                let its = sums[f..].iter().step_by(F);
                d_w.iter_mut().chain([d_b]).zip(its).for_each(|(to, numbers)| *to = total(numbers));
            }
        }
    }
}

/// The sum of all lanes, by halving.
#[inline(always)]
fn total<T: Float>(numbers: &Numbers<T>) -> T {
    let eight: [T; 8] = std::array::from_fn(|i| numbers[i] + numbers[i + 8]);
    let four: [T; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

//! Max or average pooling of an image: the largest number or the mean of each window, channel by channel.
//!
//! ```text
//! out[c, p] = max of x[c, ·] under place p       dx: d to the largest; among equals, to the first in row-major order
//! out[c, p] = mean of them                       dx: d / their number, to each
//! ```
//!
//! Padding does not count as part of the window: it is never the largest, and no mean includes it. Where windows
//! overlap, their gradients are added up. A nan is larger than anything. Source: K. Saitoh, "Deep Learning from
//! Scratch" §7.3. Cost: `height · width` comparisons per place.

use crate::dense::padded::LANES;
use crate::layers::window::Window;
use crate::layers::{in_parts, Definition, Flow, Gradients, Pass};
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::{Float, KernelError};
use std::ops::Deref;

/// Comparisons from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 18;

/// The layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// The window. It must be larger than its padding, so that each place has a pixel.
    pub window: Window,
    /// The mean instead of the largest.
    pub average: bool,
}

impl Pooling {
    /// Whether each pixel is under exactly one place of the window.
    fn tiles(self) -> bool {
        let Window { rows, columns, height, width, stride, pad, .. } = self.window;
        pad == 0 && height == stride && width == stride && rows % stride == 0 && columns % stride == 0
    }

    /// Call `see(place, first pixel, rows, columns)` for each place of the window, with the pixels of a channel under
    /// it.
    #[inline(always)]
    fn each(self, mut see: impl FnMut(usize, usize, usize, usize)) {
        let Window { rows, columns, height, width, stride, pad, .. } = self.window;
        let (down, across) = self.window.places();
        let along = |place: usize, length: usize, size: usize| {
            let start = place * stride;
            start.saturating_sub(pad).min(size)..(start + length).saturating_sub(pad).min(size)
        };
        for y in 0..down {
            let under_y = along(y, height, rows);
            for x in 0..across {
                let under_x = along(x, width, columns);
                see(y * across + x, under_y.start * columns + under_x.start, under_y.len(), under_x.len());
            }
        }
    }
}

impl Definition for Pooling {
    fn inputs(self) -> Option<usize> {
        Some(self.window.inputs())
    }

    fn outputs(self, _: usize) -> usize {
        self.window.channels * self.window.positions()
    }

    fn cost(self, _: usize) -> usize {
        self.window.under().saturating_mul(self.window.positions())
    }

    fn takes_side_by_side(self) -> Option<bool> {
        Some(true)
    }

    fn divides(self, rows: usize, _: usize) -> bool {
        rows > 1 && self.cost(0).saturating_mul(rows) >= WORTH_THREADS
    }

    fn remembers(self, flow: Flow) -> (usize, usize) {
        (0, if self.average { 0 } else { flow.room().saturating_mul(flow.outputs) })
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        _: &[P],
        flow: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let (together, side_by_side) = (flow.together(), flow.side_by_side);
        let (inputs, outputs) = (together * flow.inputs, together * flow.outputs);
        if inputs == 0 {
            return Ok(());
        }
        let (pixels, positions) = (self.window.pixels(), self.window.positions());
        let mut places = pass.places.chunks_mut(outputs);
        let items = x.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)).map(|(x, out)| (x, out, places.next()));
        let work = |(x, out, places): (&[T], &mut [T], Option<&mut [u32]>)| {
            if side_by_side {
                let places = places.unwrap_or_default().as_chunks_mut().0;
                level.run(Together { layer: self, x: x.as_chunks().0, out: out.as_chunks_mut().0, places });
                return;
            }
            let mut places = places.map(|places| places.chunks_exact_mut(positions));
            for (x, out) in x.chunks_exact(pixels).zip(out.chunks_exact_mut(positions)) {
                match (&mut places, self.average) {
                    (_, true) => self.means(x, out),
                    (Some(places), _) => self.largest(x, out, places.next().unwrap_or_default()),
                    (None, _) => self.largest(x, out, &mut []),
                }
            }
        };
        if self.divides(flow.rows, flow.inputs) {
            crate::machine::threads::each_with(items, || (), |(), item| work(item));
        } else {
            items.for_each(work);
        }
        Ok(())
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        _: &[P],
        flow: Flow,
        _: (&[T], &[T]),
        wanted: bool,
        Gradients { d, d_x, .. }: &mut Gradients<T>,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let Flow { rows, inputs, outputs, side_by_side } = flow;
        let (pixels, positions) = (self.window.pixels(), self.window.positions());
        if wanted {
            let (d, d_x, places) = (&d[..flow.room() * outputs], &mut d_x[..flow.room() * inputs], &*pass.places);
            let together = flow.together();
            in_parts(
                together,
                (d, outputs),
                (d_x, inputs),
                self.divides(rows, inputs),
                || (),
                |(), row, d, d_x| {
                    if !side_by_side || !self.tiles() {
                        d_x.fill(T::zero());
                    }
                    let places = places.get(row * outputs..(row + together) * outputs).unwrap_or_default();
                    if side_by_side {
                        let (d, d_x, places) = (d.as_chunks().0, d_x.as_chunks_mut().0, places.as_chunks().0);
                        level.run(BackTogether { layer: self, d, d_x, places });
                        return Ok(());
                    }
                    let mut places = places.chunks_exact(positions);
                    for (d, d_x) in d.chunks_exact(positions).zip(d_x.chunks_exact_mut(pixels)) {
                        match places.next() {
                            Some(places) => {
                                for (&d, &place) in d.iter().zip(places) {
                                    // If the layer is called alone, the places are the caller's, who may have written
                                    // anything there.
                                    let wrong = KernelError::Number { what: "pixel", got: place.into(), there: pixels };
                                    *d_x.get_mut(place as usize).ok_or(wrong)? += d;
                                }
                            }
                            None => self.spread(d, d_x),
                        }
                    }
                    Ok(())
                },
            )?;
        }
        std::mem::swap(d, d_x);
        Ok(())
    }
}

/// The forward pass of sixteen images side by side.
struct Together<'a, T> {
    layer: Pooling,
    x: &'a [[T; LANES]],
    out: &'a mut [[T; LANES]],
    /// The index of the largest in its channel; empty if not needed.
    places: &'a mut [[u32; LANES]],
}

impl<T: Float> Kernel for Together<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { layer, x, out, places } = self;
        let (pixels, positions, across) = (layer.window.pixels(), layer.window.positions(), layer.window.columns);
        let mut places = places.chunks_exact_mut(positions);
        for (x, out) in x.chunks_exact(pixels).zip(out.chunks_exact_mut(positions)) {
            let its = places.next().unwrap_or_default();
            if layer.is_small::<2>() {
                layer.largest_together::<T, 2>(x, out, its);
                continue;
            }
            layer.each(|at, first, rows, columns| {
                if layer.average {
                    let mut sum = [T::zero(); LANES];
                    for row in 0..rows {
                        for x in &x[first + row * across..][..columns] {
                            sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum += x);
                        }
                    }
                    let count = T::of((rows * columns) as f64);
                    out[at] = sum.map(|sum| sum / count);
                    return;
                }
                let (mut largest, mut best) = (x[first], [first as u32; LANES]);
                for row in 0..rows {
                    let start = first + row * across;
                    for (pixel, x) in (start..).zip(&x[start..start + columns]) {
                        take_larger((&mut best, &mut largest), (pixel as u32, x));
                    }
                }
                out[at] = largest;
                if let Some(place) = its.get_mut(at) {
                    *place = best;
                }
            });
        }
    }
}

impl Pooling {
    /// Whether this is max pooling with an `N × N` window that never touches the padding: then the compiler unrolls it.
    fn is_small<const N: usize>(self) -> bool {
        (self.window.pad, self.window.height, self.window.width, self.average) == (0, N, N, false)
    }

    /// Whether a convolution can fuse with it: max pooling of 2 × 2 windows, each pixel under exactly one.
    pub(crate) fn is_taken_on(self) -> bool {
        self.tiles() && self.is_small::<2>()
    }

    /// The largest number under each place of an `N × N` window, and its index if `places` has room.
    #[inline(always)]
    fn largest_together<T: Float, const N: usize>(
        self,
        x: &[[T; LANES]],
        out: &mut [[T; LANES]],
        places: &mut [[u32; LANES]],
    ) {
        let (Window { columns, stride, .. }, (_, across)) = (self.window, self.window.places());
        let mut places = places.chunks_exact_mut(across);
        for (y, out) in out.chunks_exact_mut(across).enumerate() {
            let first = y * stride * columns;
            let rows = std::array::from_fn(|i| &x[first + i * columns..][..columns]);
            self.largest_of_rows::<T, N>(first, rows, out, places.next().unwrap_or_default());
        }
    }

    /// The same for one row of places, over rows of pixels that begin with pixel `first`.
    #[inline(always)]
    pub(crate) fn largest_of_rows<T: Float, const N: usize>(
        self,
        first: usize,
        rows: [&[[T; LANES]]; N],
        out: &mut [[T; LANES]],
        places: &mut [[u32; LANES]],
    ) {
        let Window { columns, stride, .. } = self.window;
        for (at, out) in out.iter_mut().enumerate() {
            let (mut largest, mut best) = (rows[0][at * stride], [0u32; LANES]);
            for (i, row) in rows.iter().enumerate() {
                for (j, x) in row[at * stride..][..N].iter().enumerate() {
                    take_larger((&mut best, &mut largest), ((i * columns + j) as u32, x));
                }
            }
            *out = largest;
            if let Some(place) = places.get_mut(at) {
                *place = best.map(|pixel| pixel + (first + at * stride) as u32);
            }
        }
    }

    /// The gradients of the pixels under adjacent `N × N` windows: `d` for the largest, 0 for the others.
    #[inline(always)]
    fn winners_together<T: Float, const N: usize>(
        self,
        d: &[[T; LANES]],
        d_x: &mut [[T; LANES]],
        places: &[[u32; LANES]],
    ) {
        let columns = self.window.columns;
        let rows = d.chunks_exact(columns / N).zip(places.chunks_exact(columns / N));
        for ((d_x, (d, places)), first) in
            d_x.chunks_exact_mut(N * columns).zip(rows).zip((0u32..).step_by(N * columns))
        {
            for (d_x, first) in d_x.chunks_exact_mut(columns).zip((first..).step_by(columns)) {
                winners_of_row::<T, N>(first, d.iter().copied().zip(places), d_x);
            }
        }
    }
}

/// The backward pass of sixteen images side by side: `d_x ← d_x +` the gradients from the places; without the sum where
/// each pixel is under one place.
struct BackTogether<'a, T> {
    layer: Pooling,
    d: &'a [[T; LANES]],
    d_x: &'a mut [[T; LANES]],
    /// Empty for average pooling.
    places: &'a [[u32; LANES]],
}

impl<T: Float> Kernel for BackTogether<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { layer, d, d_x, places } = self;
        let (pixels, positions, across) = (layer.window.pixels(), layer.window.positions(), layer.window.columns);
        let (mut places, alone) = (places.chunks_exact(positions), layer.tiles());
        for (d, d_x) in d.chunks_exact(positions).zip(d_x.chunks_exact_mut(pixels)) {
            let its = places.next();
            if let (Some(places), true) = (its, alone && layer.is_small::<2>()) {
                layer.winners_together::<T, 2>(d, d_x, places);
                continue;
            }
            layer.each(|at, first, rows, columns| {
                let count = T::of((rows * columns) as f64);
                for row in 0..rows {
                    let start = first + row * across;
                    for (pixel, d_x) in (start..).zip(&mut d_x[start..start + columns]) {
                        let comes = match its {
                            Some(places) => where_it_won(pixel as u32, &places[at], &d[at]),
                            None => d[at].map(|d| d / count),
                        };
                        if alone {
                            *d_x = comes;
                        } else {
                            d_x.iter_mut().zip(comes).for_each(|(d_x, comes)| *d_x += comes);
                        }
                    }
                }
            });
        }
    }
}

impl Pooling {
    /// The largest number under each place, for one channel, and its index if `places` has room.
    pub(crate) fn largest<T: Float>(self, x: &[T], out: &mut [T], places: &mut [u32]) {
        match (self.window.pad, self.window.height, self.window.width) {
            (0, 2, 2) => self.largest_of::<T, 2>(x, out, places),
            (0, 3, 3) => self.largest_of::<T, 3>(x, out, places),
            _ => self.each(|at, first, rows, columns| {
                let (mut best, mut largest) = (first, x[first]);
                for row in 0..rows {
                    let start = first + row * self.window.columns;
                    for (pixel, &x) in (start..).zip(&x[start..start + columns]) {
                        (best, largest) = larger((best, largest), (pixel, x));
                    }
                }
                out[at] = largest;
                if let Some(place) = places.get_mut(at) {
                    *place = best as u32;
                }
            }),
        }
    }

    /// The same for an `N × N` window that never touches the padding: the compiler unrolls it, without checks at each
    /// place.
    fn largest_of<T: Float, const N: usize>(self, x: &[T], out: &mut [T], places: &mut [u32]) {
        let (_, across) = self.window.places();
        let Window { columns, stride, .. } = self.window;
        let mut places = places.chunks_exact_mut(across);
        for (y, out) in out.chunks_exact_mut(across).enumerate() {
            let rows: [&[T]; N] = std::array::from_fn(|i| &x[(y * stride + i) * columns..][..columns]);
            let mut places = places.next().unwrap_or_default().iter_mut();
            for (x, out) in out.iter_mut().enumerate() {
                let mut best = (0, rows[0][x * stride]);
                for (i, row) in rows.iter().enumerate() {
                    for (j, &x) in row[x * stride..x * stride + N].iter().enumerate() {
                        best = larger(best, (i * columns + j, x));
                    }
                }
                *out = best.1;
                if let Some(place) = places.next() {
                    *place = (y * stride * columns + x * stride + best.0) as u32;
                }
            }
        }
    }

    fn means<T: Float>(self, x: &[T], out: &mut [T]) {
        self.each(|at, first, rows, columns| {
            let mut sum = T::zero();
            for row in 0..rows {
                x[first + row * self.window.columns..][..columns].iter().for_each(|&x| sum += x);
            }
            out[at] = sum / T::of((rows * columns) as f64);
        });
    }

    /// The backward pass of `means`.
    fn spread<T: Float>(self, d: &[T], d_x: &mut [T]) {
        self.each(|at, first, rows, columns| {
            let share = d[at] / T::of((rows * columns) as f64);
            for row in 0..rows {
                d_x[first + row * self.window.columns..][..columns].iter_mut().for_each(|d_x| *d_x += share);
            }
        });
    }
}

/// [`larger`], lane by lane.
#[inline(always)]
fn take_larger<T: Float>((best, largest): (&mut [u32; LANES], &mut [T; LANES]), (pixel, x): (u32, &[T; LANES])) {
    for lane in 0..LANES {
        let stays = x[lane] <= largest[lane] || largest[lane].is_nan();
        best[lane] = if stays { best[lane] } else { pixel };
        largest[lane] = if stays { largest[lane] } else { x[lane] };
    }
}

/// `d` in the lanes where the pixel was the largest, else 0. Comparing at each pixel works on whole registers;
/// scattering to sixteen places does not.
#[inline(always)]
fn where_it_won<T: Float>(pixel: u32, places: &[u32; LANES], d: &[T; LANES]) -> [T; LANES] {
    std::array::from_fn(|lane| if places[lane] == pixel { d[lane] } else { T::zero() })
}

/// The gradients of a row of pixels, the first of them `first`, under adjacent `N × N` windows: `d` where a pixel is
/// the largest of its window, else 0.
#[inline(always)]
pub(crate) fn winners_of_row<'a, T: Float, const N: usize>(
    first: u32,
    windows: impl Iterator<Item = ([T; LANES], &'a [u32; LANES])>,
    d_x: &mut [[T; LANES]],
) {
    for ((d_x, (d, places)), pixel) in d_x.as_chunks_mut::<N>().0.iter_mut().zip(windows).zip((first..).step_by(N)) {
        for (d_x, pixel) in d_x.iter_mut().zip(pixel..) {
            *d_x = where_it_won(pixel, places, &d);
        }
    }
}

/// The larger of two numbers, each with its place; the first of equals. Written with `<=`, not `>`: comparisons with
/// nan are false, so a nan wins.
#[inline(always)]
fn larger<T: Float>(first: (usize, T), second: (usize, T)) -> (usize, T) {
    if second.1 <= first.1 || first.1.is_nan() {
        first
    } else {
        second
    }
}

//! The largest number, or the mean, of each window of an image; each channel by itself.
//!
//! ```text
//! out[c, p] = max of x[c, ·] under place p       dx: d goes to the largest; of equal ones, to the first, row after row
//! out[c, p] = mean of them                       dx: d / how many they are, to each
//! ```
//!
//! Padding is not under the window: it is never the largest, and no mean counts it. What windows share gets what all of them send. A nan is larger than
//! anything. Source: K. Saitoh, "Deep Learning from Scratch" §7.3. Cost: `height · width` comparisons a place.

use crate::layers::window::Window;
use crate::layers::{in_parts, Definition, Flow, Gradients, Pass};
use crate::machine::level::Level;
use crate::{Float, KernelError};
use std::ops::Deref;

/// Comparisons from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 18;

/// The layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// What is looked at at once. It must be larger than its padding: then each place has a pixel.
    pub window: Window,
    /// The mean in place of the largest.
    pub average: bool,
}

impl Pooling {
    /// `see(place, first pixel, rows, columns)`: for each place of the window the pixels of a channel under it.
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

    fn divides(self, rows: usize, _: usize) -> bool {
        rows > 1 && self.cost(0).saturating_mul(rows) >= WORTH_THREADS
    }

    fn remembers(self, flow: Flow) -> (usize, usize) {
        (0, if self.average { 0 } else { flow.rows * flow.outputs })
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        _: &[P],
        Flow { rows, inputs, outputs }: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        if inputs == 0 {
            return Ok(());
        }
        let (pixels, positions) = (self.window.pixels(), self.window.positions());
        let mut places = pass.places.chunks_mut(outputs);
        let items = x.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)).map(|(x, out)| (x, out, places.next()));
        let work = |(x, out, places): (&[T], &mut [T], Option<&mut [u32]>)| {
            let mut places = places.map(|places| places.chunks_exact_mut(positions));
            for (x, out) in x.chunks_exact(pixels).zip(out.chunks_exact_mut(positions)) {
                match (&mut places, self.average) {
                    (_, true) => self.means(x, out),
                    (Some(places), _) => self.largest(x, out, places.next().unwrap_or_default()),
                    (None, _) => self.largest(x, out, &mut []),
                }
            }
        };
        let items = items.collect();
        if self.divides(rows, inputs) {
            crate::machine::threads::each_with(items, || (), |(), item| work(item));
        } else {
            items.into_iter().for_each(work);
        }
        Ok(())
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        _: &[P],
        Flow { rows, inputs, outputs }: Flow,
        _: (&[T], &[T]),
        wanted: bool,
        Gradients { d, d_x, .. }: &mut Gradients<T>,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let (pixels, positions) = (self.window.pixels(), self.window.positions());
        if wanted {
            let (d, d_x, places) = (&d[..rows * outputs], &mut d_x[..rows * inputs], &*pass.places);
            in_parts(
                1,
                (d, outputs),
                (d_x, inputs),
                self.divides(rows, inputs),
                || (),
                |(), row, d, d_x| {
                    d_x.fill(T::zero());
                    let places = places.get(row * outputs..(row + 1) * outputs).unwrap_or_default();
                    let mut places = places.chunks_exact(positions);
                    for (d, d_x) in d.chunks_exact(positions).zip(d_x.chunks_exact_mut(pixels)) {
                        match places.next() {
                            Some(places) => d.iter().zip(places).for_each(|(&d, &place)| d_x[place as usize] += d),
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

impl Pooling {
    /// The largest number under each place, of one channel, and which it is if there is where to.
    fn largest<T: Float>(self, x: &[T], out: &mut [T], places: &mut [u32]) {
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

    /// The same for a window of `N × N` that never touches the padding: the compiler unrolls it, and nothing is asked of a place.
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

    /// The way back of `means`.
    fn spread<T: Float>(self, d: &[T], d_x: &mut [T]) {
        self.each(|at, first, rows, columns| {
            let share = d[at] / T::of((rows * columns) as f64);
            for row in 0..rows {
                d_x[first + row * self.window.columns..][..columns].iter_mut().for_each(|d_x| *d_x += share);
            }
        });
    }
}

/// The larger of two numbers, each with its place; the first of equals. "Not at most", since of a nan nothing is larger.
#[inline(always)]
fn larger<T: Float>(first: (usize, T), second: (usize, T)) -> (usize, T) {
    if second.1 <= first.1 || first.1.is_nan() {
        first
    } else {
        second
    }
}

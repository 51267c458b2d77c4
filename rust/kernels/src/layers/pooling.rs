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
        self.each(|at, first, rows, columns| {
            let (mut best, mut largest) = (first, x[first]);
            for row in 0..rows {
                let start = first + row * self.window.columns;
                for (pixel, &x) in (start..).zip(&x[start..start + columns]) {
                    // Not "larger": of a nan nothing is.
                    if !(x <= largest || largest.is_nan()) {
                        (best, largest) = (pixel, x);
                    }
                }
            }
            out[at] = largest;
            if let Some(place) = places.get_mut(at) {
                *place = best as u32;
            }
        });
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

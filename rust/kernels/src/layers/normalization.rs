//! Numbers normalized to mean 0 and variance 1, then scaled and shifted by two parameters.
//!
//! ```text
//! x̂ = (x - mean) / √(variance + ε)         out = γ x̂ + β         ε = 1e-6
//! dβ = Σ d       dγ = Σ d x̂       dx = γ / √(variance + ε) · (d - mean of d - x̂ · mean of d x̂)
//! ```
//!
//! [`BatchNorm`] takes the mean and variance of each channel over the batch (and over the pixels, if a channel has more
//! than one). Training uses those of the batch and updates running means, `m·running + (1 - m)·batch`; evaluation uses
//! the running means. [`LayerNorm`] takes those of each example, over the last numbers of a row, as many as γ has; then
//! d γ takes the place of γ d. Variances are not corrected for the one degree of freedom, not in the running mean
//! either.
//!
//! Sums are accumulated row by row, within a row in sixteen parts. Channels, then rows, are divided among threads: the
//! same bits at any number of threads.
//!
//! Sources: Ioffe, Szegedy, "Batch normalization", 2015; Ba, Kiros, Hinton, "Layer normalization", 2016; K. Saitoh,
//! "Deep Learning from Scratch" §6.3, the source of ε.
//! Cost: two passes over x for the statistics and one for the output; in the backward pass, two over x and d.

use crate::layers::convolution::sum;
use crate::layers::{in_parts, Definition, Flow, Gradients, Mode, Pass};
use crate::machine::level::Level;
use crate::machine::threads;
use crate::{Float, KernelError};
use std::ops::{Deref, Range};

const EPSILON: f64 = 1e-6;

/// Numbers from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 17;

/// Normalization of each channel over a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// The number of channels.
    pub channels: usize,
    /// Numbers per channel and row.
    pub pixels: usize,
    /// The weight of the old running mean in each step.
    pub momentum: f64,
}

/// Normalization of each example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerNorm {
    /// Numbers that are normalized together.
    pub size: usize,
}

impl BatchNorm {
    /// `found[channel] ←` the sum over the rows of `f(channel, range of its numbers in the row)`, with the channels
    /// divided among threads.
    fn per_channel<T: Float>(self, rows: usize, found: &mut [T], f: impl Fn(usize, Range<usize>) -> T + Sync + Send) {
        let (inputs, pixels) = (self.channels * self.pixels, self.pixels);
        let each = self.channels.div_ceil(4 * threads::count()).max(1);
        let work = |first: usize, found: &mut [T]| {
            found.fill(T::zero());
            for row in 0..rows {
                for (i, sum) in found.iter_mut().enumerate() {
                    let start = row * inputs + (first + i) * pixels;
                    *sum += f(first + i, start..start + pixels);
                }
            }
        };
        let items = found.chunks_mut(each).enumerate().map(|(i, found)| (i * each, found));
        if rows * inputs >= WORTH_THREADS {
            threads::each_with(items, || (), |(), (first, found)| work(first, found));
        } else {
            items.for_each(|(first, found)| work(first, found));
        }
    }

    fn count<T: Float>(self, rows: usize) -> T {
        T::of(rows as f64 * self.pixels as f64)
    }
}

/// The sum of `f(i)` over a range, accumulated in sixteen parts.
#[inline(always)]
fn sum_of<T: Float>(numbers: Range<usize>, f: impl Fn(usize) -> T) -> T {
    if numbers.len() == 1 {
        return f(numbers.start);
    }
    let mut parts = [T::zero(); 16];
    let mut at = numbers.start;
    while at + 16 <= numbers.end {
        for (i, part) in parts.iter_mut().enumerate() {
            *part += f(at + i);
        }
        at += 16;
    }
    for (i, part) in (at..numbers.end).zip(&mut parts) {
        *part += f(i);
    }
    sum(&parts)
}

impl Definition for BatchNorm {
    const ARRAYS: usize = 4;
    const STATISTICS: usize = 2;

    fn inputs(self) -> Option<usize> {
        Some(self.channels.saturating_mul(self.pixels))
    }

    fn shapes(self, _: usize) -> Vec<Vec<usize>> {
        vec![vec![self.channels]; Self::ARRAYS]
    }

    fn cost(self, inputs: usize) -> usize {
        inputs.saturating_mul(4)
    }

    fn divides(self, rows: usize, inputs: usize) -> bool {
        rows.saturating_mul(inputs) >= WORTH_THREADS
    }

    fn trains_otherwise(self) -> bool {
        true
    }

    fn by_rows(self) -> bool {
        false
    }

    /// The mean, the variance and the factor of each channel.
    fn remembers(self, _: Flow) -> (usize, usize) {
        (self.channels.saturating_mul(3), 0)
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        arrays: &[P],
        Flow { rows, inputs, .. }: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let [gamma, beta, running_mean, running_variance] = arrays else { return Ok(()) };
        let (gamma, beta): (&[T], &[T]) = (gamma, beta);
        let mut read = Vec::new();
        let numbers = match pass.mode {
            Mode::Train(_) => {
                let (mean, rest) = pass.numbers.split_at_mut(self.channels);
                let (variance, factor) = rest.split_at_mut(self.channels);
                let count = self.count::<T>(rows);
                self.per_channel(rows, mean, |_, numbers| sum(&x[numbers]));
                mean.iter_mut().for_each(|mean| *mean /= count);
                self.per_channel(rows, variance, |channel, numbers| {
                    sum_of(numbers, |i| (x[i] - mean[channel]) * (x[i] - mean[channel]))
                });
                variance.iter_mut().for_each(|variance| *variance /= count);
                factor.iter_mut().zip(&*variance).for_each(|(factor, &variance)| *factor = inverse_root(variance));
                &*pass.numbers
            }
            Mode::Evaluate => {
                crate::error::reserve(&mut read, 3 * self.channels)?;
                read.extend_from_slice(running_mean);
                read.extend_from_slice(running_variance);
                read.extend(running_variance.iter().map(|&variance| inverse_root(variance)));
                // A backward pass through it needs them too.
                pass.numbers.iter_mut().zip(&read).for_each(|(to, &from)| *to = from);
                &read
            }
        };
        let (mean, factor) = (&numbers[..self.channels], &numbers[2 * self.channels..]);
        in_parts(
            1,
            (x, inputs),
            (out, inputs),
            rows * inputs >= WORTH_THREADS,
            || (),
            |(), _, x, out| {
                let channels = x.chunks_exact(self.pixels).zip(out.chunks_exact_mut(self.pixels)).enumerate();
                for (c, (x, out)) in channels {
                    let (mean, factor, gamma, beta) = (mean[c], factor[c], gamma[c], beta[c]);
                    x.iter().zip(out).for_each(|(&x, out)| *out = gamma * ((x - mean) * factor) + beta);
                }
                Ok(())
            },
        )
    }

    fn note<T: Float>(self, arrays: &mut [&mut [T]], pass: &Pass<'_, T>) {
        let (Mode::Train(_), [_, _, mean, variance]) = (pass.mode, arrays) else { return };
        let [stays, comes] = [self.momentum, 1.0 - self.momentum].map(T::of);
        let of_batch = pass.numbers.chunks_exact(self.channels.max(1));
        for (running, batch) in [mean, variance].into_iter().zip(of_batch) {
            running.iter_mut().zip(batch).for_each(|(running, &batch)| *running = stays * *running + comes * batch);
        }
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        arrays: &[P],
        Flow { rows, inputs, .. }: Flow,
        (x, _): (&[T], &[T]),
        wanted: bool,
        Gradients { d, d_x, d_params }: &mut Gradients<T>,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let (mean, factor) = (&pass.numbers[..self.channels], &pass.numbers[2 * self.channels..]);
        let (d_gamma, d_beta) = d_params[..2 * self.channels].split_at_mut(self.channels);
        {
            let d = &d[..];
            self.per_channel(rows, d_beta, |_, numbers| sum(&d[numbers]));
            self.per_channel(rows, d_gamma, |c, numbers| sum_of(numbers, |i| d[i] * ((x[i] - mean[c]) * factor[c])));
        }
        if wanted {
            let gamma: &[T] = &arrays[0];
            let (count, n) = (self.count::<T>(rows), rows * inputs);
            let worth = n >= WORTH_THREADS;
            let moves = matches!(pass.mode, Mode::Train(_));
            let (d_gamma, d_beta) = (&*d_gamma, &*d_beta);
            in_parts(
                1,
                (&d[..n], inputs),
                (&mut d_x[..n], inputs),
                worth,
                || (),
                |(), row, d, d_x| {
                    let x = x[row * inputs..][..inputs].chunks_exact(self.pixels);
                    let channels =
                        d.chunks_exact(self.pixels).zip(d_x.chunks_exact_mut(self.pixels)).zip(x).enumerate();
                    for (c, ((d, d_x), x)) in channels {
                        let (mean, factor, scale) = (mean[c], factor[c], gamma[c] * factor[c]);
                        let (of_d, of_both) = (d_beta[c] / count, d_gamma[c] / count);
                        for ((&d, d_x), &x) in d.iter().zip(d_x).zip(x) {
                            let d = if moves { d - of_d - (x - mean) * factor * of_both } else { d };
                            *d_x = scale * d;
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

impl Definition for LayerNorm {
    const ARRAYS: usize = 2;

    fn shapes(self, _: usize) -> Vec<Vec<usize>> {
        vec![vec![self.size]; Self::ARRAYS]
    }

    fn cost(self, inputs: usize) -> usize {
        inputs.saturating_mul(4)
    }

    /// The mean and the factor of each example, or of each part of one.
    fn remembers(self, Flow { rows, inputs, .. }: Flow) -> (usize, usize) {
        (rows.saturating_mul(inputs / self.size.max(1)).saturating_mul(2), 0)
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        arrays: &[P],
        _: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let ([gamma, beta], true) = (arrays, self.size > 0) else { return Ok(()) };
        let count = T::of(self.size as f64);
        let mut notes = pass.numbers.chunks_exact_mut(2);
        for (x, out) in x.chunks_exact(self.size).zip(out.chunks_exact_mut(self.size)) {
            let mean = sum(x) / count;
            let factor = inverse_root(sum_of(0..x.len(), |i| (x[i] - mean) * (x[i] - mean)) / count);
            let parameters = gamma.iter().zip(&beta[..]);
            x.iter().zip(out).zip(parameters).for_each(|((&x, out), (&gamma, &beta))| {
                *out = gamma * ((x - mean) * factor) + beta;
            });
            if let Some(note) = notes.next() {
                note.copy_from_slice(&[mean, factor]);
            }
        }
        Ok(())
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        _: Level,
        arrays: &[P],
        Flow { rows, inputs, .. }: Flow,
        (x, _): (&[T], &[T]),
        wanted: bool,
        Gradients { d, d_x, d_params }: &mut Gradients<T>,
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let ([gamma, _], true) = (arrays, self.size > 0) else { return Ok(()) };
        let gamma: &[T] = gamma;
        let (n, count) = (rows * inputs, T::of(self.size as f64));
        let (d_gamma, d_beta) = d_params[..2 * self.size].split_at_mut(self.size);
        d_gamma.fill(T::zero());
        d_beta.fill(T::zero());
        let parts =
            x.chunks_exact(self.size).zip(d[..n].chunks_exact(self.size)).zip(d_x[..n].chunks_exact_mut(self.size));
        for (((x, d), d_x), note) in parts.zip(pass.numbers.chunks_exact(2)) {
            let normal = |i: usize| (x[i] - note[0]) * note[1];
            for i in 0..self.size {
                d_gamma[i] += d[i] * normal(i);
                d_beta[i] += d[i];
            }
            if wanted {
                let of_d = sum_of(0..self.size, |i| d[i] * gamma[i]) / count;
                let of_both = sum_of(0..self.size, |i| d[i] * gamma[i] * normal(i)) / count;
                for (i, d_x) in d_x.iter_mut().enumerate() {
                    *d_x = note[1] * (d[i] * gamma[i] - of_d - normal(i) * of_both);
                }
            }
        }
        std::mem::swap(d, d_x);
        Ok(())
    }
}

/// 1 / √(variance + ε).
fn inverse_root<T: Float>(variance: T) -> T {
    T::one() / (variance + T::of(EPSILON)).sqrt()
}

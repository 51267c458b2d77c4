//! Filters moved over an image.
//!
//! ```text
//! out[f, p] = Σₖ W[f, k] · col[k, p] + b[f]           p: a place of the window;  k: a pixel of it, of one channel
//! dW = Σ over the images d·colᵀ         db = Σ d         dcol = Wᵀ·d,  of which dx is what lies on each pixel, added up
//! ```
//!
//! Image by image, so that `col`, the pixels under each place of the [`Window`], stays in the cache; on the way back it is made again, which costs less
//! than to keep it. Images are divided among threads. `dW` and `db` are sums over blocks of [`BLOCK`] images, in order, and the blocks are added up
//! in pairs, the pairs in pairs: the same bits at any number of threads.
//!
//! Source: K. Saitoh, "Deep Learning from Scratch" §7.4 (im2col). Cost: `filters · under · positions` multiplications an image, and twice that back.

use crate::dense::matmul::matmul;
use crate::dense::onto::Onto;
use crate::dense::{matrix, matrix_mut};
use crate::error::{resize, zeros};
use crate::layers::window::Window;
use crate::layers::{in_parts, Definition, Flow, Gradients, Pass};
use crate::machine::level::Level;
use crate::machine::threads;
use crate::{Float, KernelError};
use std::ops::Deref;

/// Images whose sums are taken in their order; a larger batch has larger blocks, so that there are never more than [`BLOCKS`].
const BLOCK: usize = 16;
const BLOCKS: usize = 64;

/// Multiplications from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 20;

/// The layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// How many there are.
    pub filters: usize,
    /// What each has the size of.
    pub window: Window,
}

/// `image` of one thread's work.
#[derive(Default)]
struct Columns<T> {
    col: Vec<T>,
    d_col: Vec<T>,
}

impl Convolution {
    fn cost_of(self, rows: usize) -> usize {
        self.cost(0).saturating_mul(rows)
    }

    /// How many images a block has in a batch of `rows`.
    fn block(rows: usize) -> usize {
        rows.div_ceil(BLOCKS).max(BLOCK)
    }
}

impl Definition for Convolution {
    const ARRAYS: usize = 2;

    fn inputs(self) -> Option<usize> {
        Some(self.window.inputs())
    }

    fn outputs(self, _: usize) -> usize {
        self.filters * self.window.positions()
    }

    fn shapes(self, _: usize) -> Vec<Vec<usize>> {
        let Window { channels, height, width, .. } = self.window;
        vec![vec![self.filters, channels, height, width], vec![self.filters]]
    }

    fn cost(self, _: usize) -> usize {
        self.filters.saturating_mul(self.window.under()).saturating_mul(self.window.positions())
    }

    fn divides(self, rows: usize, _: usize) -> bool {
        rows > 1 && self.cost_of(rows) >= WORTH_THREADS
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        Flow { rows, inputs, outputs }: Flow,
        x: &[T],
        out: &mut [T],
        _: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let [w, b] = arrays else { return Ok(()) };
        let (w, b): (&[T], &[T]) = (w, b);
        let (window, under, positions) = (self.window, self.window.under(), self.window.positions());
        if inputs == 0 {
            let numbers = b.iter().flat_map(|&b| std::iter::repeat_n(b, positions)).cycle();
            out.iter_mut().zip(numbers).for_each(|(out, b)| *out = b);
            return Ok(());
        }
        in_parts(1, (x, inputs), (out, outputs), self.divides(rows, inputs), Vec::new, |col, _, x, out| {
            resize(col, under * positions, T::zero())?;
            window.unfold(x, col);
            out.chunks_exact_mut(positions).zip(b).for_each(|(out, &b)| out.fill(b));
            let (w, col) = (matrix(w, self.filters, under)?, matrix(col, under, positions)?);
            matmul(level, w, col, matrix_mut(out, self.filters, positions)?, Onto::Itself(T::one()))
        })
    }

    /// One channel of the output.
    fn again<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        Flow { rows, inputs, outputs }: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
        (which, entry): (usize, usize),
    ) -> Result<(), KernelError> {
        let [w, b] = arrays else { return Ok(()) };
        let (under, positions) = (self.window.under(), self.window.positions());
        let filter = if which == 0 { entry / under.max(1) } else { entry };
        let (alone, mut channel) = (Self { filters: 1, ..self }, zeros(rows.saturating_mul(positions))?);
        let its: [&[T]; 2] = [&w[filter * under..][..under], &b[filter..=filter]];
        alone.forward(level, &its, Flow { rows, inputs, outputs: positions }, x, &mut channel, pass)?;
        for (out, channel) in out.chunks_exact_mut(outputs).zip(channel.chunks_exact(positions)) {
            out[filter * positions..][..positions].copy_from_slice(channel);
        }
        Ok(())
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        Flow { rows, inputs, outputs }: Flow,
        (x, _): (&[T], &[T]),
        wanted: bool,
        Gradients { d, d_x, d_params }: &mut Gradients<T>,
        _: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let [w, _] = arrays else { return Ok(()) };
        let (w, window, positions): (&[T], _, _) = (w, self.window, self.window.positions());
        let (of_w, block, under) = (w.len(), Self::block(rows), window.under());
        let of_both = of_w + self.filters;
        let mut sums = zeros(rows.div_ceil(block).saturating_mul(of_both))?;
        let mut blocks = Vec::new();
        {
            let mut d_x = &mut d_x[..if wanted { rows * inputs } else { 0 }];
            for (i, sums) in sums.chunks_exact_mut(of_both.max(1)).enumerate() {
                let images = i * block..rows.min((i + 1) * block);
                let its;
                (its, d_x) = d_x.split_at_mut(if wanted { images.len() * inputs } else { 0 });
                blocks.push((images, sums, its));
            }
        }
        let all = || {
            threads::try_each_with(blocks, Columns::default, |Columns { col, d_col }, (images, sums, d_x)| {
                resize(col, under * positions, T::zero())?;
                let (d_w, d_b) = sums.split_at_mut(of_w);
                for (i, image) in images.enumerate() {
                    let d = &d[image * outputs..][..outputs];
                    window.unfold(&x[image * inputs..][..inputs], col);
                    d.chunks_exact(positions).zip(&mut *d_b).for_each(|(d, d_b)| *d_b += sum(d));
                    let d = matrix(d, self.filters, positions)?;
                    let (col, d_w) = (matrix(col, under, positions)?, matrix_mut(d_w, self.filters, under)?);
                    matmul(level, d, col.reversed_axes(), d_w, Onto::Itself(T::one()))?;
                    if wanted {
                        let d_x = &mut d_x[i * inputs..][..inputs];
                        resize(d_col, under * positions, T::zero())?;
                        let w = matrix(w, self.filters, under)?;
                        matmul(level, w.reversed_axes(), d, matrix_mut(d_col, under, positions)?, Onto::Nothing)?;
                        d_x.fill(T::zero());
                        window.fold(d_col, d_x);
                    }
                }
                Ok(())
            })
        };
        if self.divides(rows, inputs) {
            all()?;
        } else {
            threads::alone(all)?;
        }
        if wanted && of_both == 0 {
            d_x[..rows * inputs].fill(T::zero());
        }
        add_in_pairs(&mut sums, of_both);
        d_params[..of_both].fill(T::zero());
        d_params[..of_both].iter_mut().zip(&sums).for_each(|(to, &from)| *to = from);
        std::mem::swap(d, d_x);
        Ok(())
    }
}

/// The sum of some numbers, in sixteen parts.
pub(crate) fn sum<T: Float>(numbers: &[T]) -> T {
    let mut parts = [T::zero(); 16];
    let mut chunks = numbers.chunks_exact(16);
    for chunk in &mut chunks {
        parts.iter_mut().zip(chunk).for_each(|(part, &number)| *part += number);
    }
    parts.iter_mut().zip(chunks.remainder()).for_each(|(part, &number)| *part += number);
    add_in_pairs(&mut parts, 1);
    parts[0]
}

/// Sums of as many numbers each, side by side, added up into the first: neighbours, then neighbours of these, and so on.
pub(crate) fn add_in_pairs<T: Float>(sums: &mut [T], each: usize) {
    let mut apart = each;
    while apart > 0 && apart < sums.len() {
        for pair in sums.chunks_mut(2 * apart) {
            if pair.len() > apart {
                let (to, from) = pair.split_at_mut(apart);
                to[..each].iter_mut().zip(&from[..each]).for_each(|(to, &from)| *to += from);
            }
        }
        apart *= 2;
    }
}

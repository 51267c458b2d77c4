//! A convolution image by image, as a matrix product.
//!
//! ```text
//! col[k, p] = x[k under p]        out = W·col + b        dW = d·colᵀ        dcol = Wᵀ·d
//! dx: for each pixel, the sum of its entries in dcol
//! ```
//!
//! For a few images: `col`, the pixels under each place of the [`Window`](crate::layers::window::Window), stays in the
//! cache. The backward pass computes it again, which costs less than storing it. Source: K. Saitoh, "Deep Learning from
//! Scratch" §7.4 (im2col).

use crate::dense::matmul::matmul;
use crate::dense::onto::Onto;
use crate::dense::{matrix, matrix_mut};
use crate::error::resize;
use crate::layers::convolution::{sum, Convolution};
use crate::machine::level::Level;
use crate::{Float, KernelError};

/// Memory for `col` and its gradient.
#[derive(Debug, Default)]
pub(crate) struct Unfolded<T> {
    col: Vec<T>,
    d_col: Vec<T>,
}

impl<T: Float> Unfolded<T> {
    /// `out ←` the filters applied to one image.
    pub(crate) fn forward(
        &mut self,
        level: Level,
        Convolution { filters, window, .. }: Convolution,
        (w, b): (&[T], &[T]),
        x: &[T],
        out: &mut [T],
    ) -> Result<(), KernelError> {
        let (under, positions) = (window.under(), window.positions());
        resize(&mut self.col, under * positions, T::zero())?;
        window.unfold(x, &mut self.col);
        out.chunks_exact_mut(positions).zip(b).for_each(|(out, &b)| out.fill(b));
        let (w, col) = (matrix(w, filters, under)?, matrix(&self.col, under, positions)?);
        matmul(level, w, col, matrix_mut(out, filters, positions)?, Onto::Itself(T::one()))
    }

    /// Add the gradients of some images, one after the other, to the sums; and write the gradients of the images
    /// themselves unless `d_x` is empty.
    pub(crate) fn back(
        &mut self,
        level: Level,
        layer: Convolution,
        w: &[T],
        (x, d): (&[T], &[T]),
        (d_w, d_b): (&mut [T], &mut [T]),
        d_x: &mut [T],
    ) -> Result<(), KernelError> {
        let Convolution { filters, window, .. } = layer;
        let (inputs, under, positions) = (window.inputs(), window.under(), window.positions());
        resize(&mut self.col, under * positions, T::zero())?;
        resize(&mut self.d_col, under * positions, T::zero())?;
        for (i, d) in d.chunks_exact((filters * positions).max(1)).enumerate() {
            window.unfold(&x[i * inputs..][..inputs], &mut self.col);
            d.chunks_exact(positions).zip(&mut *d_b).for_each(|(d, d_b)| *d_b += sum(d));
            let d = matrix(d, filters, positions)?;
            let (col, d_w) = (matrix(&self.col, under, positions)?, matrix_mut(d_w, filters, under)?);
            matmul(level, d, col.reversed_axes(), d_w, Onto::Itself(T::one()))?;
            if !d_x.is_empty() {
                let d_x = &mut d_x[i * inputs..][..inputs];
                let w = matrix(w, filters, under)?;
                matmul(level, w.reversed_axes(), d, matrix_mut(&mut self.d_col, under, positions)?, Onto::Nothing)?;
                d_x.fill(T::zero());
                window.fold(&self.d_col, d_x);
            }
        }
        Ok(())
    }
}

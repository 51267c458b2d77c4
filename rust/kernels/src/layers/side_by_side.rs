//! Sixteen images side by side: lane i of every pixel belongs to image i.
//!
//! ```text
//! images, row after row                 lanes
//! image 0:  pixel 0, pixel 1, …         pixel 0:  image 0, image 1, … image 15
//! image 1:  pixel 0, pixel 1, …         pixel 1:  image 0, image 1, … image 15
//! ```
//!
//! Every operation on a pixel then works on sixteen images at once, whatever the number of channels and the width of
//! the image, and no sum goes across lanes. If fewer than sixteen images are left, the other lanes are 0. Cost: each
//! number is read and written once.

use crate::dense::matrix;
use crate::dense::padded::{Padded, LANES};
use crate::dense::transpose::Transpose;
use crate::error::zeros;
use crate::layers::behind::RowByRow;
use crate::layers::window::Window;
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::machine::threads;
use crate::{Float, KernelError};
use ndarray::{s, ArrayView2};
use std::ops::Range;

/// Rows from which a batch goes side by side: with fewer, most lanes would be empty.
pub(crate) const LEAST: usize = 6;

/// Numbers from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 17;

/// Convert rows of `features` numbers to side by side, or back to row by row.
pub(crate) fn rearrange<T: Float>(
    level: Level,
    side_by_side: bool,
    (rows, features): (usize, usize),
    from: &[T],
    to: &mut [T],
) -> Result<(), KernelError> {
    let (by_itself, together) = (&from[..rows * features], LANES * features);
    if features == 0 {
        return Ok(());
    }
    let work = |from: &[T], to: &mut [T]| match side_by_side {
        true => load(level, matrix(from, from.len() / features, features)?, to),
        false => store(level, from, to),
    };
    let blocks = if side_by_side {
        by_itself.chunks(together).zip(to.chunks_mut(together)).collect::<Vec<_>>()
    } else {
        from.chunks(together).zip(to[..rows * features].chunks_mut(together)).collect()
    };
    if rows * features >= WORTH_THREADS {
        threads::try_each_with(blocks, || (), |(), (from, to)| work(from, to))
    } else {
        blocks.into_iter().try_for_each(|(from, to)| work(from, to))
    }
}

/// `to ←` up to sixteen rows, side by side.
pub(crate) fn load<T: Float>(level: Level, rows: ArrayView2<'_, T>, to: &mut [T]) -> Result<(), KernelError> {
    let (count, features) = rows.dim();
    let to = &mut to[..LANES * features];
    if count == LANES || features == 0 {
        level.run(Transpose { from: rows, to });
        return Ok(());
    }
    let mut all = zeros(to.len())?;
    all.chunks_exact_mut(features).zip(rows.outer_iter()).for_each(|(all, row)| {
        all.iter_mut().zip(row).for_each(|(to, &number)| *to = number);
    });
    level.run(Transpose { from: matrix(&all, LANES, features)?, to });
    Ok(())
}

/// `rows ←` the lanes, as many as there are rows.
pub(crate) fn store<T: Float>(level: Level, lanes: &[T], rows: &mut [T]) -> Result<(), KernelError> {
    let features = lanes.len() / LANES;
    let from = matrix(lanes, features, LANES)?;
    level.run(Transpose { from: from.slice(s![.., ..rows.len() / features.max(1)]), to: rows });
    Ok(())
}

/// How the pixels of an image are placed in a field of zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Rows and columns of the field, per channel.
    pub field: (usize, usize),
    /// Distance in the field between neighbouring pixels of the image.
    pub apart: usize,
    /// Row and column of the image's first pixel, which may lie outside.
    pub first: (isize, isize),
}

impl Place {
    /// The image surrounded by its padding.
    pub(crate) fn padded(Window { rows, columns, pad, .. }: Window) -> Self {
        Self { field: (rows + 2 * pad, columns + 2 * pad), apart: 1, first: (pad as isize, pad as isize) }
    }

    /// The gradients of a window's places, spread out. The turned window, moved by 1 over this field, finds at each
    /// pixel the gradients of the places that the pixel was under.
    pub(crate) fn turned(Window { rows, columns, height, width, stride, pad, .. }: Window) -> Self {
        let first = |along: usize| along as isize - 1 - pad as isize;
        Self { field: (rows + height - 1, columns + width - 1), apart: stride, first: (first(height), first(width)) }
    }

    /// The rows of the field outside which all are 0, for an image of `image` rows.
    pub(crate) fn rows(self, image: usize) -> Range<usize> {
        let at = |row: usize| (row * self.apart).saturating_add_signed(self.first.0).min(self.field.0);
        at(0)..if image == 0 { 0 } else { (at(image - 1) + 1).min(self.field.0) }
    }
}

/// A field that holds one image after another; everything around the image stays 0.
#[derive(Debug, Default)]
pub(crate) struct Field<T> {
    lanes: Padded<T>,
    /// A row of an image, where it cannot be written to the field directly.
    row: Padded<T>,
}

impl<T: Float> Field<T> {
    /// The field with an image of `channels` channels in its place, the same for each channel. Pixels outside the field
    /// are dropped.
    pub(crate) fn around<'a>(
        &'a mut self,
        level: Level,
        place: Place,
        channels: usize,
        image: RowByRow<'a, T>,
    ) -> Result<&'a [[T; LANES]], KernelError> {
        let Place { field: (height, width), apart, first } = place;
        if let (true, Some(numbers)) = ((place.field, apart, first) == (image.size, 1, (0, 0)), image.as_they_are()) {
            return Ok(numbers);
        }
        if self.lanes.rows() == 0 {
            self.lanes = Padded::zeros(channels * height * width, LANES)?;
            self.row = Padded::zeros(image.size.1, LANES)?;
        }
        level.run(Set { place, channels, image, row: self.row.lanes_mut(), field: self.lanes.lanes_mut() });
        Ok(self.lanes.lanes())
    }
}

struct Set<'a, T> {
    place: Place,
    channels: usize,
    image: RowByRow<'a, T>,
    row: &'a mut [[T; LANES]],
    field: &'a mut [[T; LANES]],
}

impl<T: Float> Kernel for Set<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let Self { place, channels, image, row: pixels, field } = self;
        let (Place { field: (height, width), apart, first: (top, left) }, (rows, columns)) = (place, image.size);
        // The pixels of a row that lie inside, and where the first of them goes.
        let from = if left < 0 { left.unsigned_abs().div_ceil(apart).min(columns) } else { 0 };
        let start = (from * apart).checked_add_signed(left).unwrap_or(width).min(width);
        let fits = apart == 1 && from == 0 && start + columns <= width;
        for (channel, field) in field.chunks_exact_mut(height * width).enumerate().take(channels) {
            for y in 0..rows {
                let Some(row) = (y * apart).checked_add_signed(top).filter(|&row| row < height) else { continue };
                let to = &mut field[row * width..][start..width];
                if fits {
                    image.row(arithmetic, channel, y, &mut to[..columns]);
                    continue;
                }
                image.row(arithmetic, channel, y, pixels);
                to.iter_mut().step_by(apart).zip(&pixels[from..]).for_each(|(to, &pixel)| *to = pixel);
            }
        }
    }
}

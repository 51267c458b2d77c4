//! A window that moves over an image, and the pixels under it.
//!
//! An image is `channels × rows × columns`; around it lie `pad` rows and columns of padding on each side. The window
//! has `height × width` pixels and moves by `stride`: it has `1 + (rows + 2 pad - height) / stride` places down,
//! rounded down, and likewise across. Pixels left over at the end are ignored.
//!
//! ```text
//! col[(c, i, j), (y, x)] = image[c, y·stride + i - pad, x·stride + j - pad], 0 in the padding
//! ```
//!
//! With the pixels under each place in a column, a convolution is a matrix product. Cost: an image is copied
//! `height · width / stride²` times.

/// The window, and the image it moves over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Of the image.
    pub channels: usize,
    /// Of the image.
    pub rows: usize,
    /// Of the image.
    pub columns: usize,
    /// Of the window.
    pub height: usize,
    /// Of the window.
    pub width: usize,
    /// Pixels from one place to the next.
    pub stride: usize,
    /// Pixels around the image.
    pub pad: usize,
}

impl Window {
    /// A window of these sizes, in the order above, if it has at least one place.
    pub fn from_sizes(sizes: &[usize]) -> Option<Self> {
        let &[channels, rows, columns, height, width, stride, pad] = sizes else { return None };
        let fits = |size, window| {
            let padded = pad.checked_mul(2).and_then(|pad| pad.checked_add(size));
            window > 0 && padded.is_some_and(|padded| padded >= window)
        };
        // The most numbers that `col` can have; a size that overflows cannot be allocated.
        let padded = |size: usize| pad.checked_mul(2)?.checked_add(size);
        let most = [padded(rows), padded(columns), Some(channels.max(1)), Some(height), Some(width)];
        let counted = most.into_iter().try_fold(size_of::<f64>(), |product, size| product.checked_mul(size?));
        let there = stride > 0 && counted.is_some() && fits(rows, height) && fits(columns, width);
        there.then_some(Self { channels, rows, columns, height, width, stride, pad })
    }

    /// The same window over an image that already includes its padding.
    pub(crate) fn padded(self) -> Self {
        Self { rows: self.rows + 2 * self.pad, columns: self.columns + 2 * self.pad, pad: 0, ..self }
    }

    /// Pixels per channel.
    pub(crate) fn pixels(self) -> usize {
        self.rows * self.columns
    }

    /// Numbers per image.
    pub(crate) fn inputs(self) -> usize {
        self.channels * self.pixels()
    }

    /// Places of the window, down and across.
    pub(crate) fn places(self) -> (usize, usize) {
        let along = |size: usize, window: usize| 1 + (size + 2 * self.pad - window) / self.stride;
        (along(self.rows, self.height), along(self.columns, self.width))
    }

    /// Places in all.
    pub(crate) fn positions(self) -> usize {
        let (down, across) = self.places();
        down * across
    }

    /// Numbers under the window.
    pub(crate) fn under(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Of the places along an axis of `size` pixels, the range `from..to` for which pixel `at` of the window is inside
    /// the image; and the image pixel under it at the first of these.
    fn inside(self, at: usize, size: usize, places: usize) -> (usize, usize, usize) {
        let from = self.pad.saturating_sub(at).div_ceil(self.stride).min(places);
        // place · stride + at - pad < size
        let to = (size + self.pad).saturating_sub(at).div_ceil(self.stride).clamp(from, places);
        // If there is no such place, its pixel may overflow.
        (from, to, from.saturating_mul(self.stride).saturating_add(at).saturating_sub(self.pad))
    }

    /// Call `see(row of col, its first number, how many, first pixel)` for each run of numbers of `col` that are
    /// pixels, `stride` apart.
    #[inline(always)]
    fn runs(self, mut see: impl FnMut(usize, usize, usize, usize)) {
        let (down, across) = self.places();
        for channel in 0..self.channels {
            for i in 0..self.height {
                let (top, bottom, first_row) = self.inside(i, self.rows, down);
                for j in 0..self.width {
                    let (left, right, first_column) = self.inside(j, self.columns, across);
                    let k = (channel * self.height + i) * self.width + j;
                    // A pixel of the window that is always in the padding has no first place.
                    for y in if left < right { top..bottom } else { 0..0 } {
                        let row = first_row + (y - top) * self.stride;
                        let pixel = (channel * self.rows + row) * self.columns + first_column;
                        see(k, y * across + left, right - left, pixel);
                    }
                }
            }
        }
    }

    /// `col ←` the pixels under each place, shape (`under`, `positions`).
    pub(crate) fn unfold<T: Copy + Default>(self, image: &[T], col: &mut [T]) {
        let positions = self.positions();
        if self.pad > 0 {
            col.fill(T::default());
        }
        self.runs(|k, first, count, pixel| {
            let col = &mut col[k * positions + first..][..count];
            if self.stride == 1 {
                col.copy_from_slice(&image[pixel..pixel + count]);
            } else {
                col.iter_mut().zip(image[pixel..].iter().step_by(self.stride)).for_each(|(to, &from)| *to = from);
            }
        });
    }

    /// `image ← image +` the numbers in `col` for each pixel: overlaps are added up in the order of the pixels of the
    /// window.
    pub(crate) fn fold<T: Copy + std::ops::AddAssign>(self, col: &[T], image: &mut [T]) {
        let positions = self.positions();
        self.runs(|k, first, count, pixel| {
            let col = &col[k * positions + first..][..count];
            if self.stride == 1 {
                image[pixel..pixel + count].iter_mut().zip(col).for_each(|(to, &from)| *to += from);
            } else {
                image[pixel..].iter_mut().step_by(self.stride).zip(col).for_each(|(to, &from)| *to += from);
            }
        });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Windows of many shapes: strides that skip pixels, or that leave the image, padding wider than the window, one
    /// place, no channel.
    pub(crate) fn windows() -> impl Iterator<Item = Window> {
        let sizes = [
            [1, 5, 5, 3, 3, 1, 0],
            [2, 6, 5, 3, 2, 2, 1],
            [3, 4, 7, 1, 1, 1, 0],
            [2, 3, 3, 3, 3, 1, 2],
            [1, 7, 6, 2, 4, 3, 1],
            [2, 2, 2, 5, 4, 2, 2],
            [1, 3, 4, 2, 2, 1, 5],
            [4, 1, 1, 1, 1, 7, 0],
            [0, 3, 3, 2, 2, 1, 0],
            [2, 1, 2, 1, 6, 1, 2],
            [1, 2, 1, 6, 1, 3, 2],
            [1, 3, 2, 3, 3, usize::MAX, 2],
        ];
        sizes.into_iter().map(|sizes| Window::from_sizes(&sizes).unwrap())
    }

    /// The pixel under the window, by definition.
    pub(crate) fn pixel(w: Window, (y, x): (usize, usize), (c, i, j): (usize, usize, usize)) -> Option<usize> {
        let along = |place: usize, at: usize, size: usize| {
            let pixel = (place * w.stride + at) as i64 - w.pad as i64;
            (0..size as i64).contains(&pixel).then_some(pixel as usize)
        };
        Some((c * w.rows + along(y, i, w.rows)?) * w.columns + along(x, j, w.columns)?)
    }

    #[test]
    fn unfolding_is_its_definition_and_folding_its_transpose() {
        for w in windows() {
            let (down, across) = w.places();
            let image: Vec<i64> = (1..=w.inputs() as i64).collect();
            let mut col = vec![77; w.under() * w.positions()];
            w.unfold(&image, &mut col);
            let mut back = vec![0; image.len()];
            let ones = vec![1; col.len()];
            w.fold(&ones, &mut back);
            let mut times = vec![0; image.len()];
            let mut at = 0;
            for k in (0..w.channels).flat_map(|c| (0..w.height).flat_map(move |i| (0..w.width).map(move |j| (c, i, j))))
            {
                for place in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                    let pixel = pixel(w, place, k);
                    assert_eq!(col[at], pixel.map_or(0, |pixel| image[pixel]), "{w:?} {k:?} {place:?}");
                    if let Some(pixel) = pixel {
                        times[pixel] += 1;
                    }
                    at += 1;
                }
            }
            assert_eq!(back, times, "{w:?}");
        }
    }

    #[test]
    fn a_window_that_has_no_place_is_none() {
        for sizes in [
            &[1, 2, 5, 3, 3, 1, 0][..],
            &[1, 5, 2, 3, 3, 1, 0],
            &[1, 5, 5, 0, 3, 1, 0],
            &[1, 5, 5, 3, 3, 0, 0],
            &[1, 5],
        ] {
            assert_eq!(Window::from_sizes(sizes), None, "{sizes:?}");
        }
        assert_eq!(Window::from_sizes(&[1, 5, 5, 3, 3, 1, usize::MAX]), None);
    }
}

//! The layers after a convolution that it fuses with: an elementwise function, and max pooling of 2 × 2 windows.
//!
//! ```text
//! out = f(largest of each window of the map)          = largest of f(map), since f never decreases
//! ```
//!
//! So the map, which has four times as many numbers as the output, is never stored. The backward pass does not need it
//! either: the output gives the derivative of f, and the place of each largest number is remembered. The map's
//! gradients are made row by row where they are used, in the L1 cache.

use crate::dense::padded::LANES;
use crate::layers::activation::{Activation, Backward};
use crate::layers::pooling::{winners_of_row, Pooling};
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::Float;

/// A function, and before it max pooling; either may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Behind {
    pub f: Option<Activation>,
    pub pooling: Option<Pooling>,
}

impl Behind {
    /// With a function added, if it can be fused.
    pub(crate) fn with_function(self, f: Activation) -> Option<Self> {
        (self == Self::default()).then_some(Self { f: Some(f), ..self })
    }

    /// With pooling added, if it can be fused. A function that rounds could make different numbers equal, and so change
    /// which of them is the first largest.
    pub(crate) fn with_pooling(self, pooling: Pooling) -> Option<Self> {
        let exact = matches!(self.f, None | Some(Activation::Relu));
        (exact && self.pooling.is_none() && pooling.is_taken_on()).then_some(Self { pooling: Some(pooling), ..self })
    }

    /// `x ← f(x)`.
    pub(crate) fn apply<T: Float>(self, level: Level, x: &mut [T]) {
        self.f.iter().for_each(|f| f.apply_in_place(level, x));
    }
}

/// Images side by side, produced row by row: either stored as they are, or computed as the gradients of a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowByRow<'a, T> {
    /// Rows and columns of a channel.
    pub size: (usize, usize),
    /// The numbers themselves; or the gradients of the output, and the output.
    pub numbers: &'a [[T; LANES]],
    pub out: &'a [[T; LANES]],
    /// Where the largest of each window was.
    pub places: &'a [[u32; LANES]],
    pub behind: Behind,
}

impl<'a, T: Float> RowByRow<'a, T> {
    /// Images of this size, stored as they are.
    pub(crate) fn of(size: (usize, usize), numbers: &'a [[T; LANES]]) -> Self {
        Self { size, numbers, out: &[], places: &[], behind: Behind::default() }
    }

    /// All of them, if they are stored as they are.
    pub(crate) fn as_they_are(self) -> Option<&'a [[T; LANES]]> {
        (self.behind == Behind::default()).then_some(self.numbers)
    }

    /// `to ←` row `y` of a channel.
    #[inline(always)]
    pub(crate) fn row(self, arithmetic: impl Arithmetic, channel: usize, y: usize, to: &mut [[T; LANES]]) {
        let Self { size: (rows, columns), numbers, out, places, behind } = self;
        if behind.pooling.is_none() {
            let at = (channel * rows + y) * columns;
            to.copy_from_slice(&numbers[at..][..columns]);
            if let Some(f) = behind.f {
                let (out, d) = (out[at..][..columns].as_flattened(), to.as_flattened_mut());
                Backward { f, out, d }.run(arithmetic);
            }
            return;
        }
        let at = (channel * (rows / 2) + y / 2) * (columns / 2);
        let along = |numbers: &'a [[T; LANES]]| &numbers[at..][..columns / 2];
        let through = behind.f.is_none();
        let opened = along(numbers).iter().zip(along(out)).map(|(d, out)| {
            let mut d = *d;
            for lane in 0..LANES {
                d[lane] = if !through && out[lane] <= T::zero() { T::zero() } else { d[lane] };
            }
            d
        });
        winners_of_row::<T, 2>((y * columns) as u32, opened.zip(&places[at..][..columns / 2]), to);
    }
}

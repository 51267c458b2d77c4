//! What a product does with what is there.

use crate::Float;

/// What to do with what `C` holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Onto<T> {
    /// `C ← A·B`; `C` is not read.
    Nothing,
    /// `C ← C + f·A·B`.
    Itself(T),
}

impl<T: Float> Onto<T> {
    /// What to do with it for the next terms of the same sums.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Nothing => Self::Itself(T::one()),
            Self::Itself(_) => self,
        }
    }
}

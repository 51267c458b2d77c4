//! What a product does with the old contents of its output.

use crate::Float;

/// What to do with the old contents of `C`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Onto<T> {
    /// `C ← A·B`; `C` is not read.
    Nothing,
    /// `C ← C + f·A·B`.
    Itself(T),
}

impl<T: Float> Onto<T> {
    /// The same for the next terms of the same sums.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Nothing => Self::Itself(T::one()),
            Self::Itself(_) => self,
        }
    }
}

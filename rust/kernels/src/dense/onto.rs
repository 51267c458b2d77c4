//! What a product does with what is there.

/// What to do with what `C` holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Onto<T> {
    /// `C ← A·B`; `C` is not read.
    Nothing,
    /// `C ← C + f·A·B`.
    Itself(T),
}

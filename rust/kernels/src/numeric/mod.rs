//! The numeric side of a gradient check: losses of a network some of whose numbers were moved. Forward code only.

pub mod directions;
pub mod entries;

//! The numeric side of a gradient check: losses of a network with some of its numbers moved. Forward code only.

pub mod directions;
pub mod entries;

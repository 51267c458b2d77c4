//! Products of matrices that are gone through as a whole, and matrices laid out for them.

pub mod matmul;
pub mod padded;

pub(crate) mod leftover;
pub(crate) mod transpose;

//! The layers, one by one.

pub mod activation;
pub mod affine;

//! The arithmetic of small dense networks: ndarray in, ndarray out, no Python anywhere.
//!
//! | module | what |
//! |---|---|
//! | [`matmul`] | A·B, Aᵀ·B, A·Bᵀ |
//! | [`softmax_loss`] | the mean cross entropy of softmax scores, and its gradient |
//! | [`stack`] | what a network is made of, and its forward pass over many rows |
//! | [`training`] | many steps of gradient descent without leaving Rust |
//! | [`level`] | which instruction set this process uses |
//!
//! Every function is generic over [`Float`] (`f32`, `f64`), checks the shapes it is given and answers a mismatch with a
//! [`KernelError`]; none panics on any input. Nothing here starts a thread, prints, or keeps state between calls.

pub mod level;
pub mod matmul;
pub mod softmax_loss;
pub mod stack;
pub mod training;

mod error;
mod float;

pub use error::KernelError;
pub use float::Float;

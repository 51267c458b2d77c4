//! The arithmetic of small dense networks: ndarray in, ndarray out, no Python anywhere.
//!
//! | module | what |
//! |---|---|
//! | [`affine`] | the readable layers' products, which skip zeros if that pays |
//! | [`rows`] | examples as they are stored: bytes, f32 or f64 |
//! | [`matmul`] | A·B, Aᵀ·B, A·Bᵀ |
//! | [`sparse`] | products that skip zeros, found by `columns` in [`nonzeros`] (training) or by `marks` in the data itself |
//! | [`padded`] | a matrix whose rows are whole vectors |
//! | [`loss`] | what is made small: softmax, squared, sigmoid; its gradient, and what is right |
//! | [`activation`] | the elementwise layers |
//! | [`stack`] | what a network is made of, and its forward pass over many rows |
//! | [`optimize`] | what a gradient does to a parameter |
//! | [`numeric`] | losses after single numbers of a network were moved, the numeric side of a gradient check |
//! | [`along`] | losses after all of them were moved along one direction |
//! | [`gradcheck`] | whether a gradient belongs to its function, for tests of your own |
//! | [`training`] | many steps of gradient descent without leaving Rust |
//! | [`evaluation`] | loss and accuracy over a data set |
//! | [`level`], [`threads`] | which instruction set this process uses, and how many threads |
//!
//! Every kernel is generic over [`Float`] (`f32`, `f64`), checks the shapes it is given and answers a mismatch with a
//! [`KernelError`]. (The parts of `sparse` and `padded` are for `training` and `stack`, which check for them.) Nothing
//! here prints; what outlives a call is the pool of threads and the choice of instruction set.

pub mod activation;
pub mod affine;
pub mod along;
pub mod evaluation;
pub mod gradcheck;
pub mod level;
pub mod loss;
pub mod matmul;
pub mod nonzeros;
pub mod numeric;
pub mod optimize;
pub mod padded;
pub mod rows;
pub mod sparse;
pub mod stack;
pub mod threads;
pub mod training;

mod columns;
mod error;
mod exp;
mod first;
mod float;
mod leftover;
mod marks;
mod pair;
mod part;
mod transpose;

pub use error::KernelError;
pub use float::Float;

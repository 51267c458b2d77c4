//! The arithmetic of small networks: ndarray in, ndarray out, no Python anywhere.
//!
//! | folder | what |
//! |---|---|
//! | [`machine`] | [`level`](machine::level), [`threads`](machine::threads): which instruction set this process uses, and how many threads |
//! | [`dense`] | [`matmul`](dense::matmul): A·B, Aᵀ·B, A·Bᵀ; [`padded`](dense::padded): a matrix whose rows are whole vectors |
//! | [`sparse`] | the same products without the zeros: [`rows`](sparse::rows) as they are stored, their [`nonzeros`](sparse::nonzeros), and the [`product`](sparse::product) |
//! | [`layers`] | [`affine`](layers::affine), [`activation`](layers::activation), [`convolution`](layers::convolution) and [`pooling`](layers::pooling) by a [`window`](layers::window), [`normalization`](layers::normalization), [`dropout`](layers::dropout); a single one [`alone`](layers::alone) |
//! | [`loss`] | what training minimizes: softmax, squared, sigmoid; the gradient, and which answers are right |
//! | [`network`] | [`stack`](network::stack): the layers of a network, and its forward pass; [`training`](network::training) by an [`optimizer`](network::optimize), [`evaluation`](network::evaluation) |
//! | [`numeric`] | the numeric side of a gradient check: losses with single [`entries`](numeric::entries) moved, or all of them along [`directions`](numeric::directions) |
//! | [`gradcheck`] | whether a gradient belongs to its function, for tests of your own: a separate crate, which nothing here calls |
//!
//! Every kernel is generic over [`Float`] (`f32`, `f64`), checks the shapes of its arguments and reports a mismatch as
//! a [`KernelError`]. (The functions of `sparse` and `padded` rely on `network` to check.) Nothing here prints; only
//! the pool of threads and the choice of instruction set outlive a call.

pub mod dense;
pub mod layers;
pub mod loss;
pub mod machine;
pub mod network;
pub mod numeric;
pub mod sparse;

mod error;

pub use chainrule_gradcheck as gradcheck;
pub use error::KernelError;
pub use machine::float::Float;

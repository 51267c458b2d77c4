//! Products that skip the zeros of the data, and the first layer of a network in training, which is built from them.
//!
//! A whole training step of that layer, from the row of bytes to the updated `W`:
//!
//! ```text
//! once, before training                                                                    nonzeros
//!     for each row of the data, for each pair of neighbouring columns (2p, 2p + 1)
//!         unless both numbers are 0: note the place p and the two numbers
//!
//! each step, for a block of rows; `main` and `helper` are threads,                         first_layer, helper_thread
//! each with a partition of the columns and the rows of W that belong to them               partition
//!
//!     main, helper    for each row n of the block, for each of its pairs (p, x, y)         columns
//!                         append (n, x, y) to the list of p
//!     main, helper    for each p, W[2p] and W[2p + 1] in registers                         product::Forward
//!                         for each (n, x, y) of p: out[n] += x W[2p] + y W[2p + 1]
//!     helper → main   its out                                                              helper_thread
//!     main            scores = (b + its own out) + the helper's                            first_layer
//!     main            all other layers, the loss, and back: d, the gradient of scores      network::training
//!     main → helper   d                                                                    helper_thread
//!     main, helper    for each p, dW[2p] and dW[2p + 1] in registers                       product::Backward
//!                         for each (n, x, y) of p: dW[2p] += x d[n], dW[2p + 1] += y d[n]
//!                         plain gradient descent: W[2p] -= η dW[2p], W[2p + 1] -= η …      partition
//!     main, helper    other optimizers: one pass over dW, their state and W                network::optimize
//! ```
//!
//! Over a batch of several blocks, `dW` is accumulated, and `W` is updated after the last block.
//!
//! With one thread, or until the helper has started, `main` does both partitions, one after the other: the same sums,
//! so the same bits. At the end of a call the partitions' copies of `W` are written back to the caller's.
//!
//! | file | what |
//! |---|---|
//! | [`rows`] | examples as they are stored: bytes, f32 or f64 |
//! | [`nonzeros`] | a data set without its zeros, built in one pass |
//! | `blocks` | the rows of each batch, a block at a time: all of them, unless the batch is large |
//! | `columns` | a block as lists, one for each pair of columns |
//! | `marks` | the same found anew at each call, for layers called one by one: a bit tells whether a pair is nonzero |
//! | [`product`] | `X·W + b` and `Xᵀ·d` through such lists |
//! | `partition`, `first_layer`, `helper_thread` | the layer in training |

pub mod nonzeros;
pub mod product;
pub mod rows;

pub(crate) mod blocks;
pub(crate) mod columns;
pub(crate) mod first_layer;
pub(crate) mod helper_thread;
pub(crate) mod marks;
pub(crate) mod partition;

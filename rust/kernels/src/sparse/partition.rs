//! A partition of the first layer of a network in training, over data without its zeros: some columns of the data, and
//! the rows of `W` that belong to them.
//!
//! ```text
//! forward     out ← X·W              what these columns add to the layer's scores
//! backward    W by the optimizer's rule, from Xᵀ·d
//! ```
//!
//! Both work on copies of `W` and its optimizer state, with rows padded to half lanes, which are written back at the
//! end of a call.
//!
//! A large batch comes in blocks, whose gradients are accumulated: `W` is updated after the last one.
//!
//! Plain gradient descent, over batches of one block, updates a row of `W` while its gradient is in registers: a step
//! of 784-50-10 with 100 MNIST images in f32 then reads `W` twice and writes it once, and never stores `dW`. The other
//! rules store `dW` and make one more pass over everything: a root and a division per number between two short products
//! stall the CPU, and Adam's step, measured by itself, took 110 µs that way against 90.

use crate::dense::padded::{Padded, LANES};
use crate::machine::level::{Arithmetic, Level};
use crate::network::optimize::Optimizer;
use crate::sparse::blocks::Block;
use crate::sparse::columns::Columns;
use crate::sparse::nonzeros::Nonzeros;
use crate::sparse::product::{length, numbers, EachRow};
use crate::sparse::rows::index;
use crate::{Float, KernelError};
use std::ops::Range;

/// Some columns of the data and what belongs to them.
#[derive(Debug)]
pub(crate) struct Partition<T> {
    tiles: Range<usize>,
    /// The range of its rows in arrays like `W`.
    numbers: Range<usize>,
    columns: Columns<T>,
    w: Padded<T>,
    /// The gradient of `w`; empty under plain gradient descent over whole batches, which does not store it.
    d_w: Padded<T>,
    /// The optimizer state of `w`.
    state: Vec<Padded<T>>,
    /// The contribution of these columns to the scores.
    pub out: Padded<T>,
}

impl<T: Float> Partition<T> {
    /// A partition over these tiles of `x`, for blocks of up to `at_once` rows.
    pub(crate) fn new(
        x: &Nonzeros<T>,
        tiles: Range<usize>,
        outputs: usize,
        at_once: usize,
    ) -> Result<Self, KernelError> {
        let features = x.columns(&tiles);
        let mut w = Padded::of_halves();
        w.reshape(features.len(), outputs)?;
        Ok(Self {
            tiles,
            numbers: features.start * outputs..features.end * outputs,
            columns: Columns::default(),
            w,
            d_w: Padded::of_halves(),
            state: Vec::new(),
            out: Padded::zeros(at_once, outputs)?,
        })
    }

    /// Copy its rows of `w` and of the optimizer state here, and reserve all memory that steps over `x` need, with
    /// whole batches or `in_blocks`.
    pub(crate) fn load(
        &mut self,
        level: Level,
        x: &Nonzeros<T>,
        optimizer: &Optimizer,
        in_blocks: bool,
        w: &[T],
        state: &[&mut [T]],
    ) -> Result<(), KernelError> {
        self.columns.reserve(x, &self.tiles, self.out.rows())?;
        let (rows, columns) = (self.w.rows(), self.w.columns());
        self.w.load(level, &w[self.numbers.clone()]);
        self.state.resize_with(state.len(), Padded::of_halves);
        for (here, there) in self.state.iter_mut().zip(state) {
            here.reshape(rows, columns)?;
            here.load(level, &there[self.numbers.clone()]);
        }
        if in_blocks || !optimizer.rests_on_zero() {
            self.d_w.reshape(rows, columns)?;
        }
        Ok(())
    }

    /// Copy them back.
    pub(crate) fn store(&self, level: Level, w: &mut [T], state: &mut [&mut [T]]) {
        self.w.store(level, &mut w[self.numbers.clone()]);
        for (here, there) in self.state.iter().zip(state) {
            here.store(level, &mut there[self.numbers.clone()]);
        }
    }

    /// `out ← b + X·W` for a block of rows of `x`; the `next` block is prefetched. An empty `b` counts as zeros.
    pub(crate) fn forward(
        &mut self,
        level: Level,
        x: &Nonzeros<T>,
        rows: &[i64],
        next: &[i64],
        b: &[T],
    ) -> Result<(), KernelError> {
        let [rows, next] = [rows, next].map(|rows| rows.iter().map(index));
        self.columns.refill(level, x, self.tiles.clone(), rows, next)?;
        self.columns.forward(level, &self.w, b, &mut self.out);
        Ok(())
    }

    /// Take the gradient of a block's scores; after the last block of a batch, update `W`.
    pub(crate) fn backward(&mut self, level: Level, optimizer: &Optimizer, d: &Padded<T>, block: Block<'_>) {
        let Self { w, d_w, columns, state, .. } = self;
        let apart = w.apart();
        if block.begins && block.ends && optimizer.rests_on_zero() {
            let each = Descend { w: w.numbers_mut(), apart, rate: T::of(optimizer.learning_rate) };
            return columns.backward(level, d, each, false);
        }
        let each = Keep { d_w: d_w.numbers_mut(), apart, onto_itself: !block.begins };
        columns.backward(level, d, each, block.begins);
        if block.ends {
            optimizer.update(level, w.numbers_mut(), d_w.numbers(), state.iter_mut().map(Padded::numbers_mut), true);
        }
    }
}

/// Stores each row of the gradient, or adds it to what is stored.
struct Keep<'a, T> {
    d_w: &'a mut [T],
    apart: usize,
    onto_itself: bool,
}

impl<T: Float> EachRow<T> for Keep<'_, T> {
    #[inline(always)]
    fn row<const N: usize, const HALF: bool>(
        &mut self,
        p: usize,
        first: usize,
        lanes: [[T; LANES]; N],
        _: impl Arithmetic,
    ) {
        let d_w = &mut self.d_w[p * self.apart + first * LANES..][..length::<N, HALF>()];
        for lane in 0..N {
            for i in 0..numbers::<N, HALF>(lane) {
                let (to, d) = (&mut d_w[lane * LANES + i], lanes[lane][i]);
                *to = if self.onto_itself { *to + d } else { d };
            }
        }
    }
}

/// `W ← W - η dW`, row by row.
struct Descend<'a, T> {
    w: &'a mut [T],
    apart: usize,
    rate: T,
}

impl<T: Float> EachRow<T> for Descend<'_, T> {
    #[inline(always)]
    fn row<const N: usize, const HALF: bool>(
        &mut self,
        p: usize,
        first: usize,
        lanes: [[T; LANES]; N],
        arithmetic: impl Arithmetic,
    ) {
        let w = &mut self.w[p * self.apart + first * LANES..][..length::<N, HALF>()];
        for lane in 0..N {
            for i in 0..numbers::<N, HALF>(lane) {
                w[lane * LANES + i] = arithmetic.mul_add(-self.rate, lanes[lane][i], w[lane * LANES + i]);
            }
        }
    }
}

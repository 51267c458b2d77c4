//! The gradient of a part of a batch, a shard, and the update by a gradient that was added up elsewhere.
//!
//! ```text
//! g = 1/B Σ over the rows of the shard of the gradient of each one's loss        B: the rows of the whole batch
//! ```
//!
//! The sum of the shards' gradients is that of the batch. In which order they are added up is the caller's to say, and whether on one machine or on
//! many: so the bits of a step depend on the shards, not on who computed which.
//!
//! Zeros are not skipped: the product that does so keeps the gradient of its `W` where it updates it. Cost: that of a [step](super) without its
//! update, and one pass over the gradient for each shard.

use super::{Batches, Parameters, Trainer};
use crate::error::agree;
use crate::layers::{add, size, Draws, Mode};
use crate::machine::interrupt;
use crate::machine::level::Level;
use crate::machine::threads;
use crate::network::optimize::{Optimizer, Rule};
use crate::network::stack::{Data, Stack};
use crate::sparse::blocks::Blocks;
use crate::{Float, KernelError};

/// Numbers that one thread adds at a time.
const PART: usize = 1 << 16;

impl<T: Float> Trainer<T> {
    /// `out ← g`, or `out ← out + g` if told to add: the gradient of a shard, the rows of `shard`, `of_batch` so many; all parameters one after the other. Gives the sum of
    /// the losses of the rows. Running statistics among `arrays` follow the shard.
    ///
    /// # Errors
    ///
    /// As [`Trainer::run`]; then `arrays` are as they were, and nothing is said of `out`.
    pub fn gradient(
        &mut self,
        arrays: &mut [&mut [T]],
        shard: Batches<'_, T>,
        of_batch: usize,
        adding: bool,
        out: &mut [T],
    ) -> Result<f64, KernelError> {
        let unused = Optimizer { rule: Rule::Sgd, learning_rate: 0.0, weight_decay: 0.0, steps: 0, largest_norm: None };
        self.check(&Parameters { values: arrays, state: &mut [] }, &shard, &unused)?;
        let learnt = self.stack.shapes_of_parameters().map(size).fold(0, usize::saturating_add);
        agree("the size of the gradient", out.len(), "that of all parameters", learnt)?;
        agree("the zeros left out", usize::from(matches!(shard.x, Data::Nonzeros(_))), "what a shard allows", 0)?;
        agree("the rows beyond the size", shard.rows.len().saturating_sub(shard.size), "what a shard may have", 0)?;
        if shard.rows.is_empty() {
            out.iter_mut().filter(|_| !adding).for_each(|g| *g = T::zero());
            return Ok(0.0);
        }
        let (mut draws, mut loss) = (shard.draws, 0.0);
        for block in Blocks::new(shard.rows, shard.rows.len(), self.at_once) {
            interrupt::check()?;
            loss += self.forward(&mut None, arrays, &shard, &unused, (block.rows, of_batch), draws)?;
            self.backward(&mut None, arrays, &mut [], &unused, true, block, draws)?;
            draws.row = draws.row.wrapping_add(block.rows.len() as u64);
        }
        interrupt::whole(|| {
            let mut behind = out;
            for (k, (layer, step)) in self.steps.iter().enumerate() {
                let flow = self.stack.flow_arranged(step, self.at_once);
                let (its, rest) = behind.split_at_mut(layer.size(flow.inputs).min(behind.len()));
                let parts = its.chunks_mut(PART).zip(self.whole[k].chunks(PART));
                threads::each_with(parts, || (), |(), (its, found)| add(its, found, adding));
                behind = rest;
                let pass = self.memories[k].pass(*layer, flow, Mode::Train(Draws::default()));
                layer.note(&mut arrays[self.stack.arrays_of(step.start)], &pass);
            }
        });
        Ok(loss)
    }
}

/// Update the parameters of a stack by the gradient of all of them, one after the other. Counts in `optimizer.steps`.
///
/// # Errors
///
/// [`KernelError::Sizes`] if anything does not fit; nothing is written then.
pub fn update<T: Float>(
    level: Level,
    stack: &Stack,
    params: Parameters<'_, '_, T>,
    gradient: &[T],
    optimizer: &mut Optimizer,
) -> Result<(), KernelError> {
    let (shapes, states) = (stack.shapes_of_parameters().collect::<Vec<_>>(), optimizer.rule.states());
    let sizes: Vec<_> = shapes.iter().cloned().map(size).collect();
    let Parameters { values, state } = params;
    agree("the number of parameters", values.len(), "the number of those that the layers have", sizes.len())?;
    agree("the number of arrays of state", state.len(), "that of the optimizer", states * sizes.len())?;
    let each = sizes.iter().flat_map(|&size| std::iter::repeat_n(size, states));
    let found = values.iter().map(|p| p.len()).chain(state.iter().map(|s| s.len()));
    for (got, wanted) in found.zip(sizes.iter().copied().chain(each)) {
        agree("the size of an array", got, "the size of its parameter", wanted)?;
    }
    agree("the size of the gradient", gradient.len(), "that of all parameters", sizes.iter().sum())?;
    interrupt::whole(|| {
        optimizer.steps = optimizer.steps.saturating_add(1);
        optimizer.update_each(level, &shapes, values, gradient, state);
    });
    Ok(())
}

//! The gradient over a part of a batch, a shard, and the update with a gradient that was summed elsewhere.
//!
//! ```text
//! g = 1/B Σ over the rows of the shard of the gradient of each one's loss        B: the rows of the whole batch
//! ```
//!
//! The sum of the shards' gradients is the gradient of the batch. The caller decides in which order they are summed, and on
//! how many machines. So the bits of a step depend on the shards, not on who computed which.
//!
//! Zeros are not skipped: the product that does so keeps the gradient of its `W` where it updates it. Cost: that of a
//! [step](super) without its update, and one pass over the gradient per shard.

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

/// Numbers that a thread adds at a time.
const PART: usize = 1 << 16;

impl<T: Float> Trainer<T> {
    /// `out ← g`, or `out ← out + g` if `adding`: the gradient over the rows of `shard`, a part of a batch of `of_batch`
    /// rows, with all parameters one after the other. Returns the sum of the rows' losses. The running statistics among
    /// `arrays` follow the shard.
    ///
    /// # Errors
    ///
    /// As [`Trainer::run`]; `arrays` are then unchanged, and the values of `out` are unspecified.
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

/// Update the parameters of a stack with their gradient, one parameter after the other. Advances `optimizer.steps`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::layers::activation::Activation::{Relu, Tanh};
    use crate::layers::Layer;
    use crate::loss::{Loss, Targets};
    use crate::machine::level::available;
    use crate::sparse::rows::Rows;
    use ndarray::Array2;
    use std::time::{Duration, Instant};

    fn network() -> (Stack, Vec<Vec<f64>>, Array2<f64>, Vec<i64>) {
        let layers = vec![
            Layer::affine(9),
            Layer::Activation(Relu),
            Layer::from_description("dropout", &[], &[0.3]).unwrap(),
            Layer::affine(7),
            Layer::Activation(Tanh),
            Layer::affine(3),
        ];
        let stack = Stack::new(5, layers, Loss::Softmax);
        let params = stack.sizes().map(|n| numbers::<f64>((1, n), n as u64).into_iter().collect()).collect();
        (stack, params, numbers((20, 5), 7), (0..20).map(|i| i % 3).collect())
    }

    fn borrow(arrays: &mut [Vec<f64>]) -> Vec<&mut [f64]> {
        arrays.iter_mut().map(Vec::as_mut_slice).collect()
    }

    fn sgd(learning_rate: f64) -> Optimizer {
        Optimizer { rule: Rule::Sgd, learning_rate, weight_decay: 0.0, steps: 0, largest_norm: None }
    }

    #[test]
    fn shards_of_any_length_sum_to_the_step_of_the_batch() {
        let (stack, before, x, t) = network();
        let draws = Draws { seed: 3, step: 5, ..Draws::default() };
        let rows: Vec<i64> = (0..17).map(|i| i * 7 % 20).collect();
        let all = Batches { x: Data::Rows(Rows::Double(x.view())), t: Targets::ids(&t), rows: &rows, size: 17, draws };
        for &level in available() {
            let (mut stepped, mut losses) = (before.clone(), [0.0]);
            let params = Parameters { values: &mut borrow(&mut stepped), state: &mut [] };
            let late = Instant::now() + Duration::from_secs(60);
            let mut trainer = Trainer::new(stack.clone(), level, 17).unwrap();
            trainer.run(params, all, &mut sgd(1.0), true, late, &mut losses, None).unwrap();
            for cuts in [vec![0, 17], vec![0, 8, 17], vec![0, 1, 1, 6, 17]] {
                let mut g = vec![f64::NAN; before.concat().len()];
                let (mut arrays, mut loss) = (before.clone(), 0.0);
                let mut trainer = Trainer::new(stack.clone(), level, 17).unwrap();
                for (i, ends) in cuts.windows(2).enumerate() {
                    let draws = Draws { row: ends[0] as u64, ..draws };
                    let shard = Batches { rows: &rows[ends[0]..ends[1]], draws, ..all };
                    loss += trainer.gradient(&mut borrow(&mut arrays), shard, 17, i > 0, &mut g).unwrap();
                }
                assert_eq!(arrays, before);
                // Sums of at most 17 terms around 1, in another order.
                assert!((loss / 17.0 - losses[0]).abs() < 1e-13);
                let down = before.concat().into_iter().zip(&g).map(|(p, g)| p - g);
                assert!(down.zip(stepped.concat()).all(|(a, b)| (a - b).abs() < 1e-13), "{cuts:?} at {}", level.name());
                let params = Parameters { values: &mut borrow(&mut arrays), state: &mut [] };
                let mut optimizer = sgd(1.0);
                update(level, &stack, params, &g, &mut optimizer).unwrap();
                assert_eq!(optimizer.steps, 1);
                assert!(arrays.concat().iter().zip(stepped.concat()).all(|(a, b)| (a - b).abs() < 1e-13));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_written() {
        let (stack, mut params, x, t) = network();
        let (level, before) = (available()[0], params.clone());
        let mut trainer = Trainer::new(stack.clone(), level, 4).unwrap();
        let x = Data::Rows(Rows::Double(x.view()));
        let shard = Batches { x, t: Targets::ids(&t), rows: &[1, 2, 3], size: 4, draws: Draws::default() };
        let learnt = before.concat().len();
        for (rows, size) in [(&[1, 2, 3][..], learnt - 1), (&[1, 2, 30], learnt), (&[1, 2, 3, 4, 5], learnt)] {
            let shard = Batches { rows, ..shard };
            let done = trainer.gradient(&mut borrow(&mut params), shard, 9, false, &mut vec![0.0; size]);
            assert!(done.is_err(), "{rows:?} {size}");
        }
        for (rule, states, size) in
            [(Rule::Sgd, 0, learnt + 1), (Rule::Momentum(0.9), 0, learnt), (Rule::Sgd, 1, learnt)]
        {
            let mut state: Vec<_> = vec![vec![0.0; 3]; states];
            let mut optimizer = Optimizer { rule, ..sgd(1.0) };
            let params = Parameters { values: &mut borrow(&mut params), state: &mut borrow(&mut state) };
            assert!(update(level, &stack, params, &vec![1.0; size], &mut optimizer).is_err());
            assert_eq!(optimizer.steps, 0);
        }
        assert_eq!(params, before);
    }
}

//! One step of gradient descent: forward, loss, backward and update, for the rows of one batch, block by block.
//!
//! [`training`](super) says when the parameters are updated during the backward pass, and when at the end.

use super::{Batches, Trainer};
use crate::error::resize;
use crate::layers::side_by_side::rearrange;
use crate::layers::{add, affine, Draws, Mode};
use crate::machine::interrupt;
use crate::network::optimize::Optimizer;
use crate::network::stack::Data;
use crate::sparse::blocks::{Block, Blocks};
use crate::sparse::first_layer::InSteps;
use crate::sparse::rows::index;
use crate::{Float, KernelError};

impl<T: Float> Trainer<T> {
    /// A step over a batch of these rows. With `stop_if_diverged`, it is not taken if its loss is not finite; returns
    /// whether it was.
    #[allow(clippy::too_many_arguments)] // those of `run`, for one batch
    pub(super) fn step(
        &mut self,
        first: &mut Option<InSteps<'_, T>>,
        values: &mut [&mut [T]],
        state: &mut [&mut [T]],
        batches: &Batches<'_, T>,
        optimizer: &mut Optimizer,
        late: bool,
        stop_if_diverged: bool,
        rows: &[i64],
        mut draws: Draws,
        loss: &mut f64,
    ) -> Result<bool, KernelError> {
        let now = Optimizer { steps: optimizer.steps.saturating_add(1), ..*optimizer };
        *loss = 0.0;
        for block in Blocks::new(rows, rows.len(), self.at_once) {
            interrupt::check()?;
            *loss += self.forward(first, values, batches, optimizer, (block.rows, rows.len()), draws)?;
            if block.ends {
                *loss /= rows.len() as f64;
                if stop_if_diverged && !loss.is_finite() {
                    return Ok(false);
                }
            }
            self.backward(first, values, state, &now, late, block, draws)?;
            draws.row = draws.row.wrapping_add(block.rows.len() as u64);
        }
        if late {
            interrupt::whole(|| self.update(first.is_some(), values, state, &now));
        }
        *optimizer = now;
        Ok(true)
    }

    /// The sum of the losses of some rows, out of a batch of `of_batch`; `self.gradients.d ←` the gradient of their
    /// scores.
    pub(super) fn forward(
        &mut self,
        first: &mut Option<InSteps<'_, T>>,
        params: &[&mut [T]],
        batches: &Batches<'_, T>,
        optimizer: &Optimizer,
        (rows, of_batch): (&[i64], usize),
        draws: Draws,
    ) -> Result<f64, KernelError> {
        let n = rows.len();
        let numbers = rows.iter().map(index);
        let mut from = 0;
        if let (Some(first), Some((layer, outputs))) = (first, self.stack.first_product()) {
            let params = &params[self.stack.arrays_of(layer)];
            let changes = self.stack.side_by_side(layer + 1, n);
            // Neither this layer nor a scale before it is fused with another, so its step has its index.
            let out = if changes { &mut self.outputs[layer] } else { &mut self.inputs[layer + 1] };
            affine::forward_skipping(first, optimizer, params, &mut out[..n * outputs])?;
            if changes {
                rearrange(self.level, true, (n, outputs), &self.outputs[layer], &mut self.inputs[layer + 1])?;
            }
            from = layer + 1;
        } else if let Data::Rows(x) = batches.x {
            let features = self.stack.features;
            if self.stack.side_by_side(0, n) {
                x.gather(numbers.clone(), &mut self.gathered[..n * features]);
                rearrange(self.level, true, (n, features), &self.gathered, &mut self.inputs[0])?;
            } else {
                x.gather(numbers.clone(), &mut self.inputs[0][..n * features]);
            }
        }
        for (k, (layer, step)) in self.steps.iter().enumerate().filter(|(_, (_, step))| step.start >= from) {
            let (i, flow) = (step.start, self.stack.flow_arranged(step, n));
            let (next, (before, after)) = (self.stack.side_by_side(step.end, n), self.inputs.split_at_mut(k + 1));
            let changes = flow.side_by_side != next;
            let out = if changes { &mut self.outputs[k] } else { &mut after[0] };
            let (x, out) = (&before[k][..flow.room() * flow.inputs], &mut out[..flow.room() * flow.outputs]);
            let mut pass = self.memories[k].pass(*layer, flow, train(draws, i));
            layer.forward(self.level, &params[self.stack.arrays_of(i)], flow, x, out, &mut pass)?;
            if changes {
                rearrange(self.level, next, (n, flow.outputs), &self.outputs[k], &mut after[0])?;
            }
        }
        let classes = self.stack.classes();
        let scores = &self.inputs[self.steps.len()][..n * classes];
        let (level, loss, d) = (self.level, self.stack.loss, &mut self.gradients.d[..n * classes]);
        let sum = loss.sum(level, scores, batches.t, numbers.clone(), d);
        loss.gradient(level, batches.t, numbers, of_batch, d);
        Ok(sum)
    }

    /// The backward pass from the gradient of a block's scores. Updates the parameters of each layer; or, if `late`,
    /// accumulates their gradients.
    #[allow(clippy::too_many_arguments)] // what is trained, how, and on which part of a batch
    pub(super) fn backward(
        &mut self,
        first: &mut Option<InSteps<'_, T>>,
        params: &mut [&mut [T]],
        state: &mut [&mut [T]],
        optimizer: &Optimizer,
        late: bool,
        block: Block<'_>,
        draws: Draws,
    ) -> Result<(), KernelError> {
        let (level, states, n) = (self.level, optimizer.rule.states(), block.rows.len());
        let Some(lowest) = self.stack.first_with_parameters() else { return Ok(()) };
        for (k, (layer, step)) in self.steps.iter().enumerate().filter(|(_, (_, step))| step.start >= lowest).rev() {
            let (i, end) = (step.start, step.end);
            let (flow, mine) = (self.stack.flow_arranged(step, n), self.stack.parameters_of(i));
            let changes = flow.side_by_side != self.stack.side_by_side(end, n);
            let state = &mut state[mine.start * states..mine.end * states];
            let params = &mut params[self.stack.arrays_of(i)];
            let gradients = &mut self.gradients;
            if changes {
                rearrange(level, flow.side_by_side, (n, flow.outputs), &gradients.d, &mut gradients.d_x)?;
                std::mem::swap(&mut gradients.d, &mut gradients.d_x);
            }
            let sums = &mut self.whole[k];
            if late {
                resize(sums, layer.size(flow.inputs), T::zero())?;
            }
            if let (Some(first), true) = (&mut *first, i == lowest) {
                affine::backward_skipping(level, first, flow, gradients, optimizer);
                if late {
                    let of_b = flow.inputs * flow.outputs..sums.len(); // that of `W` stays in `first`
                    add(&mut sums[of_b.clone()], &gradients.d_params[of_b], !block.begins);
                } else {
                    affine::update_b(level, params, state, optimizer, &gradients.d_params);
                }
                continue;
            }
            let out = if changes { &self.outputs[k] } else { &self.inputs[k + 1] };
            let through = (&self.inputs[k][..flow.room() * flow.inputs], &out[..flow.room() * flow.outputs]);
            let pass = self.memories[k].pass(*layer, flow, train(draws, i));
            if !late {
                layer.note(params, &pass);
                layer.backward(level, flow, through, i > lowest, gradients, params, state, optimizer, &pass)?;
            } else if block.begins {
                // The first block: its gradient is computed directly in the sums.
                std::mem::swap(&mut gradients.d_params, sums);
                let done = layer.back(level, params, flow, through, i > lowest, gradients, &pass);
                std::mem::swap(&mut gradients.d_params, sums);
                done?;
            } else {
                layer.back(level, params, flow, through, i > lowest, gradients, &pass)?;
                add(sums, &gradients.d_params, true);
            }
        }
        Ok(())
    }

    /// Update all parameters by their whole gradient, except for the `W` of a product that skips zeros, which updates
    /// its own; and the statistics.
    fn update(&mut self, skipping: bool, params: &mut [&mut [T]], state: &mut [&mut [T]], optimizer: &Optimizer) {
        let (level, states) = (self.level, optimizer.rule.states());
        if let Some(largest) = optimizer.largest_norm {
            shorten(&mut self.whole, largest);
        }
        let product = self.stack.first_product().filter(|_| skipping).map(|(layer, _)| layer);
        for (k, (layer, step)) in self.steps.iter().enumerate() {
            let (i, flow) = (step.start, self.stack.flow_arranged(step, self.at_once));
            let (params, mine) = (&mut params[self.stack.arrays_of(i)], self.stack.parameters_of(i));
            let state = &mut state[mine.start * states..mine.end * states];
            let its = &self.whole[k];
            if product == Some(i) {
                affine::update_b(level, params, state, optimizer, its);
                continue;
            }
            let shapes = layer.shapes(flow.inputs);
            optimizer.update_each(level, &shapes[..layer.parameters()], params, its, state);
            layer.note(params, &self.memories[k].pass(*layer, flow, Mode::Train(Draws::default())));
        }
    }
}

/// The mode of layer `i` in training.
fn train(draws: Draws, i: usize) -> Mode {
    Mode::Train(Draws { layer: i as u64, ..draws })
}

/// Scale `g` down to the norm `largest` if it is longer: the Euclidean norm of all its numbers.
fn shorten<T: Float>(g: &mut [Vec<T>], largest: f64) {
    // In sixteen parts, so that loading the numbers is the bottleneck.
    let mut parts = [0.0; 16];
    for chunk in g.iter().flat_map(|g| g.chunks(16)) {
        parts.iter_mut().zip(chunk).for_each(|(part, g)| *part += g.wide() * g.wide());
    }
    let norm = parts.iter().sum::<f64>().sqrt();
    if norm > largest {
        let factor = T::of(largest / norm);
        g.iter_mut().flatten().for_each(|g| *g *= factor);
    }
}

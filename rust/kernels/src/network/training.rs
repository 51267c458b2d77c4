//! Many steps of gradient descent without leaving Rust.
//!
//! One step, for the rows of one batch:
//!
//! ```text
//! forward    x → layer → … → scores
//! loss       the mean loss of the scores; d = its gradient
//! backward   layer by layer: from the gradient of the output, those of parameters and input; statistics are updated
//! update     each parameter by the optimizer's rule
//! ```
//!
//! Each layer is updated during the backward pass, as soon as the gradient of its input is computed. The input gradient
//! of the first layer with parameters, which nobody reads, is not computed. Such a step cannot be interrupted.
//!
//! If a step takes long, nothing is updated before the gradient of all parameters is complete: until then the caller
//! can [interrupt] it, and nothing has changed. The same goes for a bound on the gradient's
//! norm. A batch of more than [`AT_ONCE`](crate::layers) rows is also such a step: it is processed in blocks of that
//! size, whose gradients are accumulated, unless a layer looks at the whole batch.
//!
//! Every buffer belongs to the [`Trainer`], has room for one block and is reused: after the first step of a call, a
//! step allocates nothing here. (The `gemm` crate packs large products into a buffer of its own, and image layers
//! allocate their sums, and padded images, at each call.)
//!
//! For data without its zeros, [`first_layer`](crate::sparse::first_layer) replaces the first affine layer, and two
//! threads can share its work.

mod shard;
mod step;

pub use crate::sparse::helper_thread::Beside;
pub use shard::update;

use crate::dense::aligned::Aligned;
use crate::error::agree;
use crate::layers::{affine, rows_at_once, size, up_to_lanes, Draws, Gradients, Layer, Memory};
use crate::loss::Targets;
use crate::machine::interrupt;
use crate::machine::level::Level;
use crate::network::optimize::Optimizer;
use crate::network::stack::{Data, Stack};
use crate::sparse::blocks::Blocks;
use crate::sparse::first_layer::{First, InSteps};
use crate::sparse::helper_thread::{with_another, Helper};
use crate::{Float, KernelError};
use std::ops::Range;
use std::time::Instant;

/// Blocks beyond which a call uses another thread: by the time it has started, the first few blocks are over.
const WORTH_A_THREAD: usize = 8;

/// Bytes multiplied in a step that counts as long: some 15 ms on two cores with AVX-512.
const LONG: u64 = 1 << 32;

/// The examples, their targets, and the rows of each batch.
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a, T> {
    /// All examples.
    pub x: Data<'a, T>,
    /// The target of each.
    pub t: Targets<'a, T>,
    /// Row numbers, batch after batch.
    pub rows: &'a [i64],
    /// Rows per batch; the last batch may be shorter.
    pub size: usize,
    /// The place of the first batch's random numbers; each batch is one step further.
    pub draws: Draws,
}

/// What is trained: the stack's parameters, and the optimizer state of each.
#[derive(Debug)]
pub struct Parameters<'a, 'p, T> {
    /// Those of the first layer, then those of the second, …
    pub values: &'a mut [&'p mut [T]],
    /// `rule.states()` arrays for the first, as many for the second, …
    pub state: &'a mut [&'p mut [T]],
}

/// How far [`Trainer::run`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps done; as many losses were written.
    pub steps: usize,
    /// Whether the next step was refused because its loss is not finite. That loss is written too, after the others.
    pub diverged: bool,
}

/// A stack with buffers for one block of a batch: activations, gradients, nothing else.
#[derive(Debug)]
pub struct Trainer<T> {
    stack: Stack,
    level: Level,
    batch: usize,
    /// Rows per block.
    at_once: usize,
    /// The units of work: a layer, or one fused with those behind it.
    steps: Vec<(Layer, Range<usize>)>,
    /// The input of each step, in the layout it takes, and at the end the scores.
    inputs: Vec<Aligned<T>>,
    /// The gathered rows of the data, if the first step needs another layout; and the output of each step, if the next
    /// one needs another layout.
    gathered: Aligned<T>,
    outputs: Vec<Aligned<T>>,
    /// What each step remembers of its forward pass.
    memories: Vec<Memory<T>>,
    gradients: Gradients<T>,
    /// The gradients of each step's parameters, where all are needed together.
    whole: Vec<Vec<T>>,
    first: Option<First<T>>,
}

impl<T: Float> Trainer<T> {
    /// Buffers for batches of up to `batch` rows.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn new(stack: Stack, level: Level, batch: usize) -> Result<Self, KernelError> {
        let at_once = rows_at_once(&stack.layers, batch);
        Self::in_blocks(stack, level, batch, at_once)
    }

    /// The same, for blocks of `at_once` rows.
    fn in_blocks(stack: Stack, level: Level, batch: usize, at_once: usize) -> Result<Self, KernelError> {
        let sizes = stack.layers.iter().enumerate().map(|(i, layer)| layer.size(stack.width_after(i)));
        let largest = sizes.max().unwrap_or(0);
        let (mut inputs, mut outputs, mut memories) = (Vec::new(), Vec::new(), Vec::new());
        let steps: Vec<_> = stack.steps().collect();
        for (layer, step) in &steps {
            let flow = stack.flow_arranged(step, at_once);
            inputs.push(Aligned::zeros(flow.room().saturating_mul(flow.inputs))?);
            memories.push(Memory::of(*layer, flow)?);
            let changes = flow.side_by_side != stack.side_by_side(step.end, at_once);
            outputs.push(Aligned::zeros(if changes { flow.room().saturating_mul(flow.outputs) } else { 0 })?);
        }
        inputs.push(Aligned::zeros(at_once.saturating_mul(stack.classes()))?);
        let gathered = if stack.side_by_side(0, at_once) { at_once.saturating_mul(stack.features) } else { 0 };
        let flowing = up_to_lanes(at_once).saturating_mul(stack.widest_between());
        let (gathered, gradients) = (Aligned::zeros(gathered)?, Gradients::new(flowing, largest)?);
        let whole = steps.iter().map(|_| Vec::new()).collect();
        Ok(Self {
            steps,
            inputs,
            gathered,
            outputs,
            memories,
            gradients,
            whole,
            first: None,
            stack,
            level,
            batch,
            at_once,
        })
    }

    /// The largest number of rows in a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Run steps over `batches`, updating `params` in place, until the batches are used up, `losses` is full,
    /// `deadline` has passed (at least one step is done), or, with `stop_if_diverged`, a loss is not finite; that step
    /// is not applied. Counts in `optimizer.steps`.
    ///
    /// While another thread would be idle, it does the work `beside`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`], [`KernelError::Row`] or [`KernelError::Label`] if anything does not fit,
    /// [`KernelError::Memory`]; nothing is written then.
    #[allow(clippy::too_many_arguments)] // what is trained, on what, how and how far, the results, and other work
    pub fn run(
        &mut self,
        params: Parameters<'_, '_, T>,
        batches: Batches<'_, T>,
        optimizer: &mut Optimizer,
        stop_if_diverged: bool,
        deadline: Instant,
        losses: &mut [f64],
        beside: Option<Beside<'_>>,
    ) -> Result<Progress, KernelError> {
        self.check(&params, &batches, optimizer)?;
        let Parameters { values, state } = params;
        let (level, skips) = (self.level, matches!(batches.x, Data::Nonzeros(_)));
        let first_product = self.stack.first_product();
        let from = first_product.filter(|_| skips).map_or(0, |(layer, _)| layer + 1);
        let divide =
            batches.rows.len() > self.at_once.saturating_mul(WORTH_A_THREAD) && !self.stack.divides(self.at_once, from);
        let beside = beside.filter(|_| divide);
        let late = self.is_late(optimizer, from);
        let (Data::Nonzeros(x), Some((layer, outputs))) = (batches.x, first_product) else {
            return with_another(level, beside, None, |_: Helper<T>| {
                self.steps(None, values, state, batches, optimizer, late, stop_if_diverged, deadline, losses)
            });
        };
        let mut first = match self.first.take() {
            Some(ready) => ready,
            None => First::new(x, outputs, self.at_once)?,
        };
        let states = optimizer.rule.states();
        let (w, parameter) = (self.stack.arrays_of(layer).start + affine::W, self.stack.parameters_of(layer).start);
        let state_of_w = (parameter + affine::W) * states..(parameter + affine::W + 1) * states;
        first.load(level, x, optimizer, late, values[w], &state[state_of_w.clone()])?;
        let blocks = Blocks::new(batches.rows, batches.size, self.at_once);
        let done = first.during(divide, beside, level, x, blocks, |first| {
            self.steps(Some(first), values, state, batches, optimizer, late, stop_if_diverged, deadline, losses)
        });
        first.store(level, values[w], &mut state[state_of_w]);
        self.first = Some(first);
        done
    }

    /// The steps; `first` is the first product if it skips zeros.
    #[allow(clippy::too_many_arguments)] // those of `run`
    fn steps(
        &mut self,
        mut first: Option<InSteps<'_, T>>,
        values: &mut [&mut [T]],
        state: &mut [&mut [T]],
        batches: Batches<'_, T>,
        optimizer: &mut Optimizer,
        late: bool,
        stop_if_diverged: bool,
        deadline: Instant,
        losses: &mut [f64],
    ) -> Result<Progress, KernelError> {
        let mut progress = Progress { steps: 0, diverged: false };
        let mut draws = batches.draws;
        for (rows, loss) in batches.rows.chunks(batches.size).zip(losses) {
            let mut step =
                || self.step(&mut first, values, state, &batches, optimizer, late, stop_if_diverged, rows, draws, loss);
            let done = if late { step() } else { interrupt::whole(step) };
            if !done? {
                progress.diverged = true;
                break;
            }
            draws.step = draws.step.wrapping_add(1);
            progress.steps += 1;
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(progress)
    }

    /// Whether nothing is updated before the whole gradient is complete. The layers before layer `from` skip the zeros
    /// of the data, so they cost little.
    fn is_late(&self, optimizer: &Optimizer, from: usize) -> bool {
        let costs = self.stack.layers.iter().enumerate().skip(from).map(|(i, its)| its.cost(self.stack.width_after(i)));
        // The forward pass, and in the backward pass the gradients of parameters and inputs.
        let multiplied = costs.map(|cost| cost as u64).fold(0, u64::saturating_add);
        let multiplied = multiplied.saturating_mul(3 * size_of::<T>() as u64).saturating_mul(self.at_once as u64);
        self.batch > self.at_once || multiplied >= LONG || optimizer.largest_norm.is_some()
    }

    fn check(
        &self,
        params: &Parameters<'_, '_, T>,
        batches: &Batches<'_, T>,
        optimizer: &Optimizer,
    ) -> Result<(), KernelError> {
        if batches.size == 0 {
            return Err(KernelError::Empty);
        }
        self.stack.check(params.values)?;
        let state = optimizer.rule.states();
        let sizes: Vec<_> = self.stack.shapes_of_parameters().map(size).collect();
        agree("the number of arrays of state", params.state.len(), "that of the optimizer", state * sizes.len())?;
        for (size, state) in sizes.into_iter().zip(params.state.chunks(state.max(1))) {
            for state in state {
                agree("the size of an array of state", state.len(), "the size of its parameter", size)?;
            }
        }
        let skips = matches!(batches.x, Data::Nonzeros(_)) && optimizer.largest_norm.is_some();
        agree("the zeros left out", usize::from(skips), "what a bound on the norm allows", 0)?;
        batches.x.check(&self.stack)?;
        let n = batches.x.rows();
        agree("the number of rows of t", batches.t.rows(), "the number of rows of x", n)?;
        self.stack.loss.check(&batches.t, self.stack.classes())?;
        agree("the batch size", batches.size, "the size the trainer was made for", self.batch)?;
        match batches.rows.iter().find(|&&row| usize::try_from(row).map_or(true, |row| row >= n)) {
            Some(&got) => Err(KernelError::Row { got, rows: n }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::layers::activation::Activation::{LeakyRelu, Relu, Scale, Sigmoid, Tanh};
    use crate::layers::Layer;
    use crate::loss::Loss;
    use crate::machine::interrupt::tests::ended_at;
    use crate::machine::level::{available, detect};
    use crate::machine::threads;
    use crate::network::optimize::Rule;
    use crate::sparse::nonzeros::{Nonzeros, TILE};
    use crate::sparse::product::tests as sparse_tests;
    use crate::sparse::rows::Rows;
    use ndarray::{array, Array2};
    use std::time::Duration;

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn three_layers() -> (Stack, Vec<Vec<f64>>) {
        let layers = vec![
            Layer::affine(4),
            Layer::Activation(Sigmoid),
            Layer::affine(5),
            Layer::Activation(Relu),
            Layer::Activation(Sigmoid),
            Layer::affine(2),
        ];
        let stack = Stack::new(3, layers, Loss::Softmax);
        let mut k = 0.0;
        let mut fill = |n: usize| {
            (0..n)
                .map(|_| {
                    k += 1.0;
                    (k * 1.7f64).sin()
                })
                .collect()
        };
        let params = stack.sizes().map(&mut fill).collect();
        (stack, params)
    }

    fn borrow<T>(params: &mut [Vec<T>]) -> Vec<&mut [T]> {
        params.iter_mut().map(Vec::as_mut_slice).collect()
    }

    fn sgd(learning_rate: f64) -> Optimizer {
        Optimizer { rule: Rule::Sgd, learning_rate, weight_decay: 0.0, steps: 0, largest_norm: None }
    }

    fn plain<'a, 'p>(values: &'a mut [&'p mut [f64]]) -> Parameters<'a, 'p, f64> {
        Parameters { values, state: &mut [] }
    }

    const X: [[f64; 3]; 4] = [[0.2, -1.0, 0.5], [1.5, 0.3, -0.7], [-0.4, 0.8, 0.9], [0.0, 0.1, -2.0]];
    const T: [i64; 4] = [0, 1, 1, 0];

    /// The mean loss of all rows, by the forward pass alone.
    fn loss(stack: &Stack, params: &[Vec<f64>]) -> f64 {
        let x = Array2::from_shape_fn((4, 3), |(i, j)| X[i][j]);
        let mut scores = Array2::zeros((4, 2));
        let slices: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        stack
            .scores(detect().unwrap(), &slices, Data::Rows(Rows::Double(x.view())), 0, late(), scores.view_mut())
            .unwrap();
        let nats = |(s, &t): (ndarray::ArrayView1<f64>, &i64)| s.mapv(f64::exp).sum().ln() - s[t as usize];
        scores.rows().into_iter().zip(&T).map(nats).sum::<f64>() / 4.0
    }

    #[test]
    fn one_step_goes_down_the_numeric_gradient() {
        let (stack, before) = three_layers();
        let mut after = before.clone();
        let x = Array2::from_shape_fn((4, 3), |(i, j)| X[i][j]);
        let batches = Batches {
            x: Data::Rows(Rows::Double(x.view())),
            t: Targets::ids(&T),
            rows: &[0, 1, 2, 3],
            size: 4,
            draws: Draws::default(),
        };
        let mut losses = [0.0];
        let mut trainer = Trainer::new(stack.clone(), detect().unwrap(), 4).unwrap();
        let done = trainer.run(plain(&mut borrow(&mut after)), batches, &mut sgd(1.0), true, late(), &mut losses, None);
        assert_eq!(done, Ok(Progress { steps: 1, diverged: false }));
        assert!((losses[0] - loss(&stack, &before)).abs() < 1e-14);
        let h = 1e-5;
        for p in 0..before.len() {
            for i in 0..before[p].len() {
                let mut moved = before.clone();
                moved[p][i] += h;
                let up = loss(&stack, &moved);
                moved[p][i] -= 2.0 * h;
                let numeric = (up - loss(&stack, &moved)) / (2.0 * h);
                // h²/6·f''' + ε·loss/h, each about 1e-10
                assert!((before[p][i] - after[p][i] - numeric).abs() < 1e-9, "parameter {p}, entry {i}");
            }
        }
    }

    #[test]
    fn steps_in_parts_give_the_same_bits_as_at_once() {
        let (stack, params) = three_layers();
        let x = Array2::from_shape_fn((4, 3), |(i, j)| X[i][j]);
        let t = array![[1.0, 0.0], [0.25, 0.75], [0.0, 1.0], [1.0, 0.0]];
        let rows = [3, 1, 2, 0, 0, 1, 2];
        let all = Batches {
            x: Data::Rows(Rows::Double(x.view())),
            t: Targets::numbers(t.view()),
            rows: &rows,
            size: 2,
            draws: Draws::default(),
        };
        let (mut once, mut parts) = (params.clone(), params);
        let mut losses = [0.0; 9];
        let mut trainer = Trainer::new(stack, detect().unwrap(), 2).unwrap();
        let done =
            trainer.run(plain(&mut borrow(&mut once)), all, &mut sgd(0.1), true, late(), &mut losses, None).unwrap();
        assert_eq!(done.steps, 4, "three batches of two and one of one");
        for start in [0, 2, 4, 6] {
            let part = Batches { rows: &rows[start..], ..all };
            let mut loss = [0.0; 4];
            let done = trainer
                .run(plain(&mut borrow(&mut parts)), part, &mut sgd(0.1), true, Instant::now(), &mut loss, None)
                .unwrap();
            assert_eq!(done.steps, 1, "the deadline has passed");
            assert_eq!(loss[0], losses[start / 2]);
        }
        assert_eq!(once, parts);
    }

    #[test]
    fn a_loss_that_is_not_finite_stops_before_its_step() {
        let (stack, mut params) = three_layers();
        params[0][0] = f64::NAN;
        let before: Vec<u64> = params.concat().iter().map(|p| p.to_bits()).collect();
        let x = Array2::ones((1, 3));
        let batches = Batches {
            x: Data::Rows(Rows::Double(x.view())),
            t: Targets::ids(&[1]),
            rows: &[0, 0],
            size: 1,
            draws: Draws::default(),
        };
        let mut losses = [0.0; 2];
        let mut trainer = Trainer::new(stack, detect().unwrap(), 1).unwrap();
        let mut run = |params: &mut [Vec<f64>], stop| {
            trainer.run(plain(&mut borrow(params)), batches, &mut sgd(0.1), stop, late(), &mut losses, None).unwrap()
        };
        assert_eq!(run(&mut params, true), Progress { steps: 0, diverged: true });
        assert_eq!(before, params.concat().iter().map(|p| p.to_bits()).collect::<Vec<_>>());
        assert_eq!(run(&mut params, false), Progress { steps: 2, diverged: false });
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_written() {
        let (stack, mut params) = three_layers();
        let before = params.clone();
        let x = Array2::<f64>::zeros((4, 3));
        let narrow = Array2::<f64>::zeros((4, 2));
        let good = Batches {
            x: Data::Rows(Rows::Double(x.view())),
            t: Targets::ids(&T),
            rows: &[0, 3],
            size: 2,
            draws: Draws::default(),
        };
        let mut trainer = Trainer::new(stack, detect().unwrap(), 2).unwrap();
        let bad = [
            Batches { rows: &[0, 4], ..good },
            Batches { rows: &[-1, 0], ..good },
            Batches { t: Targets::ids(&[0, 1, 2, 0]), ..good },
            Batches { t: Targets::ids(&[0, 1]), ..good },
            Batches { x: Data::Rows(Rows::Double(narrow.view())), ..good },
            Batches { size: 3, ..good },
            Batches { size: 0, ..good },
        ];
        for batches in bad {
            assert!(trainer
                .run(plain(&mut borrow(&mut params)), batches, &mut sgd(0.1), true, late(), &mut [0.0], None)
                .is_err());
        }
        assert!(trainer
            .run(plain(&mut borrow(&mut params)[1..]), good, &mut sgd(0.1), true, late(), &mut [0.0], None)
            .is_err());
        assert_eq!(params, before);
    }

    /// A network with every kind of layer, and data that is mostly zeros, as bytes.
    fn mostly_zeros() -> (Stack, Vec<Vec<f64>>, Array2<u8>, Vec<i64>) {
        let layers = vec![
            Layer::Activation(Scale(0.01)),
            Layer::affine(37),
            Layer::Activation(Tanh),
            Layer::affine(6),
            Layer::Activation(LeakyRelu(0.1)),
            Layer::affine(3),
        ];
        let stack = Stack::new(30, layers, Loss::Softmax);
        let fill = |n: usize| (0..n).map(|i| (i as f64 * 1.3 + 0.5).sin() * 0.4).collect();
        let params = stack.sizes().map(fill).collect();
        let x = Array2::from_shape_fn((40, 30), |(i, j)| if (i * 7 + j) % 4 == 0 { (i * 5 + j) as u8 } else { 0 });
        (stack, params, x, (0..40).map(|i| i % 3).collect())
    }

    #[test]
    fn skipping_zeros_gives_the_dense_steps_for_every_rule_at_every_level() {
        let (stack, params, x, t) = mostly_zeros();
        let mut sparse = Nonzeros::new(30, Rows::Bytes(x.view()), stack.scale().unwrap());
        sparse.extend(detect().unwrap(), Rows::Bytes(x.view()), 0..40).unwrap();
        let rows: Vec<i64> = (0..100).map(|i| (i * 11) % 40).collect();
        let rules = [
            Rule::Sgd,
            Rule::Momentum(0.9),
            Rule::Nesterov(0.9),
            Rule::AdaGrad,
            Rule::RmsProp(0.99),
            Rule::Adam(0.9, 0.999),
        ];
        for &level in available() {
            for (rule, weight_decay) in rules.into_iter().flat_map(|rule| [(rule, 0.0), (rule, 0.01)]) {
                let train = |skip: bool| {
                    let data = if skip { Data::Nonzeros(&sparse) } else { Data::Rows(Rows::Bytes(x.view())) };
                    let mut optimizer =
                        Optimizer { rule, learning_rate: 0.01, weight_decay, steps: 0, largest_norm: None };
                    let mut values = params.clone();
                    let state = params.iter().flat_map(|p| vec![vec![0.0; p.len()]; rule.states()]);
                    let (mut state, mut losses): (Vec<_>, _) = (state.collect(), [0.0; 10]);
                    let batches =
                        Batches { x: data, t: Targets::ids(&t), rows: &rows, size: 10, draws: Draws::default() };
                    let params = Parameters { values: &mut borrow(&mut values), state: &mut borrow(&mut state) };
                    let mut trainer = Trainer::new(stack.clone(), level, 10).unwrap();
                    let done = trainer.run(params, batches, &mut optimizer, true, late(), &mut losses, None).unwrap();
                    assert_eq!((done.steps, optimizer.steps), (10, 10));
                    (values, losses)
                };
                let (dense, dense_losses) = train(false);
                let (skipped, losses) = train(true);
                // Ten steps of sums of at most 37 terms around 1; AdaGrad's first steps divide by gradients near 0.
                let close = |a: &f64, b: &f64| (a - b).abs() < 1e-9;
                assert!(dense.concat().iter().zip(&skipped.concat()).all(|(a, b)| close(a, b)), "{rule:?}");
                assert!(dense_losses.iter().zip(&losses).all(|(a, b)| close(a, b)), "{rule:?}");
            }
        }
    }

    /// Parameters and state after some steps over batches of ten, in blocks of `at_once` rows, and the number of steps
    /// taken; and the losses.
    fn steps_in_blocks<'a>(
        (stack, before): (&Stack, &[Vec<f64>]),
        (x, t, rows): (Data<'a, f64>, &'a [i64], &'a [i64]),
        at_once: usize,
        rule: Rule,
        ended_at_question: usize,
    ) -> (Result<Progress, KernelError>, Vec<Vec<f64>>, u64, [f64; 4]) {
        let mut optimizer = Optimizer { rule, learning_rate: 0.01, weight_decay: 0.01, steps: 0, largest_norm: None };
        let learnt: Vec<_> = stack.shapes_of_parameters().map(size).collect();
        let mut state: Vec<_> = learnt.iter().flat_map(|&n| vec![vec![0.0; n]; rule.states()]).collect();
        let (mut values, mut losses) = (before.to_vec(), [0.0; 4]);
        let batches = Batches { x, t: Targets::ids(t), rows, size: 10, draws: Draws { seed: 5, ..Draws::default() } };
        let mut trainer = Trainer::in_blocks(stack.clone(), detect().unwrap(), 10, at_once).unwrap();
        let params = Parameters { values: &mut borrow(&mut values), state: &mut borrow(&mut state) };
        let run = || trainer.run(params, batches, &mut optimizer, true, late(), &mut losses, None);
        let (done, _) = ended_at(ended_at_question, || threads::alone(run));
        values.append(&mut state);
        (done, values, optimizer.steps, losses)
    }

    /// Layers of every kind that take rows one by one, for images of 1 × 5 × 6.
    fn of_every_kind() -> (Stack, Vec<Vec<f64>>) {
        let described: [(&str, &[usize], &[f64]); 8] = [
            ("convolution", &[2, 1, 5, 6, 3, 3, 1, 1], &[]),
            ("relu", &[], &[]),
            ("max_pooling", &[2, 5, 6, 2, 2, 2, 0], &[]),
            ("layer_norm", &[12], &[]),
            ("affine", &[7], &[]),
            ("dropout", &[], &[0.4]),
            ("tanh", &[], &[]),
            ("affine", &[3], &[]),
        ];
        let layer = |(name, sizes, numbers): (&str, &[usize], &[f64])| Layer::from_description(name, sizes, numbers);
        let stack = Stack::new(30, described.map(|its| layer(its).expect(its.0)).to_vec(), Loss::Softmax);
        stack.fits().unwrap();
        let params = stack.sizes().map(|n| numbers::<f64>((1, n), n as u64).into_iter().collect()).collect();
        (stack, params)
    }

    #[test]
    fn a_batch_in_blocks_is_the_batch_and_can_be_ended_between_whole_steps() {
        let (dense, params, x, t) = mostly_zeros();
        let (images, of_images) = of_every_kind();
        let mut sparse = Nonzeros::new(30, Rows::Bytes(x.view()), dense.scale().unwrap());
        sparse.extend(detect().unwrap(), Rows::Bytes(x.view()), 0..40).unwrap();
        let bytes = Data::Rows(Rows::Bytes(x.view()));
        // The last batch is short.
        let rows: Vec<i64> = (0..35).map(|i| (i * 11) % 40).collect();
        let cases =
            [(&dense, &params, bytes), (&dense, &params, Data::Nonzeros(&sparse)), (&images, &of_images, bytes)];
        for (rule, (stack, params, x)) in [Rule::Sgd, Rule::Momentum(0.9), Rule::Adam(0.9, 0.999)]
            .into_iter()
            .flat_map(|rule| cases.map(|it| (rule, it)))
        {
            let net = (stack, &params[..]);
            let run = |rows, at_once, n| steps_in_blocks(net, (x, &t, rows), at_once, rule, n);
            let (done, whole, steps, losses) = run(&rows, 10, usize::MAX);
            assert_eq!((done, steps), (Ok(Progress { steps: 4, diverged: false }), 4));
            for at_once in [1, 3, 4] {
                let (done, blocks, _, found) = run(&rows, at_once, usize::MAX);
                assert_eq!(done, Ok(Progress { steps: 4, diverged: false }));
                // Four steps of sums of at most 37 terms around 1, accumulated in other orders.
                let close = |a: &f64, b: &f64| (a - b).abs() < 1e-10;
                assert!(whole.concat().iter().zip(&blocks.concat()).all(|(a, b)| close(a, b)), "{rule:?} {at_once}");
                assert!(losses.iter().zip(&found).all(|(a, b)| close(a, b)), "{rule:?} {at_once}");
                // Wherever the steps are interrupted, the result is that of whole steps.
                let after: Vec<_> = (0..4).map(|steps| run(&rows[..10 * steps], at_once, usize::MAX).1).collect();
                let mut seen = [0; 4];
                for n in 0.. {
                    let (done, values, steps, _) = run(&rows, at_once, n);
                    if done.is_ok() {
                        break;
                    }
                    assert_eq!(done, Err(KernelError::Interrupted));
                    assert!(values == after[steps as usize], "{rule:?} {at_once}: question {n}, {steps} steps");
                    seen[steps as usize] += 1;
                }
                assert!(seen.iter().all(|&times| times >= 10 / at_once), "{seen:?}");
            }
        }
    }

    fn skipping_zeros_gives_the_dense_steps<T: Float>() {
        let features = TILE + 1;
        let layers =
            vec![Layer::Activation(Scale(1.0 / 255.0)), Layer::affine(65), Layer::Activation(Tanh), Layer::affine(4)];
        let stack = Stack::new(features, layers, Loss::Softmax);
        let fill = |n: usize| numbers::<T>((1, n), n as u64).into_iter().map(|x| x * T::of(0.2)).collect();
        let before: Vec<Vec<T>> = stack.sizes().map(fill).collect();
        let x = sparse_tests::mostly_zeros(40, features, 1);
        let mut sparse = Nonzeros::new(features, Rows::Bytes(x.view()), stack.scale().unwrap());
        sparse.extend(detect().unwrap(), Rows::Bytes(x.view()), 0..40).unwrap();
        let t: Vec<i64> = (0..40).map(|i| i * i % 4).collect();
        // The last batch is short, and the next call starts with the batch after it.
        let rows: Vec<i64> = (0..34).map(|i| (i * 11) % 40).collect();
        for &level in available() {
            for rule in [Rule::Sgd, Rule::Momentum(0.5)] {
                let train = |skip: bool| {
                    let data = if skip { Data::Nonzeros(&sparse) } else { Data::Rows(Rows::Bytes(x.view())) };
                    let (mut values, mut losses) = (before.clone(), [[0.0; 4]; 2]);
                    let mut state: Vec<_> =
                        before.iter().flat_map(|p| vec![vec![T::zero(); p.len()]; rule.states()]).collect();
                    let mut optimizer =
                        Optimizer { rule, learning_rate: 0.2, weight_decay: 0.0, steps: 0, largest_norm: None };
                    let mut trainer = Trainer::new(stack.clone(), level, 10).unwrap();
                    for losses in &mut losses {
                        let batches =
                            Batches { x: data, t: Targets::ids(&t), rows: &rows, size: 10, draws: Draws::default() };
                        let params = Parameters { values: &mut borrow(&mut values), state: &mut borrow(&mut state) };
                        let done = trainer.run(params, batches, &mut optimizer, true, late(), losses, None);
                        assert_eq!(done, Ok(Progress { steps: 4, diverged: false }));
                    }
                    (values.concat(), losses.concat())
                };
                let (dense, dense_losses) = train(false);
                let (skipped, losses) = train(true);
                // Eight steps, each a fifth of sums of some 70 terms, the largest about 1, in the forward pass and as
                // many in the backward pass.
                let tolerance = 200.0 * T::epsilon().wide();
                assert!(dense.iter().zip(&skipped).all(|(a, b)| (a.wide() - b.wide()).abs() < tolerance), "{rule:?}");
                assert!(dense_losses.iter().zip(&losses).all(|(a, b)| (a - b).abs() < tolerance), "{rule:?}");
                let moved =
                    before.concat().iter().zip(&skipped).map(|(a, b)| (a.wide() - b.wide()).abs()).fold(0.0, f64::max);
                assert!(moved > 0.01, "{rule:?}: {moved}");
            }
        }
    }

    #[test]
    fn skipping_zeros_gives_the_dense_steps_in_f32() {
        skipping_zeros_gives_the_dense_steps::<f32>();
    }

    #[test]
    fn skipping_zeros_gives_the_dense_steps_in_f64() {
        skipping_zeros_gives_the_dense_steps::<f64>();
    }

    #[test]
    fn what_is_beside_is_done_unless_products_are_divided() {
        let x = sparse_tests::mostly_zeros(64, 1024, 3);
        let x = Rows::Bytes(x.view());
        let mut sparse = Nonzeros::<f32>::new(1024, x, 1.0);
        sparse.extend(detect().unwrap(), x, 0..64).unwrap();
        let rows: Vec<i64> = (0..640).map(|i| i % 64).collect();
        for (data, hidden, steps, wanted) in [
            (Data::Nonzeros(&sparse), 30, 10, true),
            (Data::Rows(x), 30, 10, true),
            (Data::Rows(x), 64, 10, false), // 64·1024·64 multiplications are divided
            (Data::Nonzeros(&sparse), 64, 10, true),
            (Data::Nonzeros(&sparse), 30, 8, false), // too few to wake a thread
        ] {
            let stack =
                Stack::new(1024, vec![Layer::affine(hidden), Layer::Activation(Relu), Layer::affine(2)], Loss::Softmax);
            let mut params: Vec<_> = stack.sizes().map(|size| vec![0.0f32; size]).collect();
            let mut trainer = Trainer::new(stack, detect().unwrap(), 64).unwrap();
            let batches = Batches {
                x: data,
                t: Targets::ids(&[1; 64]),
                rows: &rows[..64 * steps],
                size: 64,
                draws: Draws::default(),
            };
            let mut calls = 0;
            // The thread may be busy with other tests at times, but not every time. Where no call is expected all tries
            // are made, and 1000 are 84,000 million multiplications.
            for _ in 0..if wanted { 1000 } else { 20 } {
                let mut count = || {
                    calls += 1;
                    true
                };
                let params = Parameters { values: &mut borrow(&mut params), state: &mut [] };
                let mut losses = vec![0.0; steps];
                let done = trainer.run(params, batches, &mut sgd(0.0), true, late(), &mut losses, Some(&mut count));
                assert_eq!(done, Ok(Progress { steps, diverged: false }));
                if calls > 0 {
                    break;
                }
            }
            assert_eq!(calls > 0, wanted && crate::machine::threads::count() > 1, "{hidden}, {steps}");
        }
    }

    #[test]
    fn a_layer_without_outputs_leaves_the_biases_behind_it() {
        let x = sparse_tests::mostly_zeros(10, 20, 3);
        let x = Rows::Bytes(x.view());
        let mut sparse = Nonzeros::new(20, x, 1.0);
        sparse.extend(detect().unwrap(), x, 0..10).unwrap();
        let rows: Vec<i64> = (0..10).collect();
        let mut after = [Data::Rows(x), Data::Nonzeros(&sparse)].map(|x| {
            let mut params = [vec![], vec![], vec![], vec![0.5, -0.5]];
            let stack = Stack::new(20, vec![Layer::affine(0), Layer::affine(2)], Loss::Softmax);
            let mut trainer = Trainer::new(stack, detect().unwrap(), 10).unwrap();
            let batches = Batches { x, t: Targets::ids(&[1; 10]), rows: &rows, size: 10, draws: Draws::default() };
            let done =
                trainer.run(plain(&mut borrow(&mut params)), batches, &mut sgd(0.1), true, late(), &mut [0.0], None);
            assert_eq!(done, Ok(Progress { steps: 1, diverged: false }));
            params
        });
        let [dense, skipped] = &mut after;
        assert_eq!(dense, skipped);
        assert!(dense[3][1] > -0.5);
    }

    #[test]
    fn state_that_does_not_fit_is_refused() {
        let (stack, params, x, t) = mostly_zeros();
        let batches = Batches {
            x: Data::Rows(Rows::Bytes(x.view())),
            t: Targets::ids(&t),
            rows: &[0],
            size: 1,
            draws: Draws::default(),
        };
        let mut trainer = Trainer::new(stack, detect().unwrap(), 1).unwrap();
        let mut optimizer = Optimizer { rule: Rule::Momentum(0.9), ..sgd(0.1) };
        for sizes in [vec![], vec![1; 6]] {
            let mut values = params.clone();
            let mut state: Vec<_> = sizes.into_iter().map(|n: usize| vec![0.0; n]).collect();
            let params = Parameters { values: &mut borrow(&mut values), state: &mut borrow(&mut state) };
            assert!(trainer.run(params, batches, &mut optimizer, true, late(), &mut [0.0], None).is_err());
        }
    }
}

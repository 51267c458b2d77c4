//! Many steps of gradient descent without leaving Rust.
//!
//! One step, for the rows of one batch:
//!
//! ```text
//! forward    x → layer → … → scores
//! loss       the mean cross entropy of softmax(scores); d = its gradient
//! backward   affine:      dW = xᵀ·d,  db = column sums of d,  d ← d·Wᵀ       activation:  d ← d ⊙ f'(x)
//! update     W ← W - η dW,  b ← b - η db
//! ```
//!
//! Each affine layer is updated as soon as its own `d·Wᵀ` is taken, while its gradient is still in the cache. The first
//! affine layer's `d·Wᵀ`, which nobody would read, is not computed. Every buffer belongs to the [`Trainer`] and is reused:
//! the steps allocate nothing (the `gemm` crate keeps a packing buffer of its own for large products).

use crate::error::{agree, zeros};
use crate::matmul::{column_sums, matmul_a_bt, matmul_at_b};
use crate::softmax_loss::{row_gradient, row_loss, Targets};
use crate::stack::{matrix, matrix_mut, Layer, Rows, Stack};
use crate::{Float, KernelError};
use std::time::Instant;

/// The examples, what they should give, and which of them make up which batch.
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a, T> {
    /// All examples.
    pub x: Rows<'a>,
    /// What each should give.
    pub t: Targets<'a, T>,
    /// Row numbers, batch after batch.
    pub rows: &'a [i64],
    /// How many rows make a batch; the last one may be shorter.
    pub size: usize,
}

/// How far [`Trainer::run`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps done; as many losses were written.
    pub steps: usize,
    /// Whether the next step was refused because its loss is not finite. That loss is written too, behind the others.
    pub diverged: bool,
}

/// A stack with room for one batch: activations, gradients, nothing else.
#[derive(Debug)]
pub struct Trainer<T> {
    stack: Stack,
    batch: usize,
    /// The input of each layer, and behind them the scores.
    inputs: Vec<Vec<T>>,
    /// The gradient that is travelling back, and room for the next.
    d: Vec<T>,
    d_next: Vec<T>,
    d_w: Vec<T>,
    d_b: Vec<T>,
}

impl<T: Float> Trainer<T> {
    /// Room for batches of up to `batch` rows.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn new(stack: Stack, batch: usize) -> Result<Self, KernelError> {
        let wide = batch.saturating_mul(stack.widest());
        let weights = stack.affine_shapes().map(|(inputs, outputs)| inputs.saturating_mul(outputs));
        let largest = weights.max().unwrap_or(0);
        let mut inputs = Vec::new();
        for layer in 0..=stack.layers.len() {
            inputs.push(zeros(batch.saturating_mul(stack.width_after(layer)))?);
        }
        Ok(Self {
            inputs,
            d: zeros(wide)?,
            d_next: zeros(wide)?,
            d_w: zeros(largest)?,
            d_b: zeros(stack.widest())?,
            stack,
            batch,
        })
    }

    /// How many rows a batch may have.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Steps through `batches`, updating `params` in place, until they are used up, `losses` is full, `deadline` has passed (at least
    /// one step is done), or, with `stop_if_diverged`, a loss is not finite; that step is not applied.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`], [`KernelError::Row`] or [`KernelError::Label`] if anything does not fit; nothing is written then.
    pub fn run(
        &mut self,
        params: &mut [&mut [T]],
        batches: Batches<'_, T>,
        learning_rate: T,
        stop_if_diverged: bool,
        deadline: Instant,
        losses: &mut [f64],
    ) -> Result<Progress, KernelError> {
        self.check(params, &batches)?;
        let mut steps = 0;
        for (rows, loss) in batches.rows.chunks(batches.size).zip(losses) {
            *loss = self.forward(params, &batches, rows)?;
            if stop_if_diverged && !loss.is_finite() {
                return Ok(Progress { steps, diverged: true });
            }
            self.backward(params, learning_rate, rows.len())?;
            steps += 1;
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(Progress { steps, diverged: false })
    }

    fn check(&self, params: &[&mut [T]], batches: &Batches<'_, T>) -> Result<(), KernelError> {
        if batches.size == 0 {
            return Err(KernelError::Empty);
        }
        self.stack.check(params)?;
        let (n, features) = batches.x.dim();
        agree("the number of columns of x", features, "the number of features", self.stack.features)?;
        agree("the number of rows of t", batches.t.rows(), "the number of rows of x", n)?;
        batches.t.check(self.stack.classes())?;
        agree("the batch size", batches.size, "the size there is room for", self.batch)?;
        match batches.rows.iter().find(|&&row| usize::try_from(row).map_or(true, |row| row >= n)) {
            Some(&got) => Err(KernelError::Row { got, rows: n }),
            None => Ok(()),
        }
    }

    /// The mean loss of the batch; `self.d ←` the gradient of its scores.
    fn forward(&mut self, params: &[&mut [T]], batches: &Batches<'_, T>, rows: &[i64]) -> Result<f64, KernelError> {
        let n = rows.len();
        let numbers = rows.iter().map(|&row| row as usize);
        batches.x.gather(numbers.clone(), &mut self.inputs[0][..n * self.stack.features]);
        let mut affine = params.chunks_exact(2);
        for (i, layer) in self.stack.layers.iter().enumerate() {
            let (inputs, outputs) = (self.stack.width_after(i), self.stack.width_after(i + 1));
            let (before, after) = self.inputs.split_at_mut(i + 1);
            let (x, out) = (&before[i][..n * inputs], &mut after[0][..n * outputs]);
            layer.forward(&mut affine, (n, inputs, outputs), x, out)?;
        }
        let classes = self.stack.classes();
        let scores = matrix(&self.inputs[self.stack.layers.len()][..n * classes], n, classes)?;
        let mut d = matrix_mut(&mut self.d[..n * classes], n, classes)?;
        let scale = T::one() / T::of(n as f64);
        let mut sum = 0.0;
        for ((scores, mut d), row) in scores.rows().into_iter().zip(d.rows_mut()).zip(numbers) {
            sum += row_loss(scores, batches.t.row(row), &mut d).wide();
            row_gradient(batches.t.row(row), scale, &mut d);
        }
        Ok(sum / n as f64)
    }

    /// From `self.d` back through the layers, updating each affine layer's parameters.
    fn backward(&mut self, params: &mut [&mut [T]], learning_rate: T, n: usize) -> Result<(), KernelError> {
        let mut affine = params.chunks_exact_mut(2).rev();
        let mut affine_left = self.stack.affine_shapes().count();
        for (i, layer) in self.stack.layers.iter().enumerate().rev() {
            let (inputs, outputs) = (self.stack.width_after(i), self.stack.width_after(i + 1));
            match layer {
                Layer::Activation(f) => {
                    f.backward(&self.inputs[i + 1][..n * outputs], &mut self.d[..n * outputs]);
                }
                Layer::Affine(_) => {
                    let Some([w, b]) = affine.next() else { break };
                    let d = matrix(&self.d[..n * outputs], n, outputs)?;
                    let x = matrix(&self.inputs[i][..n * inputs], n, inputs)?;
                    let d_w = &mut self.d_w[..inputs * outputs];
                    matmul_at_b(x, d, matrix_mut(d_w, inputs, outputs)?)?;
                    column_sums(d, &mut self.d_b[..outputs])?;
                    affine_left -= 1;
                    if affine_left > 0 {
                        let d_x = matrix_mut(&mut self.d_next[..n * inputs], n, inputs)?;
                        matmul_a_bt(d, matrix(w, inputs, outputs)?, d_x)?;
                    }
                    descend(w, d_w, learning_rate);
                    descend(b, &self.d_b[..outputs], learning_rate);
                    if affine_left == 0 {
                        break;
                    }
                    std::mem::swap(&mut self.d, &mut self.d_next);
                }
            }
        }
        Ok(())
    }
}

/// `p ← p - η g`.
fn descend<T: Float>(p: &mut [T], g: &[T], learning_rate: T) {
    p.iter_mut().zip(g).for_each(|(p, &g)| *p -= learning_rate * g);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Activation::{Relu, Sigmoid};
    use ndarray::{array, Array2};
    use std::time::Duration;

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn three_layers() -> (Stack, Vec<Vec<f64>>) {
        let layers = vec![
            Layer::Affine(4),
            Layer::Activation(Sigmoid),
            Layer::Affine(5),
            Layer::Activation(Relu),
            Layer::Activation(Sigmoid),
            Layer::Affine(2),
        ];
        let stack = Stack::new(3, layers);
        let mut k = 0.0;
        let mut fill = |n: usize| {
            (0..n)
                .map(|_| {
                    k += 1.0;
                    (k * 1.7f64).sin()
                })
                .collect()
        };
        let params = stack.affine_shapes().flat_map(|(i, o)| [i * o, o]).map(&mut fill).collect();
        (stack, params)
    }

    fn borrow(params: &mut [Vec<f64>]) -> Vec<&mut [f64]> {
        params.iter_mut().map(Vec::as_mut_slice).collect()
    }

    const X: [[f64; 3]; 4] = [[0.2, -1.0, 0.5], [1.5, 0.3, -0.7], [-0.4, 0.8, 0.9], [0.0, 0.1, -2.0]];
    const T: [i64; 4] = [0, 1, 1, 0];

    /// The mean loss of all rows, from the forward pass alone.
    fn loss(stack: &Stack, params: &[Vec<f64>]) -> f64 {
        let x = Array2::from_shape_fn((4, 3), |(i, j)| X[i][j]);
        let mut scores = Array2::zeros((4, 2));
        let slices: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        stack.scores(&slices, Rows::Double(x.view()), 0, late(), scores.view_mut()).unwrap();
        let nats = |(s, &t): (ndarray::ArrayView1<f64>, &i64)| s.mapv(f64::exp).sum().ln() - s[t as usize];
        scores.rows().into_iter().zip(&T).map(nats).sum::<f64>() / 4.0
    }

    #[test]
    fn one_step_goes_down_the_numeric_gradient() {
        let (stack, before) = three_layers();
        let mut after = before.clone();
        let x = Array2::from_shape_fn((4, 3), |(i, j)| X[i][j]);
        let batches = Batches { x: Rows::Double(x.view()), t: Targets::Ids(&T), rows: &[0, 1, 2, 3], size: 4 };
        let mut losses = [0.0];
        let mut trainer = Trainer::new(stack.clone(), 4).unwrap();
        let done = trainer.run(&mut borrow(&mut after), batches, 1.0, true, late(), &mut losses);
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
        let all = Batches { x: Rows::Double(x.view()), t: Targets::Distributions(t.view()), rows: &rows, size: 2 };
        let (mut once, mut parts) = (params.clone(), params);
        let mut losses = [0.0; 9];
        let mut trainer = Trainer::new(stack, 2).unwrap();
        let done = trainer.run(&mut borrow(&mut once), all, 0.1, true, late(), &mut losses).unwrap();
        assert_eq!(done.steps, 4, "three batches of two and one of one");
        for start in [0, 2, 4, 6] {
            let part = Batches { rows: &rows[start..], ..all };
            let mut loss = [0.0; 4];
            let done = trainer.run(&mut borrow(&mut parts), part, 0.1, true, Instant::now(), &mut loss).unwrap();
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
        let batches = Batches { x: Rows::Double(x.view()), t: Targets::Ids(&[1]), rows: &[0, 0], size: 1 };
        let mut losses = [0.0; 2];
        let mut trainer = Trainer::new(stack, 1).unwrap();
        let mut run = |params: &mut [Vec<f64>], stop| {
            trainer.run(&mut borrow(params), batches, 0.1, stop, late(), &mut losses).unwrap()
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
        let good = Batches { x: Rows::Double(x.view()), t: Targets::Ids(&T), rows: &[0, 3], size: 2 };
        let mut trainer = Trainer::new(stack, 2).unwrap();
        let bad = [
            Batches { rows: &[0, 4], ..good },
            Batches { rows: &[-1, 0], ..good },
            Batches { t: Targets::Ids(&[0, 1, 2, 0]), ..good },
            Batches { t: Targets::Ids(&[0, 1]), ..good },
            Batches { x: Rows::Double(narrow.view()), ..good },
            Batches { size: 3, ..good },
            Batches { size: 0, ..good },
        ];
        for batches in bad {
            assert!(trainer.run(&mut borrow(&mut params), batches, 0.1, true, late(), &mut [0.0]).is_err());
        }
        assert!(trainer.run(&mut borrow(&mut params)[1..], good, 0.1, true, late(), &mut [0.0]).is_err());
        assert_eq!(params, before);
    }
}

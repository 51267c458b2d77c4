//! The mean loss and the share of right answers of a network over a data set, as many rows at a time as a deadline
//! allows. The [`loss`](crate::loss) defines both.
//!
//! An [`Evaluation`] has copies of the parameters, so it can continue while they change: beside the steps of the next
//! epoch, or afterwards. Rows are taken in blocks of [`BLOCK`](crate::network::stack::BLOCK), or fewer where they are
//! wide. The blocks' results are added in order, whichever thread computed them. Cost: that of [`Stack::scores`], and a
//! tenth of it for 784-50-10.

use crate::dense::matrix_mut;
use crate::error::{agree, resize};
use crate::layers::affine::InVectors;
use crate::loss::Targets;
use crate::machine::level::Level;
use crate::machine::threads;
use crate::network::stack::{Data, Stack, Workspace};
use crate::{Float, KernelError};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Copies of a network's parameters, shared by evaluations over several sets.
pub type Copies<T> = Arc<[Vec<T>]>;

/// Copies of these parameters.
///
/// # Errors
///
/// [`KernelError::Memory`].
pub fn copies<T: Float>(params: &[&[T]]) -> Result<Copies<T>, KernelError> {
    let copy = |numbers: &&[T]| {
        let mut copy = Vec::new();
        resize(&mut copy, numbers.len(), T::zero())?;
        copy.copy_from_slice(numbers);
        Ok(copy)
    };
    params.iter().map(copy).collect()
}

/// An evaluation and its progress.
#[derive(Debug)]
pub struct Evaluation<T> {
    stack: Stack,
    level: Level,
    params: Copies<T>,
    /// Whether the data has been inspected; and the parameters of the first product, if it skips the zeros.
    begun: bool,
    ready: Option<InVectors<T>>,
    /// Rows done.
    done: usize,
    loss: f64,
    right: f64,
}

/// Memory to work in, for one block.
#[derive(Debug, Default)]
struct BlockWorkspace<T> {
    work: Workspace<T>,
    scores: Vec<T>,
    y: Vec<T>,
}

impl<T: Float> Evaluation<T> {
    /// The evaluation of `stack` with these parameters.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`].
    pub fn new(stack: &Stack, level: Level, params: Copies<T>) -> Result<Self, KernelError> {
        stack.check(&params)?;
        Ok(Self { stack: stack.clone(), level, params, begun: false, ready: None, done: 0, loss: 0.0, right: 0.0 })
    }

    /// The network's layers.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Evaluate more rows of `x`, which must be the same at every call, until all are done or `deadline` has passed;
    /// always at least some. Returns whether all are done.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`] or [`KernelError::Label`] if the data does not fit, [`KernelError::Memory`].
    pub fn advance(&mut self, x: Data<'_, T>, t: Targets<'_, T>, deadline: Instant) -> Result<bool, KernelError> {
        let n = x.rows();
        x.check(&self.stack)?;
        agree("the number of rows of t", t.rows(), "the number of rows of x", n)?;
        if !self.begun {
            if self.stack.skips(self.level, &self.params, x) {
                self.stack.load_first(self.level, &self.params, self.ready.insert(InVectors::default()))?;
            }
            self.begun = true;
        }
        while self.done < n {
            let end = n.min(self.done + self.stack.round());
            let block = self.stack.block();
            let mut found = vec![(0.0, 0.0); (end - self.done).div_ceil(block)];
            let blocks = (self.done..end).step_by(block).map(|start| start..end.min(start + block));
            threads::try_each_with(blocks.zip(&mut found), BlockWorkspace::default, |work, (rows, found)| {
                *found = self.block(x, t, rows, work)?;
                Ok(())
            })?;
            for (loss, right) in found {
                self.loss += loss;
                self.right += right;
            }
            self.done = end;
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(self.done == n)
    }

    /// The mean loss and the share of right rows, over the rows done so far; nan if there are none, or if the loss has
    /// no right and wrong.
    pub fn result(&self) -> (f64, f64) {
        let n = self.done as f64;
        (self.loss / n, self.right / n)
    }

    /// The sum of the losses of some rows, and how many are right.
    fn block(
        &self,
        x: Data<'_, T>,
        t: Targets<'_, T>,
        rows: Range<usize>,
        BlockWorkspace { work, scores, y }: &mut BlockWorkspace<T>,
    ) -> Result<(f64, f64), KernelError> {
        let (n, classes) = (rows.len(), self.stack.classes());
        resize(scores, n * classes, T::zero())?;
        resize(y, n * classes, T::zero())?;
        let (out, t) = (matrix_mut(scores, n, classes)?, t.slice(rows.clone()));
        self.stack.loss.check(&t, classes)?;
        self.stack.scores_of_block(self.level, &self.params, self.ready.as_ref(), x, rows, work, out)?;
        let loss = self.stack.loss.sum(self.level, scores, t, 0..n, y);
        Ok((loss, self.stack.loss.right(&t, scores, classes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::layers::activation::Activation::{Relu, Scale};
    use crate::layers::Layer;
    use crate::loss::{tests::one_row, Loss};
    use crate::machine::level::{available, detect};
    use crate::network::stack::BLOCK;
    use crate::sparse::nonzeros::Nonzeros;
    use crate::sparse::product::tests::{mostly_zeros, Kinds};
    use crate::sparse::rows::Rows;
    use ndarray::{Array2, ArrayView1};
    use std::time::Duration;

    const ROWS: usize = 5 * BLOCK + 7;

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn network<T: Float>() -> (Stack, Vec<Vec<T>>) {
        let layers = vec![Layer::Activation(Scale(1.0)), Layer::affine(9), Layer::Activation(Relu), Layer::affine(4)];
        let stack = Stack::new(30, layers, Loss::Softmax);
        let fill = |n: usize| numbers::<T>((1, n), n as u64).into_iter().map(|x| x * T::of(0.05)).collect();
        let params = stack.sizes().map(fill).collect();
        (stack, params)
    }

    /// The mean loss and the share of right answers for these scores, in f64.
    fn naive(loss: Loss, scores: &Array2<f64>, t: &Array2<f64>) -> (f64, f64) {
        let (mut sum, mut right) = (0.0, 0.0);
        for (s, t) in scores.rows().into_iter().zip(t.rows()) {
            sum += one_row(loss, s.as_slice().unwrap(), t);
            let best = |of: ArrayView1<f64>| (1..4).fold(0, |best, j| if of[j] > of[best] { j } else { best });
            right += match loss {
                Loss::Softmax => f64::from(u8::from(best(s) == best(t))),
                Loss::Squared => f64::NAN,
                Loss::Sigmoid => f64::from(u8::from((0..4).all(|j| (s[j] > 0.0) == (t[j] > 0.5)))),
            };
        }
        (sum / ROWS as f64, right / ROWS as f64)
    }

    fn it_is_the_mean_over_all_rows<T: Float>() {
        let (stack, params) = network::<T>();
        let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
        let bits = |(loss, right): (f64, f64)| (loss.to_bits(), right.to_bits());
        let compare = |loss: Loss, level: Level, x: Data<'_, T>, t: Targets<'_, T>, numbers: &Array2<f64>| {
            let stack = Stack { loss, ..stack.clone() };
            let mut scores = Array2::zeros((ROWS, 4));
            stack.scores(level, &params, x, 0, late(), scores.view_mut()).unwrap();
            let (want, right) = naive(loss, &scores.mapv(T::wide), numbers);
            let mut evaluation = Evaluation::new(&stack, level, copies(&params).unwrap()).unwrap();
            assert_eq!(evaluation.advance(x, t, late()), Ok(true));
            let found = evaluation.result();
            assert!(found.1 == right || (found.1.is_nan() && right.is_nan()), "{loss:?}");
            // Four exponentials, their sum, its logarithm and a difference of numbers about 1, each rounded.
            assert!((found.0 - want).abs() < 20.0 * T::epsilon().wide() * want, "{loss:?}: {} for {want}", found.0);
            // In as many calls as it takes, on one thread: the same bits.
            let mut some = Evaluation::new(&stack, level, copies(&params).unwrap()).unwrap();
            let calls = (1..).find(|_| threads::alone(|| some.advance(x, t, Instant::now())).unwrap());
            assert_eq!((calls, bits(some.result())), (Some(6), bits(found)));
            assert_eq!(some.advance(x, t, late()), Ok(true));
            assert_eq!(bits(some.result()), bits(found));
        };
        let kinds = Kinds::of(&mostly_zeros(ROWS, 30, 3));
        let ids: Vec<i64> = (0..ROWS as i64).map(|i| i * i % 4).collect();
        let one_hot = Array2::from_shape_fn((ROWS, 4), |(i, j)| f64::from(u8::from(ids[i] == j as i64)));
        let sizes = numbers::<f64>((ROWS, 4), 9).mapv(|x| x.abs() + 0.01);
        let shares = Array2::from_shape_fn((ROWS, 4), |(i, j)| T::of(sizes[[i, j]] / sizes.row(i).sum()));
        for (&level, x) in available().iter().flat_map(|level| kinds.each().map(move |x| (level, x))) {
            let mut sparse = Nonzeros::new(30, x, 1.0);
            sparse.extend(level, x, 0..ROWS).unwrap();
            let (by_id, by_row) = (Targets::ids(&ids), Targets::numbers(shares.view()));
            for (loss, t, numbers) in [
                (Loss::Softmax, by_id, &one_hot),
                (Loss::Softmax, by_row, &shares.mapv(T::wide)),
                (Loss::Squared, by_row, &shares.mapv(T::wide)),
                (Loss::Sigmoid, by_row, &shares.mapv(T::wide)),
            ] {
                compare(loss, level, Data::Rows(x), t, numbers);
                compare(loss, level, Data::Nonzeros(&sparse), t, numbers);
            }
        }
    }

    #[test]
    fn it_is_the_mean_over_all_rows_in_f32() {
        it_is_the_mean_over_all_rows::<f32>();
    }

    #[test]
    fn it_is_the_mean_over_all_rows_in_f64() {
        it_is_the_mean_over_all_rows::<f64>();
    }

    #[test]
    fn parameters_are_those_it_was_made_with() {
        let (stack, mut params) = network::<f64>();
        let x = numbers::<f64>((10, 30), 1);
        let (x, t) = (Data::Rows(Rows::Double(x.view())), Targets::ids(&[1; 10]));
        let [mut before, mut made_before] = [0, 1].map(|_| {
            let slices: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
            Evaluation::new(&stack, detect().unwrap(), copies(&slices).unwrap()).unwrap()
        });
        before.advance(x, t, late()).unwrap();
        params[2][0] += 1.0;
        made_before.advance(x, t, late()).unwrap();
        assert_eq!(before.result(), made_before.result());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (stack, params) = network::<f64>();
        let mut slices: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        let (x, narrow) = (Array2::<f64>::zeros((2, 30)), Array2::<f64>::zeros((2, 29)));
        let mut evaluation = Evaluation::new(&stack, detect().unwrap(), copies(&slices).unwrap()).unwrap();
        for (x, t) in [(&x, &[1i64][..]), (&x, &[1, 4]), (&narrow, &[1, 1])] {
            assert!(evaluation.advance(Data::Rows(Rows::Double(x.view())), Targets::ids(t), late()).is_err());
        }
        assert!(evaluation.result().0.is_nan());
        slices.pop();
        assert!(Evaluation::new(&stack, detect().unwrap(), copies(&slices).unwrap()).is_err());
    }
}

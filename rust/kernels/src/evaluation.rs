//! Loss and accuracy of a network over a data set, so many rows at a time as there is time for.
//!
//! With `s` a row's scores and `t` what it should have been, the loss is the mean of `softmax_loss`, and a row is right if its largest
//! score is that of the class that is largest in `t`; among equal ones the first counts, and nan is the largest of all, as in NumPy's `argmax`.
//!
//! An [`Evaluation`] has copies of the parameters, so that it can go on while they change: beside the steps of the next epoch, or afterwards. Rows are taken
//! in blocks of [`BLOCK`], and what each block adds is added in their order, whoever took it. Cost: that of [`Stack::scores`], and a tenth of it
//! for 784-50-10.

use crate::error::{agree, resize};
use crate::level::Level;
use crate::padded::Padded;
use crate::softmax_loss::{Losses, Target, Targets};
use crate::stack::{matrix_mut, Data, Room, Stack, BLOCK};
use crate::{threads, Float, KernelError};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Copies of a network's parameters, which evaluations over several sets share.
pub type Copies<T> = Arc<[Vec<T>]>;

/// Copies of such parameters.
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

/// The evaluation, and how far it has come.
#[derive(Debug)]
pub struct Evaluation<T> {
    stack: Stack,
    level: Level,
    params: Copies<T>,
    /// Whether the data have been looked at; and `W` and `b` of the first product, if it skips their zeros.
    begun: bool,
    ready: Option<(Padded<T>, Padded<T>)>,
    /// Rows done.
    done: usize,
    loss: f64,
    right: usize,
}

/// Room for one block.
#[derive(Debug, Default)]
struct BlockRoom<T> {
    room: Room<T>,
    scores: Vec<T>,
    y: Vec<T>,
}

impl<T: Float> Evaluation<T> {
    /// The evaluation of `stack` with such parameters.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`].
    pub fn new(stack: &Stack, level: Level, params: Copies<T>) -> Result<Self, KernelError> {
        stack.check(&params)?;
        Ok(Self { stack: stack.clone(), level, params, begun: false, ready: None, done: 0, loss: 0.0, right: 0 })
    }

    /// The network's layers.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Evaluate some more rows of `x`, the same every time: until all are done or `deadline` has passed, but some. Whether all are done.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`] or [`KernelError::Label`] if the data do not fit, [`KernelError::Memory`].
    pub fn advance(&mut self, x: Data<'_, T>, t: Targets<'_, T>, deadline: Instant) -> Result<bool, KernelError> {
        let n = x.rows();
        x.check(&self.stack)?;
        agree("the number of rows of t", t.rows(), "the number of rows of x", n)?;
        if !self.begun {
            if self.stack.skips(self.level, &self.params, x) {
                let ready = self.ready.insert((Padded::default(), Padded::default()));
                self.stack.pad(self.level, &self.params, ready)?;
            }
            self.begun = true;
        }
        while self.done < n {
            let end = n.min(self.done + self.stack.round());
            let mut found = vec![(0.0, 0); (end - self.done).div_ceil(BLOCK)];
            let blocks = (self.done..end).step_by(BLOCK).map(|start| start..end.min(start + BLOCK));
            threads::try_each_with(blocks.zip(&mut found).collect(), BlockRoom::default, |room, (rows, found)| {
                *found = self.block(x, t, rows, room)?;
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

    /// Mean loss, in nats, and the share of rows that are right, of the rows done so far; nan if there are none.
    pub fn loss_and_accuracy(&self) -> (f64, f64) {
        let n = self.done as f64;
        (self.loss / n, self.right as f64 / n)
    }

    /// The sum of the losses of some rows, and how many are right.
    fn block(
        &self,
        x: Data<'_, T>,
        t: Targets<'_, T>,
        rows: Range<usize>,
        BlockRoom { room, scores, y }: &mut BlockRoom<T>,
    ) -> Result<(f64, usize), KernelError> {
        let (n, classes) = (rows.len(), self.stack.classes());
        resize(scores, n * classes, T::zero())?;
        resize(y, n * classes, T::zero())?;
        let (out, t) = (matrix_mut(scores, n, classes)?, t.part(rows.clone()));
        t.check(classes)?;
        self.stack.scores_of_block(self.level, &self.params, self.ready.as_ref(), x, rows, room, out)?;
        let loss = self.level.run(Losses { scores, targets: t, rows: 0..n, y });
        let right = |(scores, row): (&[T], usize)| {
            let wanted = match t.row(row) {
                Target::Id(id) => id,
                Target::Distribution(t) => largest(t.iter().copied()),
            };
            largest(scores.iter().copied()) == wanted
        };
        let right = scores.chunks_exact(classes.max(1)).zip(0..).filter(|&pair| right(pair)).count();
        Ok((loss * n as f64, right))
    }
}

/// The place of the largest number.
fn largest<T: Float>(numbers: impl Iterator<Item = T>) -> usize {
    let mut found = (0, T::neg_infinity());
    for (i, number) in numbers.enumerate() {
        if i == 0 || number > found.1 || (number.is_nan() && !found.1.is_nan()) {
            found = (i, number);
        }
    }
    found.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation::{Relu, Scale};
    use crate::level::{available, detect};
    use crate::matmul::tests::numbers;
    use crate::nonzeros::Nonzeros;
    use crate::rows::Rows;
    use crate::sparse::tests::{mostly_zeros, Kinds};
    use crate::stack::Layer;
    use ndarray::Array2;
    use std::time::Duration;

    const ROWS: usize = 5 * BLOCK + 7;

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn network<T: Float>() -> (Stack, Vec<Vec<T>>) {
        let layers = vec![Layer::Activation(Scale(1.0)), Layer::Affine(9), Layer::Activation(Relu), Layer::Affine(4)];
        let stack = Stack::new(30, layers);
        let fill = |n: usize| numbers::<T>((1, n), n as u64).into_iter().map(|x| x * T::of(0.05)).collect();
        let params =
            stack.affine_shapes().flat_map(|(inputs, outputs)| [inputs * outputs, outputs]).map(fill).collect();
        (stack, params)
    }

    /// Loss and accuracy of these scores, in f64.
    fn naive<T: Float>(scores: &Array2<f64>, t: Targets<'_, T>) -> (f64, f64) {
        let (mut loss, mut right) = (0.0, 0);
        for (i, s) in scores.rows().into_iter().enumerate() {
            let log_sum = s.mapv(f64::exp).sum().ln();
            let t = |j: usize| match t {
                Targets::Ids(ids) => f64::from(u8::from(ids[i] == j as i64)),
                Targets::Distributions(t) => t[[i, j]].wide(),
            };
            loss += (0..4).map(|j| t(j) * (log_sum - s[j])).sum::<f64>();
            let best = |of: &dyn Fn(usize) -> f64| (1..4).fold(0, |best, j| if of(j) > of(best) { j } else { best });
            right += usize::from(best(&|j| s[j]) == best(&t));
        }
        (loss / ROWS as f64, right as f64 / ROWS as f64)
    }

    fn it_is_the_mean_over_all_rows<T: Float>() {
        let (stack, params) = network::<T>();
        let params: Vec<&[T]> = params.iter().map(Vec::as_slice).collect();
        let compare = |level: Level, x: Data<'_, T>, t: Targets<'_, T>| {
            let mut scores = Array2::zeros((ROWS, 4));
            stack.scores(level, &params, x, 0, late(), scores.view_mut()).unwrap();
            let (want, right) = naive(&scores.mapv(T::wide), t);
            let mut evaluation = Evaluation::new(&stack, level, copies(&params).unwrap()).unwrap();
            assert_eq!(evaluation.advance(x, t, late()), Ok(true));
            let (loss, accuracy) = evaluation.loss_and_accuracy();
            assert_eq!(accuracy, right);
            // Four exponentials, their sum, its logarithm and a difference of numbers about 1, each rounded.
            assert!((loss - want).abs() < 20.0 * T::epsilon().wide() * want, "{loss} for {want}");
            // As often as it takes, on one thread: the same bits.
            let mut some = Evaluation::new(&stack, level, copies(&params).unwrap()).unwrap();
            let calls = (1..).find(|_| threads::alone(|| some.advance(x, t, Instant::now())).unwrap());
            assert_eq!((calls, some.loss_and_accuracy()), (Some(6), (loss, accuracy)));
            assert_eq!(some.advance(x, t, late()), Ok(true));
            assert_eq!(some.loss_and_accuracy(), (loss, accuracy));
        };
        let kinds = Kinds::of(&mostly_zeros(ROWS, 30, 3));
        let ids: Vec<i64> = (0..ROWS as i64).map(|i| i * i % 4).collect();
        let sizes = numbers::<f64>((ROWS, 4), 9).mapv(|x| x.abs() + 0.01);
        let shares = Array2::from_shape_fn((ROWS, 4), |(i, j)| T::of(sizes[[i, j]] / sizes.row(i).sum()));
        for (&level, x) in available().iter().flat_map(|level| kinds.each().map(move |x| (level, x))) {
            let mut sparse = Nonzeros::new(30, x, 1.0);
            sparse.extend(level, x, 0..ROWS).unwrap();
            for t in [Targets::Ids(&ids), Targets::Distributions(shares.view())] {
                compare(level, Data::Rows(x), t);
                compare(level, Data::Nonzeros(&sparse), t);
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
        let (x, t) = (Data::Rows(Rows::Double(x.view())), Targets::Ids(&[1; 10]));
        let [mut before, mut made_before] = [0, 1].map(|_| {
            let slices: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
            Evaluation::new(&stack, detect().unwrap(), copies(&slices).unwrap()).unwrap()
        });
        before.advance(x, t, late()).unwrap();
        params[2][0] += 1.0;
        made_before.advance(x, t, late()).unwrap();
        assert_eq!(before.loss_and_accuracy(), made_before.loss_and_accuracy());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (stack, params) = network::<f64>();
        let mut slices: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        let (x, narrow) = (Array2::<f64>::zeros((2, 30)), Array2::<f64>::zeros((2, 29)));
        let mut evaluation = Evaluation::new(&stack, detect().unwrap(), copies(&slices).unwrap()).unwrap();
        for (x, t) in [(&x, &[1i64][..]), (&x, &[1, 4]), (&narrow, &[1, 1])] {
            assert!(evaluation.advance(Data::Rows(Rows::Double(x.view())), Targets::Ids(t), late()).is_err());
        }
        assert!(evaluation.loss_and_accuracy().0.is_nan());
        slices.pop();
        assert!(Evaluation::new(&stack, detect().unwrap(), copies(&slices).unwrap()).is_err());
    }

    #[test]
    fn the_largest_is_numpys() {
        let nan = f64::NAN;
        // np.argmax of each
        for (numbers, want) in [
            (vec![1.0, 3.0, 3.0], 1),
            (vec![f64::NEG_INFINITY, f64::NEG_INFINITY], 0),
            (vec![1.0, nan, 5.0, nan], 1),
            (vec![nan, 5.0], 0),
            (vec![-2.0, -1.0], 1),
        ] {
            assert_eq!(largest(numbers.iter().copied()), want, "{numbers:?}");
        }
    }
}

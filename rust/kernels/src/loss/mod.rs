//! What training minimizes: the mean loss of a batch's scores.
//!
//! With `s` the scores of a row, `t` its target, `w` its weight (1 by default):
//!
//! | loss | one row's, e | the network's output, y | ∂e/∂s | t | right is |
//! |---|---|---|---|---|---|
//! | [`softmax`] | -Σₖ tₖ ln yₖ | exp sₖ / Σⱼ exp sⱼ | yₖ Σⱼ tⱼ - tₖ | a class id, or a distribution | the largest s where the largest t is |
//! | [`squared`] | Σₖ (sₖ - tₖ)² / 2 | s | yₖ - tₖ | numbers | nothing: nan |
//! | [`sigmoid`] | Σₖ ln(1 + exp sₖ) - tₖ sₖ | 1 / (1 + exp(-sₖ)) | yₖ - tₖ | numbers from 0 to 1, a label each | s above 0 where t is above 1/2, for every label |
//!
//! ```text
//! E = 1/N Σₙ wₙ eₙ          ∂E/∂s = wₙ/N · ∂eₙ/∂s
//! ```
//!
//! Why so: training, evaluation and both numeric sides of a check need the same four things of a loss (a
//! [`Definition`]), and know nothing else about it. A loss is a file here, and a row in each of the three lists below.
//! Losses are accumulated in f64, in the order of the rows, whatever the level; they are never divided among threads.
//! Cost: one or two passes over the scores.

pub mod sigmoid;
pub mod softmax;
pub mod squared;

use crate::dense::padded::{Lane, LANES};
use crate::error::agree;
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::{Float, KernelError};
use ndarray::{s, Array2, ArrayView1, ArrayView2, ArrayViewMut2};
use std::ops::Range;

/// One of the losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Softmax cross entropy: one of several classes.
    Softmax,
    /// Half the squared distance: numbers.
    Squared,
    /// Sigmoid cross entropy: several labels, each present or not.
    Sigmoid,
}

/// The losses' names.
const NAMES: [(&str, Loss); 3] = [("softmax", Loss::Softmax), ("squared", Loss::Squared), ("sigmoid", Loss::Sigmoid)];

/// The body, with `$L` standing for the definition of the loss.
macro_rules! defined {
    ($loss:expr, $L:ident => $body:expr) => {
        match $loss {
            Loss::Softmax => {
                use softmax::Softmax as $L;
                $body
            }
            Loss::Squared => {
                use squared::Squared as $L;
                $body
            }
            Loss::Sigmoid => {
                use sigmoid::Sigmoid as $L;
                $body
            }
        }
    };
}

/// What a loss is. All methods but `right` run inside kernels: they must be `#[inline(always)]`.
trait Definition {
    /// Whether a target can be a class id.
    const TAKES_IDS: bool;

    /// The weighted sum of the rows' losses; `y ←` the network's output. `rows` are the indices of the targets.
    fn losses<T: Float>(
        scores: &[T],
        targets: Targets<'_, T>,
        rows: impl ExactSizeIterator<Item = usize> + Clone,
        y: &mut [T],
        arithmetic: impl Arithmetic,
    ) -> f64;

    /// Turn `d` from a row's output into the gradient of its loss: `y - t`, unless the loss has another.
    #[inline(always)]
    fn gradient<T: Float>(target: &Target<'_, T>, d: &mut [T]) {
        d.iter_mut().zip(target.numbers).for_each(|(d, &t)| *d -= t);
    }

    /// The losses of sixteen rows side by side, where `scores[k]` holds the k-th score of each; the scores are
    /// overwritten.
    fn losses_side_by_side(
        targets: &[Target<'_, f64>; LANES],
        scores: &mut [Lane<f64>],
        arithmetic: impl Arithmetic,
    ) -> Lane<f64>;

    /// 1 if a row's scores are right, 0 if not; nan if the loss has no right and wrong.
    fn right<T: Float>(target: &Target<'_, T>, scores: &[T]) -> f64;
}

impl Loss {
    /// The loss of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.into_iter().find(|(its, _)| *its == name).map(|(_, loss)| loss)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.into_iter().find(|(_, loss)| *loss == self).map_or("", |(name, _)| name)
    }

    /// `Ok` if the targets are of a kind this loss takes, and match the number of classes.
    pub(crate) fn check<T: Float>(self, targets: &Targets<'_, T>, classes: usize) -> Result<(), KernelError> {
        match targets.wanted {
            Wanted::Ids(_) if !defined!(self, L => L::TAKES_IDS) => Err(KernelError::Ids { loss: self.name() }),
            Wanted::Ids(ids) => {
                let outside = |&id: &i64| usize::try_from(id).map_or(true, |id| id >= classes);
                match ids.iter().position(outside) {
                    Some(row) => Err(KernelError::Label { got: ids[row], row, classes }),
                    None => Ok(()),
                }
            }
            Wanted::Rows(t) => agree("the number of columns of t", t.ncols(), "the number of classes", classes),
        }
    }

    /// The mean loss; `y ←` the network's output; `d_scores ←` the gradient of the mean loss. All of shape (N, C).
    ///
    /// ```
    /// use chainrule_kernels::machine::level::detect;
    /// use chainrule_kernels::loss::{Loss, Targets};
    /// use ndarray::{array, Array2};
    ///
    /// let (scores, mut y, mut d) = (array![[0.0f64, 0.0]], Array2::zeros((1, 2)), Array2::zeros((1, 2)));
    /// let mut run = |loss: Loss, t| loss.run(detect().unwrap(), scores.view(), t, y.view_mut(), d.view_mut()).unwrap();
    /// let t = array![[2.0, 4.0]];
    /// assert_eq!(run(Loss::Squared, Targets::numbers(t.view())), 10.0);
    /// assert_eq!(run(Loss::Softmax, Targets::ids(&[1])), 2f64.ln());
    /// assert_eq!((y, d), (array![[0.5, 0.5]], array![[0.5, -0.5]]));
    /// ```
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`] if the shapes differ, [`KernelError::Label`] for a class id outside `0..C`,
    /// [`KernelError::Ids`] for class ids where there must be numbers, [`KernelError::Empty`] for N = 0. Nothing is
    /// written then.
    pub fn run<T: Float>(
        self,
        level: Level,
        scores: ArrayView2<'_, T>,
        targets: Targets<'_, T>,
        mut y: ArrayViewMut2<'_, T>,
        mut d_scores: ArrayViewMut2<'_, T>,
    ) -> Result<f64, KernelError> {
        let (n, classes) = scores.dim();
        agree("the number of rows of t", targets.rows(), "the number of rows of scores", n)?;
        for (rows, columns) in [y.dim(), d_scores.dim()] {
            agree("the number of rows of an output", rows, "the number of rows of scores", n)?;
            agree("the number of columns of an output", columns, "the number of columns of scores", classes)?;
        }
        self.check(&targets, classes)?;
        if n == 0 {
            return Err(KernelError::Empty);
        }
        if !(y.is_standard_layout() && d_scores.is_standard_layout()) {
            let (mut its_y, mut its_d) = (Array2::zeros((n, classes)), Array2::zeros((n, classes)));
            let loss = self.run(level, scores, targets, its_y.view_mut(), its_d.view_mut())?;
            y.assign(&its_y);
            d_scores.assign(&its_d);
            return Ok(loss);
        }
        let scores = scores.as_standard_layout();
        if let (Some(scores), Some(y), Some(d)) = (scores.as_slice(), y.as_slice_mut(), d_scores.as_slice_mut()) {
            let loss = self.mean(level, scores, targets, 0..n, y);
            d.copy_from_slice(y);
            self.gradient(level, targets, 0..n, n, d);
            return Ok(loss);
        }
        Ok(f64::NAN) // not reached: all three are row-major and contiguous
    }

    /// The mean loss of `scores`, row-major; `y ←` the network's output. `rows` are the indices of the targets.
    pub(crate) fn mean<T: Float>(
        self,
        level: Level,
        scores: &[T],
        targets: Targets<'_, T>,
        rows: impl ExactSizeIterator<Item = usize> + Clone,
        y: &mut [T],
    ) -> f64 {
        let n = rows.len();
        self.sum(level, scores, targets, rows, y) / n as f64
    }

    /// The sum of the losses.
    pub(crate) fn sum<T: Float>(
        self,
        level: Level,
        scores: &[T],
        targets: Targets<'_, T>,
        rows: impl ExactSizeIterator<Item = usize> + Clone,
        y: &mut [T],
    ) -> f64 {
        level.run(Sum { loss: self, scores, targets, rows, y })
    }

    /// Turn `d` from the network's output into the gradient of the mean loss of a batch of `n` rows. `rows` are the
    /// indices of the targets.
    pub(crate) fn gradient<T: Float>(
        self,
        level: Level,
        targets: Targets<'_, T>,
        rows: impl ExactSizeIterator<Item = usize>,
        n: usize,
        d: &mut [T],
    ) {
        level.run(Gradient { loss: self, targets, rows, n, d });
    }

    /// The losses of sixteen rows side by side, where `scores[k]` holds the k-th score of each; the scores are
    /// overwritten. For use inside kernels.
    #[inline(always)]
    pub(crate) fn side_by_side(
        self,
        targets: &[Target<'_, f64>; LANES],
        scores: &mut [Lane<f64>],
        arithmetic: impl Arithmetic,
    ) -> Lane<f64> {
        defined!(self, L => L::losses_side_by_side(targets, scores, arithmetic))
    }

    /// How many rows of scores are right; nan if the loss has no right and wrong.
    pub(crate) fn right<T: Float>(self, targets: &Targets<'_, T>, scores: &[T], classes: usize) -> f64 {
        let rows = scores.chunks_exact(classes.max(1)).zip(0..);
        defined!(self, L => rows.map(|(scores, row)| L::right(&targets.row(row), scores)).sum())
    }
}

/// The targets of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a, T> {
    wanted: Wanted<'a, T>,
    /// The weight of each row; 1 if there are none.
    weights: Option<&'a [T]>,
}

#[derive(Clone, Copy, Debug)]
enum Wanted<'a, T> {
    Ids(&'a [i64]),
    Rows(ArrayView2<'a, T>),
}

impl<'a, T: Float> Targets<'a, T> {
    /// One class id per row.
    pub fn ids(ids: &'a [i64]) -> Self {
        Self { wanted: Wanted::Ids(ids), weights: None }
    }

    /// As many numbers per row as there are scores, shape (N, C).
    pub fn numbers(t: ArrayView2<'a, T>) -> Self {
        Self { wanted: Wanted::Rows(t), weights: None }
    }

    /// The same with a weight for each row, if there are weights.
    ///
    /// # Errors
    ///
    /// [`KernelError::Sizes`] if there are more or fewer weights than rows.
    pub fn weighted(self, weights: Option<&'a [T]>) -> Result<Self, KernelError> {
        let count = weights.map_or(self.rows(), <[T]>::len);
        agree("the number of weights", count, "the number of rows of t", self.rows())?;
        Ok(Self { weights, ..self })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self.wanted {
            Wanted::Ids(ids) => ids.len(),
            Wanted::Rows(t) => t.nrows(),
        }
    }

    /// The targets of a range of rows.
    pub(crate) fn slice(&self, rows: Range<usize>) -> Targets<'_, T> {
        let wanted = match &self.wanted {
            Wanted::Ids(ids) => Wanted::Ids(&ids[rows.clone()]),
            Wanted::Rows(t) => Wanted::Rows(t.slice(s![rows.clone(), ..])),
        };
        Targets { wanted, weights: self.weights.map(|weights| &weights[rows]) }
    }

    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> Target<'_, T> {
        let weight = self.weights.map_or(1.0, |weights| weights[row].wide());
        match &self.wanted {
            Wanted::Ids(ids) => Target { id: Some(ids[row] as usize), numbers: ArrayView1::from(&[]), weight },
            Wanted::Rows(t) => Target { id: None, numbers: t.row(row), weight },
        }
    }
}

/// The target of one row.
pub(crate) struct Target<'a, T> {
    /// A class id, if there are no numbers.
    id: Option<usize>,
    numbers: ArrayView1<'a, T>,
    /// Its weight.
    weight: f64,
}

impl<T: Float> Target<'_, T> {
    /// The k-th number.
    #[inline(always)]
    fn number(&self, k: usize) -> T {
        self.numbers[k]
    }
}

struct Sum<'a, 't, T, R> {
    loss: Loss,
    scores: &'a [T],
    targets: Targets<'t, T>,
    rows: R,
    y: &'a mut [T],
}

impl<T: Float, R: ExactSizeIterator<Item = usize> + Clone> Kernel for Sum<'_, '_, T, R> {
    type Output = f64;

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) -> f64 {
        let Self { loss, scores, targets, rows, y } = self;
        defined!(loss, L => L::losses(scores, targets, rows, y, arithmetic))
    }
}

struct Gradient<'a, 't, T, R> {
    loss: Loss,
    targets: Targets<'t, T>,
    rows: R,
    n: usize,
    d: &'a mut [T],
}

impl<T: Float, R: ExactSizeIterator<Item = usize>> Kernel for Gradient<'_, '_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { loss, targets, rows, n, d } = self;
        let classes = row_length(d, rows.len());
        let scale = T::one() / T::of(n as f64);
        defined!(loss, L => for (d, row) in d.chunks_exact_mut(classes).zip(rows) {
            let target = targets.row(row);
            L::gradient(&target, d);
            if target.weight != 1.0 {
                let weight = T::of(target.weight);
                d.iter_mut().for_each(|d| *d *= weight);
            }
        });
        d.iter_mut().for_each(|d| *d *= scale);
    }
}

/// The length of each of `n` rows; 1 if there are none.
#[inline(always)]
fn row_length<T>(numbers: &[T], n: usize) -> usize {
    (numbers.len() / n.max(1)).max(1)
}

/// Σₖ f(aₖ, tₖ), in f64: sixteen sums side by side, which the compiler vectorizes, added up at the end.
#[inline(always)]
fn sum_over<T: Float>(a: &[T], target: &Target<'_, T>, f: impl Fn(T, T) -> f64) -> f64 {
    let t = target.numbers.as_standard_layout();
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (t, t_rest) = t.as_slice().unwrap_or(&[]).as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, t) in a.iter().zip(t) {
        for i in 0..LANES {
            sums[i] += f(a[i], t[i]);
        }
    }
    for (sum, (&a, &t)) in sums.iter_mut().zip(a_rest.iter().zip(t_rest)) {
        *sum += f(a, t);
    }
    sums.iter().sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::machine::level::{available, detect};
    use ndarray::array;

    /// The oracle: the loss of one row, by definition.
    pub(crate) fn one_row(loss: Loss, scores: &[f64], t: ArrayView1<'_, f64>) -> f64 {
        // A term with factor 0 is skipped: the other factor may be infinite.
        let times = |t: f64, of: f64| if t == 0.0 { 0.0 } else { t * of };
        let pairs = scores.iter().copied().zip(t.iter().copied());
        match loss {
            Loss::Softmax => {
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let log_sum = scores.iter().map(|s| (s - largest).exp()).sum::<f64>().ln();
                pairs.map(|(s, t)| times(t, log_sum + largest - s)).sum()
            }
            Loss::Squared => pairs.map(|(s, t)| (s - t).powi(2) / 2.0).sum(),
            Loss::Sigmoid => {
                let softplus = |s: f64| if s > 0.0 { s + (-s).exp().ln_1p() } else { s.exp().ln_1p() };
                pairs.map(|(s, t)| times(t, softplus(-s)) + times(1.0 - t, softplus(s))).sum()
            }
        }
    }

    pub(super) fn run<T: Float>(loss: Loss, scores: &Array2<T>, t: Targets<'_, T>) -> (f64, Array2<T>, Array2<T>) {
        let mut y = Array2::from_elem(scores.dim(), T::nan());
        let mut d_scores = y.clone();
        let found = loss.run(detect().unwrap(), scores.view(), t, y.view_mut(), d_scores.view_mut()).unwrap();
        (found, y, d_scores)
    }

    /// Along a random direction, the loss changes by the sum of the gradient times that direction.
    pub(super) fn gradient_is_the_derivative(loss: Loss, scores: &Array2<f64>, t: Targets<'_, f64>) {
        let (_, _, d) = run(loss, scores, t);
        let h = 1e-5;
        for seed in 1..6 {
            let direction = numbers::<f64>(scores.dim(), seed);
            let [up, down] = [h, -h].map(|h| run(loss, &(scores + h * &direction), t).0);
            let (numeric, analytic) = ((up - down) / (2.0 * h), (&direction * &d).sum());
            // h²/6 · f''' + ε · loss / h, each about 1e-10 for losses of about 1
            assert!((numeric - analytic).abs() < 1e-8, "{loss:?}: {numeric} against {analytic}");
        }
    }

    /// At every level, for rows of a lane and more: sixteen rows side by side have the same losses as one by one.
    pub(super) fn side_by_side_is_one_by_one(loss: Loss, scores: &Array2<f64>, t: Targets<'_, f64>) {
        struct SideBySide<'a>(Loss, [Target<'a, f64>; LANES], Vec<Lane<f64>>);

        impl Kernel for SideBySide<'_> {
            type Output = Lane<f64>;
            #[inline(always)]
            fn run(mut self, arithmetic: impl Arithmetic) -> Lane<f64> {
                self.0.side_by_side(&self.1, &mut self.2, arithmetic)
            }
        }

        let n = scores.nrows();
        for &level in available() {
            let lanes = scores.columns().into_iter().map(|s| Lane(std::array::from_fn(|i| s[i % n])));
            let found = level.run(SideBySide(loss, std::array::from_fn(|i| t.row(i % n)), lanes.collect()));
            for (i, found) in found.0.into_iter().enumerate() {
                let (row, mut y) = (scores.row(i % n).to_vec(), vec![0.0; scores.ncols()]);
                let want = loss.mean(level, &row, t, std::iter::once(i % n), &mut y);
                assert!((found - want).abs() <= 1e-14 * (1.0 + want.abs()), "{loss:?}: {found} for {want}");
            }
        }
    }

    #[test]
    fn each_loss_has_a_name_and_no_two_have_one() {
        for (name, loss) in NAMES {
            assert_eq!((Loss::from_name(name), loss.name()), (Some(loss), name));
        }
        assert_eq!(Loss::from_name("hinge"), None);
    }

    #[test]
    fn ids_are_for_classes_only() {
        let (mut y, mut d) = (array![[7.0, 7.0]], array![[7.0, 7.0]]);
        for loss in [Loss::Squared, Loss::Sigmoid] {
            let refused =
                loss.run(detect().unwrap(), array![[1.0, 2.0]].view(), Targets::ids(&[1]), y.view_mut(), d.view_mut());
            assert_eq!(refused, Err(KernelError::Ids { loss: loss.name() }));
        }
        assert_eq!((y, d), (array![[7.0, 7.0]], array![[7.0, 7.0]]));
    }

    #[test]
    fn a_weight_is_how_often_a_row_counts() {
        let (scores, weights) = (numbers::<f64>((5, 19), 1), [0.0, 1.0, 2.0, 0.5, 3.0]);
        let t = numbers::<f64>((5, 19), 2).mapv(f64::abs);
        for (_, loss) in NAMES {
            let all = Targets::numbers(t.view());
            let weighted = all.weighted(Some(&weights)).unwrap();
            let (found, y, d) = run(loss, &scores, weighted);
            let mut sum = 0.0;
            for (row, weight) in weights.into_iter().enumerate() {
                let at = |of: &Array2<f64>| of.slice(s![row..=row, ..]).to_owned();
                let (alone, its_y, its_d) = run(loss, &at(&scores), Targets::numbers(at(&t).view()));
                sum += weight * alone;
                assert!((at(&y) - its_y).iter().all(|off| off.abs() < 1e-15));
                assert!((at(&d) - its_d * weight / 5.0).iter().all(|off| off.abs() < 1e-15), "{loss:?}");
            }
            assert!((found - sum / 5.0).abs() < 1e-13, "{loss:?}");
            // The mean is over the rows, not over their weights: weights of 1 change no bit, weights of 2 double
            // everything.
            let (once, _, its_d) = run(loss, &scores, all);
            assert_eq!(run(loss, &scores, all.weighted(Some(&[1.0; 5])).unwrap()), (once, y.clone(), its_d.clone()));
            let (twice, _, d) = run(loss, &scores, all.weighted(Some(&[2.0; 5])).unwrap());
            assert!((twice - 2.0 * once).abs() < 1e-13 && d == its_d * 2.0);
            gradient_is_the_derivative(loss, &scores, weighted);
            side_by_side_is_one_by_one(loss, &scores, weighted);
        }
        let ids = [3, 0, 18, 7, 7];
        let one_hot = Array2::from_shape_fn((5, 19), |(i, k)| f64::from(u8::from(ids[i] == k as i64)));
        let [by_id, by_row] = [Targets::ids(&ids), Targets::numbers(one_hot.view())]
            .map(|t| run(Loss::Softmax, &scores, t.weighted(Some(&weights)).unwrap()));
        assert_eq!(by_id, by_row);
        let few = Targets::ids(&ids).weighted(Some(&weights[1..])).unwrap_err().to_string();
        assert_eq!(few, "the number of weights is 4, but the number of rows of t is 5; they must agree");
    }
}

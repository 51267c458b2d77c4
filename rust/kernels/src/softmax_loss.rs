//! The mean cross entropy of softmax scores, and its gradient, in one pass over the rows.
//!
//! With `s` a row of scores, `m` its largest and `t` what it should have been:
//!
//! ```text
//! lse  = ln Σₖ exp(sₖ - m)                     (log-sum-exp; m cancels, and keeps exp from overflowing)
//! yₖ   = exp(sₖ - m - lse)                     softmax
//! loss = Σₖ tₖ (lse - (sₖ - m))                for a class id t: lse - (sₜ - m)
//! ∂loss/∂sₖ = yₖ Σⱼ tⱼ - tₖ                    divided by N for the mean over N rows
//! ```
//!
//! Why so: the logarithm is never taken of a probability, so there is nothing to add inside it and no loss is capped. `y` is
//! computed as `exp(sₖ - m) / Σ`, one `exp` a score. Distributions need not sum to 1 exactly: `Σ t` stands in the gradient, so that
//! it is the derivative of the loss that is returned. Losses are added up in f64, row after row.
//!
//! A nan anywhere in a row makes that row nan; so does +∞, or -∞ in every place, as it does in NumPy.

use crate::error::agree;
use crate::{Float, KernelError};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2};

/// What the rows should have been.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a, T> {
    /// A class id a row.
    Ids(&'a [i64]),
    /// A distribution a row, shape (N, C).
    Distributions(ArrayView2<'a, T>),
}

impl<T: Float> Targets<'_, T> {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Distributions(t) => t.nrows(),
        }
    }

    /// `Ok` if every row is one of `classes` classes.
    pub(crate) fn check(&self, classes: usize) -> Result<(), KernelError> {
        match self {
            Self::Ids(ids) => {
                let outside = |&id: &i64| usize::try_from(id).map_or(true, |id| id >= classes);
                match ids.iter().position(outside) {
                    Some(row) => Err(KernelError::Label { got: ids[row], row, classes }),
                    None => Ok(()),
                }
            }
            Self::Distributions(t) => agree("the number of columns of t", t.ncols(), "the number of classes", classes),
        }
    }

    pub(crate) fn row(&self, row: usize) -> Target<'_, T> {
        match self {
            Self::Ids(ids) => Target::Id(ids[row] as usize),
            Self::Distributions(t) => Target::Distribution(t.row(row)),
        }
    }
}

/// What one row should have been.
pub(crate) enum Target<'a, T> {
    Id(usize),
    Distribution(ArrayView1<'a, T>),
}

/// The mean loss; `probs ← softmax(scores)`; `d_scores ←` the gradient of the mean loss. All of shape (N, C).
///
/// ```
/// use chainrule_kernels::softmax_loss::{softmax_loss, Targets};
/// use ndarray::{array, Array2};
///
/// let (mut probs, mut d_scores) = (Array2::zeros((1, 2)), Array2::zeros((1, 2)));
/// let scores = array![[0.0f64, 0.0]];
/// let loss = softmax_loss(scores.view(), Targets::Ids(&[1]), probs.view_mut(), d_scores.view_mut()).unwrap();
/// assert_eq!(loss, 2f64.ln());
/// assert_eq!(d_scores, array![[0.5, -0.5]]);
/// ```
///
/// # Errors
///
/// [`KernelError::Sizes`] if the shapes differ, [`KernelError::Label`] for a class id outside `0..C`,
/// [`KernelError::Empty`] for N = 0. Nothing is written then.
pub fn softmax_loss<T: Float>(
    scores: ArrayView2<'_, T>,
    targets: Targets<'_, T>,
    mut probs: ArrayViewMut2<'_, T>,
    mut d_scores: ArrayViewMut2<'_, T>,
) -> Result<f64, KernelError> {
    let (n, classes) = scores.dim();
    agree("the number of rows of t", targets.rows(), "the number of rows of scores", n)?;
    for (rows, columns) in [probs.dim(), d_scores.dim()] {
        agree("the number of rows of an output", rows, "the number of rows of scores", n)?;
        agree("the number of columns of an output", columns, "the number of columns of scores", classes)?;
    }
    targets.check(classes)?;
    if n == 0 {
        return Err(KernelError::Empty);
    }
    let scale = T::one() / T::of(n as f64);
    let mut sum = 0.0;
    for row in 0..n {
        let (mut y, mut d) = (probs.row_mut(row), d_scores.row_mut(row));
        sum += row_loss(scores.row(row), targets.row(row), &mut y).wide();
        d.assign(&y);
        row_gradient(targets.row(row), scale, &mut d);
    }
    Ok(sum / n as f64)
}

/// The loss of one row of scores; `y ←` its softmax.
pub(crate) fn row_loss<T: Float>(scores: ArrayView1<'_, T>, target: Target<'_, T>, y: &mut ArrayViewMut1<'_, T>) -> T {
    // Once the largest is nan no comparison changes it: a nan is seen, as by NumPy's max.
    let larger = |m: T, s: &T| if *s > m || s.is_nan() { *s } else { m };
    let largest = scores.iter().fold(T::neg_infinity(), larger);
    let mut sum = T::zero();
    for (y, &score) in y.iter_mut().zip(scores) {
        *y = (score - largest).exp();
        sum += *y;
    }
    y.mapv_inplace(|y| y / sum);
    let lse = sum.ln();
    match target {
        Target::Id(t) => lse - (scores[t] - largest),
        Target::Distribution(t) => {
            // A class of probability 0 costs nothing, whatever its score: 0 · ∞ is not asked for.
            let terms = t.iter().zip(scores).filter(|(t, _)| **t != T::zero());
            terms.fold(T::zero(), |loss, (&t, &score)| loss + t * (lse - (score - largest)))
        }
    }
}

/// `d`: softmax in, `scale` times the gradient of the row's loss out.
pub(crate) fn row_gradient<T: Float>(target: Target<'_, T>, scale: T, d: &mut ArrayViewMut1<'_, T>) {
    match target {
        Target::Id(t) => {
            d[t] -= T::one();
            d.mapv_inplace(|d| d * scale);
        }
        Target::Distribution(t) => {
            let total = t.sum();
            d.zip_mut_with(&t, |d, &t| *d = (*d * total - t) * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{array, Array2, Axis};
    use proptest::prelude::*;

    fn run<T: Float>(scores: &Array2<T>, targets: Targets<'_, T>) -> (f64, Array2<T>, Array2<T>) {
        let mut probs = Array2::from_elem(scores.dim(), T::nan());
        let mut d_scores = probs.clone();
        let loss = softmax_loss(scores.view(), targets, probs.view_mut(), d_scores.view_mut()).unwrap();
        (loss, probs, d_scores)
    }

    /// The oracle: the definition, in f64, for scores small enough not to overflow.
    fn naive(scores: &Array2<f64>, t: &Array2<f64>) -> f64 {
        let e = scores.mapv(f64::exp);
        let y = &e / &e.sum_axis(Axis(1)).insert_axis(Axis(1));
        -(t * &y.mapv(f64::ln)).sum() / scores.nrows() as f64
    }

    #[test]
    fn three_rows_by_hand() {
        // softmax of (0, ln 2, ln 5) is (1, 2, 5) / 8.
        let scores = array![[0.0, 2f64.ln(), 5f64.ln()]];
        let (loss, probs, d) = run(&scores, Targets::Ids(&[1]));
        assert!((loss - 4f64.ln()).abs() < 1e-15);
        for (got, want) in probs.iter().zip([0.125, 0.25, 0.625]) {
            assert!((got - want).abs() < 1e-15);
        }
        for (got, want) in d.iter().zip([0.125, -0.75, 0.625]) {
            assert!((got - want).abs() < 1e-15);
        }
    }

    #[test]
    fn huge_scores_do_not_overflow_and_no_loss_is_capped() {
        let (loss, probs, _) = run(&array![[1000.0f32, 0.0]], Targets::Ids(&[1]));
        assert_eq!(loss, 1000.0);
        assert_eq!(probs, array![[1.0, 0.0]]);
    }

    #[test]
    fn nan_and_infinities_as_numpy() {
        let inf = f64::INFINITY;
        for row in [[f64::NAN, 1.0], [1.0, f64::NAN], [-inf, -inf], [inf, 0.0]] {
            let scores = array![[row[0], row[1]]];
            let (loss, probs, _) = run(&scores, Targets::Ids(&[0]));
            assert!(loss.is_nan() && probs[[0, 0]].is_nan(), "{row:?}");
        }
        let (loss, probs, _) = run(&array![[-inf, 0.0]], Targets::Distributions(array![[0.0, 1.0]].view()));
        assert_eq!((loss, probs), (0.0, array![[0.0, 1.0]]));
    }

    #[test]
    fn bad_targets_are_refused() {
        let scores = Array2::<f64>::zeros((2, 3));
        let (mut y, mut d) = (scores.clone(), scores.clone());
        let mut refuse =
            |targets| softmax_loss(scores.view(), targets, y.view_mut(), d.view_mut()).unwrap_err().to_string();
        assert_eq!(refuse(Targets::Ids(&[0, 3])), "labels must lie in 0..2; got 3 at row 1");
        assert_eq!(refuse(Targets::Ids(&[-1, 0])), "labels must lie in 0..2; got -1 at row 0");
        assert!(refuse(Targets::Ids(&[0])).contains("rows of t is 1"));
        assert!(refuse(Targets::Distributions(Array2::zeros((2, 2)).view())).contains("columns of t is 2"));
        let mut none = Array2::<f64>::zeros((0, 3));
        let empty =
            softmax_loss(none.clone().view(), Targets::Ids(&[]), none.view_mut(), d.slice_mut(ndarray::s![..0, ..]));
        assert_eq!(empty, Err(KernelError::Empty));
    }

    proptest! {
        #[test]
        fn the_gradient_is_the_derivative_of_the_loss(
            scores in prop::collection::vec(-3.0..3.0f64, 12),
            t in prop::collection::vec(0.0..1.0f64, 12),
            shift in -500.0..500.0f64,
        ) {
            let scores = Array2::from_shape_vec((3, 4), scores).unwrap();
            let t = Array2::from_shape_vec((3, 4), t).unwrap();
            let (loss, probs, d) = run(&scores, Targets::Distributions(t.view()));
            prop_assert!((loss - naive(&scores, &t)).abs() < 1e-13);
            for row in probs.rows() {
                prop_assert!((row.sum() - 1.0).abs() < 1e-14);
            }
            // A shift of all scores changes nothing but the last bits of score - largest.
            let (shifted, _, _) = run(&(&scores + shift), Targets::Distributions(t.view()));
            prop_assert!((loss - shifted).abs() < 1e-11);
            for i in 0..12 {
                let at = (i / 4, i % 4);
                let h = 1e-5;
                let (mut up, mut down) = (scores.clone(), scores.clone());
                up[at] += h;
                down[at] -= h;
                let numeric = (naive(&up, &t) - naive(&down, &t)) / (2.0 * h);
                // h²/6 · f''' + ε · loss / h, each about 1e-10
                prop_assert!((numeric - d[at]).abs() < 1e-9, "{} against {}", numeric, d[at]);
            }
        }

        #[test]
        fn an_id_is_its_one_hot_row(scores in prop::collection::vec(-30.0..30.0f32, 8), a in 0..4i64, b in 0..4i64) {
            let scores = Array2::from_shape_vec((2, 4), scores).unwrap();
            let mut t = Array2::zeros((2, 4));
            t[[0, a as usize]] = 1.0;
            t[[1, b as usize]] = 1.0;
            prop_assert_eq!(run(&scores, Targets::Ids(&[a, b])), run(&scores, Targets::Distributions(t.view())));
        }
    }
}

//! The mean cross entropy of softmax scores, and its gradient, in one pass over the rows.
//!
//! With `s` a row of scores, `m` its largest and `t` what it should have been:
//!
//! ```text
//! lse  = ln Σₖ exp(sₖ - m)                     (log-sum-exp; m cancels, and keeps exp from overflowing)
//! yₖ   = exp(sₖ - m - lse)                     softmax
//! loss = lse Σₖ tₖ + Σₖ tₖ (m - sₖ)            for a class id t: lse + (m - sₜ)
//! ∂loss/∂sₖ = yₖ Σⱼ tⱼ - tₖ                    divided by N for the mean over N rows
//! ```
//!
//! Why so: the logarithm is never taken of a probability, so there is nothing to add inside it and no loss is capped. `y` is
//! computed as `exp(sₖ - m) / Σ`, one `exp` a score, all of a batch in one go (see `exp`). Nothing in the sums of the loss is below 0,
//! so nothing cancels. Distributions need not sum to 1 exactly: `Σ t` stands in the gradient, so that
//! it is the derivative of the loss that is returned. Losses are added up in f64, row after row.
//!
//! A nan anywhere in a row makes that row nan; so does +∞, or -∞ in every place, as it does in NumPy.

use crate::error::agree;
use crate::level::{Arithmetic, Kernel, Level};
use crate::{Float, KernelError};
use ndarray::{s, Array2, ArrayView1, ArrayView2, ArrayViewMut2};
use std::ops::Range;

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

    /// Those of some rows.
    pub(crate) fn part(&self, rows: Range<usize>) -> Targets<'_, T> {
        match self {
            Self::Ids(ids) => Targets::Ids(&ids[rows]),
            Self::Distributions(t) => Targets::Distributions(t.slice(s![rows, ..])),
        }
    }

    pub(crate) fn row(&self, row: usize) -> Target<'_, T> {
        match self {
            Self::Ids(ids) => Target::Id(ids[row] as usize),
            Self::Distributions(t) => Target::Distribution(t.row(row)),
        }
    }
}

/// The first row of `t` that is no distribution: with a number below 0 or not finite, or numbers whose sum is not 1 within 1e-3.
///
/// ```
/// use chainrule_kernels::softmax_loss::not_a_distribution;
/// use ndarray::array;
///
/// assert_eq!(not_a_distribution(array![[0.5, 0.5], [1.5, -0.5]].view()), Some(1));
/// ```
pub fn not_a_distribution<T: Float>(t: ArrayView2<'_, T>) -> Option<usize> {
    let is_one = |row: ArrayView1<'_, T>| {
        let (mut sum, mut negative) = (0.0, false);
        for x in row {
            sum += x.wide();
            negative |= *x < T::zero();
        }
        // A nan or an infinity makes the sum one, and is not near 1 then.
        (sum - 1.0).abs() <= 1e-3 && !negative
    };
    t.outer_iter().position(|row| !is_one(row))
}

/// What one row should have been.
pub(crate) enum Target<'a, T> {
    Id(usize),
    Distribution(ArrayView1<'a, T>),
}

impl<T: Float> Target<'_, T> {
    /// Σ t
    fn total(&self) -> T {
        match self {
            Self::Id(_) => T::one(),
            Self::Distribution(t) => t.sum(),
        }
    }
}

/// The mean loss; `probs ← softmax(scores)`; `d_scores ←` the gradient of the mean loss. All of shape (N, C).
///
/// ```
/// use chainrule_kernels::level::detect;
/// use chainrule_kernels::softmax_loss::{softmax_loss, Targets};
/// use ndarray::{array, Array2};
///
/// let (mut probs, mut d_scores) = (Array2::zeros((1, 2)), Array2::zeros((1, 2)));
/// let scores = array![[0.0f64, 0.0]];
/// let loss = softmax_loss(detect().unwrap(), scores.view(), Targets::Ids(&[1]), probs.view_mut(), d_scores.view_mut()).unwrap();
/// assert_eq!(loss, 2f64.ln());
/// assert_eq!(d_scores, array![[0.5, -0.5]]);
/// ```
///
/// # Errors
///
/// [`KernelError::Sizes`] if the shapes differ, [`KernelError::Label`] for a class id outside `0..C`,
/// [`KernelError::Empty`] for N = 0. Nothing is written then.
pub fn softmax_loss<T: Float>(
    level: Level,
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
    if !(probs.is_standard_layout() && d_scores.is_standard_layout()) {
        let (mut y, mut d) = (Array2::zeros((n, classes)), Array2::zeros((n, classes)));
        let loss = softmax_loss(level, scores, targets, y.view_mut(), d.view_mut())?;
        probs.assign(&y);
        d_scores.assign(&d);
        return Ok(loss);
    }
    let (scores, rows) = (scores.as_standard_layout(), 0..n);
    if let (Some(scores), Some(y), Some(d)) = (scores.as_slice(), probs.as_slice_mut(), d_scores.as_slice_mut()) {
        let loss = level.run(Losses { scores, targets, rows: rows.clone(), y });
        d.copy_from_slice(y);
        level.run(Gradients { targets, rows, d });
        return Ok(loss);
    }
    Ok(f64::NAN) // not reached: all three are in standard layout
}

/// The mean loss of `scores`, row after row; `y ←` their softmax.
pub(crate) struct Losses<'a, 't, T, R> {
    pub scores: &'a [T],
    pub targets: Targets<'t, T>,
    /// The target of each row.
    pub rows: R,
    pub y: &'a mut [T],
}

impl<T: Float, R: ExactSizeIterator<Item = usize> + Clone> Kernel for Losses<'_, '_, T, R> {
    type Output = f64;

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) -> f64 {
        let Self { scores, targets, rows, y } = self;
        let n = rows.len();
        let classes = (scores.len() / n.max(1)).max(1);
        let mut loss = 0.0;
        for ((y, scores), row) in y.chunks_exact_mut(classes).zip(scores.chunks_exact(classes)).zip(rows.clone()) {
            // A nan is not seen here, but in the sum.
            let largest = scores.iter().fold(T::neg_infinity(), |m, &s| if s > m { s } else { m });
            y.iter_mut().zip(scores).for_each(|(y, &s)| *y = s - largest);
            match targets.row(row) {
                Target::Id(t) => loss -= y[t].wide(),
                // A class of probability 0 costs nothing, whatever its score: 0 · ∞ is not asked for.
                Target::Distribution(t) => {
                    let terms = t.iter().zip(y).filter(|(t, _)| **t != T::zero());
                    loss -= terms.map(|(&t, &mut below)| (t * below).wide()).sum::<f64>();
                }
            }
        }
        y.iter_mut().for_each(|y| *y = y.exp_of_negative(arithmetic));
        for (y, row) in y.chunks_exact_mut(classes).zip(rows) {
            let sum = y.iter().fold(T::zero(), |sum, &y| sum + y);
            y.iter_mut().for_each(|y| *y /= sum);
            loss += (sum.ln() * targets.row(row).total()).wide();
        }
        loss / n as f64
    }
}

/// `d`: softmax in, the gradient of the mean loss out.
pub(crate) struct Gradients<'a, 't, T, R> {
    pub targets: Targets<'t, T>,
    /// The target of each row.
    pub rows: R,
    pub d: &'a mut [T],
}

impl<T: Float, R: ExactSizeIterator<Item = usize>> Kernel for Gradients<'_, '_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { targets, rows, d } = self;
        let n = rows.len();
        let classes = (d.len() / n.max(1)).max(1);
        let scale = T::one() / T::of(n as f64);
        for (d, row) in d.chunks_exact_mut(classes).zip(rows) {
            match targets.row(row) {
                Target::Id(t) => d[t] -= T::one(),
                Target::Distribution(t) => {
                    let total = t.sum();
                    d.iter_mut().zip(t).for_each(|(d, &t)| *d = *d * total - t);
                }
            }
        }
        d.iter_mut().for_each(|d| *d *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{available, detect};
    use crate::matmul::tests::numbers;
    use ndarray::{array, Array2, Axis, ShapeBuilder};
    use proptest::prelude::*;

    fn rows_that_are_no_distribution<T: Float>() {
        let row = |numbers: [f64; 3]| {
            Array2::from_shape_fn((3, 3), |(i, j)| T::of(if i == 1 { numbers[j] } else { 1.0 / 3.0 }))
        };
        for right in [[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.0, 1.0009, -0.0], [0.0, 0.9991, 0.0]] {
            assert_eq!(not_a_distribution(row(right).view()), None, "{right:?}");
        }
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for wrong in
            [[0.5, 0.6, -0.1], [1.0, 0.0, 0.0011], [0.9, 0.0, 0.0], [nan, 0.0, 1.0], [inf, -inf, 1.0], [inf, 0.0, 0.0]]
        {
            assert_eq!(not_a_distribution(row(wrong).view()), Some(1), "{wrong:?}");
            assert_eq!(not_a_distribution(row(wrong).t()), Some(0), "{wrong:?} as a column");
        }
        assert_eq!(not_a_distribution(Array2::<T>::zeros((0, 3)).view()), None);
        assert_eq!(not_a_distribution(Array2::<T>::zeros((2, 0)).view()), Some(0));
    }

    #[test]
    fn rows_that_are_no_distribution_are_found() {
        rows_that_are_no_distribution::<f32>();
        rows_that_are_no_distribution::<f64>();
    }

    fn run<T: Float>(scores: &Array2<T>, targets: Targets<'_, T>) -> (f64, Array2<T>, Array2<T>) {
        let mut probs = Array2::from_elem(scores.dim(), T::nan());
        let mut d_scores = probs.clone();
        let loss =
            softmax_loss(detect().unwrap(), scores.view(), targets, probs.view_mut(), d_scores.view_mut()).unwrap();
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
        let mut refuse = |targets| {
            softmax_loss(detect().unwrap(), scores.view(), targets, y.view_mut(), d.view_mut()).unwrap_err().to_string()
        };
        assert_eq!(refuse(Targets::Ids(&[0, 3])), "labels must lie in 0..2; got 3 at row 1");
        assert_eq!(refuse(Targets::Ids(&[-1, 0])), "labels must lie in 0..2; got -1 at row 0");
        assert!(refuse(Targets::Ids(&[0])).contains("rows of t is 1"));
        assert!(refuse(Targets::Distributions(Array2::zeros((2, 2)).view())).contains("columns of t is 2"));
        let mut none = Array2::<f64>::zeros((0, 3));
        let empty = softmax_loss(
            detect().unwrap(),
            none.clone().view(),
            Targets::Ids(&[]),
            none.view_mut(),
            d.slice_mut(ndarray::s![..0, ..]),
        );
        assert_eq!(empty, Err(KernelError::Empty));
    }

    /// The bits of a result, so that nan is itself.
    fn bits<T: Float>(loss: f64, probs: ArrayView2<'_, T>, d_scores: ArrayView2<'_, T>) -> Vec<u64> {
        let both = probs.into_iter().chain(d_scores).map(|x| x.wide().to_bits());
        both.chain([loss.to_bits()]).collect()
    }

    fn every_layout_gives_the_same<T: Float>() {
        let (n, classes) = (7, 5);
        let scores = numbers::<T>((n, classes), 1).mapv(|x| x * T::of(9.0));
        let t = numbers::<T>((n, classes), 2).mapv(|x| x.abs());
        let ids: Vec<i64> = (0..7).map(|i| i * 3 % 5).collect();
        // The same numbers in other places: column after column, every second column and row, last row or column first.
        type Place<T> = fn(&mut Array2<T>) -> ArrayViewMut2<'_, T>;
        let room = |(n, m): (usize, usize)| Array2::from_elem((2 * n, 2 * m), T::of(7.0));
        let places: [Place<T>; 6] = [
            |x| x.slice_mut(s![..7, ..5]),
            |x| x.slice_mut(s![..;2, ..;2]),
            |x| x.slice_mut(s![7.., 3..8]),
            |x| x.slice_mut(s![..7;-1, ..5]),
            |x| x.slice_mut(s![..7, ..5;-1]),
            |x| x.slice_mut(s![..5, ..7]).reversed_axes(),
        ];
        for &level in available() {
            for targets in [Targets::Ids(&ids[..]), Targets::Distributions(t.view())] {
                let (mut y, mut d) = (Array2::zeros((n, classes)), Array2::zeros((n, classes)));
                let loss = softmax_loss(level, scores.view(), targets, y.view_mut(), d.view_mut()).unwrap();
                let want = bits(loss, y.view(), d.view());
                for (i, from) in places.into_iter().enumerate() {
                    let mut copy = room((n, classes));
                    from(&mut copy).assign(&scores);
                    let scores = from(&mut copy);
                    for (j, k) in [(i, 0), (0, i), (i, (i + 1) % places.len())] {
                        let (mut y, mut d) = (room((n, classes)), room((n, classes)));
                        let loss = softmax_loss(level, scores.view(), targets, places[j](&mut y), places[k](&mut d));
                        assert_eq!(bits(loss.unwrap(), places[j](&mut y).view(), places[k](&mut d).view()), want);
                        // Around them nothing is written.
                        places[j](&mut y).fill(T::of(7.0));
                        places[k](&mut d).fill(T::of(7.0));
                        assert!(y.iter().chain(&d).all(|&x| x == T::of(7.0)));
                    }
                }
                // One of the two in order, the other not.
                for place in places {
                    let (mut y, mut d) = (Array2::zeros((n, classes)), room((n, classes)));
                    let loss = softmax_loss(level, scores.view(), targets, y.view_mut(), place(&mut d));
                    assert_eq!(bits(loss.unwrap(), y.view(), place(&mut d).view()), want);
                    let (mut y, mut d) = (room((n, classes)), Array2::zeros((n, classes)));
                    let loss = softmax_loss(level, scores.view(), targets, place(&mut y), d.view_mut());
                    assert_eq!(bits(loss.unwrap(), place(&mut y).view(), d.view()), want);
                }
                // Arrays that are column after column as a whole.
                let (mut y, mut d) = (Array2::zeros((n, classes).f()), Array2::zeros((n, classes).f()));
                let loss = softmax_loss(level, scores.view(), targets, y.view_mut(), d.view_mut()).unwrap();
                assert_eq!(bits(loss, y.view(), d.view()), want);
            }
        }
        // Of the targets the numbers are the same too, but the sum of a row may be added up in another order.
        let (loss, y, d) = run(&scores, Targets::Distributions(t.view()));
        for from in places {
            let mut copy = room((n, classes));
            from(&mut copy).assign(&t);
            let (other, other_y, other_d) = run(&scores, Targets::Distributions(from(&mut copy).view()));
            assert!((loss - other).abs() <= 8.0 * T::epsilon().wide() * loss);
            assert_eq!(other_y, y);
            assert!((&other_d - &d).iter().all(|off| off.abs() <= T::of(8.0) * T::epsilon()));
        }
    }

    #[test]
    fn every_layout_gives_the_same_in_f32() {
        every_layout_gives_the_same::<f32>();
    }

    #[test]
    fn every_layout_gives_the_same_in_f64() {
        every_layout_gives_the_same::<f64>();
    }

    #[test]
    fn the_kernels_take_the_targets_of_the_rows_they_are_told() {
        let scores = numbers::<f64>((3, 5), 1);
        let (ids, t) = ([4, 0, 2, 1, 3i64], numbers::<f64>((5, 5), 2).mapv(f64::abs));
        let rows = [3usize, 1, 3];
        let (chosen_ids, chosen_t) = (rows.map(|row| ids[row]), t.select(Axis(0), &rows));
        for (all, chosen) in [
            (Targets::Ids(&ids), Targets::Ids(&chosen_ids)),
            (Targets::Distributions(t.view()), Targets::Distributions(chosen_t.view())),
        ] {
            let (loss, y, d) = run(&scores, chosen);
            for &level in available() {
                let (mut of_all, rows) = (Array2::zeros((3, 5)), rows.into_iter());
                let numbers = of_all.as_slice_mut().unwrap();
                let kernel =
                    Losses { scores: scores.as_slice().unwrap(), targets: all, rows: rows.clone(), y: numbers };
                // exp is off by two units, sums of five by a few more.
                assert!((level.run(kernel) - loss).abs() < 1e-14);
                assert!((&of_all - &y).iter().all(|off| off.abs() < 1e-15));
                level.run(Gradients { targets: all, rows, d: of_all.as_slice_mut().unwrap() });
                assert!((&of_all - &d).iter().all(|off| off.abs() < 1e-15));
            }
        }
    }

    #[test]
    fn one_class_is_certain() {
        for n in [1, 2, 15, 16, 17, 100] {
            let scores = numbers::<f32>((n, 1), 1).mapv(|x| x * 1e4);
            for t in [Targets::Ids(&vec![0; n]), Targets::Distributions(Array2::from_elem((n, 1), 0.3).view())] {
                let (loss, probs, d) = run(&scores, t);
                assert_eq!(loss, 0.0);
                assert!(probs.iter().all(|&y| y == 1.0) && d.iter().all(|&d| d == 0.0));
            }
            assert!(run(&(scores * f32::NAN), Targets::Ids(&vec![0; n])).0.is_nan());
        }
    }

    #[test]
    fn the_definition_at_every_level() {
        let (scores, t) = (numbers::<f64>((37, 10), 1).mapv(|x| 3.0 * x), numbers::<f64>((37, 10), 2).mapv(f64::abs));
        let (single, single_t) = (scores.mapv(|x| x as f32), t.mapv(|x| x as f32));
        let want = naive(&scores, &t);
        for &level in available() {
            let (mut y, mut d) = (Array2::zeros((37, 10)), Array2::zeros((37, 10)));
            let t = Targets::Distributions(t.view());
            let loss = softmax_loss(level, scores.view(), t, y.view_mut(), d.view_mut()).unwrap();
            assert!((loss - want).abs() < 1e-13);
            let (mut single_y, mut single_d) = (Array2::zeros((37, 10)), Array2::zeros((37, 10)));
            let t = Targets::Distributions(single_t.view());
            let loss = softmax_loss(level, single.view(), t, single_y.view_mut(), single_d.view_mut()).unwrap();
            // A loss of about 13, each row's rounded some twenty times in f32; probabilities and gradients below 1 likewise.
            assert!((loss - want).abs() < 20.0 * f64::from(f32::EPSILON) * want);
            let close =
                |a: &Array2<f32>, b: &Array2<f64>| a.iter().zip(b).all(|(&a, b)| (f64::from(a) - b).abs() < 3e-6);
            assert!(close(&single_y, &y) && close(&single_d, &d));
        }
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

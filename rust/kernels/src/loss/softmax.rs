//! The softmax cross entropy, for one of several classes.
//!
//! With `s` a row of scores, `m` its largest and `t` its target:
//!
//! ```text
//! lse = ln Σₖ exp(sₖ - m)                      (log-sum-exp; m cancels, and keeps exp from overflowing)
//! yₖ  = exp(sₖ - m - lse)                      softmax
//! e   = lse Σₖ tₖ + Σₖ tₖ (m - sₖ)             for a class id t: lse + (m - sₜ)
//! ∂e/∂sₖ = yₖ Σⱼ tⱼ - tₖ
//! ```
//!
//! Why so: no logarithm of a probability is taken, so nothing has to be added inside it and no loss is capped. `y` is
//! computed as `exp(sₖ - m) / Σ`, one `exp` per score, all of a batch in one loop (see `exp`). No term of the loss is
//! negative, so nothing cancels. Distributions need not sum to 1 exactly: the gradient contains `Σ t`, so it is the
//! derivative of the returned loss. An example is right if its largest score is at the largest number of `t`; among
//! equals the first counts, and nan is the largest of all, as in NumPy's `argmax`.
//!
//! A nan anywhere in a row makes that row nan; so does +∞, or -∞ in every place, as in NumPy.

use super::{row_length, Definition, Target, Targets};
use crate::dense::padded::{Lane, LANES};
use crate::machine::exp::Exp;
use crate::machine::level::Arithmetic;
use crate::Float;
use ndarray::{ArrayView1, ArrayView2};

/// The first row of `t` that is not a distribution: with a number that is negative or not finite, or a sum that is not
/// 1 within 1e-3.
///
/// ```
/// use chainrule_kernels::loss::softmax::not_a_distribution;
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
        // A nan or an infinity makes the sum nan or infinite, which is not near 1.
        (sum - 1.0).abs() <= 1e-3 && !negative
    };
    t.outer_iter().position(|row| !is_one(row))
}

pub(super) struct Softmax;

impl Definition for Softmax {
    const TAKES_IDS: bool = true;

    #[inline(always)]
    fn losses<T: Float>(
        scores: &[T],
        targets: Targets<'_, T>,
        rows: impl ExactSizeIterator<Item = usize> + Clone,
        y: &mut [T],
        arithmetic: impl Arithmetic,
    ) -> f64 {
        let (mut loss, classes) = (0.0, row_length(scores, rows.len()));
        for ((y, scores), row) in y.chunks_exact_mut(classes).zip(scores.chunks_exact(classes)).zip(rows.clone()) {
            // A nan is missed here, but shows in the sum.
            let largest = scores.iter().fold(T::neg_infinity(), |m, &s| if s > m { s } else { m });
            y.iter_mut().zip(scores).for_each(|(y, &s)| *y = s - largest);
            let target = targets.row(row);
            loss -= target.weight
                * match target.id {
                    Some(t) => y[t].wide(),
                    // A class of probability 0 costs nothing, whatever its score: 0 · ∞ is skipped.
                    None => {
                        let terms = target.numbers.iter().zip(y).filter(|(t, _)| **t != T::zero());
                        terms.map(|(&t, &mut below)| (t * below).wide()).sum::<f64>()
                    }
                };
        }
        y.iter_mut().for_each(|y| *y = y.exp_of_negative(arithmetic));
        for (y, row) in y.chunks_exact_mut(classes).zip(rows) {
            let sum = y.iter().fold(T::zero(), |sum, &y| sum + y);
            y.iter_mut().for_each(|y| *y /= sum);
            let target = targets.row(row);
            loss += target.weight * (sum.ln() * total(&target)).wide();
        }
        loss
    }

    #[inline(always)]
    fn gradient<T: Float>(target: &Target<'_, T>, d: &mut [T]) {
        match target.id {
            Some(t) => d[t] -= T::one(),
            None => {
                let total = total(target);
                d.iter_mut().zip(target.numbers).for_each(|(d, &t)| *d = *d * total - t);
            }
        }
    }

    #[inline(always)]
    fn losses_side_by_side(
        targets: &[Target<'_, f64>; LANES],
        scores: &mut [Lane<f64>],
        arithmetic: impl Arithmetic,
    ) -> Lane<f64> {
        let mut losses = Lane([0.0; LANES]);
        if scores.is_empty() {
            return losses;
        }
        let mut largest = [f64::NEG_INFINITY; LANES];
        for scores in &*scores {
            largest.iter_mut().zip(scores.0).for_each(|(m, s)| *m = if s > *m { s } else { *m });
        }
        for scores in &mut *scores {
            scores.0.iter_mut().zip(largest).for_each(|(s, m)| *s -= m);
        }
        for (i, target) in targets.iter().enumerate() {
            match target.id {
                Some(t) => losses.0[i] -= scores[t].0[i],
                None => {
                    // A class of probability 0 costs nothing, whatever its score: 0 · ∞ is skipped.
                    let terms = target.numbers.iter().zip(&*scores).filter(|(t, _)| **t != 0.0);
                    losses.0[i] -= terms.map(|(&t, below)| t * below.0[i]).sum::<f64>();
                }
            }
        }
        let mut sums = [0.0; LANES];
        for scores in &mut *scores {
            for s in &mut scores.0 {
                *s = s.exp_of_negative(arithmetic);
            }
            sums.iter_mut().zip(scores.0).for_each(|(sum, y)| *sum += y);
        }
        for (loss, (sum, target)) in losses.0.iter_mut().zip(sums.iter().zip(targets)) {
            *loss = target.weight * (*loss + sum.ln() * total(target));
        }
        losses
    }

    fn right<T: Float>(target: &Target<'_, T>, scores: &[T]) -> f64 {
        let wanted = target.id.unwrap_or_else(|| largest(target.numbers.iter().copied()));
        f64::from(u8::from(largest(scores.iter().copied()) == wanted))
    }
}

/// Σ t
#[inline(always)]
fn total<T: Float>(target: &Target<'_, T>) -> T {
    match target.id {
        Some(_) => T::one(),
        None => target.numbers.sum(),
    }
}

/// The index of the largest number.
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
    use super::super::Loss;
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::machine::level::{available, detect};
    use crate::KernelError;
    use ndarray::{array, s, Array2, ArrayViewMut2, Axis, ShapeBuilder};
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
        super::super::tests::run(Loss::Softmax, scores, targets)
    }

    /// The oracle: the definition, in f64, for scores too small to overflow.
    fn naive(scores: &Array2<f64>, t: &Array2<f64>) -> f64 {
        let e = scores.mapv(f64::exp);
        let y = &e / &e.sum_axis(Axis(1)).insert_axis(Axis(1));
        -(t * &y.mapv(f64::ln)).sum() / scores.nrows() as f64
    }

    #[test]
    fn three_rows_by_hand() {
        // softmax of (0, ln 2, ln 5) is (1, 2, 5) / 8.
        let scores = array![[0.0, 2f64.ln(), 5f64.ln()]];
        let (loss, probs, d) = run(&scores, Targets::ids(&[1]));
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
        let (loss, probs, _) = run(&array![[1000.0f32, 0.0]], Targets::ids(&[1]));
        assert_eq!(loss, 1000.0);
        assert_eq!(probs, array![[1.0, 0.0]]);
    }

    #[test]
    fn nan_and_infinities_as_numpy() {
        let inf = f64::INFINITY;
        for row in [[f64::NAN, 1.0], [1.0, f64::NAN], [-inf, -inf], [inf, 0.0]] {
            let scores = array![[row[0], row[1]]];
            let (loss, probs, _) = run(&scores, Targets::ids(&[0]));
            assert!(loss.is_nan() && probs[[0, 0]].is_nan(), "{row:?}");
        }
        let (loss, probs, _) = run(&array![[-inf, 0.0]], Targets::numbers(array![[0.0, 1.0]].view()));
        assert_eq!((loss, probs), (0.0, array![[0.0, 1.0]]));
    }

    #[test]
    fn bad_targets_are_refused() {
        let scores = Array2::<f64>::zeros((2, 3));
        let (mut y, mut d) = (scores.clone(), scores.clone());
        let mut refuse = |targets| {
            Loss::Softmax
                .run(detect().unwrap(), scores.view(), targets, y.view_mut(), d.view_mut())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refuse(Targets::ids(&[0, 3])), "labels must lie in 0..2; got 3 at row 1");
        assert_eq!(refuse(Targets::ids(&[-1, 0])), "labels must lie in 0..2; got -1 at row 0");
        assert!(refuse(Targets::ids(&[0])).contains("rows of t is 1"));
        assert!(refuse(Targets::numbers(Array2::zeros((2, 2)).view())).contains("columns of t is 2"));
        let mut none = Array2::<f64>::zeros((0, 3));
        let empty = Loss::Softmax.run(
            detect().unwrap(),
            none.clone().view(),
            Targets::ids(&[]),
            none.view_mut(),
            d.slice_mut(ndarray::s![..0, ..]),
        );
        assert_eq!(empty, Err(KernelError::Empty));
    }

    /// The bits of a result, so that nan equals nan.
    fn bits<T: Float>(loss: f64, probs: ArrayView2<'_, T>, d_scores: ArrayView2<'_, T>) -> Vec<u64> {
        let both = probs.into_iter().chain(d_scores).map(|x| x.wide().to_bits());
        both.chain([loss.to_bits()]).collect()
    }

    fn every_layout_gives_the_same<T: Float>() {
        let (n, classes) = (7, 5);
        let scores = numbers::<T>((n, classes), 1).mapv(|x| x * T::of(9.0));
        let t = numbers::<T>((n, classes), 2).mapv(|x| x.abs());
        let ids: Vec<i64> = (0..7).map(|i| i * 3 % 5).collect();
        // The same numbers in other layouts: column-major, every second column and row, last row or column first.
        type Place<T> = fn(&mut Array2<T>) -> ArrayViewMut2<'_, T>;
        let apart = |(n, m): (usize, usize)| Array2::from_elem((2 * n, 2 * m), T::of(7.0));
        let places: [Place<T>; 6] = [
            |x| x.slice_mut(s![..7, ..5]),
            |x| x.slice_mut(s![..;2, ..;2]),
            |x| x.slice_mut(s![7.., 3..8]),
            |x| x.slice_mut(s![..7;-1, ..5]),
            |x| x.slice_mut(s![..7, ..5;-1]),
            |x| x.slice_mut(s![..5, ..7]).reversed_axes(),
        ];
        for &level in available() {
            for targets in [Targets::ids(&ids[..]), Targets::numbers(t.view())] {
                let (mut y, mut d) = (Array2::zeros((n, classes)), Array2::zeros((n, classes)));
                let loss = Loss::Softmax.run(level, scores.view(), targets, y.view_mut(), d.view_mut()).unwrap();
                let want = bits(loss, y.view(), d.view());
                for (i, from) in places.into_iter().enumerate() {
                    let mut copy = apart((n, classes));
                    from(&mut copy).assign(&scores);
                    let scores = from(&mut copy);
                    for (j, k) in [(i, 0), (0, i), (i, (i + 1) % places.len())] {
                        let (mut y, mut d) = (apart((n, classes)), apart((n, classes)));
                        let loss =
                            Loss::Softmax.run(level, scores.view(), targets, places[j](&mut y), places[k](&mut d));
                        assert_eq!(bits(loss.unwrap(), places[j](&mut y).view(), places[k](&mut d).view()), want);
                        // Nothing is written between them.
                        places[j](&mut y).fill(T::of(7.0));
                        places[k](&mut d).fill(T::of(7.0));
                        assert!(y.iter().chain(&d).all(|&x| x == T::of(7.0)));
                    }
                }
                // One of the two row-major, the other not.
                for place in places {
                    let (mut y, mut d) = (Array2::zeros((n, classes)), apart((n, classes)));
                    let loss = Loss::Softmax.run(level, scores.view(), targets, y.view_mut(), place(&mut d));
                    assert_eq!(bits(loss.unwrap(), y.view(), place(&mut d).view()), want);
                    let (mut y, mut d) = (apart((n, classes)), Array2::zeros((n, classes)));
                    let loss = Loss::Softmax.run(level, scores.view(), targets, place(&mut y), d.view_mut());
                    assert_eq!(bits(loss.unwrap(), place(&mut y).view(), d.view()), want);
                }
                // Arrays that are column-major as a whole.
                let (mut y, mut d) = (Array2::zeros((n, classes).f()), Array2::zeros((n, classes).f()));
                let loss = Loss::Softmax.run(level, scores.view(), targets, y.view_mut(), d.view_mut()).unwrap();
                assert_eq!(bits(loss, y.view(), d.view()), want);
            }
        }
        // The same numbers as targets too, but the sum of a row may be accumulated in another order.
        let (loss, y, d) = run(&scores, Targets::numbers(t.view()));
        for from in places {
            let mut copy = apart((n, classes));
            from(&mut copy).assign(&t);
            let (other, other_y, other_d) = run(&scores, Targets::numbers(from(&mut copy).view()));
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
            (Targets::ids(&ids), Targets::ids(&chosen_ids)),
            (Targets::numbers(t.view()), Targets::numbers(chosen_t.view())),
        ] {
            let (loss, y, d) = run(&scores, chosen);
            for &level in available() {
                let mut of_all = [0.0; 15];
                let mean = Loss::Softmax.mean(level, scores.as_slice().unwrap(), all, rows.into_iter(), &mut of_all);
                // exp is off by two units, sums of five by a few more.
                assert!((mean - loss).abs() < 1e-14);
                assert!(of_all.iter().zip(&y).all(|(a, b)| (a - b).abs() < 1e-15));
                Loss::Softmax.gradient(level, all, rows.into_iter(), 3, &mut of_all);
                assert!(of_all.iter().zip(&d).all(|(a, b)| (a - b).abs() < 1e-15));
            }
        }
    }

    #[test]
    fn sixteen_rows_are_one_by_one() {
        let (scores, t) = (numbers::<f64>((7, 18), 1).mapv(|s| 9.0 * s), numbers::<f64>((7, 18), 2).mapv(f64::abs));
        for t in [Targets::numbers(t.view()), Targets::ids(&[3, 0, 17, 5, 5, 9, 1])] {
            super::super::tests::side_by_side_is_one_by_one(Loss::Softmax, &scores, t);
        }
    }

    #[test]
    fn one_class_is_certain() {
        for n in [1, 2, 15, 16, 17, 100] {
            let scores = numbers::<f32>((n, 1), 1).mapv(|x| x * 1e4);
            for t in [Targets::ids(&vec![0; n]), Targets::numbers(Array2::from_elem((n, 1), 0.3).view())] {
                let (loss, probs, d) = run(&scores, t);
                assert_eq!(loss, 0.0);
                assert!(probs.iter().all(|&y| y == 1.0) && d.iter().all(|&d| d == 0.0));
            }
            assert!(run(&(scores * f32::NAN), Targets::ids(&vec![0; n])).0.is_nan());
        }
    }

    #[test]
    fn the_definition_at_every_level() {
        let (scores, t) = (numbers::<f64>((37, 10), 1).mapv(|x| 3.0 * x), numbers::<f64>((37, 10), 2).mapv(f64::abs));
        let (single, single_t) = (scores.mapv(|x| x as f32), t.mapv(|x| x as f32));
        let want = naive(&scores, &t);
        for &level in available() {
            let (mut y, mut d) = (Array2::zeros((37, 10)), Array2::zeros((37, 10)));
            let t = Targets::numbers(t.view());
            let loss = Loss::Softmax.run(level, scores.view(), t, y.view_mut(), d.view_mut()).unwrap();
            assert!((loss - want).abs() < 1e-13);
            let (mut single_y, mut single_d) = (Array2::zeros((37, 10)), Array2::zeros((37, 10)));
            let t = Targets::numbers(single_t.view());
            let loss = Loss::Softmax.run(level, single.view(), t, single_y.view_mut(), single_d.view_mut()).unwrap();
            // A loss of about 13, each row's rounded some twenty times in f32; probabilities and gradients below 1
            // likewise.
            assert!((loss - want).abs() < 20.0 * f64::from(f32::EPSILON) * want);
            let close =
                |a: &Array2<f32>, b: &Array2<f64>| a.iter().zip(b).all(|(&a, b)| (f64::from(a) - b).abs() < 3e-6);
            assert!(close(&single_y, &y) && close(&single_d, &d));
        }
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

    proptest! {
        #[test]
        fn the_gradient_is_the_derivative_of_the_loss(
            scores in prop::collection::vec(-3.0..3.0f64, 12),
            t in prop::collection::vec(0.0..1.0f64, 12),
            shift in -500.0..500.0f64,
        ) {
            let scores = Array2::from_shape_vec((3, 4), scores).unwrap();
            let t = Array2::from_shape_vec((3, 4), t).unwrap();
            let (loss, probs, d) = run(&scores, Targets::numbers(t.view()));
            prop_assert!((loss - naive(&scores, &t)).abs() < 1e-13);
            for row in probs.rows() {
                prop_assert!((row.sum() - 1.0).abs() < 1e-14);
            }
            // Shifting all scores changes only the last bits of score - largest.
            let (shifted, _, _) = run(&(&scores + shift), Targets::numbers(t.view()));
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
            prop_assert_eq!(run(&scores, Targets::ids(&[a, b])), run(&scores, Targets::numbers(t.view())));
        }
    }
}

//! The sigmoid cross entropy: for labels of which any number can be present at once.
//!
//! ```text
//! e = Σₖ ln(1 + exp sₖ) - tₖ sₖ                        tₖ from 0 to 1
//!   = Σₖ |sₖ| · (1 - tₖ if sₖ > 0, else tₖ) + ln(1 + exp(-|sₖ|))
//! y = 1 / (1 + exp(-s))          ∂e/∂sₖ = yₖ - tₖ
//! ```
//!
//! Why the second form: nothing overflows, no term is negative, so nothing cancels, and no loss is capped. An infinite
//! score on the side of its label costs nothing: 0 · ∞ is skipped. An example is right if each of its labels is:
//! `s > 0` where `t > 1/2`.
//!
//! Cost: three passes over the scores, one of which takes the C library's logarithm of each.

use super::{row_length, sum_over, Definition, Target, Targets};
use crate::dense::padded::{Lane, LANES};
use crate::machine::exp::Exp;
use crate::machine::level::Arithmetic;
use crate::Float;

pub(super) struct Sigmoid;

impl Definition for Sigmoid {
    const TAKES_IDS: bool = false;

    #[inline(always)]
    fn losses<T: Float>(
        scores: &[T],
        targets: Targets<'_, T>,
        rows: impl ExactSizeIterator<Item = usize> + Clone,
        y: &mut [T],
        arithmetic: impl Arithmetic,
    ) -> f64 {
        // exp in a loop of its own, which is vectorized; the logarithm is a call.
        y.iter_mut().zip(scores).for_each(|(y, &s)| *y = (-s.abs()).exp_of_negative(arithmetic));
        let (mut loss, classes) = (0.0, row_length(scores, rows.len()));
        for ((scores, z), row) in scores.chunks_exact(classes).zip(y.chunks_exact(classes)).zip(rows) {
            let target = targets.row(row);
            let mut logarithms = 0.0;
            for z in z {
                logarithms += z.ln_1p().wide();
            }
            loss += target.weight * (sum_over(scores, &target, |s, t| missed(s, t).wide()) + logarithms);
        }
        for (y, &s) in y.iter_mut().zip(scores) {
            *y = (if s >= T::zero() { T::one() } else { *y }) / (T::one() + *y);
        }
        loss
    }

    #[inline(always)]
    fn losses_side_by_side(
        targets: &[Target<'_, f64>; LANES],
        scores: &mut [Lane<f64>],
        arithmetic: impl Arithmetic,
    ) -> Lane<f64> {
        let mut losses = Lane([0.0; LANES]);
        for (k, scores) in scores.iter().enumerate() {
            let z = scores.0.map(|s| (-s.abs()).exp_of_negative(arithmetic));
            for (i, target) in targets.iter().enumerate() {
                losses.0[i] += missed(scores.0[i], target.number(k)) + z[i].ln_1p();
            }
        }
        losses.0.iter_mut().zip(targets).for_each(|(loss, target)| *loss *= target.weight);
        losses
    }

    fn right<T: Float>(target: &Target<'_, T>, scores: &[T]) -> f64 {
        let half = T::of(0.5);
        let all = scores.iter().zip(target.numbers).all(|(&s, &t)| (s > T::zero()) == (t > half));
        f64::from(u8::from(all))
    }
}

/// |s| times the distance of the label from the side that s is on.
#[inline(always)]
fn missed<T: Float>(s: T, t: T) -> T {
    let off = if s > T::zero() { T::one() - t } else { t };
    if off == T::zero() {
        T::zero()
    } else {
        s.abs() * off
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{gradient_is_the_derivative, run, side_by_side_is_one_by_one};
    use super::super::Loss;
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::machine::level::available;
    use ndarray::{array, Array2};

    #[test]
    fn two_rows_by_hand() {
        // sigmoid(0) is 1/2, sigmoid(ln 3) is 3/4.
        let (scores, t) = (array![[0.0f64, 3f64.ln()], [0.0, 0.0]], array![[1.0, 0.0], [0.25, 0.5]]);
        let (loss, y, d) = run(Loss::Sigmoid, &scores, Targets::numbers(t.view()));
        assert!((loss - (3.0 * 2f64.ln() + 4f64.ln()) / 2.0).abs() < 1e-15);
        assert!((y - array![[0.5, 0.75], [0.5, 0.5]]).iter().all(|off| off.abs() < 1e-15));
        assert!((d - array![[-0.25, 0.375], [0.125, 0.0]]).iter().all(|off| off.abs() < 1e-15));
    }

    #[test]
    fn an_example_is_right_if_each_of_its_labels_is() {
        let scores = [1.0, -1.0, 1.0, 1.0, 0.0, -1.0, f64::NAN, 2.0];
        let t = array![[1.0, 0.0], [1.0, 0.4], [0.5, 0.0], [0.0, 0.6]];
        assert_eq!(Loss::Sigmoid.right(&Targets::numbers(t.view()), &scores, 2), 3.0);
    }

    fn labels<T: Float>((n, columns): (usize, usize)) -> (Array2<T>, Array2<T>) {
        let t = Array2::from_shape_fn((n, columns), |(i, k)| T::of([0.0, 1.0, 0.3, 0.9][(i * 3 + k) % 4]));
        (numbers::<T>((n, columns), 1).mapv(|s| s * T::of(9.0)), t)
    }

    fn the_definition<T: Float>() {
        for (n, columns) in [(1, 1), (7, 15), (3, 16), (5, 50)] {
            let (scores, t) = labels::<T>((n, columns));
            let (mut want, mut sizes) = (0.0, 0.0);
            for (s, t) in scores.iter().zip(&t).map(|(s, t)| (s.wide(), t.wide())) {
                want += ((1.0 + s.exp()).ln() - t * s) / n as f64;
                sizes += (1.0 + s.abs()) / n as f64;
            }
            for &level in available() {
                let (mut y, mut d) = (scores.clone(), scores.clone());
                let targets = Targets::numbers(t.view());
                let loss = Loss::Sigmoid.run(level, scores.view(), targets, y.view_mut(), d.view_mut()).unwrap();
                // exp is off by 2 units, the logarithm, a product and a sum by one each.
                assert!((loss - want).abs() <= 6.0 * T::epsilon().wide() * sizes, "{loss} for {want}");
                for ((s, t), (y, d)) in scores.iter().zip(&t).zip(y.iter().zip(&d)) {
                    let want = 1.0 / (1.0 + (-s.wide()).exp());
                    assert!((y.wide() - want).abs() <= 6.0 * T::epsilon().wide());
                    assert!((d.wide() - (want - t.wide()) / n as f64).abs() <= 9.0 * T::epsilon().wide());
                }
            }
        }
    }

    #[test]
    fn the_definition_in_f32() {
        the_definition::<f32>();
    }

    #[test]
    fn the_definition_in_f64() {
        the_definition::<f64>();
    }

    #[test]
    fn the_gradient_is_the_derivative_and_sixteen_rows_are_one_by_one() {
        let (scores, t) = labels::<f64>((7, 18));
        gradient_is_the_derivative(Loss::Sigmoid, &scores, Targets::numbers(t.view()));
        side_by_side_is_one_by_one(Loss::Sigmoid, &scores, Targets::numbers(t.view()));
    }

    #[test]
    fn the_ends_of_the_line() {
        let (inf, one) = (f64::INFINITY, |s: f64, t: f64| {
            let (loss, y, d) = run(Loss::Sigmoid, &array![[s]], Targets::numbers(array![[t]].view()));
            (loss, y[[0, 0]], d[[0, 0]])
        });
        assert_eq!(one(inf, 1.0), (0.0, 1.0, 0.0));
        assert_eq!(one(-inf, 0.0), (0.0, 0.0, 0.0));
        assert_eq!(one(inf, 0.0), (inf, 1.0, 1.0));
        assert_eq!(one(-1000.0, 1.0), (1000.0, 0.0, -1.0));
        assert!(one(f64::NAN, 1.0).0.is_nan() && one(0.0, f64::NAN).0.is_nan());
        // If the score is far on the label's side, the loss is small and keeps all its digits: they are not lost by
        // adding 1.
        assert!((one(40.0, 1.0).0 / (-40f64).exp() - 1.0).abs() < 1e-15);
    }
}

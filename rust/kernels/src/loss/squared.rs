//! Half the squared distance between the scores and their targets: for numbers, as in regression.
//!
//! ```text
//! e = Σₖ (sₖ - tₖ)² / 2          y = s          ∂e/∂sₖ = yₖ - tₖ
//! ```
//!
//! Why half: the gradient is then the difference itself, as for softmax and sigmoid. Differences are squared in f64.
//! Numbers are neither right nor wrong. Cost: one pass over the scores.

use super::{row_length, sum_over, Definition, Target, Targets};
use crate::dense::padded::{Lane, LANES};
use crate::machine::level::Arithmetic;
use crate::Float;

pub(super) struct Squared;

impl Definition for Squared {
    const TAKES_IDS: bool = false;

    #[inline(always)]
    fn losses<T: Float>(
        scores: &[T],
        targets: Targets<'_, T>,
        rows: impl ExactSizeIterator<Item = usize> + Clone,
        y: &mut [T],
        _: impl Arithmetic,
    ) -> f64 {
        y.copy_from_slice(scores);
        let mut loss = 0.0;
        for (scores, row) in scores.chunks_exact(row_length(scores, rows.len())).zip(rows) {
            let target = targets.row(row);
            loss += target.weight * half(sum_over(scores, &target, |s, t| square((s - t).wide())));
        }
        loss
    }

    #[inline(always)]
    fn losses_side_by_side(
        targets: &[Target<'_, f64>; LANES],
        scores: &mut [Lane<f64>],
        _: impl Arithmetic,
    ) -> Lane<f64> {
        let mut losses = Lane([0.0; LANES]);
        for (k, scores) in scores.iter().enumerate() {
            for (i, target) in targets.iter().enumerate() {
                losses.0[i] += square(scores.0[i] - target.number(k));
            }
        }
        losses.0.iter_mut().zip(targets).for_each(|(loss, target)| *loss = target.weight * half(*loss));
        losses
    }

    fn right<T: Float>(_: &Target<'_, T>, _: &[T]) -> f64 {
        f64::NAN
    }
}

#[inline(always)]
fn square(x: f64) -> f64 {
    x * x
}

#[inline(always)]
fn half(x: f64) -> f64 {
    0.5 * x
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
        let (scores, t) = (array![[1.0f32, 2.0], [0.0, -3.0]], array![[0.0, 4.0], [0.5, -3.0]]);
        let (loss, y, d) = run(Loss::Squared, &scores, Targets::numbers(t.view()));
        assert_eq!((loss, y), ((1.0 + 4.0 + 0.25) / 4.0, scores));
        assert_eq!(d, array![[0.5, -1.0], [-0.25, 0.0]]);
        let right = Loss::Squared.right(&Targets::numbers(t.view()), t.as_slice().unwrap(), 2);
        assert!(right.is_nan());
    }

    fn the_definition<T: Float>() {
        for (n, columns) in [(1, 1), (7, 15), (3, 16), (5, 50)] {
            let (scores, t) = (numbers::<T>((n, columns), 1), numbers::<T>((n, columns), 2));
            let off = &scores.mapv(T::wide) - &t.mapv(T::wide);
            let mut want = 0.0;
            off.iter().for_each(|off| want += off * off / (2.0 * n as f64));
            for &level in available() {
                let (mut y, mut d) = (scores.clone(), scores.clone());
                let targets = Targets::numbers(t.view());
                let loss = Loss::Squared.run(level, scores.view(), targets, y.view_mut(), d.view_mut()).unwrap();
                // Each difference is rounded once, relative to its size; f64's own sums are rounded once per number.
                let bound = (4.0 * T::epsilon().wide() + (n * columns) as f64 * f64::EPSILON) * want;
                assert!((loss - want).abs() <= bound, "{loss} for {want}");
                assert_eq!(y, scores);
                let near = |(d, off): (&T, &f64)| (d.wide() - off / n as f64).abs() <= 4.0 * T::epsilon().wide();
                assert!(d.iter().zip(&off).all(near));
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
    fn targets_in_any_layout() {
        let (scores, t) = (numbers::<f64>((5, 33), 1), numbers::<f64>((5, 33), 2));
        let turned: Array2<f64> = t.t().as_standard_layout().into_owned();
        let (in_order, in_columns) = (Targets::numbers(t.view()), Targets::numbers(turned.t()));
        assert_eq!(run(Loss::Squared, &scores, in_order), run(Loss::Squared, &scores, in_columns));
    }

    #[test]
    fn the_gradient_is_the_derivative_and_sixteen_rows_are_one_by_one() {
        let (scores, t) = (numbers::<f64>((7, 18), 1), numbers::<f64>((7, 18), 2));
        gradient_is_the_derivative(Loss::Squared, &scores, Targets::numbers(t.view()));
        side_by_side_is_one_by_one(Loss::Squared, &scores, Targets::numbers(t.view()));
    }

    #[test]
    fn differences_whose_squares_f32_cannot_hold() {
        let (scores, t) = (array![[1e30f32, 1e-30]], array![[0.0, 0.0]]);
        let (loss, _, _) = run(Loss::Squared, &scores, Targets::numbers(t.view()));
        assert!((loss / 5e59 - 1.0).abs() < 1e-6);
        let (tiny, _, _) = run(Loss::Squared, &array![[1e-30f32]], Targets::numbers(array![[0.0]].view()));
        assert!((tiny / 5e-61 - 1.0).abs() < 1e-6);
    }
}

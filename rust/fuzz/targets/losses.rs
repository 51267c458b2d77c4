//! Losses of tame numbers, against their definitions; and of hostile ones, which must not panic. Labels out of range
//! are errors, after which nothing is written.

#![no_main]

use chainrule_fuzz::{Case, Kind};
use chainrule_kernels::loss::{softmax::not_a_distribution, Loss, Targets};
use chainrule_kernels::{Float, KernelError};
use libfuzzer_sys::fuzz_target;
use ndarray::{Array2, ArrayView1};

/// The loss of one row, by definition.
fn of_row(loss: Loss, s: &[f64], t: &[f64]) -> f64 {
    let pairs = s.iter().zip(t);
    match loss {
        Loss::Softmax => {
            let largest = s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = s.iter().map(|s| (s - largest).exp()).sum::<f64>().ln() + largest;
            pairs.map(|(s, t)| t * (log_sum - s)).sum()
        }
        Loss::Squared => pairs.map(|(s, t)| (s - t).powi(2) / 2.0).sum(),
        Loss::Sigmoid => pairs.map(|(s, t)| s.max(0.0) + (-s.abs()).exp().ln_1p() - t * s).sum(),
    }
}

fn wide<T: Float>(row: ArrayView1<'_, T>) -> Vec<f64> {
    row.iter().map(|x| x.wide()).collect()
}

fn loss<T: Float>(case: &mut Case<'_>) {
    let (level, loss) = (case.level(), case.one_of(&[Loss::Softmax, Loss::Squared, Loss::Sigmoid]));
    let (n, classes) = (case.axis(), case.axis());
    let kinds = [(); 3].map(|()| case.one_of(&[Kind::Plain, Kind::Few, Kind::Sparse, Kind::Hostile]));
    let of = |case: &mut Case<'_>, kind| Array2::from_shape_vec((n, classes), case.numbers::<T>(kind, n * classes));
    let (scores, rows) = (of(case, kinds[0]).unwrap(), of(case, kinds[1]).unwrap());
    let weights = case.is().then(|| case.numbers::<T>(kinds[2], n));
    let mut ids: Vec<_> = (0..n).map(|_| case.size(255) as i64 % classes.max(1) as i64).collect();
    let wrong = case.size(9) == 9 && n > 0;
    if wrong {
        ids[n - 1] = case.one_of(&[-1, classes as i64, i64::MAX, i64::MIN]);
    }
    let by_id = case.is();
    let t = if by_id { Targets::ids(&ids) } else { Targets::numbers(rows.view()) };
    let t = t.weighted(weights.as_deref()).unwrap();
    let before = Array2::from_elem((n, classes), T::of(7.0));
    let (mut y, mut d) = (before.clone(), before.clone());
    let found = loss.run(level, scores.view(), t, y.view_mut(), d.view_mut());
    let wanted = match () {
        () if by_id && loss != Loss::Softmax => Some(KernelError::Ids { loss: loss.name() }),
        () if by_id && n > 0 && (wrong || classes == 0) => {
            let row = if classes == 0 { 0 } else { n - 1 };
            Some(KernelError::Label { got: ids[row], row, classes })
        }
        () if n == 0 => Some(KernelError::Empty),
        () => None,
    };
    if let Some(error) = wanted {
        assert_eq!((found, &y, &d), (Err(error), &before, &before));
        return;
    }
    let (found, tolerance) = (found.unwrap(), 100.0 * T::epsilon().wide());
    let _ = not_a_distribution(rows.view());
    if kinds.contains(&Kind::Hostile) {
        return;
    }
    let (mut sum, mut size) = (0.0, 1.0);
    for row in 0..n {
        let one_hot = || (0..classes).map(|k| f64::from(u8::from(ids[row] == k as i64))).collect();
        let t: Vec<f64> = if by_id { one_hot() } else { wide(rows.row(row)) };
        let weight = weights.as_ref().map_or(1.0, |weights| weights[row].wide());
        let (s, total) = (wide(scores.row(row)), t.iter().sum::<f64>());
        sum += weight * of_row(loss, &s, &t);
        size += (s.iter().chain(&t).map(|x| 1.0 + x.abs()).sum::<f64>() * 4.0).powi(2);
        for k in 0..classes {
            let y = y[[row, k]].wide();
            let wanted = weight / n as f64 * if loss == Loss::Softmax { y * total - t[k] } else { y - t[k] };
            assert!((d[[row, k]].wide() - wanted).abs() <= tolerance * (1.0 + t.iter().map(|t| t.abs()).sum::<f64>()));
        }
    }
    sum /= n as f64;
    assert!((found - sum).abs() <= tolerance * size, "{loss:?}: {found} for {sum}");
}

fuzz_target!(|bytes: &[u8]| {
    let mut case = Case::new(bytes);
    if case.is() {
        loss::<f32>(&mut case);
    } else {
        loss::<f64>(&mut case);
    }
});

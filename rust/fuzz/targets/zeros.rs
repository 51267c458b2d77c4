//! Products that skip the zeros of the data, forward and in a training step, and those of a single layer, which may
//! skip them: against loops in f64.

#![no_main]

use chainrule_fuzz::{Case, Kind, Sum};
use chainrule_kernels::layers::activation::Activation::Scale;
use chainrule_kernels::layers::affine::{affine, weight_gradient, Scratch};
use chainrule_kernels::layers::{Draws, Layer};
use chainrule_kernels::loss::{Loss, Targets};
use chainrule_kernels::network::optimize::{Optimizer, Rule};
use chainrule_kernels::network::stack::{Data, Stack};
use chainrule_kernels::network::training::{Batches, Parameters, Trainer};
use chainrule_kernels::sparse::nonzeros::Nonzeros;
use chainrule_kernels::sparse::rows::Rows;
use chainrule_kernels::Float;
use libfuzzer_sys::fuzz_target;
use ndarray::{s, Array2, ArrayView2};
use std::time::Instant;

/// Panics unless `found` is a·b plus `add`; of large results only some entries are checked.
fn expect<T: Float>(
    found: &Array2<T>,
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    add: impl Fn(usize, usize) -> f64,
) {
    let every = 1 + found.len() * a.ncols() / (1 << 16);
    for ((i, j), &found) in found.indexed_iter().step_by(every) {
        let terms = a.row(i).into_iter().zip(b.column(j)).map(|(a, b)| a * b);
        // Scaled numbers are rounded once more.
        terms.chain([add(i, j), 0.0]).collect::<Sum>().expect(found, "a product");
    }
}

fn zeros<T: Float>(case: &mut Case<'_>) {
    let (level, large) = (case.level(), case.byte() > 252);
    let (n, outputs) = if large { (200, 60) } else { (1 + case.axis(), case.axis()) };
    let features = 1 + if large || case.byte() > 200 { 90 + case.size(100) } else { case.axis() };
    let (kind, stored, step) =
        (case.one_of(&[Kind::Sparse, Kind::Sparse, Kind::Plain]), case.size(2), 1 + case.size(1));
    let density = case.size(8);
    let x = Array2::from_shape_vec((n, features * step), case.numbers::<f64>(kind, n * features * step)).unwrap();
    let x = x.mapv(|x| if (x.to_bits() >> 20) & 7 < density as u64 { x } else { 0.0 });
    let (bytes, single) = (x.mapv(|x| (x.abs() * 255.0) as u8), x.mapv(|x| x as f32));
    let every = s![.., ..;step];
    let (stored, x) = match stored {
        0 => (Rows::Bytes(bytes.slice(every)), bytes.mapv(f64::from)),
        1 => (Rows::Single(single.slice(every)), single.mapv(f64::from)),
        _ => (Rows::Double(x.slice(every)), x.mapv(|x| T::of(x).wide())),
    };
    let x = x.slice(every);
    let tame = case.tame();
    let [w, b, t] = [features * outputs, outputs, n * outputs].map(|count| case.numbers::<T>(tame, count));
    let [w, t] =
        [(w, features), (t, n)].map(|(numbers, rows)| Array2::from_shape_vec((rows, outputs), numbers).unwrap());
    let (wide_w, wide_b) = (w.mapv(T::wide), |_, j: usize| b[j].wide());

    let (mut out, mut d_w, mut scratch) = (Array2::zeros((n, outputs)), Array2::zeros(w.dim()), Scratch::default());
    affine(level, stored, w.view(), &b, out.view_mut(), &mut scratch).unwrap();
    expect(&out, x, wide_w.view(), wide_b);
    weight_gradient(level, stored, t.view(), d_w.view_mut(), &mut scratch, case.is()).unwrap();
    expect(&d_w, x.t(), t.mapv(T::wide).view(), |_, _| 0.0);

    // The scale is a power of two, so it rounds nothing.
    let scale = case.one_of(&[1.0, 0.25]);
    let scaled = x.mapv(|x| x * scale);
    let layers = [Layer::Activation(Scale(scale)), Layer::affine(outputs)];
    let stack = Stack::new(features, layers[usize::from(scale == 1.0)..].to_vec(), Loss::Squared);
    let mut nonzeros = Nonzeros::<T>::new(features, stored, scale);
    let half = case.size(n);
    nonzeros.extend(level, stored, 0..half).unwrap();
    nonzeros.extend(level, stored, half..n).unwrap();
    assert_eq!((nonzeros.rows(), nonzeros.features()), (n, features));
    let data = Data::Nonzeros(&nonzeros);
    let (mut w, mut b) = (w.into_raw_vec_and_offset().0, b.clone());
    let mut first = 0;
    while first < n {
        first = stack.scores(level, &[&w[..], &b], data, first, Instant::now(), out.view_mut()).unwrap();
    }
    expect(&out, scaled.view(), wide_w.view(), wide_b);

    // A step on half the squared distance: dW = xᵀ·d, with d the differences.
    let rows: Vec<_> = (0..n as i64).collect();
    let batches = Batches { x: data, t: Targets::numbers(t.view()), rows: &rows, size: n, draws: Draws::default() };
    let mut sgd =
        Optimizer { rule: Rule::Sgd, learning_rate: n as f64, weight_decay: 0.0, steps: 0, largest_norm: None };
    let params = Parameters { values: &mut [&mut w, &mut b], state: &mut [] };
    let mut trainer = Trainer::new(stack, level, n).unwrap();
    trainer.run(params, batches, &mut sgd, false, Instant::now(), &mut [0.0], None).unwrap();
    let distance = |(row, j): (usize, usize)| {
        let score = scaled.row(row).into_iter().zip(wide_w.column(j)).map(|(x, w)| x * w);
        score.chain([wide_b(row, j), -t[[row, j]].wide()]).collect::<Sum>()
    };
    let d = Array2::from_shape_fn(t.dim(), distance);
    for (k, found) in w.into_iter().enumerate().step_by(1 + n * features * outputs / (1 << 16)) {
        let (i, j) = (k / outputs, k % outputs);
        let mut wanted: Sum = [wide_w[[i, j]]].into_iter().collect();
        (0..n).for_each(|row| wanted.add_times(-scaled[[row, i]], &d[[row, j]]));
        wanted.expect(found, "a weight after a step");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut case = Case::new(bytes);
    if case.is() {
        zeros::<f32>(&mut case);
    } else {
        zeros::<f64>(&mut case);
    }
});

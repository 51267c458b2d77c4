//! What holds for every layer: its values follow the definition, and its gradients are the differences of its values.

use crate::dense::matmul::tests::numbers;
use crate::dense::padded::LANES;
use crate::layers::activation::Activation;
use crate::layers::convolution::Convolution;
use crate::layers::dropout::Dropout;
use crate::layers::normalization::{BatchNorm, LayerNorm};
use crate::layers::pooling::Pooling;
use crate::layers::side_by_side::{rearrange, LEAST};
use crate::layers::window::tests::{pixel, windows};
use crate::layers::window::Window;
use crate::layers::{alone, Draws, Flow, Gradients, Layer, Memory, Mode, Pass};
use crate::loss::Loss;
use crate::machine::level::{available, detect, Level};
use crate::machine::threads;
use crate::network::stack::Stack;
use crate::network::training::Trainer;
use crate::{Float, KernelError};

const DRAWS: Draws = Draws { seed: 7, step: 3, layer: 2, row: 0 };

fn drawn<T: Float>(count: usize, seed: u64) -> Vec<T> {
    numbers::<T>((1, count), seed).into_iter().collect()
}

/// A layer with arrays, and input rows.
struct Case<T> {
    layer: Layer,
    arrays: Vec<Vec<T>>,
    rows: usize,
    inputs: usize,
    x: Vec<T>,
}

impl<T: Float> Case<T> {
    fn new(layer: Layer, rows: usize, inputs: usize) -> Self {
        let mut arrays: Vec<Vec<T>> = layer.sizes(inputs).zip(1..).map(|(size, seed)| drawn(size, seed)).collect();
        // A variance is never below 0.
        if let Layer::BatchNorm(_) = layer {
            arrays[3].iter_mut().for_each(|variance| *variance = variance.abs() + T::of(0.1));
        }
        Self { layer, arrays, rows, inputs, x: drawn(rows * inputs, 9) }
    }

    fn flow(&self) -> Flow {
        Flow::of_rows(self.rows, self.inputs, self.layer.outputs(self.inputs))
    }

    fn slices(&self) -> Vec<&[T]> {
        self.arrays.iter().map(Vec::as_slice).collect()
    }

    fn forward(&self, level: Level, mode: Mode) -> (Vec<T>, Memory<T>) {
        let mut memory = Memory::of(self.layer, self.flow()).unwrap();
        let mut out = vec![T::nan(); self.rows * self.flow().outputs];
        let pass = memory.pass(self.layer, self.flow(), mode);
        let size = (self.rows, self.inputs);
        alone::forward(level, self.layer, &self.slices(), size, &self.x, &mut out, pass).unwrap();
        (out, memory)
    }

    /// The gradients of x and of the parameters.
    fn backward(&self, level: Level, mode: Mode, d: &[T]) -> (Vec<T>, Vec<Vec<T>>) {
        let (_, mut memory) = self.forward(level, mode);
        let pass = memory.pass(self.layer, self.flow(), mode);
        let mut d_x = vec![T::nan(); self.x.len()];
        let sizes = self.layer.sizes(self.inputs).take(self.layer.parameters());
        let mut d_params: Vec<Vec<T>> = sizes.map(|size| vec![T::nan(); size]).collect();
        let mut slices: Vec<&mut [T]> = d_params.iter_mut().map(Vec::as_mut_slice).collect();
        let size = (self.rows, self.inputs);
        alone::backward(level, self.layer, &self.slices(), size, &self.x, d, &mut d_x, &mut slices, pass).unwrap();
        (d_x, d_params)
    }
}

fn cases<T: Float>() -> Vec<Case<T>> {
    let mut cases = Vec::new();
    for window in windows() {
        for rows in [0, 1, 35] {
            cases.push(Case::new(Layer::Convolution(Convolution::new(3, window)), rows, window.inputs()));
            for average in [false, true].into_iter().filter(|_| window.pad < window.height.min(window.width)) {
                cases.push(Case::new(Layer::Pooling(Pooling { window, average }), rows, window.inputs()));
            }
        }
    }
    let window = windows().next().unwrap();
    cases.push(Case::new(Layer::Convolution(Convolution::new(0, window)), 2, window.inputs()));
    for (rows, channels, pixels) in [(5, 3, 1), (4, 2, 35), (1, 2, 6), (3, 0, 4), (3, 4, 0), (3, 0, usize::MAX)] {
        let layer = Layer::BatchNorm(BatchNorm { channels, pixels, momentum: 0.8 });
        cases.push(Case::new(layer, rows, channels * pixels));
    }
    for (rows, size, parts) in [(3, 7, 1), (2, 5, 4), (0, 3, 1)] {
        cases.push(Case::new(Layer::LayerNorm(LayerNorm { size }), rows, size * parts));
    }
    for ratio in [0.0, 0.3, 1.0] {
        cases.push(Case::new(Layer::Dropout(Dropout { ratio }), 6, 20));
    }
    cases
}

#[test]
fn gradients_are_the_differences_of_the_values() {
    for mut case in cases::<f64>() {
        for (&level, mode) in
            available().iter().flat_map(|level| [(level, Mode::Evaluate), (level, Mode::Train(DRAWS))])
        {
            let d: Vec<f64> = drawn(case.rows * case.flow().outputs, 5);
            let weighted = |case: &Case<f64>| {
                let (out, _) = case.forward(level, mode);
                out.iter().zip(&d).map(|(out, d)| out * d).sum::<f64>()
            };
            let (d_x, d_params) = case.backward(level, mode, &d);
            let h = 1e-6;
            let compare = |case: &mut Case<f64>, of: fn(&mut Case<f64>, usize) -> &mut Vec<f64>, at, found: &[f64]| {
                for (i, &found) in found.iter().enumerate() {
                    let old = of(case, at)[i];
                    of(case, at)[i] = old + h;
                    let up = weighted(case);
                    of(case, at)[i] = old - h;
                    let numeric = (up - weighted(case)) / (2.0 * h);
                    of(case, at)[i] = old;
                    // ε·sum/h and h²/6·f''' with sums of some tens and derivatives of some hundreds.
                    assert!((found - numeric).abs() < 1e-6, "{:?} {mode:?} {at} {i}: {} {numeric}", case.layer, found);
                }
            };
            compare(&mut case, |case, _| &mut case.x, 9, &d_x);
            for (at, found) in d_params.iter().enumerate() {
                compare(&mut case, |case, at| &mut case.arrays[at], at, found);
            }
        }
    }
}

#[test]
fn bits_are_those_of_one_thread() {
    fn compare<T: Float>() {
        let large = Window::from_sizes(&[3, 20, 21, 3, 2, 2, 1]).unwrap();
        let mut all = cases::<T>();
        all.push(Case::new(Layer::Convolution(Convolution::new(8, large)), 50, large.inputs()));
        all.push(Case::new(Layer::Pooling(Pooling { window: large, average: false }), 150, large.inputs()));
        all.push(Case::new(Layer::BatchNorm(BatchNorm { channels: 17, pixels: 300, momentum: 0.9 }), 60, 17 * 300));
        all.push(Case::new(Layer::Dropout(Dropout { ratio: 0.4 }), 300, 700));
        for case in all {
            let d: Vec<T> = drawn(case.rows * case.flow().outputs, 5);
            let run = || {
                let (out, _) = case.forward(detect().unwrap(), Mode::Train(DRAWS));
                let (d_x, d_params) = case.backward(detect().unwrap(), Mode::Train(DRAWS), &d);
                [out, d_x, d_params.concat()].map(|found| found.iter().map(|x| x.wide().to_bits()).collect::<Vec<_>>())
            };
            assert_eq!(run(), threads::alone(run), "{:?}", case.layer);
        }
    }
    compare::<f32>();
    compare::<f64>();
}

/// The rows of `x`, converted to side by side.
fn side_by_side<T: Float>(level: Level, rows: usize, x: &[T]) -> Vec<T> {
    let features = x.len() / rows.max(1);
    let mut lanes = vec![T::nan(); rows.next_multiple_of(LANES) * features];
    rearrange(level, true, (rows, features), x, &mut lanes).unwrap();
    lanes
}

#[test]
fn side_by_side_the_bits_are_those_of_rows() {
    fn compare<T: Float>() {
        let mut all = cases::<T>();
        all.retain(|case| case.rows > 6 && case.layer.takes_side_by_side() == Some(true));
        assert!(all.len() > 20);
        let large = Window::from_sizes(&[9, 12, 11, 5, 4, 1, 2]).unwrap();
        all.push(Case::new(Layer::Convolution(Convolution::new(17, large)), 100, large.inputs()));
        for (case, &level) in all.iter().flat_map(|case| available().iter().map(move |level| (case, level))) {
            let (layer, rows) = (case.layer, case.rows);
            let flow = Flow { side_by_side: true, ..case.flow() };
            let d: Vec<T> = drawn(rows * flow.outputs, 5);
            let (want, _) = case.forward(level, Mode::Evaluate);
            let (want_d_x, want_d_params) = case.backward(level, Mode::Evaluate, &d);

            let (x, arrays) = (side_by_side(level, rows, &case.x), case.slices());
            let (mut memory, mut out) = (Memory::of(layer, flow).unwrap(), vec![T::nan(); flow.room() * flow.outputs]);
            let mut pass = memory.pass(layer, flow, Mode::Evaluate);
            layer.forward(level, &arrays, flow, &x, &mut out, &mut pass).unwrap();
            let mut gradients = Gradients::new(x.len().max(out.len()), layer.size(flow.inputs)).unwrap();
            gradients.d[..out.len()].copy_from_slice(&side_by_side(level, rows, &d));
            layer.back(level, &arrays, flow, (&x, &out), true, &mut gradients, &pass).unwrap();

            let mut found = [vec![T::nan(); want.len()], vec![T::nan(); want_d_x.len()]];
            rearrange(level, false, (rows, flow.outputs), &out, &mut found[0]).unwrap();
            rearrange(level, false, (rows, flow.inputs), &gradients.d, &mut found[1]).unwrap();
            assert!(found == [want, want_d_x], "{layer:?} at {}", level.name());
            assert!(gradients.d_params[..layer.size(flow.inputs)] == want_d_params.concat(), "{layer:?}");
        }
    }
    compare::<f32>();
    compare::<f64>();
}

/// A layer's output, and the gradients of its input and its arrays; rows in the layout of the flow.
fn there_and_back(layer: Layer, arrays: &[&[f64]], flow: Flow, x: &[f64], d: &[f64]) -> [Vec<f64>; 3] {
    let (level, mut memory) = (detect().unwrap(), Memory::of(layer, flow).unwrap());
    let mut pass = memory.pass(layer, flow, Mode::Train(DRAWS));
    let mut out = vec![f64::NAN; flow.room() * flow.outputs];
    layer.forward(level, arrays, flow, x, &mut out, &mut pass).unwrap();
    let mut gradients = Gradients::new(x.len().max(out.len()), layer.size(flow.inputs)).unwrap();
    gradients.d[..d.len()].copy_from_slice(d);
    layer.back(level, arrays, flow, (x, &out), true, &mut gradients, &pass).unwrap();
    [out, gradients.d[..x.len()].to_vec(), gradients.d_params]
}

#[test]
fn layers_that_one_takes_on_give_the_bits_they_give_alone() {
    let mut pooled = 0;
    let windows = windows().chain([Window::from_sizes(&[2, 9, 7, 4, 4, 1, 2]).unwrap()]);
    for (window, filters) in windows.flat_map(|window| [1, 11].map(|filters| (window, filters))) {
        let (down, across) = window.places();
        let pooling = Window { channels: filters, rows: down, columns: across, height: 2, width: 2, stride: 2, pad: 0 };
        let pooling = Layer::Pooling(Pooling { window: pooling, average: false });
        let [relu, tanh] = [Activation::Relu, Activation::Tanh].map(Layer::Activation);
        let convolution = Layer::Convolution(Convolution::new(filters, window));
        for behind in [&[tanh][..], &[relu], &[pooling], &[relu, pooling]] {
            if behind.contains(&pooling) && (down % 2, across % 2) != (0, 0) {
                continue;
            }
            pooled += usize::from(behind.contains(&pooling));
            let all = behind.iter().fold(convolution, |all, &layer| all.with(layer).unwrap());
            for rows in [0, 2, 35, 100] {
                let (case, level) = (Case::<f64>::new(convolution, rows, window.inputs()), detect().unwrap());
                for side_by_side in [false, true].into_iter().filter(|yes| !yes || rows > 0 && case.inputs > 0) {
                    let arrange = |rows_of: &[f64]| match side_by_side {
                        true => self::side_by_side(level, rows, rows_of),
                        false => rows_of.to_vec(),
                    };
                    let (x, arrays) = (arrange(&case.x), case.slices());
                    let flow = |layer: Layer, inputs| Flow {
                        side_by_side,
                        ..Flow::of_rows(rows, inputs, layer.outputs(inputs))
                    };
                    let first = flow(convolution, case.inputs);
                    let outputs = all.outputs(case.inputs);
                    let d = arrange(&drawn(rows * outputs, 5));
                    // One after the other: each layer's forward pass, then each one's backward pass.
                    let mut flows = vec![(convolution, first)];
                    for &layer in behind {
                        flows.push((layer, flow(layer, flows[flows.len() - 1].1.outputs)));
                    }
                    let mut inputs = vec![x.clone()];
                    for (k, &(layer, flow)) in flows.iter().enumerate() {
                        let zeros = vec![0.0; flow.room() * flow.outputs];
                        let its = if k == 0 { &arrays[..] } else { &[] };
                        inputs.push(there_and_back(layer, its, flow, &inputs[k], &zeros)[0].clone());
                    }
                    let (mut back, mut d_params) = (d.clone(), vec![]);
                    for (k, &(layer, flow)) in flows.iter().enumerate().rev() {
                        let its = if k == 0 { &arrays[..] } else { &[] };
                        [_, back, d_params] = there_and_back(layer, its, flow, &inputs[k], &back);
                    }
                    let found = there_and_back(all, &arrays, flow(all, case.inputs), &x, &d);
                    let want = [inputs[flows.len()].clone(), back, d_params];
                    // Row by row, the fused layer goes image by image and the plain one by sixteens; a network avoids
                    // this difference.
                    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * b.abs().max(1.0);
                    let as_good = found.iter().flatten().zip(want.iter().flatten()).all(close);
                    assert!(found == want || (as_good && !side_by_side && rows >= LEAST), "{all:?} {rows}");
                }
            }
        }
        assert_eq!(convolution.with(tanh).unwrap().with(relu), None);
        assert_eq!(convolution.with(tanh).unwrap().with(pooling), None);
        assert_eq!(convolution.with(Layer::affine(3)), None);
    }
    assert!(pooled > 4, "{pooled}");
}

#[test]
fn a_convolution_is_its_definition() {
    // Three images go one by one, nineteen side by side.
    for (window, rows) in windows().flat_map(|window| [(window, 3), (window, 19)]) {
        let case = Case::<f64>::new(Layer::Convolution(Convolution::new(2, window)), rows, window.inputs());
        let (out, _) = case.forward(detect().unwrap(), Mode::Evaluate);
        let (down, across) = window.places();
        let mut found = out.iter();
        for (n, f) in (0..rows).flat_map(|n| (0..2).map(move |f| (n, f))) {
            for place in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                let mut want = case.arrays[1][f];
                for c in 0..window.channels {
                    for (i, j) in (0..window.height).flat_map(|i| (0..window.width).map(move |j| (i, j))) {
                        let w = case.arrays[0][((f * window.channels + c) * window.height + i) * window.width + j];
                        if let Some(pixel) = pixel(window, place, (c, i, j)) {
                            want += w * case.x[n * window.inputs() + pixel];
                        }
                    }
                }
                let found = found.next().unwrap();
                assert!((found - want).abs() < 1e-12 * want.abs().max(1.0), "{window:?}: {found} for {want}");
            }
        }
    }
}

#[test]
fn pooling_takes_the_first_of_equals_lets_nan_through_and_counts_no_padding() {
    let level = detect().unwrap();
    let window = Window::from_sizes(&[1, 2, 4, 2, 2, 2, 1]).unwrap();
    let mut case = Case::<f64>::new(Layer::Pooling(Pooling { window, average: false }), 1, 8);
    case.x = vec![-1.0, -3.0, -3.0, -2.0, -4.0, f64::NAN, -1.0, -5.0];
    // Windows of the pixels (0), (1 2), (3); (4), (5 6), (7).
    let (out, memory) = case.forward(level, Mode::Evaluate);
    assert_eq!(out[..4], [-1.0, -3.0, -2.0, -4.0]);
    assert!(out[4].is_nan());
    assert_eq!(memory.places, [0, 1, 3, 4, 5, 7]);
    assert_eq!(case.backward(level, Mode::Evaluate, &[1., 2., 3., 4., 5., 6.]).0, [1., 2., 0., 3., 4., 5., 0., 6.]);
    case.layer = Layer::Pooling(Pooling { window, average: true });
    case.x[5] = 3.0;
    assert_eq!(case.forward(level, Mode::Evaluate).0, [-1.0, -3.0, -2.0, -4.0, 1.0, -5.0]);
}

#[test]
fn a_batch_has_mean_beta_and_deviation_gamma_and_statistics_follow() {
    let (rows, channels, pixels) = (40, 2, 3);
    let layer = Layer::BatchNorm(BatchNorm { channels, pixels, momentum: 0.75 });
    let mut case = Case::<f64>::new(layer, rows, channels * pixels);
    case.arrays = vec![vec![2.0, -0.5], vec![1.0, 3.0], vec![10.0, 20.0], vec![4.0, 8.0]];
    let (out, mut memory) = case.forward(detect().unwrap(), Mode::Train(DRAWS));
    let of = |numbers: &[f64], c: usize| -> (f64, f64) {
        let its = numbers.iter().enumerate().filter(|(i, _)| i / pixels % channels == c).map(|(_, &x)| x);
        let its: Vec<f64> = its.collect();
        let mean = its.iter().sum::<f64>() / its.len() as f64;
        (mean, its.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / its.len() as f64)
    };
    let mut slices: Vec<Vec<f64>> = case.arrays.clone();
    let mut arrays: Vec<&mut [f64]> = slices.iter_mut().map(Vec::as_mut_slice).collect();
    layer.note(&mut arrays, &memory.pass(layer, case.flow(), Mode::Evaluate));
    layer.note(&mut arrays, &memory.pass(layer, case.flow(), Mode::Train(DRAWS)));
    let each = case.arrays[0].iter().zip(&case.arrays[1]).enumerate();
    for (c, (&want_deviation, &want_mean)) in each {
        let (mean, variance) = of(&out, c);
        assert!((mean - want_mean).abs() < 1e-12);
        let (mean, of_x) = of(&case.x, c);
        assert!((variance - want_deviation.powi(2) * of_x / (of_x + 1e-6)).abs() < 1e-12);
        assert!((slices[2][c] - (0.75 * case.arrays[2][c] + 0.25 * mean)).abs() < 1e-12);
        assert!((slices[3][c] - (0.75 * case.arrays[3][c] + 0.25 * of_x)).abs() < 1e-12);
    }
    assert_eq!(slices[..2], case.arrays[..2]);
}

#[test]
fn a_mask_depends_on_each_word_of_its_place_and_on_nothing_else() {
    let mask = |ratio: f64, draws: Draws, rows: usize, numbers: usize| {
        let mut mask = vec![9; rows * numbers];
        Dropout { ratio }.mask(draws, numbers, &mut mask);
        mask
    };
    let whole = mask(0.3, DRAWS, 5, 1000);
    assert_eq!(mask(0.3, DRAWS, 2, 1000), whole[..2000]);
    let others = [Draws { seed: 8, ..DRAWS }, Draws { step: 4, ..DRAWS }, Draws { layer: 3, ..DRAWS }];
    for other in others.map(|draws| mask(0.3, draws, 5, 1000)).iter().chain([&whole[1000..].to_vec()]) {
        // Two independent masks agree in 0.7² + 0.3² of the places: 0.58, within four standard deviations of 0.5/√1000.
        let same = other[..1000].iter().zip(&whole[..1000]).filter(|(a, b)| a == b).count();
        assert!((580i64 - same as i64).abs() < 4 * 16, "{same}");
    }
    for ratio in [0.0, 0.01, 0.5, 0.99, 1.0] {
        let stay = mask(ratio, DRAWS, 100, 1000).iter().filter(|&&stays| stays == 1).count() as f64;
        let (want, deviation) = (1e5 * (1.0 - ratio), (1e5 * ratio * (1.0 - ratio)).sqrt());
        assert!((stay - want).abs() <= 4.0 * deviation, "{ratio}: {stay}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_written() {
    let case = &cases::<f64>()[3]; // a convolution of one row
    let (level, size) = (detect().unwrap(), (case.rows, case.inputs));
    let mut memory = Memory::of(case.layer, case.flow()).unwrap();
    let mut out = vec![7.0; case.flow().outputs];
    let arrays = case.slices();
    let mut run = |arrays: &[&[f64]], (rows, inputs): (usize, usize), x: &[f64], out: &mut [f64]| {
        let pass = memory.pass(case.layer, case.flow(), Mode::Evaluate);
        alone::forward(level, case.layer, arrays, (rows, inputs), x, out, pass).is_err()
    };
    assert!(run(&arrays[..1], size, &case.x, &mut out));
    assert!(run(&[arrays[1], arrays[0]], size, &case.x, &mut out));
    assert!(run(&arrays, (2, case.inputs), &case.x, &mut out));
    assert!(run(&arrays, (case.rows, case.inputs + 1), &case.x, &mut out));
    assert!(run(&arrays, size, &case.x[1..], &mut out));
    assert!(run(&arrays, size, &case.x, &mut out[1..]));
    assert!(out.iter().all(|&out| out == 7.0));
    let window = Window::from_sizes(&[1, 2, 2, 2, 2, 1, 0]).unwrap();
    let pooling = Case::<f64>::new(Layer::Pooling(Pooling { window, average: false }), 1, 4);
    let (_, mut memory) = pooling.forward(level, Mode::Evaluate);
    memory.places[0] = 4;
    let pass = memory.pass(pooling.layer, pooling.flow(), Mode::Evaluate);
    let mut d_x = [7.0; 4];
    assert!(alone::backward(level, pooling.layer, &[], (1, 4), &pooling.x, &[1.0], &mut d_x, &mut [], pass).is_err());
    assert_eq!(d_x, [7.0; 4]);
}

#[test]
fn sizes_that_no_memory_has_are_errors_or_as_many_as_can_be_counted() {
    const MOST: usize = usize::MAX;
    let window = [1, 2, 2, 2, 2, 1, 1];
    let layers = [
        ("convolution", [&[MOST][..], &window].concat(), vec![], 4),
        ("max_pooling", window.to_vec(), vec![], 4),
        ("batch_norm", vec![MOST, 2], vec![0.9], MOST),
        ("layer_norm", vec![1], vec![], 3),
        ("affine", vec![MOST], vec![], 3),
    ];
    for (name, sizes, numbers, inputs) in layers {
        let layer = Layer::from_description(name, &sizes, &numbers).unwrap();
        let (outputs, ..) = alone::sizes(layer, MOST, inputs).unwrap();
        assert!(outputs > 0, "{name}");
        let pass = Pass { mode: Mode::Evaluate, numbers: &mut [], places: &mut [] };
        let level = detect().unwrap();
        let arrays = &[&[] as &[f64]; 4][..layer.arrays()];
        let refused = alone::forward(level, layer, arrays, (MOST, inputs), &[], &mut [], pass);
        assert!(matches!(refused, Err(KernelError::Sizes { .. })), "{name}: {refused:?}");
        let stack = Stack::new(inputs, vec![layer], Loss::Squared);
        // Layers that work by rows go some rows at a time, so there is enough memory.
        let refused = Trainer::<f64>::new(stack, level, MOST).err();
        let by_rows = matches!(name, "max_pooling" | "layer_norm");
        assert!(
            if by_rows { refused.is_none() } else { matches!(refused, Some(KernelError::Memory { .. })) },
            "{name}"
        );
    }
}

#[test]
fn pooling_has_no_places_without_a_pixel() {
    for name in ["max_pooling", "average_pooling"] {
        for (height, pad, there) in [(2, 1, true), (2, 2, false), (1, 1, false), (3, 5, false)] {
            let layer = Layer::from_description(name, &[1, 4, 4, height, 4, 1, pad], &[]);
            assert_eq!(layer.is_some(), there, "{height} {pad}");
        }
        assert_eq!(Layer::from_description(name, &[1, 0, 4, 2, 2, 1, 1], &[]), None);
    }
}

#[test]
fn behind_the_last_row_of_the_stream_comes_the_first() {
    let mut masks = [[9; 64]; 2];
    let dropout = Dropout { ratio: 0.5 };
    let mut two = [9; 128];
    dropout.mask(Draws { row: u64::MAX, ..DRAWS }, 64, &mut two);
    for (row, mask) in [u64::MAX, 0].into_iter().zip(&mut masks) {
        dropout.mask(Draws { row, ..DRAWS }, 64, mask);
    }
    assert_eq!(two, masks.concat()[..]);
}

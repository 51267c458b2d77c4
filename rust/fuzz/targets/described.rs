//! Layers and networks of any sizes at all, and calls with arrays that do not fit: the impossible is refused with an
//! error, and no memory is requested that does not exist.

#![no_main]

use chainrule_fuzz::{Case, Kind};
use chainrule_kernels::layers::{alone, Draws, Flow, Layer, Mode, Pass};
use chainrule_kernels::loss::Loss;
use chainrule_kernels::network::stack::Stack;
use chainrule_kernels::network::training::Trainer;
use chainrule_kernels::KernelError;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] =
    ["affine", "convolution", "max_pooling", "average_pooling", "batch_norm", "layer_norm", "dropout", "relu"];
const HUGE: [usize; 8] =
    [1 << 16, 1 << 31, 1 << 32, (1 << 32) - 1, 1 << 61, usize::MAX, usize::MAX / 2, usize::MAX / 16 + 1];

/// The most memory a test may use, in numbers.
const SMALL: usize = 1 << 12;

fn size(case: &mut Case<'_>) -> usize {
    match case.byte() {
        byte @ 0..220 => usize::from(byte % 7),
        _ => case.one_of(&HUGE),
    }
}

/// A layer, or `None`, for instance if its description has the wrong number of sizes.
fn layer(case: &mut Case<'_>) -> Option<Layer> {
    let name = case.one_of(&NAMES);
    let sizes = match name {
        "affine" | "layer_norm" => 1,
        "batch_norm" => 2,
        "convolution" => 8,
        "dropout" | "relu" => 0,
        _ => 7,
    };
    let sizes = if case.byte() == 255 { case.size(9) } else { sizes };
    let sizes: Vec<_> = (0..sizes).map(|_| size(case)).collect();
    let number = case.one_of(&[0.5, f64::NAN, -1.0, 1e308]);
    let numbers = if matches!(name, "batch_norm" | "dropout") { &[number][..] } else { &[] };
    Layer::from_description(name, &sizes, numbers)
}

/// `count` numbers, or one too few, or too many.
fn about(case: &mut Case<'_>, count: usize) -> Vec<f64> {
    let count = match case.byte() {
        255 => count + 1,
        254 => count.saturating_sub(1),
        _ => count,
    };
    case.numbers(Kind::Hostile, count)
}

/// The layer alone, forward and back, if there is memory for it.
fn call(case: &mut Case<'_>, layer: Layer, rows: usize, inputs: usize) {
    let _ = layer.remembers(Flow::of_rows(rows, inputs, layer.outputs(inputs)));
    let Ok((outputs, numbers, places)) = alone::sizes(layer, rows, inputs) else { return };
    let (flowing, arrays) = (rows.saturating_mul(inputs.max(outputs)), layer.shapes(inputs));
    let arrays: Vec<_> =
        arrays.iter().map(|shape| shape.iter().fold(1, |size: usize, &n| size.saturating_mul(n))).collect();
    if arrays.iter().chain([&flowing, &numbers, &places, &rows]).any(|&count| count > SMALL) {
        return;
    }
    let (x, mut out, d) = (about(case, rows * inputs), about(case, rows * outputs), about(case, rows * outputs));
    let mut d_x = about(case, rows * inputs);
    let mut d_params: Vec<_> = arrays.iter().take(layer.parameters()).map(|&count| about(case, count)).collect();
    let arrays: Vec<_> = arrays.iter().map(|&count| about(case, count)).collect();
    let arrays: Vec<_> = arrays.iter().map(Vec::as_slice).collect();
    let (mut numbers, mut places) = (about(case, numbers), vec![0; places]);
    let places_are_wrong = case.byte() > 250;
    let draws = Draws { row: case.one_of(&[0, u64::MAX]), ..Draws::default() };
    let mode = if case.is() { Mode::Train(draws) } else { Mode::Evaluate };
    let level = case.level();
    let pass = Pass { mode, numbers: &mut numbers, places: &mut places };
    let _ = alone::forward(level, layer, &arrays, (rows, inputs), &x, &mut out, pass);
    if places_are_wrong {
        places.fill(u32::MAX);
    }
    let mut d_params: Vec<_> = d_params.iter_mut().map(Vec::as_mut_slice).collect();
    let pass = Pass { mode, numbers: &mut numbers, places: &mut places };
    let _ = alone::backward(level, layer, &arrays, (rows, inputs), &x, &d, &mut d_x, &mut d_params, pass);
}

fuzz_target!(|bytes: &[u8]| {
    let mut case = Case::new(bytes);
    let case = &mut case;
    let features = size(case);
    let layers: Vec<_> = (0..case.size(3)).filter_map(|_| layer(case)).collect();
    if let Some(&first) = layers.first() {
        let (rows, fit) = (size(case), case.byte() < 200);
        let inputs = match first {
            Layer::Convolution(its) if fit => its.window.channels.wrapping_mul(its.window.rows * its.window.columns),
            Layer::Pooling(its) if fit => its.window.channels.wrapping_mul(its.window.rows * its.window.columns),
            Layer::BatchNorm(its) if fit => its.channels.wrapping_mul(its.pixels),
            _ => features,
        };
        call(case, first, rows, inputs);
    }
    let widest = layers.iter().fold((features, features), |(widest, inputs), layer| {
        let outputs = layer.outputs(inputs);
        (widest.max(outputs), outputs)
    });
    let stack = Stack::new(features, layers, Loss::Softmax);
    let _ = (stack.trains_otherwise(), stack.scale(), stack.first_product(), stack.classes(), stack.shapes().count());
    let largest = stack.sizes().fold(widest.0, usize::max);
    let _ = stack.check::<f64, &[f64]>(&[]);
    if stack.fits().is_err() || largest > SMALL {
        return;
    }
    let batch = size(case);
    if (SMALL..1 << 50).contains(&batch) {
        return;
    }
    match Trainer::<f32>::new(stack, case.level(), batch) {
        Ok(trainer) => assert_eq!(trainer.batch(), batch),
        Err(error) => assert!(matches!(error, KernelError::Memory { .. }) && batch > SMALL),
    }
});

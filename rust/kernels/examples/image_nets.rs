//! The time of a training step in the networks of chapters 7 and 8: batches of 100 images of 28 × 28, Adam, f32.
//!
//! `cargo run --release -p chainrule-kernels --example image_nets`; `-- Deep` for one of them,
//! `CHAINRULE_NUM_THREADS=1` for one thread.

use chainrule_kernels::layers::{Draws, Layer};
use chainrule_kernels::loss::{Loss, Targets};
use chainrule_kernels::machine::level::detect;
use chainrule_kernels::network::optimize::{Optimizer, Rule};
use chainrule_kernels::network::stack::{Data, Stack};
use chainrule_kernels::network::training::{Batches, Parameters, Trainer};
use chainrule_kernels::sparse::rows::Rows;
use ndarray::Array2;
use std::time::{Duration, Instant};

const ROWS: usize = 100;
const STEPS: usize = 40;

/// (channels, rows and columns) of the input, filters, size of the window, padding
fn convolution(layers: &mut Vec<Layer>, (channels, size): (usize, usize), filters: usize, window: usize, pad: usize) {
    let sizes = [filters, channels, size, size, window, window, 1, pad];
    layers.extend(Layer::from_description("convolution", &sizes, &[]));
    layers.extend(Layer::from_description("relu", &[], &[]));
}

fn pooling(layers: &mut Vec<Layer>, channels: usize, size: usize) {
    layers.extend(Layer::from_description("max_pooling", &[channels, size, size, 2, 2, 2, 0], &[]));
}

fn chapter_7() -> Vec<Layer> {
    let mut layers = Vec::new();
    convolution(&mut layers, (1, 28), 30, 5, 0);
    pooling(&mut layers, 30, 24);
    layers.extend([Layer::affine(100)]);
    layers.extend(Layer::from_description("relu", &[], &[]));
    layers.extend([Layer::affine(10)]);
    layers
}

fn chapter_8() -> Vec<Layer> {
    let mut layers = Vec::new();
    for (before, size, filters, pads) in [(1, 28, 16, [1, 1]), (16, 14, 32, [1, 2]), (32, 8, 64, [1, 1])] {
        convolution(&mut layers, (before, size), filters, 3, pads[0]);
        convolution(&mut layers, (filters, size), filters, 3, pads[1]);
        pooling(&mut layers, filters, size + 2 * (pads[1] - 1));
    }
    layers.extend([Layer::affine(50)]);
    layers.extend(Layer::from_description("relu", &[], &[]));
    layers.extend(Layer::from_description("dropout", &[], &[0.5]));
    layers.extend([Layer::affine(10)]);
    layers
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let level = detect()?;
    println!("{}, {} threads", level.name(), chainrule_kernels::machine::threads::count());
    // A fifth of the pixels is ink.
    let x = Array2::from_shape_fn((ROWS, 784), |(i, j)| if (i + j / 3) % 5 == 0 { 0.5f32 } else { 0.0 });
    let labels: Vec<i64> = (0..ROWS as i64).map(|i| i % 10).collect();
    let rows: Vec<i64> = (0..STEPS).flat_map(|_| 0..ROWS as i64).collect();
    let asked = std::env::args().nth(1).unwrap_or_default();
    let nets = [("SimpleConvNet", chapter_7()), ("DeepConvNet", chapter_8())];
    for (name, layers) in nets.into_iter().filter(|(name, _)| name.contains(&asked)) {
        let stack = Stack::new(784, layers, Loss::Softmax);
        stack.fits()?;
        let numbers = |(i, n): (usize, usize)| -> Vec<f32> {
            (0..n).map(|k| ((k * 37 + i * 11) % 101) as f32 / 1000.0 - 0.05).collect()
        };
        let mut values: Vec<_> = stack.sizes().enumerate().map(numbers).collect();
        let mut state: Vec<_> = stack.sizes().flat_map(|n| [vec![0.0f32; n], vec![0.0; n]]).collect();
        let rule = Rule::Adam(0.9, 0.999);
        let mut optimizer = Optimizer { rule, learning_rate: 1e-6, weight_decay: 0.0, steps: 0, largest_norm: None };
        let mut trainer = Trainer::new(stack, level, ROWS)?;
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let mut values: Vec<&mut [f32]> = values.iter_mut().map(Vec::as_mut_slice).collect();
            let mut state: Vec<&mut [f32]> = state.iter_mut().map(Vec::as_mut_slice).collect();
            let params = Parameters { values: &mut values, state: &mut state };
            let data = Data::Rows(Rows::Single(x.view()));
            let batches =
                Batches { x: data, t: Targets::ids(&labels), rows: &rows, size: ROWS, draws: Draws::default() };
            let (start, late) = (Instant::now(), Instant::now() + Duration::from_secs(60));
            trainer.run(params, batches, &mut optimizer, true, late, &mut [0.0; STEPS], None)?;
            best = best.min(start.elapsed().as_secs_f64() / STEPS as f64);
        }
        println!("{name:14} {:7.2} ms a step, {:5.1} s an epoch of 600", 1e3 * best, 600.0 * best);
    }
    Ok(())
}

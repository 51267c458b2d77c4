//! The time of each layer in the networks of chapters 7 and 8, forward and backward, for a batch of 100 images in f32.
//!
//! `cargo run --release -p chainrule-kernels --example image_layers`; `CHAINRULE_NUM_THREADS=1` for one thread.

use chainrule_kernels::layers::{alone, Layer, Mode, Pass};
use chainrule_kernels::machine::level::detect;
use std::time::Instant;

const ROWS: usize = 100;

/// (name, sizes, numbers per input row)
type Described = (&'static str, &'static [usize], usize);

const LAYERS: [Described; 12] = [
    ("convolution", &[30, 1, 28, 28, 5, 5, 1, 0], 784),
    ("relu", &[], 17280),
    ("max_pooling", &[30, 24, 24, 2, 2, 2, 0], 17280),
    ("affine", &[100], 4320),
    ("convolution", &[16, 1, 28, 28, 3, 3, 1, 1], 784),
    ("convolution", &[16, 16, 28, 28, 3, 3, 1, 1], 12544),
    ("max_pooling", &[16, 28, 28, 2, 2, 2, 0], 12544),
    ("convolution", &[32, 16, 14, 14, 3, 3, 1, 1], 3136),
    ("convolution", &[32, 32, 14, 14, 3, 3, 1, 2], 6272),
    ("convolution", &[64, 32, 8, 8, 3, 3, 1, 1], 2048),
    ("convolution", &[64, 64, 8, 8, 3, 3, 1, 1], 4096),
    ("affine", &[50], 1024),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let level = detect()?;
    println!("{}", level.name());
    println!("{:12} {:32} {:>12} {:>12}   GFLOP/s", "layer", "sizes", "forward", "back");
    for (name, sizes, inputs) in LAYERS {
        let layer = Layer::from_description(name, sizes, &[]).ok_or("no such layer")?;
        let (outputs, numbers, places) = alone::sizes(layer, ROWS, inputs)?;
        let draw = |n: usize| (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 100.0).collect::<Vec<_>>();
        let arrays: Vec<_> = layer.shapes(inputs).into_iter().map(|shape| draw(shape.into_iter().product())).collect();
        let arrays: Vec<&[f32]> = arrays.iter().map(Vec::as_slice).collect();
        let (x, d) = (draw(ROWS * inputs), draw(ROWS * outputs));
        let (mut out, mut d_x) = (vec![0.0; d.len()], vec![0.0; x.len()]);
        let (mut numbers, mut places) = (vec![0.0; numbers], vec![0; places]);
        let mut gradients: Vec<Vec<f32>> = arrays.iter().map(|array| vec![0.0; array.len()]).collect();
        let mut best = [f64::INFINITY; 2];
        for _ in 0..10 {
            let start = Instant::now();
            let pass = Pass { mode: Mode::Evaluate, numbers: &mut numbers, places: &mut places };
            alone::forward(level, layer, &arrays, (ROWS, inputs), &x, &mut out, pass)?;
            let between = Instant::now();
            let pass = Pass { mode: Mode::Evaluate, numbers: &mut numbers, places: &mut places };
            let mut d_params: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
            alone::backward(level, layer, &arrays, (ROWS, inputs), &x, &d, &mut d_x, &mut d_params, pass)?;
            best[0] = best[0].min((between - start).as_secs_f64());
            best[1] = best[1].min(between.elapsed().as_secs_f64());
        }
        let products = match name {
            "convolution" => arrays[0].len() * outputs / sizes[0],
            "affine" => arrays[0].len(),
            _ => 0,
        };
        let rate = |passes: f64, seconds: f64| 2.0 * passes * (products * ROWS) as f64 / seconds / 1e9;
        println!(
            "{name:12} {:32} {:9.2} ms {:9.2} ms   {:.0}, {:.0}",
            format!("{sizes:?}"),
            1e3 * best[0],
            1e3 * best[1],
            rate(1.0, best[0]),
            rate(2.0, best[1])
        );
    }
    Ok(())
}

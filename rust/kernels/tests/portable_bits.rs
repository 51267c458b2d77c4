//! The portable level gives the bits written here on every CPU: of either byte order, with addresses of 32 or 64 bits,
//! and whatever other instructions the CPU has.
//!
//! Functions of the C library are left out, since their last bit varies: the logarithm in a loss, tanh, and Adam's
//! powers.
//!
//! If these numbers change on all targets alike, the arithmetic was changed: then update them from the output of the
//! failing test. If they change on one target only, that target is wrong.

use chainrule_kernels::layers::{Draws, Layer};
use chainrule_kernels::loss::{Loss, Targets};
use chainrule_kernels::machine::level::{available, Level};
use chainrule_kernels::network::optimize::{Optimizer, Rule};
use chainrule_kernels::network::stack::{Data, Stack};
use chainrule_kernels::network::training::{Batches, Parameters, Trainer};
use chainrule_kernels::sparse::nonzeros::Nonzeros;
use chainrule_kernels::sparse::rows::Rows;
use chainrule_kernels::Float;
use ndarray::Array2;
use std::time::{Duration, Instant};

const ROWS: usize = 60;
const BATCH: usize = 20;

/// With a first layer that can skip zeros, and products of more terms than one block.
const DENSE: [(&str, &[usize], &[f64]); 5] =
    [("affine", &[50], &[]), ("relu", &[], &[]), ("affine", &[33], &[]), ("sigmoid", &[], &[]), ("affine", &[5], &[])];
const FEATURES: usize = 600;

/// Layers of all other kinds, for images of 1 × 8 × 9.
const IMAGES: [(&str, &[usize], &[f64]); 11] = [
    ("convolution", &[3, 1, 8, 9, 3, 3, 1, 1], &[]),
    ("batch_norm", &[3, 72], &[0.9]),
    ("leaky_relu", &[], &[0.1]),
    ("max_pooling", &[3, 8, 9, 2, 2, 2, 0], &[]),
    ("convolution", &[4, 3, 4, 4, 2, 2, 1, 0], &[]),
    ("average_pooling", &[4, 3, 3, 2, 2, 1, 0], &[]),
    ("layer_norm", &[16], &[]),
    ("affine", &[17], &[]),
    ("dropout", &[], &[0.4]),
    ("sigmoid", &[], &[]),
    ("affine", &[5], &[]),
];
const PIXELS: usize = 72;

fn portable() -> Level {
    available()[0]
}

/// Numbers from -1 to 1.
fn drawn(count: usize, seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..count).map(move |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    })
}

/// FNV-1a of the bits, eight bytes per number, little-endian.
fn digest<'a, T: Float>(numbers: impl IntoIterator<Item = &'a T>) -> u64 {
    let bytes = numbers.into_iter().flat_map(|number| number.wide().to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn stack(features: usize, described: &[(&str, &[usize], &[f64])]) -> Stack {
    let layers = described.iter().map(|&(name, sizes, numbers)| {
        Layer::from_description(name, sizes, numbers).unwrap_or_else(|| panic!("no layer {name}"))
    });
    let stack = Stack::new(features, layers.collect(), Loss::Softmax);
    stack.fits().unwrap();
    stack
}

/// Three of four numbers are zero.
fn bytes(features: usize) -> Array2<u8> {
    let mut drawn = drawn(ROWS * features, 1);
    Array2::from_shape_simple_fn((ROWS, features), || (drawn.next().unwrap() * 1020.0 - 765.0).max(0.0) as u8)
}

fn parameters<T: Float>(stack: &Stack) -> Vec<Vec<T>> {
    let filled = stack.sizes().zip(2..).map(|(n, seed)| {
        // All above 0, so that they can be variances too.
        drawn(n, seed).map(|x| T::of(0.1 * x + 0.11)).collect()
    });
    filled.collect()
}

/// The parameters, states and scores after some steps by each rule.
fn trained<'a, T: Float>(
    stack: &Stack,
    (x, labels, rows): (Data<'a, T>, &'a [i64], &'a [i64]),
    scored: Rows<'_>,
) -> u64 {
    let late = Instant::now() + Duration::from_secs(3600);
    let mut found: Vec<T> = Vec::new();
    for rule in [Rule::Sgd, Rule::Momentum(0.9), Rule::Nesterov(0.9), Rule::AdaGrad, Rule::RmsProp(0.99)] {
        let mut optimizer = Optimizer { rule, learning_rate: 0.01, weight_decay: 0.01, steps: 0, largest_norm: None };
        let mut values = parameters::<T>(stack);
        let sizes = stack.shapes_of_parameters().map(|shape| shape.into_iter().product());
        let mut state: Vec<Vec<T>> = sizes.flat_map(|n| vec![vec![T::zero(); n]; rule.states()]).collect();
        let mut losses = vec![0.0; rows.len() / BATCH];
        let draws = Draws { seed: 5, ..Draws::default() };
        let batches = Batches { x, t: Targets::ids(labels), rows, size: BATCH, draws };
        let [mut its_values, mut its_state] =
            [&mut values, &mut state].map(|arrays| arrays.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        let params = Parameters { values: &mut its_values, state: &mut its_state };
        let mut trainer = Trainer::new(stack.clone(), portable(), BATCH).unwrap();
        let done = trainer.run(params, batches, &mut optimizer, true, late, &mut losses, None).unwrap();
        assert_eq!(done.steps, losses.len());
        let mut scores = Array2::zeros((ROWS, stack.classes()));
        let slices: Vec<&[T]> = values.iter().map(Vec::as_slice).collect();
        stack.scores(portable(), &slices, Data::Rows(scored), 0, late, scores.view_mut()).unwrap();
        assert!(scores.iter().all(|score| score.is_finite()));
        found.extend(values.concat().into_iter().chain(state.concat()).chain(scores));
    }
    digest(&found)
}

fn all<T: Float>() -> [u64; 4] {
    let dense = stack(FEATURES, &DENSE);
    let x = bytes(FEATURES);
    let rows = Rows::Bytes(x.view());
    let mut skipped = Nonzeros::new(FEATURES, rows, 1.0);
    skipped.extend(portable(), rows, 0..ROWS).unwrap();
    let mut numbers = drawn(ROWS * FEATURES, 3);
    let doubles = Array2::from_shape_simple_fn((ROWS, FEATURES), || numbers.next().unwrap());
    let doubles = Rows::Double(doubles.view());
    let (images, pixels) = (stack(PIXELS, &IMAGES), bytes(PIXELS));
    let pixels = Rows::Bytes(pixels.view());
    let labels: Vec<i64> = (0..ROWS as i64).map(|row| row * row % 5).collect();
    let batches: Vec<i64> = (0..2 * ROWS as i64).map(|row| row * 11 % ROWS as i64).collect();
    let trained = |stack, x, scored| trained::<T>(stack, (x, &labels, &batches), scored);
    [
        trained(&dense, Data::Rows(doubles), doubles),
        trained(&dense, Data::Rows(rows), rows),
        trained(&dense, Data::Nonzeros(&skipped), rows),
        trained(&images, Data::Rows(pixels), pixels),
    ]
}

#[test]
fn portable_bits_are_the_same_on_every_target() {
    assert_eq!(portable().name(), "portable");
    let found = [all::<f32>(), all::<f64>()];
    assert!(found == WANTED, "{found:#018x?}");
}

/// In f32 and in f64: for dense data, bytes, bytes without their zeros, images.
const WANTED: [[u64; 4]; 2] = [
    [0x12f0010c6615b1f5, 0x21cff1af5f6076fa, 0x2a1e53f8c7669943, 0xc00bd0cdee448f1d],
    [0xeea7788046fbf525, 0xb595972c98f225a9, 0xc854377c4c298f4a, 0x7e2ebd8d68375cfe],
];

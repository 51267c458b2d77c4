//! How many multiply-adds one core of this machine can do: the reference for `make bench`.
//!
//! Independent sums of [`LANES`] numbers each stay in registers, and every turn does a multiply-add on each of them.
//! Nothing is loaded or stored, so only the arithmetic units are the limit. Each multiply-add counts as two operations
//! per number. Prints one line of JSON, in GFLOP/s.

use chainrule_kernels::dense::padded::{Lane, LANES};
use chainrule_kernels::machine::level::{detect, Arithmetic, Kernel};
use chainrule_kernels::Float;
use std::hint::black_box;
use std::time::Instant;

const TURNS: usize = 1_000_000;

/// A sum of products with `N` lanes of accumulators.
struct Sums<T, const N: usize> {
    x: T,
    y: Lane<T>,
}

impl<T: Float, const N: usize> Kernel for Sums<T, N> {
    type Output = [Lane<T>; N];

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) -> Self::Output {
        let mut sums = [Lane([T::zero(); LANES]); N];
        for _ in 0..TURNS {
            for sum in &mut sums {
                *sum = next(*sum, self.x, self.y, arithmetic);
            }
        }
        sums
    }
}

/// `sum · x + y`: by value, so that the compiler keeps it in registers.
#[inline(always)]
fn next<T: Float>(sum: Lane<T>, x: T, y: Lane<T>, arithmetic: impl Arithmetic) -> Lane<T> {
    Lane(std::array::from_fn(|i| arithmetic.mul_add(sum.0[i], x, y.0[i])))
}

/// The best of five runs: disturbances only ever slow a run down.
fn peak<T: Float, const N: usize>() -> f64 {
    let level = detect().expect("CHAINRULE_SIMD names a level of this CPU");
    let run = || {
        let started = Instant::now();
        black_box(level.run(Sums::<T, N> { x: black_box(T::of(0.5)), y: black_box(Lane([T::one(); LANES])) }));
        (2 * N * LANES * TURNS) as f64 / started.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(|_| run()).fold(0.0, f64::max)
}

fn main() {
    let level = detect().expect("CHAINRULE_SIMD names a level of this CPU").name();
    // Too few sums wait for each other's results, too many do not fit in registers: the best number depends on level
    // and type.
    let single = [peak::<f32, 2>(), peak::<f32, 4>(), peak::<f32, 6>(), peak::<f32, 10>()];
    let double = [peak::<f64, 2>(), peak::<f64, 3>(), peak::<f64, 4>(), peak::<f64, 6>()];
    let (single, double) = (single.into_iter().fold(0.0, f64::max), double.into_iter().fold(0.0, f64::max));
    println!(r#"{{"level": "{level}", "float32": {single:.1}, "float64": {double:.1}}}"#);
}

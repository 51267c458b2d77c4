//! What the two kernels beside the `gemm` crate gain: `dense/leftover.rs` (the last few columns) and
//! `dense/transpose.rs` (a transpose that the crate would be slow to pack). The figures in `dense/matmul.rs` and
//! `dense/leftover.rs` come from here.
//!
//! Each product is computed by chainrule and by the crate alone, alternately, on one thread; the results are medians of
//! [`TURNS`] turns, in µs. The last lines of each table are shapes that chainrule leaves to the crate: their
//! differences are noise.
//!
//! ```text
//! CHAINRULE_NUM_THREADS=1 cargo run --release -p chainrule-kernels --example beside_gemm
//! ```

use chainrule_kernels::dense::matmul::{matmul, matmul_a_bt};
use chainrule_kernels::dense::onto::Onto;
use chainrule_kernels::machine::level::detect;
use chainrule_kernels::machine::threads;
use chainrule_kernels::Float;
use ndarray::{s, Array2, ArrayView2, ArrayViewMut2};
use std::hint::black_box;
use std::time::Instant;

const TURNS: usize = 31;

/// Multiplications timed together, so that a measurement is long enough for the clock.
const WORK: usize = 1 << 24;

fn numbers<T: Float>(shape: (usize, usize)) -> Array2<T> {
    Array2::from_shape_fn(shape, |(i, j)| T::of(((i * 31 + j * 17) % 97) as f64 / 97.0 - 0.5))
}

/// `C ← A·B` by the crate, in the same blocks of 512 terms as in chainrule.
fn by_crate<T: Float>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, mut c: ArrayViewMut2<'_, T>) {
    for start in (0..a.ncols()).step_by(512) {
        let terms = start..a.ncols().min(start + 512);
        let (a, b) = (a.slice(s![.., terms.clone()]), b.slice(s![terms, ..]));
        let ((m, k), n) = (a.dim(), b.ncols());
        let (a_strides, b_strides, c_strides) = (a.strides(), b.strides(), c.strides().to_owned());
        // SAFETY: the views are live and have shapes (m, k), (k, n) and (m, n), the strides are their own, and `c` is
        // borrowed mutably.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                c_strides[1],
                c_strides[0],
                start > 0,
                a.as_ptr(),
                a_strides[1],
                a_strides[0],
                b.as_ptr(),
                b_strides[1],
                b_strides[0],
                T::one(),
                T::one(),
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The median of each, in µs.
fn in_turn(multiplications: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (f64, f64) {
    let each = (WORK / multiplications).max(1);
    let time = |run: &mut dyn FnMut()| {
        let started = Instant::now();
        (0..each).for_each(|_| run());
        started.elapsed().as_secs_f64() / each as f64 * 1e6
    };
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for _ in 0..=TURNS {
        one.push(time(&mut ours));
        other.push(time(&mut theirs));
    }
    // The first turn warms up.
    (median(one.split_off(1)), median(other.split_off(1)))
}

fn print<T>(product: &str, (m, k, n): (usize, usize, usize), (ours, crates): (f64, f64)) {
    let dtype = if size_of::<T>() == 4 { "f32" } else { "f64" };
    println!("{product} {dtype} {m:4} × {k:4} · {k:4} × {n:4} {ours:8.1} {crates:8.1} {:6.2}", crates / ours);
}

fn leftover<T: Float>(shapes: &[(usize, usize, usize)]) {
    let level = detect().expect("CHAINRULE_SIMD names a level of this CPU");
    for &(m, k, n) in shapes {
        let (a, b) = (numbers::<T>((m, k)), numbers::<T>((k, n)));
        let (mut c, mut d) = (Array2::zeros((m, n)), Array2::zeros((m, n)));
        let times = in_turn(
            m * k * n,
            || matmul(level, black_box(a.view()), b.view(), c.view_mut(), Onto::Nothing).expect("the shapes fit"),
            || by_crate(black_box(a.view()), b.view(), d.view_mut()),
        );
        print::<T>("A·B ", (m, k, n), times);
    }
}

fn transposed<T: Float>(shapes: &[(usize, usize, usize)]) {
    let level = detect().expect("CHAINRULE_SIMD names a level of this CPU");
    for &(m, k, n) in shapes {
        let (a, b) = (numbers::<T>((m, k)), numbers::<T>((n, k)));
        let (mut c, mut d) = (Array2::zeros((m, n)), Array2::zeros((m, n)));
        let times = in_turn(
            m * k * n,
            || matmul_a_bt(level, black_box(a.view()), b.view(), c.view_mut()).expect("the shapes fit"),
            || by_crate(black_box(a.view()), b.t(), d.view_mut()),
        );
        assert!(c == d, "the bits differ");
        print::<T>("A·Bᵀ", (m, k, n), times);
    }
}

fn main() {
    assert_eq!(threads::count(), 1, "the crate is given one thread: set CHAINRULE_NUM_THREADS=1");
    println!("leftover: the last 1 to 4 columns                 ours    crate  ratio");
    leftover::<f32>(&[(100, 784, 50), (100, 50, 1), (100, 100, 3), (100, 784, 48)]);
    leftover::<f64>(&[(100, 784, 50), (100, 50, 10), (100, 50, 1), (100, 784, 48)]);
    println!("transpose: rows of B a multiple of 2048 bytes apart");
    transposed::<f32>(&[(256, 1024, 1024), (100, 1024, 1024), (100, 512, 784), (100, 256, 784), (256, 1000, 1024)]);
    transposed::<f64>(&[(256, 1024, 1024), (100, 1024, 1024), (100, 512, 784), (100, 128, 784), (256, 1000, 1024)]);
}

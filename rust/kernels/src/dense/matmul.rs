//! Dense matrix products: `C ← A·B` and `C ← C + f·A·B`, each operand in any layout.
//!
//! Aᵀ·B and A·Bᵀ are the same function on transposed *views* (`a.t()`, `b.t()`): only the strides change, nothing is
//! copied.
//!
//! Why the `gemm` crate: for a network's shapes (100 × 784 · 784 × 50) it is twice as fast as ndarray's own `dot` and
//! on a par with OpenBLAS on one core. It always uses the widest instructions of the CPU, so a plain kernel of our own
//! takes its place at any lower [`Level`]. The portable level always takes that kernel, even where it is the highest:
//! otherwise the crate's choice of instructions, and so the bits, would depend on the CPU. The last few columns, which
//! the crate would compute as a whole vector, go to `leftover`.
//! Cost: 2·m·n·k floating-point operations, plus packing of the operands where that pays.
//!
//! Sums are accumulated in blocks of `DEPTH` terms, in order. The crate does the same by itself for a cache of common
//! size. Done here, the order, and so the bits, depend neither on the cache size nor on how a large product is divided
//! among threads.

use crate::dense::leftover::{self, Leftover};
use crate::dense::onto::Onto;
use crate::dense::padded::{Padded, LANES};
use crate::dense::transpose::Transpose;
use crate::error::{agree, resize};
use crate::machine::interrupt;
use crate::machine::level::{available, Arithmetic, Kernel, Level};
use crate::machine::put_by::with_room;
use crate::machine::threads;
use crate::sparse::product::add_scaled;
use crate::{Float, KernelError};
use gemm_common::cache::CACHE_INFO;
use gemm_common::gemm::L2_SLAB;
use ndarray::{s, ArrayView2, ArrayViewMut2, Axis};
use std::cell::Cell;

/// Terms of a sum per block.
pub(crate) const DEPTH: usize = 512;

/// Multiplications from which a product is divided among threads. Measured on two AVX-512 cores: 100 × 784 · 784 × 50
/// (2²²) takes 80 µs on one core and 49 on both in f32, 157 and 95 in f64; 256 × 256 · 256 × 256 (2²⁴) takes 300 and
/// 187 in f32.
const WORTH_THREADS: usize = 3 << 20;

/// Multiplications between two checks for an interrupt: some 5 to 10 ms on one core with AVX-512.
fn at_once<T>(level: Level) -> usize {
    let bytes = if is_the_crates(level) { 1 << 29 } else { 1 << 27 };
    bytes / size_of::<T>()
}

/// `C ← A·B`, or `C ← C + f·A·B`, for `a` of shape (m, k), `b` of (k, n) and `c` of (m, n).
///
/// ```
/// use chainrule_kernels::machine::level::detect;
/// use chainrule_kernels::dense::{matmul::matmul, onto::Onto};
/// use ndarray::{array, Array2};
///
/// let (a, b) = (array![[1.0, 2.0]], array![[3.0], [4.0]]);
/// let mut c = Array2::zeros((1, 1));
/// matmul(detect().unwrap(), a.view(), b.view(), c.view_mut(), Onto::Nothing).unwrap();
/// assert_eq!(c, array![[11.0]]);
/// ```
///
/// # Errors
///
/// [`KernelError::Sizes`] if the shapes do not fit together; `c` is untouched then.
pub fn matmul<T: Float>(
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    onto: Onto<T>,
) -> Result<(), KernelError> {
    let ((m, k), n) = (a.dim(), b.ncols());
    check(a.dim(), b.dim(), c.dim())?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    if k == 0 && onto == Onto::Nothing {
        c.fill(T::zero());
    }
    divided((threads::count(), at_once::<T>(level)), level, a, b, c, onto)
}

/// The product on `threads` threads, in chunks of C of about `at_once` multiplications, so that the caller can
/// interrupt it soon. Each chunk has the bits it has in the whole. Where even small chunks would be too large, as in
/// xᵀ·d for a large batch, the terms of the sums are divided too, and taken in order.
fn divided<T: Float>(
    (threads, at_once): (usize, usize),
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    onto: Onto<T>,
) -> Result<(), KernelError> {
    let ((m, k), n) = (a.dim(), b.ncols());
    let smallest = LEAST.saturating_mul(m.min(n)).saturating_mul(k);
    let depth = if smallest > at_once.saturating_mul(4) {
        (at_once.saturating_mul(threads) / (m * n) / DEPTH).max(1) * DEPTH
    } else {
        k.max(1)
    };
    by_terms(depth, a, b, onto, |a, b, onto| {
        interrupt::check()?;
        in_chunks((threads, at_once), level, a, b, c.view_mut(), onto)
    })
}

/// Run `work` on `depth` terms of all sums at a time, in order.
fn by_terms<T: Float>(
    depth: usize,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut onto: Onto<T>,
    mut work: impl FnMut(ArrayView2<'_, T>, ArrayView2<'_, T>, Onto<T>) -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    for start in (0..a.ncols()).step_by(depth) {
        let terms = start..a.ncols().min(start + depth);
        work(a.slice(s![.., terms.clone()]), b.slice(s![terms, ..]), onto)?;
        onto = onto.next();
    }
    Ok(())
}

/// Fewest rows or columns in a chunk, if there are that many: with fewer, packing the other operand for each chunk
/// becomes noticeable.
const LEAST: usize = 256;

/// The same, with all terms at once.
fn in_chunks<T: Float>(
    (threads, at_once): (usize, usize),
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    onto: Onto<T>,
) -> Result<(), KernelError> {
    let ((m, k), n) = (a.dim(), b.ncols());
    let threads = if is_highest(level) && is_worth_threads(m, k, n) { threads } else { 1 };
    // The same number of chunks for each thread.
    let pieces = m.saturating_mul(n).saturating_mul(k).div_ceil(at_once).min(m.max(n) / LEAST).max(1);
    let chunks = pieces.next_multiple_of(threads);
    if chunks == 1 {
        return terms(level, a, b, c, onto);
    }
    let vectors = n - leftover::columns(&a, &b);
    if m > n {
        let height = chunk(m, vectors, m.div_ceil(chunks), ROWS);
        let chunks = a.axis_chunks_iter(Axis(0), height).zip(c.axis_chunks_iter_mut(Axis(0), height));
        threads::try_each_with(chunks, || (), |(), (a, c)| terms(level, a, b, c, onto))
    } else {
        let width = chunk(vectors, m, n.div_ceil(chunks), LANES);
        let chunks = b.axis_chunks_iter(Axis(1), width).zip(c.axis_chunks_iter_mut(Axis(1), width));
        threads::try_each_with(chunks, || (), |(), (b, c)| terms(level, a, b, c, onto))
    }
}

/// The product, a block of terms at a time. Where the `gemm` crate computes as the level says, it takes all but the
/// last few columns.
fn terms<T: Float>(
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    onto: Onto<T>,
) -> Result<(), KernelError> {
    let vectors = b.ncols() - leftover::columns(&a, &b);
    by_terms(DEPTH, a, b, onto, |a, b, onto| {
        if is_the_crates(level) {
            let ((b, few), (c, few_c)) = (b.split_at(Axis(1), vectors), c.view_mut().split_at(Axis(1), vectors));
            last_few(level, a, few, few_c, onto);
            by_crate(level, a, b, c, onto)
        } else {
            plain(level, a, b, c.view_mut(), onto)
        }
    })
}

/// The chunk length for an axis of C of this `length`, while the `other` axis is not divided. Chunks are whole units.
/// None is of a kind that the crate sums in another order than the whole: a single row or column, or so few numbers
/// that the crate takes its kernel for small products.
fn chunk(length: usize, other: usize, wanted: usize, unit: usize) -> usize {
    const SMALL: usize = 256;
    let whole_is_small = length * other <= SMALL;
    let like_the_whole = |chunk: usize| chunk == 0 || (chunk > 1 && (whole_is_small || chunk * other > SMALL));
    let mut chunk = wanted.next_multiple_of(unit);
    while length > chunk && !(like_the_whole(chunk) && like_the_whole(length % chunk)) {
        chunk += unit;
    }
    chunk
}

/// Rows are divided in multiples of four, columns in whole vectors.
const ROWS: usize = 4;

/// The product for the few columns left to `leftover`.
fn last_few<T: Float>(
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
    onto: Onto<T>,
) {
    if b.ncols() > 0 {
        let mut buffer = [T::zero(); leftover::FEW * DEPTH];
        let columns = &mut buffer[..b.len()];
        columns.iter_mut().zip(b.t()).for_each(|(to, &from)| *to = from);
        level.run(Leftover { a, b: columns, c, onto });
    }
}

/// The product by the `gemm` crate. A B that the crate would pack slowly is transposed for it, some columns at a time.
fn by_crate<T: Float>(
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    onto: Onto<T>,
) -> Result<(), KernelError> {
    if b.ncols() == 0 {
        return Ok(());
    }
    take_what_is_kept()?;
    let room = room::<T>(a.nrows(), a.ncols(), b.ncols());
    // A single row is multiplied without packing.
    if a.nrows() == 1 || !packs_slowly(&b) {
        return with_room(room, || gemm(a, b, c, onto));
    }
    let (width, mut buffer) = (chunk(b.ncols(), a.nrows(), TURNED, LANES), Vec::new());
    for (b, c) in b.axis_chunks_iter(Axis(1), width).zip(c.axis_chunks_iter_mut(Axis(1), width)) {
        // If there is no memory, B is used as it is: the result is the same.
        let b = turned(level, b, &mut buffer).unwrap_or(b);
        with_room(room, || gemm(a, b, c, onto))?;
    }
    Ok(())
}

/// Bytes that the crate may need to pack the operands of such a product.
fn room<T>(m: usize, k: usize, n: usize) -> usize {
    // At least this many columns of B; a few vectors more in both directions; and a little for bookkeeping.
    const COLUMNS: usize = 512;
    let packed = k.saturating_mul(m.saturating_add(n.max(COLUMNS)).saturating_add(200)).saturating_mul(size_of::<T>());
    packed.saturating_add(1 << 12)
}

/// Have the crate allocate the buffer that it keeps for this thread, as large as an L2 cache, while that much memory is
/// set aside.
fn take_what_is_kept() -> Result<(), KernelError> {
    thread_local! {
        static TAKEN: Cell<bool> = const { Cell::new(false) };
    }
    if !TAKEN.get() {
        with_room(CACHE_INFO[1].cache_bytes + (1 << 12), || L2_SLAB.with(|_| ()))?;
        TAKEN.set(true);
    }
    Ok(())
}

/// Columns transposed at a time, 256 kB in f32: they stay in the L2 cache until the crate has packed them.
const TURNED: usize = 128;

/// Whether B is f32 and column-major, with columns so far apart that they share few sets of the L1 cache. The crate
/// packs such a matrix number by number, and 64 columns every 2048 bytes evict each other. Time of d·Wᵀ with W
/// transposed first, relative to without (`examples/beside_gemm.rs`, one core of a Xeon with AVX-512, minimum and
/// maximum of five runs):
///
/// | | f32 | f64 |
/// |---|---|---|
/// | 256 × 1024 · 1024 × 1024 | 0.94 to 0.99 | 1.09 to 1.19 |
/// | 100 × 1024 · 1024 × 1024 | 0.88 to 0.94 | 1.12 to 1.22 |
/// | 100 × 512 · 512 × 784 | 0.91 to 0.96 | 1.12 to 1.22 |
/// | 100 × 256 · 256 × 784, in f64 128 | 1.15 to 1.22 | 1.18 to 1.28 |
///
/// On a Zen 4 the first of them took 0.71. So f64 is left to the crate, and so are columns every 1024 bytes. The bits
/// are the same either way.
fn packs_slowly<T>(b: &ArrayView2<'_, T>) -> bool {
    let (down, across) = (b.strides()[0], b.strides()[1]);
    size_of::<T>() == 4 && down == 1 && across > 1 && (across as usize * size_of::<T>()).is_multiple_of(2048)
}

/// The column-major B as a row-major copy.
fn turned<'r, T: Float>(level: Level, b: ArrayView2<'_, T>, buffer: &'r mut Vec<T>) -> Option<ArrayView2<'r, T>> {
    buffer.clear();
    resize(buffer, b.len(), T::zero()).ok()?;
    level.run(Transpose { from: b.reversed_axes(), to: buffer });
    ArrayView2::from_shape(b.dim(), buffer).ok()
}

/// Whether a product of an (m, k) with a (k, n) matrix is divided among threads.
pub(crate) fn is_divided(m: usize, k: usize, n: usize) -> bool {
    threads::count() > 1 && is_worth_threads(m, k, n)
}

fn is_worth_threads(m: usize, k: usize, n: usize) -> bool {
    m.saturating_mul(n).saturating_mul(k) >= WORTH_THREADS
}

fn is_highest(level: Level) -> bool {
    available().last() == Some(&level)
}

/// Whether the crate computes exactly as this level does.
fn is_the_crates(level: Level) -> bool {
    is_highest(level) && level.is_fused()
}

/// The product by the `gemm` crate. The sizes have been checked to agree and none is zero.
fn gemm<T: Float>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, mut c: ArrayViewMut2<'_, T>, onto: Onto<T>) {
    let ((m, k), n) = (a.dim(), b.ncols());
    let (keep, factor) = match onto {
        Onto::Nothing => (false, T::one()),
        Onto::Itself(factor) => (true, factor),
    };
    let (a_strides, b_strides, c_strides) = (a.strides(), b.strides(), c.strides().to_owned());
    // SAFETY: the three views are live, the sizes were checked to agree, the strides (in elements, as gemm counts them)
    // are the views' own, so every element touched is one of theirs; `c` is borrowed mutably, so it overlaps neither
    // operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_strides[1],
            c_strides[0],
            keep,
            a.as_ptr(),
            a_strides[1],
            a_strides[0],
            b.as_ptr(),
            b_strides[1],
            b_strides[0],
            T::one(),
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The product at a level that the crate cannot be limited to: rows of B as whole vectors, a row of C in registers.
fn plain<T: Float>(
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    onto: Onto<T>,
) -> Result<(), KernelError> {
    let mut rows = Padded::zeros(b.nrows(), b.ncols())?;
    rows.load(level, b.as_standard_layout().as_slice().unwrap_or(&[]));
    let mut out = Padded::zeros(c.nrows(), c.ncols())?;
    let mut factor = T::one();
    if let Onto::Itself(given) = onto {
        factor = given;
        out.load(level, c.as_standard_layout().as_slice().unwrap_or(&[]));
    }
    level.run(Plain { a, b: &rows, c: &mut out, factor });
    for (i, mut row) in c.rows_mut().into_iter().enumerate() {
        row.iter_mut().zip(out.row(i).as_flattened()).for_each(|(c, &sum)| *c = sum);
    }
    Ok(())
}

/// `C ← C + f·A·B`.
struct Plain<'a, T> {
    a: ArrayView2<'a, T>,
    b: &'a Padded<T>,
    c: &'a mut Padded<T>,
    factor: T,
}

impl<T: Float> Kernel for Plain<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(mut self, arithmetic: impl Arithmetic) {
        for first in (0..self.b.width()).step_by(2) {
            if first + 1 == self.b.width() {
                self.lanes::<1>(first, arithmetic);
            } else {
                self.lanes::<2>(first, arithmetic);
            }
        }
    }
}

impl<T: Float> Plain<'_, T> {
    #[inline(always)]
    fn lanes<const N: usize>(&mut self, first: usize, arithmetic: impl Arithmetic) {
        let (width, b) = (self.b.width(), self.b.lanes());
        for (i, row) in self.a.rows().into_iter().enumerate() {
            let c = &mut self.c.lanes_mut()[i * width + first..][..N];
            let mut sum: [[T; LANES]; N] = std::array::from_fn(|lane| c[lane]);
            for (p, &x) in row.iter().enumerate() {
                add_scaled::<T, N, false>(&mut sum, self.factor * x, &b[p * width + first..][..N], arithmetic);
            }
            c.copy_from_slice(&sum);
        }
    }
}

/// `Ok` if A·B exists and has the shape of C.
fn check(a: (usize, usize), b: (usize, usize), c: (usize, usize)) -> Result<(), KernelError> {
    agree("the number of columns of A", a.1, "the number of rows of B", b.0)?;
    agree("the number of rows of C", c.0, "the number of rows of A", a.0)?;
    agree("the number of columns of C", c.1, "the number of columns of B", b.1)
}

/// `C ← Aᵀ·B` for `a` of shape (k, m), `b` of (k, n): a layer's `dW = xᵀ·dout`.
///
/// # Errors
///
/// As [`matmul`].
pub fn matmul_at_b<T: Float>(
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
) -> Result<(), KernelError> {
    matmul(level, a.reversed_axes(), b, c, Onto::Nothing)
}

/// `C ← A·Bᵀ` for `a` of shape (m, k), `b` of (n, k): a layer's `dx = dout·Wᵀ`.
///
/// # Errors
///
/// As [`matmul`].
pub fn matmul_a_bt<T: Float>(
    level: Level,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
) -> Result<(), KernelError> {
    matmul(level, a, b.reversed_axes(), c, Onto::Nothing)
}

/// `out ← x·W + b`, one row per example: each row is set to `b`, and the product is accumulated onto it.
///
/// # Errors
///
/// As [`matmul`], and if `b` is not as long as `w` is wide.
pub fn affine<T: Float>(
    level: Level,
    x: ArrayView2<'_, T>,
    w: ArrayView2<'_, T>,
    b: &[T],
    mut out: ArrayViewMut2<'_, T>,
) -> Result<(), KernelError> {
    agree("the length of b", b.len(), "the number of columns of W", w.ncols())?;
    check(x.dim(), w.dim(), out.dim())?;
    for mut row in out.rows_mut() {
        row.iter_mut().zip(b).for_each(|(out, &b)| *out = b);
    }
    matmul(level, x, w, out, Onto::Itself(T::one()))
}

/// `out ←` the column sums of `d`: the gradient of a vector that was added to each row.
///
/// # Errors
///
/// [`KernelError::Sizes`] if `out` does not have one number per column.
pub fn column_sums<T: Float>(level: Level, d: ArrayView2<'_, T>, out: &mut [T]) -> Result<(), KernelError> {
    agree("the length of the output", out.len(), "the number of columns of dout", d.ncols())?;
    let d = d.as_standard_layout();
    level.run(ColumnSums { d: d.as_slice().unwrap_or(&[]), d_b: out });
    Ok(())
}

/// `d_b ←` the column sums of `d`, whose rows are as long as `d_b`: a layer's `db`.
pub(crate) struct ColumnSums<'a, T> {
    pub d: &'a [T],
    pub d_b: &'a mut [T],
}

impl<T: Float> Kernel for ColumnSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        self.d_b.fill(T::zero());
        for row in self.d.chunks_exact(self.d_b.len().max(1)) {
            self.d_b.iter_mut().zip(row).for_each(|(sum, &d)| *sum += d);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machine::interrupt::tests::ended_at;
    use ndarray::{Array1, Array2, ShapeBuilder};
    use proptest::prelude::*;

    /// The oracle: three loops, summed in f64.
    fn naive<T: Float>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Array2<f64> {
        Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
            (0..a.ncols()).map(|l| a[[i, l]].wide() * b[[l, j]].wide()).sum()
        })
    }

    pub(crate) fn numbers<T: Float>(shape: (usize, usize), seed: u64) -> Array2<T> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        Array2::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            T::of((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
        })
    }

    /// A sum of k products of numbers below 1, in any order, is off by at most about k·ε·(sum of |products|) <= k²·ε.
    fn assert_close<T: Float>(got: &Array2<T>, want: &Array2<f64>, k: usize) {
        let tolerance = T::epsilon().wide() * (k * k + 1) as f64;
        assert_eq!(got.dim(), want.dim());
        for (got, want) in got.iter().zip(want) {
            assert!((got.wide() - want).abs() <= tolerance, "{got} against {want}, k = {k}");
        }
    }

    const SIZES: [usize; 9] = [0, 1, 2, 7, 8, 9, 63, 64, 65];

    fn every_product_agrees_with_three_loops<T: Float>() {
        for &level in available() {
            for m in SIZES {
                for n in SIZES {
                    for k in SIZES {
                        let (a, b) = (numbers::<T>((m, k), 1), numbers::<T>((k, n), 2));
                        let want = naive(a.view(), b.view());
                        // A value that would show in the sum if C were read.
                        let mut c = Array2::from_elem((m, n), T::nan());
                        matmul(level, a.view(), b.view(), c.view_mut(), Onto::Nothing).unwrap();
                        assert_close(&c, &want, k);
                        matmul(level, a.view(), b.view(), c.view_mut(), Onto::Itself(T::one())).unwrap();
                        assert_close(&c, &(&want * 2.0), k);
                        matmul(level, a.view(), b.view(), c.view_mut(), Onto::Itself(T::of(-0.75))).unwrap();
                        assert_close(&c, &(&want * 1.25), k);
                        let at = a.t().as_standard_layout().into_owned();
                        matmul_at_b(level, at.view(), b.view(), c.view_mut()).unwrap();
                        assert_close(&c, &want, k);
                        let bt = b.t().as_standard_layout().into_owned();
                        matmul_a_bt(level, a.view(), bt.view(), c.view_mut()).unwrap();
                        assert_close(&c, &want, k);
                    }
                }
            }
        }
    }

    fn highest() -> Level {
        available()[available().len() - 1]
    }

    /// Our own kernel. At the highest level [`matmul`] takes it only if that level is the portable one.
    fn plain_agrees_with_three_loops<T: Float>() {
        let turned = |x: &Array2<T>| x.t().as_standard_layout().into_owned().reversed_axes();
        for &level in available() {
            for m in [1, 2, 9] {
                for n in [1, 15, 16, 17, 31, 32, 33, 50, 64, 65, 100] {
                    for k in [1, 2, 7, 8, 64, 65] {
                        let (a, b) = (numbers::<T>((m, k), 1), numbers::<T>((k, n), 2));
                        let want = naive(a.view(), b.view());
                        let mut c = Array2::from_elem((m, n), T::nan());
                        plain(level, a.view(), b.view(), c.view_mut(), Onto::Nothing).unwrap();
                        assert_close(&c, &want, k);
                        plain(level, a.view(), b.view(), c.view_mut(), Onto::Itself(T::one())).unwrap();
                        assert_close(&c, &(&want * 2.0), k);
                        // Every operand transposed, and a frame around C.
                        let mut frame = Array2::from_elem((m + 2, 2 * n + 1), T::one());
                        let mut c = frame.slice_mut(ndarray::s![1..=m, 1..;2]);
                        let onto = Onto::Itself(T::of(-0.75));
                        plain(level, turned(&a).view(), turned(&b).view(), c.view_mut(), onto).unwrap();
                        assert_close(&c.to_owned(), &(want * -0.75 + 1.0), k);
                        c.fill(T::one());
                        assert!(frame.iter().all(|&x| x == T::one()));
                    }
                }
            }
        }
    }

    #[test]
    fn plain_products_in_f32() {
        plain_agrees_with_three_loops::<f32>();
    }

    #[test]
    fn plain_products_in_f64() {
        plain_agrees_with_three_loops::<f64>();
    }

    #[test]
    fn products_in_f32() {
        every_product_agrees_with_three_loops::<f32>();
    }

    #[test]
    fn products_in_f64() {
        every_product_agrees_with_three_loops::<f64>();
    }

    #[test]
    fn a_large_product() {
        // More terms than a block, and more columns than a lane or two.
        let (a, b) = (numbers::<f32>((100, 784), 1), numbers::<f32>((784, 50), 2));
        let want = naive(a.view(), b.view());
        for &level in available() {
            let mut c = Array2::from_elem((100, 50), f32::NAN);
            matmul(level, a.view(), b.view(), c.view_mut(), Onto::Nothing).unwrap();
            assert_close(&c, &want, 784);
            matmul(level, a.view(), b.view(), c.view_mut(), Onto::Itself(-0.75)).unwrap();
            assert_close(&c, &(&want * 0.25), 784);
        }
    }

    /// For any number of threads: either axis divided, few rows or columns, columns left over, B in any layout.
    fn a_product_divided_along_either_axis_has_the_bits_of_the_whole<T: Float>() {
        for (m, n) in
            [(402, 210), (210, 402), (100, 50), (100, 48), (100, 64), (300, 16), (5, 850), (4, 1040), (17, 300)]
        {
            let k = 784.max(WORTH_THREADS / (m * n) + 1);
            let (a, b) = (numbers::<T>((m, k), 1), numbers::<T>((k, n), 2));
            let (far_apart, turned) = (far_apart(&b), b.t().as_standard_layout().into_owned());
            let onto = [Onto::Nothing, Onto::Itself(T::of(-0.75))];
            for (onto, b) in
                onto.into_iter().flat_map(|onto| [b.view(), far_apart.view(), turned.t()].map(|b| (onto, b)))
            {
                let before = numbers::<T>((m, n), 3);
                let mut whole = before.clone();
                divided((1, usize::MAX), highest(), a.view(), b, whole.view_mut(), onto).unwrap();
                for threads in [2, 3, 4, 5, 7, 8, 13, 31] {
                    let mut divided_one = before.clone();
                    divided((threads, usize::MAX), highest(), a.view(), b, divided_one.view_mut(), onto).unwrap();
                    assert_eq!(divided_one, whole, "{m}·{k}·{n} on {threads} threads");
                    divided_one.assign(&before);
                    divided((threads, m * k * n / 20), highest(), a.view(), b, divided_one.view_mut(), onto).unwrap();
                    assert_eq!(divided_one, whole, "{m}·{k}·{n} on {threads} threads, piece by piece");
                }
                if onto == Onto::Nothing {
                    assert_close(&whole, &naive(a.view(), b), k);
                }
            }
        }
    }

    #[test]
    fn in_pieces_a_product_has_its_bits_at_every_level_and_can_be_ended_between_them() {
        // In pieces of rows, of columns, and of terms; the first two check once more before the pieces.
        for (m, k, n, at_once, pieces_asked) in
            [(1300, 30, 9, 100_000, 5), (9, 30, 1300, 100_000, 5), (30, 2000, 20, 300_000, 4)]
        {
            let (a, b) = (numbers::<f32>((m, k), 1), numbers::<f32>((k, n), 2));
            for &level in available() {
                let [mut whole, mut pieces] = [(); 2].map(|()| Array2::from_elem((m, n), f32::NAN));
                let run = |at_once, c: &mut Array2<f32>| {
                    threads::alone(|| divided((1, at_once), level, a.view(), b.view(), c.view_mut(), Onto::Nothing))
                };
                run(usize::MAX, &mut whole).unwrap();
                let (done, asked) = ended_at(usize::MAX, || run(at_once, &mut pieces));
                assert_eq!((done, asked), (Ok(()), pieces_asked));
                assert_eq!(pieces, whole);
                assert_eq!(ended_at(2, || run(at_once, &mut pieces)), (Err(KernelError::Interrupted), 3));
            }
        }
    }

    #[test]
    fn a_product_divided_along_either_axis_has_the_bits_of_the_whole_in_f32() {
        a_product_divided_along_either_axis_has_the_bits_of_the_whole::<f32>();
    }

    #[test]
    fn a_product_divided_along_either_axis_has_the_bits_of_the_whole_in_f64() {
        a_product_divided_along_either_axis_has_the_bits_of_the_whole::<f64>();
    }

    /// The same numbers column-major, with columns a multiple of 2048 bytes apart.
    fn far_apart<T: Float>(b: &Array2<T>) -> Array2<T> {
        let mut wide = Array2::zeros((b.ncols(), b.nrows().next_multiple_of(512)));
        wide.slice_mut(ndarray::s![.., ..b.nrows()]).assign(&b.t());
        let mut far_apart = wide.reversed_axes();
        far_apart.slice_collapse(ndarray::s![..b.nrows(), ..]);
        far_apart
    }

    fn columns_far_apart_are_like_any_other<T: Float>() {
        for &level in available() {
            for m in [1, 2, 9, 70] {
                for n in [1, 2, 17, TURNED, TURNED + 1, 2 * TURNED + 64] {
                    for k in [1, 2, 17, 300, DEPTH + 1] {
                        let (a, b) = (numbers::<T>((m, k), 1), numbers::<T>((k, n), 2));
                        let (want, b) = (naive(a.view(), b.view()), far_apart(&b));
                        assert!(n == 1 || k == 1 || packs_slowly(&b.view()) == (size_of::<T>() == 4));
                        let mut c = Array2::from_elem((m, n), T::nan());
                        matmul(level, a.view(), b.view(), c.view_mut(), Onto::Nothing).unwrap();
                        assert_close(&c, &want, k);
                        matmul(level, a.view(), b.view(), c.view_mut(), Onto::Itself(T::of(-0.75))).unwrap();
                        assert_close(&c, &(&want * 0.25), k);
                    }
                }
            }
        }
    }

    #[test]
    fn columns_far_apart_are_like_any_other_in_f32() {
        columns_far_apart_are_like_any_other::<f32>();
    }

    #[test]
    fn columns_far_apart_are_like_any_other_in_f64() {
        columns_far_apart_are_like_any_other::<f64>();
    }

    #[test]
    fn every_layout_of_the_operands() {
        let a = numbers::<f64>((9, 14), 1);
        let b = numbers::<f64>((7, 8), 2);
        let every_second = a.slice(ndarray::s![.., ..;2]);
        let backwards = b.slice(ndarray::s![..;-1, ..]);
        let mut c = Array2::zeros((9, 8).f());
        matmul(highest(), every_second, backwards, c.view_mut(), Onto::Nothing).unwrap();
        assert_close(&c, &naive(every_second, backwards), 7);
    }

    #[test]
    fn affine_adds_the_bias_to_every_row() {
        let (x, w) = (numbers::<f64>((5, 7), 1), numbers::<f64>((7, 3), 2));
        let b = [10.0, 20.0, 30.0];
        let mut out = Array2::from_elem((5, 3), f64::NAN);
        affine(highest(), x.view(), w.view(), &b, out.view_mut()).unwrap();
        // Sums of 7 products and a bias up to 30.
        let want = naive(x.view(), w.view()) + Array1::from(b.to_vec());
        for (got, want) in out.iter().zip(&want) {
            assert!((got - want).abs() < 1e-13);
        }
    }

    fn column_sums_are_loops<T: Float>() {
        for &level in available() {
            for (n, m) in [(1, 1), (7, 1), (1, 17), (9, 15), (100, 50), (3, 130)] {
                let d = numbers::<T>((n, m), 1);
                let mut d_b = vec![T::nan(); m];
                level.run(ColumnSums { d: d.as_slice().unwrap(), d_b: &mut d_b });
                // A sum of n terms is a product with n ones.
                let want = naive(Array2::ones((1, n)).view(), d.view());
                assert_close(&Array2::from_shape_vec((1, m), d_b).unwrap(), &want, n);
            }
        }
    }

    #[test]
    fn column_sums_are_loops_in_f32() {
        column_sums_are_loops::<f32>();
    }

    #[test]
    fn column_sums_are_loops_in_f64() {
        column_sums_are_loops::<f64>();
    }

    #[test]
    fn column_sums_of_any_layout_and_a_wrong_length() {
        let d = numbers::<f64>((5, 7), 1);
        let (mut sums, mut turned) = ([f64::NAN; 7], [f64::NAN; 5]);
        column_sums(highest(), d.view(), &mut sums).unwrap();
        column_sums(highest(), d.t(), &mut turned).unwrap();
        let want = |axis| d.sum_axis(ndarray::Axis(axis)).to_vec();
        assert!(sums.iter().zip(want(0)).chain(turned.iter().zip(want(1))).all(|(a, b)| (a - b).abs() < 1e-14));
        assert!(column_sums(highest(), d.view(), &mut turned).is_err());
    }

    #[test]
    fn column_sums_of_no_rows_are_zero() {
        let mut d_b = [f64::NAN; 3];
        highest().run(ColumnSums { d: &[], d_b: &mut d_b });
        assert_eq!(d_b, [0.0; 3]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let mut c = Array2::from_elem((2, 2), 7.0);
        let (a, b) = (Array2::<f64>::zeros((2, 3)), Array2::<f64>::zeros((4, 2)));
        let error = matmul(highest(), a.view(), b.view(), c.view_mut(), Onto::Nothing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the number of columns of A is 3, but the number of rows of B is 4; they must agree"
        );
        assert!(c.iter().all(|&c| c == 7.0));
        assert!(matmul(highest(), a.view(), b.t(), c.view_mut(), Onto::Nothing).is_err());
        assert!(affine(highest(), a.view(), b.view().slice_move(ndarray::s![..3, ..]), &[0.0], c.view_mut()).is_err());
    }

    proptest! {
        #[test]
        fn a_times_the_identity_is_a(m in 1usize..40, k in 1usize..40, seed in any::<u64>()) {
            let a = numbers::<f64>((m, k), seed);
            let mut c = Array2::zeros((m, k));
            matmul(highest(), a.view(), Array2::eye(k).view(), c.view_mut(), Onto::Nothing).unwrap();
            prop_assert_eq!(&c, &a);
            let mut c = Array2::zeros((m, k));
            matmul(highest(), Array2::eye(m).view(), a.view(), c.view_mut(), Onto::Nothing).unwrap();
            prop_assert_eq!(&c, &a);
        }
    }
}

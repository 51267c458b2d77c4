//! Matrix products that skip the zeros of the left operand: `X·W + b` in the forward pass and `Xᵀ·d` in the backward
//! pass.
//!
//! Zeros are skipped in pairs of neighbouring columns, 2p and 2p + 1, that are both zero. Each pair has a list of
//! `(n, x, y)`: the rows n where it is not zero and its two numbers there ([`Lists`]). The lists are either written
//! down ([`columns`](crate::sparse::columns)) or read off the data ([`marks`](crate::sparse::marks)). Both products go
//! through the lists pair by pair, with the pair's rows in registers:
//!
//! ```text
//! Forward     hold W[2p], W[2p + 1]        for each (n, x, y) of pair p     out[n] ← out[n] + x · W[2p] + y · W[2p + 1]
//! Backward    dW[2p], dW[2p + 1] ← 0       for each (n, x, y) of pair p     dW[2p] ← dW[2p] + x · d[n],  dW[2p + 1] ← dW[2p + 1] + y · d[n]
//! ```
//!
//! Both rows of `dW` are passed to the caller while they are still in registers, so the update of `W` needs no second
//! pass. `out` and `d`, whose rows are read again and again, are [`Padded`]; `W`, whose rows are read once, may be.
//! [`Nonzeros`] that need no gradient need no lists: [`Product`] takes their rows as they are, with a row of the result
//! in registers.
//!
//! Why pairs: ink has neighbours. MNIST has 150 non-zero pixels an image, but only 88 such pairs: a sixth more
//! arithmetic, and two fifths fewer list entries, loops and ends of loops (each a mispredicted branch). Why half lanes:
//! 50 outputs are 56 numbers, not 64 (`Group`). Cost for 100 images, 784-50, f32: 1.8 of 7.8 MFLOP in each direction;
//! on Zen 4 (AVX-512, one multiply-add of 64 bytes a cycle, so 17 µs at least) 20 µs forward and 26 backward, the
//! update of W included, from lists that are written down.
//!
//! A zero paired with a number that is not zero is multiplied like any number. Elsewhere 0 · ∞ and 0 · nan are skipped
//! with the zeros, where the dense product would give nan. The order of every sum is that of the rows and columns,
//! whatever the level or the number of threads.

use crate::dense::padded::{Padded, LANES};
use crate::machine::level::{Arithmetic, Kernel};
use crate::sparse::nonzeros::{Nonzeros, Numbers};
use crate::Float;

/// The nonzeros of a batch, one list for each pair of its columns.
pub(crate) trait Lists<T> {
    /// How many rows and columns the batch has.
    fn dim(&self) -> (usize, usize);

    /// Whether the list of a pair is empty. Must be `#[inline(always)]`, as must `list` and the iterator it returns.
    fn is_empty(&self, pair: usize) -> bool;

    /// The rows where a pair is not zero, in order, and its numbers there. A last column without a neighbour is paired
    /// with zeros.
    fn list(&self, pair: usize) -> impl Iterator<Item = (usize, [T; 2])> + Clone;
}

/// Work on some lanes of every row. A trait and not a closure, because the number of lanes is known at compile time.
trait Group {
    /// Work on `N` lanes, from `first` on. With `HALF`, only the first half of the last lane is computed. Must be
    /// `#[inline(always)]`.
    fn work<const N: usize, const HALF: bool>(&mut self, first: usize);
}

/// Work on all lanes of rows of `columns` numbers, as many at a time as fit in registers for two rows; at most 4.
#[inline(always)]
fn in_groups<T, A: Arithmetic>(columns: usize, _: A, mut group: impl Group) {
    let at_a_time = (A::SUMS / (2 * size_of::<[T; LANES]>())).clamp(1, 4);
    let width = columns.div_ceil(LANES);
    let half = (1..=LANES / 2).contains(&(columns % LANES));
    for first in (0..width).step_by(at_a_time) {
        let lanes = at_a_time.min(width - first);
        match (lanes, half && first + lanes == width) {
            (1, false) => group.work::<1, false>(first),
            (2, false) => group.work::<2, false>(first),
            (3, false) => group.work::<3, false>(first),
            (_, false) => group.work::<4, false>(first),
            (1, true) => group.work::<1, true>(first),
            (2, true) => group.work::<2, true>(first),
            (3, true) => group.work::<3, true>(first),
            (_, true) => group.work::<4, true>(first),
        }
    }
}

/// `out ← X·W + b`. The padding of `out` is unspecified afterwards.
pub(crate) struct Forward<'a, T, L> {
    /// X.
    pub lists: L,
    /// Weights, row-major, and the distance between the starts of rows.
    pub w: (&'a [T], usize),
    pub b: &'a [T],
    /// The result; it may have more rows than X.
    pub out: &'a mut Padded<T>,
}

impl<T: Float, L: Lists<T>> Kernel for Forward<'_, T, L> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let Self { lists, w: (w, apart), b, out } = self;
        let ((rows, columns), outputs, width) = (lists.dim(), out.columns(), out.width());
        let out = out.lanes_mut();
        let (first, others) = out[..rows * width].split_at_mut(width.min(rows * width));
        copy(b, first.as_flattened_mut());
        others.chunks_exact_mut(width.max(1)).for_each(|row| row.copy_from_slice(first));
        for pair in 0..columns.div_ceil(2) {
            if !lists.is_empty(pair) {
                let at = [2 * pair * apart, (2 * pair + 1) * apart];
                in_groups::<T, _>(
                    outputs,
                    arithmetic,
                    AddPair { list: lists.list(pair), w, at, out, width, arithmetic },
                );
            }
        }
    }
}

/// Adds the contribution of a pair of columns to the rows in its list.
struct AddPair<'a, T, I, A> {
    list: I,
    w: &'a [T],
    /// Where the pair's two rows of `w` start; the second is past the end if there is none.
    at: [usize; 2],
    out: &'a mut [[T; LANES]],
    /// Lanes per row.
    width: usize,
    arithmetic: A,
}

impl<T: Float, I: Iterator<Item = (usize, [T; 2])> + Clone, A: Arithmetic> Group for AddPair<'_, T, I, A> {
    #[inline(always)]
    fn work<const N: usize, const HALF: bool>(&mut self, first: usize) {
        let mut spare = [[[T::zero(); LANES]; N]; 2];
        let [even, odd] = &mut spare;
        let [even, odd] =
            [(self.at[0], even), (self.at[1], odd)].map(|(at, spare)| *lanes(self.w, at + first * LANES, spare));
        for (n, [a, b]) in self.list.clone() {
            let out = &mut self.out[n * self.width + first..][..N];
            for lane in 0..N {
                for i in 0..numbers::<N, HALF>(lane) {
                    let sum = self.arithmetic.mul_add(a, even[lane][i], out[lane][i]);
                    out[lane][i] = self.arithmetic.mul_add(b, odd[lane][i], sum);
                }
            }
        }
    }
}

/// The numbers from `at` on, as `N` lanes; if there are fewer, copied to `spare` and padded with zeros. (After the end
/// of a row comes the next row, except for the last.)
#[inline(always)]
fn lanes<'a, T: Float, const N: usize>(
    numbers: &'a [T],
    at: usize,
    spare: &'a mut [[T; LANES]; N],
) -> &'a [[T; LANES]; N] {
    let numbers = numbers.get(at..).unwrap_or(&[]);
    match numbers.as_chunks().0.first_chunk() {
        Some(lanes) => lanes,
        None => {
            copy(numbers, spare.as_flattened_mut());
            spare
        }
    }
}

/// `to ← from`, padded with zeros. Not inlined, so that `lanes` is a single comparison in a loop.
#[cold]
#[inline(never)]
fn copy<T: Float>(from: &[T], to: &mut [T]) {
    to.fill(T::zero());
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
}

/// `out[i] ← X[rows[i]]·W + b`, row by row.
pub struct Product<'a, T, R> {
    /// The data.
    pub x: &'a Nonzeros<T>,
    /// Which of its rows: numbers below `x.rows()`.
    pub rows: R,
    /// Weights, one row per feature, padded to an even number of rows.
    pub w: &'a Padded<T>,
    /// Biases, as one row.
    pub b: &'a Padded<T>,
    /// The result, as wide as `w`.
    pub out: &'a mut Padded<T>,
}

impl<T: Float, R: Iterator<Item = usize> + Clone> Kernel for Product<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        match self.x.numbers() {
            Numbers::Bytes(bytes, table) => self.all(bytes, |byte| table[usize::from(byte)], arithmetic),
            Numbers::Floats(floats) => self.all(floats, |float| float, arithmetic),
        }
    }
}

impl<T: Float, R: Iterator<Item = usize> + Clone> Product<'_, T, R> {
    #[inline(always)]
    fn all<V: Copy>(self, pairs: &[[V; 2]], value: impl Fn(V) -> T + Copy, arithmetic: impl Arithmetic) {
        in_groups::<T, _>(self.w.columns(), arithmetic, RowByRow { product: self, pairs, value, arithmetic });
    }
}

/// Keeps the running sums of even and of odd columns in registers until a tile is done.
struct RowByRow<'a, 'p, T, R, V, F, A> {
    product: Product<'p, T, R>,
    pairs: &'a [[V; 2]],
    value: F,
    arithmetic: A,
}

impl<T, R, V, F, A> Group for RowByRow<'_, '_, T, R, V, F, A>
where
    T: Float,
    R: Iterator<Item = usize> + Clone,
    V: Copy,
    F: Fn(V) -> T,
    A: Arithmetic,
{
    #[inline(always)]
    fn work<const N: usize, const HALF: bool>(&mut self, first: usize) {
        let Self { product: Product { x, rows, w, b, out }, pairs, value, arithmetic } = self;
        let width = w.width();
        for tile in 0..x.tiles() {
            let w = &w.lanes()[tile * x.tile_width() * width + first..];
            for (i, row) in rows.clone().enumerate() {
                let (places, at) = x.tile(row, tile);
                let out = &mut out.lanes_mut()[i * width + first..][..N];
                let so_far = if tile == 0 { &b.lanes()[first..][..N] } else { &*out };
                let mut even: [[T; LANES]; N] = std::array::from_fn(|lane| so_far[lane]);
                let mut odd = [[T::zero(); LANES]; N];
                for (&place, &[a, b]) in places.iter().zip(&pairs[at]) {
                    let two_rows = &w[2 * usize::from(place) * width..][..width + N];
                    add_scaled::<T, N, HALF>(&mut even, value(a), &two_rows[..N], *arithmetic);
                    add_scaled::<T, N, HALF>(&mut odd, value(b), &two_rows[width..], *arithmetic);
                }
                for lane in 0..N {
                    for i in 0..LANES {
                        out[lane][i] = even[lane][i] + odd[lane][i];
                    }
                }
            }
        }
    }
}

/// What to do with a row of Xᵀ·d. A trait and not a closure: its method can be forced inline into the kernel, at its
/// level.
pub trait EachRow<T> {
    /// `lanes` are the lanes of row `p` from `first` on. With `HALF`, only the first half of the last one has been
    /// computed. Must be `#[inline(always)]`.
    fn row<const N: usize, const HALF: bool>(
        &mut self,
        p: usize,
        first: usize,
        lanes: [[T; LANES]; N],
        arithmetic: impl Arithmetic,
    );
}

/// dW ← Xᵀ·d, or dW ← dW + Xᵀ·d, with `dW` unpadded.
pub(crate) struct Store<'a, T> {
    pub d_w: &'a mut [T],
    pub outputs: usize,
    pub onto_itself: bool,
}

impl<T: Float> EachRow<T> for Store<'_, T> {
    #[inline(always)]
    fn row<const N: usize, const HALF: bool>(
        &mut self,
        p: usize,
        first: usize,
        lanes: [[T; LANES]; N],
        _: impl Arithmetic,
    ) {
        let row = &mut self.d_w[p * self.outputs..(p + 1) * self.outputs];
        let onto_itself = self.onto_itself;
        // Whole lanes have a length known at compile time, as in `Padded::load`.
        let (whole, rest) = row[first * LANES..].as_chunks_mut::<LANES>();
        for (numbers, gradient) in whole.iter_mut().zip(&lanes) {
            add_or_set(numbers, gradient, onto_itself);
        }
        if let Some(gradient) = lanes.get(whole.len()) {
            add_or_set(rest, gradient, onto_itself);
        }
    }
}

#[inline(always)]
fn add_or_set<T: Float>(numbers: &mut [T], gradient: &[T; LANES], onto_itself: bool) {
    for (number, d) in numbers.iter_mut().zip(*gradient) {
        *number = if onto_itself { *number + d } else { d };
    }
}

/// Each row of Xᵀ·d in turn.
pub(crate) struct Backward<'a, T, L, E> {
    /// X.
    pub lists: L,
    /// The gradient of the forward product's result.
    pub d: &'a Padded<T>,
    /// What to do with a row of the gradient.
    pub each: E,
    /// Whether to pass on rows of zeros too: those of pairs of columns that are zero in the whole batch.
    pub every: bool,
}

impl<T: Float, L: Lists<T>, E: EachRow<T>> Kernel for Backward<'_, T, L, E> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let Self { lists, d, mut each, every } = self;
        let (_, columns) = lists.dim();
        for pair in 0..columns.div_ceil(2) {
            if every || !lists.is_empty(pair) {
                let (list, alone) = (lists.list(pair), 2 * pair + 1 == columns);
                in_groups::<T, _>(
                    d.columns(),
                    arithmetic,
                    SumPair { pair, alone, list, d, each: &mut each, arithmetic },
                );
            }
        }
    }
}

/// Sums the rows of the gradient that belong to a pair of columns; with `alone`, the pair has no second column.
struct SumPair<'a, T, I, E, A> {
    pair: usize,
    alone: bool,
    list: I,
    d: &'a Padded<T>,
    each: &'a mut E,
    arithmetic: A,
}

impl<T, I, E, A> Group for SumPair<'_, T, I, E, A>
where
    T: Float,
    I: Iterator<Item = (usize, [T; 2])> + Clone,
    E: EachRow<T>,
    A: Arithmetic,
{
    #[inline(always)]
    fn work<const N: usize, const HALF: bool>(&mut self, first: usize) {
        let (width, d) = (self.d.width(), &self.d.lanes()[first..]);
        let mut even = [[T::zero(); LANES]; N];
        let mut odd = even;
        for (n, [a, b]) in self.list.clone() {
            let d = &d[n * width..][..N];
            add_scaled::<T, N, HALF>(&mut even, a, d, self.arithmetic);
            add_scaled::<T, N, HALF>(&mut odd, b, d, self.arithmetic);
        }
        self.each.row::<N, HALF>(2 * self.pair, first, even, self.arithmetic);
        if !self.alone {
            self.each.row::<N, HALF>(2 * self.pair + 1, first, odd, self.arithmetic);
        }
    }
}

/// `sum ← sum + x · lanes`. With `HALF`, only the first half of the last lane is added.
#[inline(always)]
pub(crate) fn add_scaled<T: Float, const N: usize, const HALF: bool>(
    sum: &mut [[T; LANES]; N],
    x: T,
    lanes: &[[T; LANES]],
    arithmetic: impl Arithmetic,
) {
    for lane in 0..N {
        for i in 0..numbers::<N, HALF>(lane) {
            sum[lane][i] = arithmetic.mul_add(x, lanes[lane][i], sum[lane][i]);
        }
    }
}

/// How many numbers of this lane are computed: half of the last lane with `HALF`.
#[inline(always)]
pub(crate) fn numbers<const N: usize, const HALF: bool>(lane: usize) -> usize {
    if HALF && lane + 1 == N {
        LANES / 2
    } else {
        LANES
    }
}

/// How many numbers of a row `N` lanes compute.
#[inline(always)]
pub(crate) const fn length<const N: usize, const HALF: bool>() -> usize {
    N * LANES - if HALF { LANES / 2 } else { 0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::machine::level::{available, detect, Level};
    use crate::sparse::columns::Columns;
    use crate::sparse::marks::Marks;
    use crate::sparse::nonzeros::TILE;
    use crate::sparse::rows::Rows;
    use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

    /// One to nine lanes: with groups of 1, 2 and 4 lanes every remainder, in the first group and in later ones.
    pub(crate) const OUTPUTS: [usize; 11] = [1, 2, 15, 16, 17, 31, 50, 64, 65, 100, 130];
    /// One tile, two and four, with and without a last column that has no neighbour, and full ones.
    pub(crate) const FEATURES: [usize; 7] = [1, 2, 3, 63, 65, 2 * TILE, 2 * TILE + 1];

    /// Empty rows and full rows, pairs of columns that are always zero, and otherwise one pair in three.
    pub(crate) fn mostly_zeros(n: usize, features: usize, seed: u64) -> Array2<u8> {
        let random = numbers::<f64>((n, features), seed).mapv(|x| (x.abs() * 1e6) as usize);
        Array2::from_shape_fn((n, features), |(i, j)| {
            let byte = (random[[i, j]] / 7 % 255) as u8 + 1;
            let empty = i % 16 == 3 || j / 2 % 6 == 4;
            let full = i % 16 == 5;
            byte * u8::from(!empty && (full || random[[i, j]].is_multiple_of(6)))
        })
    }

    /// The same data, with the same zeros, in every type that data is stored in.
    pub(crate) struct Kinds(Array2<u8>, Array2<f32>, Array2<f64>);

    impl Kinds {
        pub(crate) fn of(x: &Array2<u8>) -> Self {
            let double = |byte: u8| if byte == 0 { 0.0 } else { (f64::from(byte) - 127.7) / 128.0 };
            Self(x.clone(), x.mapv(|byte| double(byte) as f32), x.mapv(double))
        }

        pub(crate) fn each(&self) -> [Rows<'_>; 3] {
            [Rows::Bytes(self.0.view()), Rows::Single(self.1.view()), Rows::Double(self.2.view())]
        }

        /// In the two float types.
        pub(crate) fn make_infinite(&mut self, at: (usize, usize)) {
            (self.1[at], self.2[at]) = (f32::INFINITY, f64::INFINITY);
        }

        /// The values of the rows in f64, whatever type they are stored in.
        pub(crate) fn wide(x: Rows<'_>) -> Array2<f64> {
            match x {
                Rows::Bytes(x) => x.mapv(f64::from),
                Rows::Single(x) => x.mapv(f64::from),
                Rows::Double(x) => x.to_owned(),
            }
        }
    }

    /// The oracle: A·B by three loops, and the same sums over the absolute values of the terms.
    pub(crate) fn three_loops(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> (Array2<f64>, Array2<f64>) {
        let mut sums = Array2::zeros((a.nrows(), b.ncols()));
        let mut sizes = sums.clone();
        for (i, row) in a.rows().into_iter().enumerate() {
            for (&x, b) in row.iter().zip(b.rows()) {
                for (j, &b) in b.iter().enumerate() {
                    sums[[i, j]] += x * b;
                    sizes[[i, j]] += (x * b).abs();
                }
            }
        }
        (sums, sizes)
    }

    /// Bound on the error of a sum in which no term, nor any partial sum with it, is rounded more than `roundings`
    /// times, by half an ε each; `size` is the sum of the absolute values of the terms. (Higham 2002, §3.1: k u / (1 -
    /// k u), here with k u < 0.001.)
    pub(crate) fn bound<T: Float>(roundings: usize, size: f64) -> f64 {
        1.001 * roundings as f64 * T::epsilon().wide() / 2.0 * size
    }

    pub(crate) fn wide<T: Float>(numbers: &Array2<T>) -> Array2<f64> {
        numbers.mapv(T::wide)
    }

    /// For each row, the number of its pairs that are stored.
    pub(crate) fn pairs_of_rows(x: ArrayView2<'_, f64>) -> Vec<usize> {
        let pairs = |row: &[f64]| row.chunks(2).filter(|pair| pair.iter().any(|&x| x != 0.0)).count();
        x.rows().into_iter().map(|row| pairs(&row.to_vec())).collect()
    }

    /// For each column, the number of rows in which its pair is stored.
    pub(crate) fn rows_of_columns(x: ArrayView2<'_, f64>) -> Vec<usize> {
        let stored = |row: &ArrayView1<'_, f64>, j| row[j] != 0.0 || row.get(j ^ 1).is_some_and(|&x| x != 0.0);
        (0..x.ncols()).map(|j| x.rows().into_iter().filter(|row| stored(row, j)).count()).collect()
    }

    pub(crate) fn padded<T: Float>(rows: &Array2<T>) -> Padded<T> {
        let mut padded = Padded::zeros(rows.nrows(), rows.ncols()).unwrap();
        padded.load(detect().unwrap(), &rows.iter().copied().collect::<Vec<_>>());
        padded
    }

    /// W, with a row of zeros if needed to make the number of rows even.
    fn even<T: Float>(w: &Array2<T>) -> Padded<T> {
        let mut padded = Padded::zeros(w.nrows().next_multiple_of(2), w.ncols()).unwrap();
        padded.load(detect().unwrap(), w.as_slice().unwrap());
        padded
    }

    fn bits<'a, T: Float>(numbers: impl IntoIterator<Item = &'a T>) -> Vec<u64> {
        numbers.into_iter().map(|number| number.wide().to_bits()).collect()
    }

    /// The number of examples, the capacity in examples, and the rows of the batch: fewer, out of order, one twice.
    /// Among them are the full one (5) and an empty one (3).
    pub(crate) const EXAMPLES: usize = 14;
    const CAPACITY: usize = 12;
    pub(crate) static BATCH: [usize; 9] = [11, 5, 0, 3, 13, 7, 7, 1, 9];

    pub(crate) struct Data<'a, T> {
        pub all: Nonzeros<T>,
        /// The batch as it is stored, and the factor on each number.
        pub rows: Rows<'a>,
        pub scale: f64,
        /// The values of the batch.
        pub batch: Array2<f64>,
    }

    pub(crate) fn refilled<T: Float>(
        columns: &mut Columns<T>,
        level: Level,
        x: &Nonzeros<T>,
        rows: &[usize],
        next: &[usize],
    ) {
        columns.refill(level, x, 0..x.tiles(), rows.iter().copied(), next.iter().copied()).unwrap();
    }

    /// Each number of features with each type of data.
    pub(crate) fn each_data<T: Float>(mut see: impl FnMut(Data<'_, T>)) {
        for (features, scale) in FEATURES.into_iter().zip([1.0, 0.37].into_iter().cycle()) {
            let x = mostly_zeros(EXAMPLES, features, 7);
            let batch = x.select(Axis(0), &BATCH);
            for (x, rows) in Kinds::of(&x).each().into_iter().zip(Kinds::of(&batch).each()) {
                let without_zeros = |x: Rows<'_>| {
                    let mut sparse = Nonzeros::new(features, x, scale);
                    sparse.extend(available()[0], x, 0..x.dim().0).unwrap();
                    sparse
                };
                let batch = Kinds::wide(rows).mapv(|x| T::of(x * scale).wide());
                see(Data { all: without_zeros(x), rows, scale, batch });
            }
        }
    }

    fn forward_is_three_loops<T: Float>() {
        // Refilled over old contents.
        let (mut columns, mut marks) = (Columns::default(), Marks::default());
        each_data::<T>(|Data { all, rows, scale, batch }| {
            let features = all.features();
            let pairs = pairs_of_rows(batch.view());
            for outputs in OUTPUTS {
                let (w, b) = (numbers::<T>((features, outputs), 1), numbers::<T>((1, outputs), 2));
                let (sums, sizes) = three_loops(batch.view(), wide(&w).view());
                let (want, sizes) = (sums + wide(&b), sizes + wide(&b).mapv(f64::abs));
                let (flat_w, flat_b) = (w.as_slice().unwrap(), b.as_slice().unwrap());
                let (w, b) = (even(&w), padded(&b));
                let mut fused = [None, None];
                for &level in available() {
                    let near = |run: &mut dyn FnMut(&mut Padded<T>)| {
                        // Old contents are not read, and rows past the batch are not written.
                        let mut out = padded(&Array2::from_elem((CAPACITY, outputs), T::nan()));
                        run(&mut out);
                        for i in 0..CAPACITY {
                            let row: Vec<_> = out.row(i).as_flattened().to_vec();
                            let (numbers, rest) = row.split_at(outputs);
                            assert!(i < BATCH.len() || rest.iter().all(|&x| x == T::zero()));
                            assert!(i < BATCH.len() || numbers.iter().all(|x| x.is_nan()));
                        }
                        let mut got = Array2::zeros((BATCH.len(), outputs));
                        out.store(level, got.as_slice_mut().unwrap());
                        for ((i, j), got) in got.indexed_iter() {
                            // Each term is rounded as a product, in the sum it is added to, at the end of each tile,
                            // and in f64 again.
                            let roundings = 1 + 2 * pairs[i] + all.tiles() + 1 + 2 * pairs[i] + 1;
                            let (off, bound) =
                                ((got.wide() - want[[i, j]]).abs(), bound::<T>(roundings, sizes[[i, j]]));
                            assert!(off <= bound, "{features}×{outputs} at {}, ({i}, {j}): {off}", level.name());
                        }
                        bits(&got)
                    };
                    let by_rows = near(&mut |out| {
                        level.run(Product { x: &all, rows: BATCH.iter().copied(), w: &w, b: &b, out });
                    });
                    let by_columns = [&[][..], &[0, 1, 13, 4]].map(|next| {
                        refilled(&mut columns, level, &all, &BATCH, next);
                        near(&mut |out| columns.forward(level, &w, flat_b, out))
                    });
                    marks.refill(level, rows, 0..BATCH.len()).unwrap();
                    let by_marks = [(flat_w, outputs), w.as_rows()]
                        .map(|w| near(&mut |out| marks.forward(level, (rows, scale), w, flat_b, out)));
                    // The source of the lists makes no difference, nor does the layout of W.
                    assert!(by_marks.iter().all(|by_marks| by_marks == &by_columns[0]));
                    // The next batch changes no bit; nor does the level, where products are not rounded.
                    assert_eq!(by_columns[0], by_columns[1]);
                    if level.name() != "portable" {
                        for (fused, got) in fused.iter_mut().zip([by_rows, by_columns[0].clone()]) {
                            assert_eq!(fused.get_or_insert(got.clone()), &got, "{}", level.name());
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn forward_is_three_loops_in_f32() {
        forward_is_three_loops::<f32>();
    }

    #[test]
    fn forward_is_three_loops_in_f64() {
        forward_is_three_loops::<f64>();
    }

    /// How often each row was passed on, per lane.
    struct Seen<'a> {
        times: &'a mut Array2<usize>,
    }

    impl<T: Float> EachRow<T> for Seen<'_> {
        #[inline(always)]
        fn row<const N: usize, const HALF: bool>(
            &mut self,
            p: usize,
            first: usize,
            _: [[T; LANES]; N],
            _: impl Arithmetic,
        ) {
            (first..first + N).for_each(|lane| self.times[[p, lane]] += 1);
        }
    }

    fn backward_is_three_loops<T: Float>() {
        let (mut columns, mut marks) = (Columns::default(), Marks::default());
        each_data::<T>(|Data { all, rows, scale, batch }| {
            let features = all.features();
            let lists = rows_of_columns(batch.view());
            for outputs in OUTPUTS {
                let d = numbers::<T>((BATCH.len(), outputs), 3);
                let before = numbers::<T>((features, outputs), 4);
                let (sums, sizes) = three_loops(batch.t(), wide(&d).view());
                let (want, sizes) = (sums + wide(&before), sizes + wide(&before).mapv(f64::abs));
                // An entry left from a longer batch would bring in a nan.
                let mut longer = Array2::from_elem((CAPACITY, outputs), T::nan());
                longer.slice_mut(ndarray::s![..BATCH.len(), ..]).assign(&d);
                let d = padded(&longer);
                let mut fused = None;
                for &level in available() {
                    // First a batch that takes all of the capacity, then this one, which does not.
                    let longer: [_; CAPACITY] = std::array::from_fn(|i| EXAMPLES - 1 - i);
                    refilled(&mut columns, level, &all, &longer, &[]);
                    refilled(&mut columns, level, &all, &BATCH, &[]);
                    for every in [false, true] {
                        let mut times = Array2::zeros((features, d.width()));
                        columns.backward(level, &d, Seen { times: &mut times }, every);
                        for ((p, _), &times) in times.indexed_iter() {
                            assert_eq!(times, usize::from(every || lists[p] > 0), "row {p} at {}", level.name());
                        }
                    }
                    let stored = |onto_itself: bool, d_w: &Array2<T>| {
                        let mut d_w = d_w.clone();
                        let each = Store { d_w: d_w.as_slice_mut().unwrap(), outputs, onto_itself };
                        columns.backward(level, &d, each, !onto_itself);
                        d_w
                    };
                    let nothing = stored(true, &Array2::zeros(before.dim()));
                    assert_eq!(stored(false, &Array2::from_elem(before.dim(), T::nan())), nothing);
                    if scale == 1.0 {
                        let mut d_w = Array2::from_elem(before.dim(), T::nan());
                        let each = Store { d_w: d_w.as_slice_mut().unwrap(), outputs, onto_itself: false };
                        marks.refill(level, rows, 0..BATCH.len()).unwrap();
                        marks.backward(level, rows, &d, each, true);
                        assert_eq!(d_w, nothing);
                    }
                    let got = stored(true, &before);
                    for ((p, j), got) in got.indexed_iter() {
                        // Each term is rounded as a product, in the sum it is added to, with what was there, and in f64
                        // again.
                        let roundings = 1 + lists[p] + 1 + 1 + lists[p] + 1;
                        let (off, bound) = ((got.wide() - want[[p, j]]).abs(), bound::<T>(roundings, sizes[[p, j]]));
                        assert!(off <= bound, "{features}×{outputs} at {}, ({p}, {j}): {off}", level.name());
                    }
                    if level.name() != "portable" {
                        assert_eq!(fused.get_or_insert(bits(&got)), &bits(&got), "{}", level.name());
                    }
                }
            }
        });
    }

    #[test]
    fn backward_is_three_loops_in_f32() {
        backward_is_three_loops::<f32>();
    }

    #[test]
    fn backward_is_three_loops_in_f64() {
        backward_is_three_loops::<f64>();
    }
}

//! Matrix products that skip the zeros of the left operand: `X·W + b` forwards and `Xᵀ·d` back, `X` kept as [`Nonzeros`].
//!
//! Zeros are skipped in pairs of neighbouring columns, 2p and 2p + 1, that are both zero. Forwards, a row of the result is a sum of
//! rows of `W`, and stands in registers, as two sums, until a tile of columns is done:
//!
//! ```text
//! for each tile of columns
//!     for each row n of X                             even ← out[n] (at first b),  odd ← 0
//!         for each pair (x, y) = X[n, 2p..] ≠ (0, 0)  even ← even + x · W[2p],  odd ← odd + y · W[2p + 1]
//!                                                     note (n, x, y) in pair p's list
//!         out[n] ← even + odd
//! ```
//!
//! Backwards the same, pair by pair, over the lists that were noted: `dW[2p] ← Σ x · d[n]`, `dW[2p + 1] ← Σ y · d[n]`. Both rows are handed to
//! the caller while they are still in registers; the update of `W` costs no second pass. A pair that is zero in the whole batch has no
//! gradient and is skipped too.
//!
//! Why pairs: ink has neighbours. MNIST has 150 non-zero pixels an image, but only 88 such pairs: a sixth more arithmetic, and two fifths
//! fewer list entries, loops and ends of loops (each a branch that the CPU guesses wrong). A step of 784-50-10 with 100 images in f32 took 72 µs
//! with single columns and takes 54 with pairs. Why tiles: the rows of `W` that a tile needs stay in the cache closest to the core. Why lists with a fixed
//! room (the batch size) each, and not the sorted transpose: one pass instead of three. Cost for that batch: 1.8 of 7.8 MFLOP in each direction,
//! 31 µs forwards with the lists, 11 µs back (AVX-512, two multiply-adds a cycle).
//!
//! A zero beside a number that is not zero is multiplied like that number; elsewhere 0 · ∞ and 0 · nan are skipped with the zeros, where
//! the dense product would give nan. The order of every sum is that of the rows and columns, whatever the level or the number of threads.

use crate::error::resize;
use crate::level::{Kernel, MulAdd};
use crate::nonzeros::{Nonzeros, Numbers, TILE};
use crate::padded::{Lane, Padded, LANES};
use crate::{Float, KernelError};

/// For each pair of columns, the rows where it is not zero, and the two numbers there.
#[derive(Debug)]
pub struct Columns<T> {
    entries: Vec<(u32, [T; 2])>,
    /// Where the list of each pair starts, and where it ends so far.
    starts: Vec<usize>,
    ends: Vec<usize>,
    columns: usize,
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), starts: Vec::new(), ends: Vec::new(), columns: 0 }
    }
}

impl<T: Float> Columns<T> {
    /// Empty lists for `columns` columns of up to `rows` rows, to be filled by [`Forward`].
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn new(columns: usize, rows: usize) -> Result<Self, KernelError> {
        let (mut entries, pairs) = (Vec::new(), columns.div_ceil(2));
        let room = pairs.saturating_mul(rows);
        resize(&mut entries, room, (0, [T::zero(); 2]))?;
        let starts: Vec<_> = (0..pairs).map(|pair| pair * rows).collect();
        Ok(Self { entries, ends: starts.clone(), starts, columns })
    }

    /// Make these the lists of all of `x`, in the memory there is if it is enough.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn refill(&mut self, x: &Nonzeros<T>) -> Result<(), KernelError> {
        self.columns = x.features();
        let pairs = self.columns.div_ceil(2);
        self.starts.clear();
        resize(&mut self.starts, pairs, 0)?;
        x.count(&mut self.starts);
        let mut total = 0;
        for start in &mut self.starts {
            total += *start;
            *start = total - *start;
        }
        resize(&mut self.entries, total, (0, [T::zero(); 2]))?;
        self.ends.clone_from(&self.starts);
        x.each(|row, pair, numbers| self.note(pair, row, numbers));
        Ok(())
    }

    fn clear(&mut self) {
        self.ends.copy_from_slice(&self.starts);
    }

    #[inline(always)]
    fn note(&mut self, pair: usize, row: usize, x: [T; 2]) {
        let end = &mut self.ends[pair];
        self.entries[*end] = (row as u32, x);
        *end += 1;
    }

    #[inline(always)]
    fn pair(&self, pair: usize) -> &[(u32, [T; 2])] {
        &self.entries[self.starts[pair]..self.ends[pair]]
    }
}

/// How many lanes of two running sums stay in the registers; no more than 4.
#[inline(always)]
fn group<T, A: MulAdd>(_: A) -> usize {
    (A::SUMS / (2 * size_of::<Lane<T>>())).clamp(1, 4)
}

/// `out[i] ← X[rows[i]]·W + b`; with `columns`, its lists are made on the way.
pub struct Forward<'a, T, R> {
    /// The data.
    pub x: &'a Nonzeros<T>,
    /// Which rows of it: numbers below `x.rows()`.
    pub rows: R,
    /// Those of the next batch: asked for meanwhile.
    pub next: R,
    /// Weights, a row a feature; an even number of them.
    pub w: &'a Padded<T>,
    /// Biases, as one row.
    pub b: &'a Padded<T>,
    /// The result, as wide as `w`.
    pub out: &'a mut Padded<T>,
    /// For the way back.
    pub columns: Option<&'a mut Columns<T>>,
}

impl<T: Float, R: Iterator<Item = usize> + Clone> Kernel for Forward<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl MulAdd) {
        match self.x.numbers() {
            Numbers::Bytes(bytes, table) => self.all(bytes, |byte| table[usize::from(byte)], arithmetic),
            Numbers::Floats(floats) => self.all(floats, |float| float, arithmetic),
        }
    }
}

impl<T: Float, R: Iterator<Item = usize> + Clone> Forward<'_, T, R> {
    #[inline(always)]
    fn all<V: Copy>(mut self, pairs: &[[V; 2]], value: impl Fn(V) -> T + Copy, arithmetic: impl MulAdd) {
        let width = self.w.width();
        let group = group::<T, _>(arithmetic);
        let mut columns = self.columns.take();
        if let Some(columns) = &mut columns {
            columns.clear();
        }
        for first in (0..width).step_by(group) {
            // The lists are the same for every group: made with the first.
            match columns.take() {
                Some(columns) => self.group(first, pairs, value, |pair, row, x| columns.note(pair, row, x), arithmetic),
                None => self.group(first, pairs, value, |_, _, _| (), arithmetic),
            }
        }
    }

    #[inline(always)]
    fn group<V: Copy>(
        &mut self,
        first: usize,
        pairs: &[[V; 2]],
        value: impl Fn(V) -> T,
        note: impl FnMut(usize, usize, [T; 2]),
        arithmetic: impl MulAdd,
    ) {
        match group::<T, _>(arithmetic).min(self.w.width() - first) {
            1 => self.lanes::<1, false, V>(first, pairs, value, note, arithmetic),
            2 => self.lanes::<2, false, V>(first, pairs, value, note, arithmetic),
            3 => self.lanes::<3, false, V>(first, pairs, value, note, arithmetic),
            _ if self.w.width() == 4 => self.lanes::<4, true, V>(first, pairs, value, note, arithmetic),
            _ => self.lanes::<4, false, V>(first, pairs, value, note, arithmetic),
        }
    }

    #[inline(always)]
    fn lanes<const N: usize, const WHOLE: bool, V: Copy>(
        &mut self,
        first: usize,
        pairs: &[[V; 2]],
        value: impl Fn(V) -> T,
        mut note: impl FnMut(usize, usize, [T; 2]),
        arithmetic: impl MulAdd,
    ) {
        let width = self.w.width();
        for tile in 0..self.x.tiles() {
            let w = &self.w.lanes()[tile * TILE * width + first..];
            let mut next = self.next.clone();
            for (i, row) in self.rows.clone().enumerate() {
                if let Some(soon) = next.next() {
                    self.x.ask_for(soon, tile, pairs);
                }
                let (places, at) = self.x.tile(row, tile);
                let out = &mut self.out.lanes_mut()[i * width + first..][..N];
                let so_far = if tile == 0 { &self.b.lanes()[first..][..N] } else { &*out };
                let mut even: [Lane<T>; N] = std::array::from_fn(|lane| so_far[lane]);
                let mut odd = [Lane([T::zero(); LANES]); N];
                for (&place, &[a, b]) in places.iter().zip(&pairs[at]) {
                    let (place, a, b) = (usize::from(place), value(a), value(b));
                    note(tile * (TILE / 2) + place, i, [a, b]);
                    let [first, second] = two_rows::<T, N, WHOLE>(w, place, width);
                    add_scaled(&mut even, a, first, arithmetic);
                    add_scaled(&mut odd, b, second, arithmetic);
                }
                for lane in 0..N {
                    for i in 0..LANES {
                        out[lane].0[i] = even[lane].0[i] + odd[lane].0[i];
                    }
                }
            }
        }
    }
}

/// `N` lanes of the two rows of a pair. `WHOLE` says that these are all lanes of a row, so that where they are is known beforehand.
#[inline(always)]
fn two_rows<T, const N: usize, const WHOLE: bool>(lanes: &[Lane<T>], pair: usize, width: usize) -> [&[Lane<T>]; 2] {
    if WHOLE {
        let [first, second] = &lanes.as_chunks::<N>().0.as_chunks::<2>().0[pair];
        [first, second]
    } else {
        let rows = &lanes[2 * pair * width..][..width + N];
        [&rows[..N], &rows[width..]]
    }
}

/// What to do with a row of Xᵀ·d. A trait and not a closure: its method can be told to be compiled into the kernel, at its level.
pub trait EachRow<T> {
    /// `lanes` are those from `first` on of row `p`. Must be `#[inline(always)]`.
    fn row<const N: usize>(&mut self, p: usize, first: usize, lanes: [Lane<T>; N], arithmetic: impl MulAdd);
}

/// dW ← dW + Xᵀ·d, `dW` without padding.
pub(crate) struct AddTo<'a, T> {
    pub d_w: &'a mut [T],
    pub outputs: usize,
}

impl<T: Float> EachRow<T> for AddTo<'_, T> {
    #[inline(always)]
    fn row<const N: usize>(&mut self, p: usize, first: usize, lanes: [Lane<T>; N], _: impl MulAdd) {
        let row = &mut self.d_w[p * self.outputs..(p + 1) * self.outputs];
        for (numbers, gradient) in row[first * LANES..].chunks_mut(LANES).zip(&lanes) {
            numbers.iter_mut().zip(gradient.0).for_each(|(sum, d)| *sum += d);
        }
    }
}

/// Each row of Xᵀ·d in turn, but for those of pairs of columns that are zero in the whole batch: their rows are zero.
pub struct Backward<'a, T, E> {
    /// The batch, as the forward product left it.
    pub columns: &'a Columns<T>,
    /// The gradient of the forward product's result.
    pub d: &'a Padded<T>,
    /// What to do with a row of the gradient.
    pub each: E,
}

impl<T: Float, E: EachRow<T>> Kernel for Backward<'_, T, E> {
    type Output = ();

    #[inline(always)]
    fn run(mut self, arithmetic: impl MulAdd) {
        let width = self.d.width();
        let group = group::<T, _>(arithmetic);
        for pair in 0..self.columns.starts.len() {
            if self.columns.pair(pair).is_empty() {
                continue;
            }
            for first in (0..width).step_by(group) {
                match group.min(width - first) {
                    1 => self.lanes::<1>(pair, first, arithmetic),
                    2 => self.lanes::<2>(pair, first, arithmetic),
                    3 => self.lanes::<3>(pair, first, arithmetic),
                    _ => self.lanes::<4>(pair, first, arithmetic),
                }
            }
        }
    }
}

impl<T: Float, E: EachRow<T>> Backward<'_, T, E> {
    #[inline(always)]
    fn lanes<const N: usize>(&mut self, pair: usize, first: usize, arithmetic: impl MulAdd) {
        let (width, d) = (self.d.width(), &self.d.lanes()[first..]);
        let mut even = [Lane([T::zero(); LANES]); N];
        let mut odd = even;
        for &(n, [a, b]) in self.columns.pair(pair) {
            let d = &d[n as usize * width..][..N];
            add_scaled(&mut even, a, d, arithmetic);
            add_scaled(&mut odd, b, d, arithmetic);
        }
        self.each.row(2 * pair, first, even, arithmetic);
        if 2 * pair + 1 < self.columns.columns {
            self.each.row(2 * pair + 1, first, odd, arithmetic);
        }
    }
}

/// `sum ← sum + x · lanes`.
#[inline(always)]
pub(crate) fn add_scaled<T: Float, const N: usize>(
    sum: &mut [Lane<T>; N],
    x: T,
    lanes: &[Lane<T>],
    arithmetic: impl MulAdd,
) {
    for lane in 0..N {
        for i in 0..LANES {
            sum[lane].0[i] = arithmetic.mul_add(x, lanes[lane].0[i], sum[lane].0[i]);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::level::available;
    use crate::matmul::tests::numbers;
    use crate::rows::Rows;
    use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

    /// One to nine lanes: with groups of 1, 2 and 4 lanes every remainder, in the first group and in later ones.
    pub(crate) const OUTPUTS: [usize; 11] = [1, 2, 15, 16, 17, 31, 50, 64, 65, 100, 130];
    /// One to three tiles, with and without a last column that has no neighbour.
    pub(crate) const FEATURES: [usize; 7] = [1, 2, 3, TILE - 1, TILE, TILE + 1, 2 * TILE + 1];

    /// Rows without any number and rows full of them, pairs of columns that are always zero, and in between one pair in three.
    pub(crate) fn mostly_zeros(n: usize, features: usize, seed: u64) -> Array2<u8> {
        let random = numbers::<f64>((n, features), seed).mapv(|x| (x.abs() * 1e6) as usize);
        Array2::from_shape_fn((n, features), |(i, j)| {
            let byte = (random[[i, j]] / 7 % 255) as u8 + 1;
            let empty = i % 16 == 3 || j / 2 % 6 == 4;
            let full = i % 16 == 5;
            byte * u8::from(!empty && (full || random[[i, j]].is_multiple_of(6)))
        })
    }

    /// The same zeros in every type that data is stored in.
    pub(crate) struct Kinds(Array2<u8>, Array2<f32>, Array2<f64>);

    impl Kinds {
        pub(crate) fn of(x: &Array2<u8>) -> Self {
            let double = |byte: u8| if byte == 0 { 0.0 } else { (f64::from(byte) - 127.7) / 128.0 };
            Self(x.clone(), x.mapv(|byte| double(byte) as f32), x.mapv(double))
        }

        pub(crate) fn each(&self) -> [Rows<'_>; 3] {
            [Rows::Bytes(self.0.view()), Rows::Single(self.1.view()), Rows::Double(self.2.view())]
        }

        /// Where there are floats.
        pub(crate) fn make_infinite(&mut self, at: (usize, usize)) {
            (self.1[at], self.2[at]) = (f32::INFINITY, f64::INFINITY);
        }

        /// The values of rows, whatever they are stored in.
        pub(crate) fn wide(x: Rows<'_>) -> Array2<f64> {
            match x {
                Rows::Bytes(x) => x.mapv(f64::from),
                Rows::Single(x) => x.mapv(f64::from),
                Rows::Double(x) => x.to_owned(),
            }
        }
    }

    /// The oracle: A·B by three loops, and the same sums of what the terms are without their signs.
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

    /// What a sum may be off by when no term of it, nor any sum with it, is rounded more than `roundings` times, by half an ε each;
    /// `size` is the sum of the terms without their signs. (Higham 2002, §3.1: k u / (1 - k u), here with k u < 0.001.)
    pub(crate) fn bound<T: Float>(roundings: usize, size: f64) -> f64 {
        1.001 * roundings as f64 * T::epsilon().wide() / 2.0 * size
    }

    pub(crate) fn wide<T: Float>(numbers: &Array2<T>) -> Array2<f64> {
        numbers.mapv(T::wide)
    }

    /// For each row, how many of its pairs are kept.
    pub(crate) fn pairs_of_rows(x: ArrayView2<'_, f64>) -> Vec<usize> {
        let pairs = |row: &[f64]| row.chunks(2).filter(|pair| pair.iter().any(|&x| x != 0.0)).count();
        x.rows().into_iter().map(|row| pairs(&row.to_vec())).collect()
    }

    /// For each column, in how many rows its pair is kept.
    pub(crate) fn rows_of_columns(x: ArrayView2<'_, f64>) -> Vec<usize> {
        let kept = |row: &ArrayView1<'_, f64>, j| row[j] != 0.0 || row.get(j ^ 1).is_some_and(|&x| x != 0.0);
        (0..x.ncols()).map(|j| x.rows().into_iter().filter(|row| kept(row, j)).count()).collect()
    }

    pub(crate) fn padded<T: Float>(rows: &Array2<T>) -> Padded<T> {
        let mut padded = Padded::zeros(rows.nrows(), rows.ncols()).unwrap();
        padded.load(&rows.iter().copied().collect::<Vec<_>>());
        padded
    }

    /// W with the row of zeros that makes the number of rows even.
    fn even<T: Float>(w: &Array2<T>) -> Padded<T> {
        let mut padded = Padded::zeros(w.nrows().next_multiple_of(2), w.ncols()).unwrap();
        padded.load(w.as_slice().unwrap());
        padded
    }

    fn bits<'a, T: Float>(numbers: impl IntoIterator<Item = &'a T>) -> Vec<u64> {
        numbers.into_iter().map(|number| number.wide().to_bits()).collect()
    }

    /// How many examples there are, how many of them there is room for, and those of the batch: fewer, out of order, one twice. Among
    /// them are the full one (5) and an empty one (3).
    const EXAMPLES: usize = 14;
    const ROOM: usize = 12;
    static BATCH: [usize; 9] = [11, 5, 0, 3, 13, 7, 7, 1, 9];

    struct Data<T> {
        all: Nonzeros<T>,
        /// The batch alone.
        block: Nonzeros<T>,
        /// The same as it is.
        batch: Array2<f64>,
    }

    /// Each number of features and kind of data.
    fn each_data<T: Float>(mut see: impl FnMut(Data<T>)) {
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
                see(Data { all: without_zeros(x), block: without_zeros(rows), batch });
            }
        }
    }

    fn forward_is_three_loops<T: Float>() {
        each_data::<T>(|Data { all, batch, .. }| {
            let features = all.features();
            let pairs = pairs_of_rows(batch.view());
            let mut columns = Columns::new(features, ROOM).unwrap();
            for outputs in OUTPUTS {
                let (w, b) = (numbers::<T>((features, outputs), 1), numbers::<T>((1, outputs), 2));
                let (sums, sizes) = three_loops(batch.view(), wide(&w).view());
                let (want, sizes) = (sums + wide(&b), sizes + wide(&b).mapv(f64::abs));
                let (w, b) = (even(&w), padded(&b));
                let mut fused = None;
                for &level in available() {
                    let run = |columns: Option<&mut Columns<T>>, next: &'static [usize]| {
                        // What was there is not read, and what is behind the batch not written.
                        let mut out = padded(&Array2::from_elem((ROOM, outputs), T::nan()));
                        let (rows, next) = (BATCH.iter().copied(), next.iter().copied());
                        level.run(Forward { x: &all, rows, next, w: &w, b: &b, out: &mut out, columns });
                        for i in 0..ROOM {
                            let row: Vec<_> = out.row(i).iter().flat_map(|lane| lane.0).collect();
                            let (numbers, rest) = row.split_at(outputs);
                            assert!(rest.iter().all(|&x| x == T::zero()));
                            assert!(i < BATCH.len() || numbers.iter().all(|x| x.is_nan()));
                        }
                        let mut got = Array2::zeros((BATCH.len(), outputs));
                        out.store(got.as_slice_mut().unwrap());
                        got
                    };
                    let got = run(None, &[]);
                    for ((i, j), got) in got.indexed_iter() {
                        // Each term is rounded as a product, in the sum it is added to, at the end of each tile, and in f64 again.
                        let roundings = 1 + pairs[i] + all.tiles() + 1 + 2 * pairs[i] + 1;
                        let (off, bound) = ((got.wide() - want[[i, j]]).abs(), bound::<T>(roundings, sizes[[i, j]]));
                        assert!(off <= bound, "{features}×{outputs} at {}, ({i}, {j}): {off}", level.name());
                    }
                    // Neither the lists nor what comes next changes a bit; nor does the level, where products are not rounded.
                    assert_eq!(bits(&run(Some(&mut columns), &[0, 1, 13, 4])), bits(&got));
                    if level.name() != "portable" {
                        assert_eq!(fused.get_or_insert(bits(&got)), &bits(&got), "{}", level.name());
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

    /// How often each row was handed over, per lane.
    struct Seen<'a> {
        times: &'a mut Array2<usize>,
    }

    impl<T: Float> EachRow<T> for Seen<'_> {
        #[inline(always)]
        fn row<const N: usize>(&mut self, p: usize, first: usize, _: [Lane<T>; N], _: impl MulAdd) {
            (first..first + N).for_each(|lane| self.times[[p, lane]] += 1);
        }
    }

    fn backward_is_three_loops<T: Float>() {
        // Filled again and again, whatever they held.
        let mut refilled = Columns::default();
        each_data::<T>(|Data { all, block, batch }| {
            let features = all.features();
            let lists = rows_of_columns(batch.view());
            let mut noted = Columns::new(features, ROOM).unwrap();
            for outputs in OUTPUTS {
                let d = numbers::<T>((BATCH.len(), outputs), 3);
                let before = numbers::<T>((features, outputs), 4);
                let (sums, sizes) = three_loops(batch.t(), wide(&d).view());
                let (want, sizes) = (sums + wide(&before), sizes + wide(&before).mapv(f64::abs));
                // An entry of a longer batch would bring a nan.
                let mut room = Array2::from_elem((ROOM, outputs), T::nan());
                room.slice_mut(ndarray::s![..BATCH.len(), ..]).assign(&d);
                let d = padded(&room);
                let (w, b) =
                    (Padded::zeros(features + features % 2, outputs).unwrap(), Padded::zeros(1, outputs).unwrap());
                let mut out = Padded::zeros(ROOM, outputs).unwrap();
                let mut fused = None;
                for &level in available() {
                    // A batch that takes all of the room before this one, which does not.
                    let longer: [_; ROOM] = std::array::from_fn(|i| EXAMPLES - 1 - i);
                    for rows in [&longer[..], &BATCH] {
                        let (x, rows, next, columns) =
                            (&all, rows.iter().copied(), [].iter().copied(), Some(&mut noted));
                        level.run(Forward { x, rows, next, w: &w, b: &b, out: &mut out, columns });
                    }
                    refilled.refill(&block).unwrap();
                    let run = |columns: &Columns<T>| {
                        let mut times = Array2::zeros((features, d.width()));
                        level.run(Backward { columns, d: &d, each: Seen { times: &mut times } });
                        for ((p, _), &times) in times.indexed_iter() {
                            assert_eq!(times, usize::from(lists[p] > 0), "row {p} at {}", level.name());
                        }
                        let mut d_w = before.clone();
                        let each = AddTo { d_w: d_w.as_slice_mut().unwrap(), outputs };
                        level.run(Backward { columns, d: &d, each });
                        d_w
                    };
                    let got = run(&noted);
                    for ((p, j), got) in got.indexed_iter() {
                        // Each term is rounded as a product, in the sum it is added to, with what was there, and in f64 again.
                        let roundings = 1 + lists[p] + 1 + 1 + lists[p] + 1;
                        let (off, bound) = ((got.wide() - want[[p, j]]).abs(), bound::<T>(roundings, sizes[[p, j]]));
                        assert!(off <= bound, "{features}×{outputs} at {}, ({p}, {j}): {off}", level.name());
                    }
                    assert_eq!(bits(&run(&refilled)), bits(&got));
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

    #[test]
    fn lists_noted_and_lists_refilled_are_the_same() {
        let mut refilled = Columns::default();
        each_data::<f32>(|Data { block, batch, .. }| {
            let (rows, features) = batch.dim();
            let mut noted = Columns::new(features, rows).unwrap();
            let (w, b) = (Padded::zeros(features + features % 2, 1).unwrap(), Padded::zeros(1, 1).unwrap());
            let mut out = Padded::zeros(rows, 1).unwrap();
            let columns = Some(&mut noted);
            available()[0].run(Forward { x: &block, rows: 0..rows, next: 0..0, w: &w, b: &b, out: &mut out, columns });
            refilled.refill(&block).unwrap();
            for pair in 0..features.div_ceil(2) {
                let at = |row: usize, column: usize| batch.get((row, column)).map_or(0.0, |&x| x as f32);
                let wanted = (0..rows).map(|row| (row as u32, [at(row, 2 * pair), at(row, 2 * pair + 1)]));
                let wanted: Vec<_> = wanted.filter(|(_, numbers)| numbers != &[0.0; 2]).collect();
                assert_eq!(noted.pair(pair), wanted);
                assert_eq!(refilled.pair(pair), wanted);
            }
            // The full row takes all of the room there is, of every pair but those that are always zero.
            let (again, columns) = (std::iter::repeat_n(1, rows), Some(&mut noted));
            let next = again.clone();
            available()[0].run(Forward { x: &block, rows: again, next, w: &w, b: &b, out: &mut out, columns });
            for pair in 0..features.div_ceil(2) {
                let at = |column: usize| batch.get((1, column)).map_or(0.0, |&x| x as f32);
                let wanted: Vec<_> = (0..rows).map(|row| (row as u32, [at(2 * pair), at(2 * pair + 1)])).collect();
                assert_eq!(noted.pair(pair), if pair % 6 == 4 { &[] } else { &wanted[..] });
            }
        });
    }
}

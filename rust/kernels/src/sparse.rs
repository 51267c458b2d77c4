//! Matrix products that skip the zeros of the left operand: `X·W + b` forwards and `Xᵀ·d` back, `X` kept as [`Nonzeros`].
//!
//! Zeros are skipped in pairs of neighbouring columns, 2p and 2p + 1, that are both zero. In training, a batch is first turned into
//! [`Columns`]: for each pair of columns the list of `(n, x, y)`, the rows n where it is not zero and the two numbers there. Both products
//! then go through the lists, pair by pair, what belongs to the pair in registers:
//!
//! ```text
//! Forward     hold W[2p], W[2p + 1]        for each (n, x, y) of pair p     out[n] ← out[n] + x · W[2p] + y · W[2p + 1]
//! Backward    dW[2p], dW[2p + 1] ← 0       for each (n, x, y) of pair p     dW[2p] ← dW[2p] + x · d[n],  dW[2p + 1] ← dW[2p + 1] + y · d[n]
//! ```
//!
//! Both rows of `dW` are handed to the caller while they are still in registers; the update of `W` costs no second pass. Where no
//! gradient is asked for, [`Product`] takes the rows of `X` as they are, a row of the result in registers, and makes no lists.
//!
//! Why pairs: ink has neighbours. MNIST has 150 non-zero pixels an image, but only 88 such pairs: a sixth more arithmetic, and two fifths
//! fewer list entries, loops and ends of loops (each a branch that the CPU guesses wrong). Why lists with a fixed room (the batch
//! size) each, and not the sorted transpose: one pass instead of three. Why the numbers as they are stored: an entry with two bytes is 8 bytes and
//! crosses no cache line. Why halves of lanes: 50 outputs are 56 numbers, not 64 (`Group`). Cost for 100 images, 784-50, f32: 1.8 of 7.8 MFLOP
//! in each direction; on Zen 4 (AVX-512, one multiply-add of 64 bytes a cycle, so 17 µs at least) 14 µs for the lists, half of it waiting for
//! images drawn at random, 20 forwards and 26 back, the step of W included.
//!
//! A zero beside a number that is not zero is multiplied like that number; elsewhere 0 · ∞ and 0 · nan are skipped with the zeros, where
//! the dense product would give nan. The order of every sum is that of the rows and columns, whatever the level or the number of threads.

use crate::error::resize;
use crate::level::{Arithmetic, Kernel, Level};
use crate::nonzeros::{pair, Find, Nonzeros, Numbers, Pairs, ROOM, TILE};
use crate::padded::{Padded, LANES};
use crate::rows::Rows;
use crate::{Float, KernelError};
use ndarray::ArrayView2;
use std::ops::Range;

/// For each pair of columns, the rows where it is not zero, and the two numbers there.
#[derive(Debug)]
pub struct Columns<T> {
    entries: Entries<T>,
    /// Where the list of each pair ends; that of pair p starts at p times `rows`.
    ends: Vec<usize>,
    rows: usize,
    columns: usize,
}

/// The lists, the numbers as they are stored.
#[derive(Debug)]
enum Entries<T> {
    /// Bytes, and what each of the 256 stands for.
    Bytes(Vec<(u32, [u8; 2])>, Box<[T; 256]>),
    Floats(Vec<(u32, [T; 2])>),
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self { entries: Entries::Floats(Vec::new()), ends: Vec::new(), rows: 0, columns: 0 }
    }
}

impl<T: Float> Columns<T> {
    /// How many rows and columns the lists are of.
    pub(crate) fn dim(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Make these the lists of such rows of `x`, numbers below `x.rows()`, in the memory there is if it is enough. Those of the `next` batch are
    /// asked for meanwhile.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn refill<R>(&mut self, level: Level, x: &Nonzeros<T>, rows: R, next: R) -> Result<(), KernelError>
    where
        R: ExactSizeIterator<Item = usize> + Clone,
    {
        let room = self.start(rows.len(), x.features())?;
        match x.numbers() {
            Numbers::Bytes(pairs, table) => {
                let (entries, ends) = self.bytes(table, room)?;
                level.run(Note { x, pairs, rows, next, entries, ends });
            }
            Numbers::Floats(pairs) => {
                let (entries, ends) = self.floats(room)?;
                level.run(Note { x, pairs, rows, next, entries, ends });
            }
        }
        Ok(())
    }

    /// Make these the lists of some rows of data that is looked through now, for one use.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub(crate) fn refill_from(&mut self, level: Level, x: Rows<'_>, rows: Range<usize>) -> Result<(), KernelError> {
        let room = self.start(rows.len(), x.dim().1)?;
        match x {
            Rows::Bytes(x) => {
                let table = std::array::from_fn(|byte| T::of(byte as f64));
                let (entries, ends) = self.bytes(&table, room)?;
                level.run(NoteRows { x, rows, keep: |byte: u8| byte, entries, ends });
            }
            Rows::Single(x) => {
                let (entries, ends) = self.floats(room)?;
                level.run(NoteRows { x, rows, keep: T::of_single, entries, ends });
            }
            Rows::Double(x) => {
                let (entries, ends) = self.floats(room)?;
                level.run(NoteRows { x, rows, keep: T::of, entries, ends });
            }
        }
        Ok(())
    }

    /// Empty lists of so many rows and columns: how many entries there may be.
    fn start(&mut self, rows: usize, columns: usize) -> Result<usize, KernelError> {
        let pairs = columns.div_ceil(2);
        (self.rows, self.columns) = (rows, columns);
        resize(&mut self.ends, pairs, 0)?;
        self.ends.iter_mut().enumerate().for_each(|(pair, end)| *end = pair * rows);
        Ok(pairs.saturating_mul(rows))
    }

    /// Room for so many entries of bytes, and the ends of the lists.
    fn bytes(&mut self, table: &[T; 256], room: usize) -> Result<Lists<'_, u8>, KernelError> {
        if !matches!(&self.entries, Entries::Bytes(_, same) if **same == *table) {
            self.entries = Entries::Bytes(Vec::new(), Box::new(*table));
        }
        match &mut self.entries {
            Entries::Bytes(entries, _) => Ok((at_least(entries, room, (0, [0; 2]))?, &mut self.ends)),
            Entries::Floats(_) => Err(KernelError::Kind),
        }
    }

    /// Room for so many entries of floats, and the ends of the lists.
    fn floats(&mut self, room: usize) -> Result<Lists<'_, T>, KernelError> {
        if !matches!(self.entries, Entries::Floats(_)) {
            self.entries = Entries::Floats(Vec::new());
        }
        match &mut self.entries {
            Entries::Floats(entries) => Ok((at_least(entries, room, (0, [T::zero(); 2]))?, &mut self.ends)),
            Entries::Bytes(..) => Err(KernelError::Kind),
        }
    }
}

/// The entries, and where each list ends.
type Lists<'a, V> = (&'a mut [(u32, [V; 2])], &'a mut [usize]);

/// The vector, longer if need be. What it holds stays: there is nothing to clear in lists that are written anew.
fn at_least<E: Clone>(entries: &mut Vec<E>, room: usize, blank: E) -> Result<&mut [E], KernelError> {
    let length = entries.len().max(room);
    resize(entries, length, blank)?;
    Ok(entries)
}

/// Write each row's pairs into the lists.
struct Note<'a, T, V, R> {
    x: &'a Nonzeros<T>,
    pairs: &'a [[V; 2]],
    rows: R,
    next: R,
    entries: &'a mut [(u32, [V; 2])],
    ends: &'a mut [usize],
}

impl<T: Float, V: Copy, R: Iterator<Item = usize> + Clone> Kernel for Note<'_, T, V, R> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { x, pairs, rows, next, entries, ends } = self;
        // Where a row's numbers are has to be there before they can be asked for.
        const AHEAD: usize = 12;
        let (mut soon, mut later) = (next.clone(), next.skip(AHEAD));
        for (i, row) in rows.enumerate() {
            later.next().into_iter().for_each(|row| x.ask_where(row));
            soon.next().into_iter().for_each(|row| x.ask_for(row, pairs));
            for (tile, ends) in ends.chunks_mut(TILE / 2).enumerate() {
                let (places, at) = x.tile(row, tile);
                for (&place, &pair) in places.iter().zip(&pairs[at]) {
                    let end = &mut ends[usize::from(place)];
                    entries[*end] = (i as u32, pair);
                    *end += 1;
                }
            }
        }
    }
}

/// Look for each row's pairs, and write them into the lists.
struct NoteRows<'a, S, V, F> {
    x: ArrayView2<'a, S>,
    rows: Range<usize>,
    keep: F,
    entries: &'a mut [(u32, [V; 2])],
    ends: &'a mut [usize],
}

impl<S: Pairs, V: Copy, F: Fn(S) -> V> Kernel for NoteRows<'_, S, V, F> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let Self { x, rows, keep, entries, ends } = self;
        let mut places = [0; ROOM];
        for (i, row) in rows.enumerate() {
            let row = x.row(row);
            let tiles = row.as_slice().unwrap_or(&[]).chunks(TILE);
            for (tile, ends) in tiles.zip(ends.chunks_mut(TILE / 2)) {
                let found = Find { tile, places: &mut places }.run(arithmetic);
                for &place in found {
                    let end = &mut ends[usize::from(place)];
                    entries[*end] = (i as u32, pair(tile, place).map(&keep));
                    *end += 1;
                }
            }
        }
    }
}

/// Work on some lanes of every row. A trait and not a closure, because how many lanes there are is known when it is compiled.
trait Group {
    /// Work on `N` lanes, from `first` on. `HALF` says that of the last of them the first half alone is computed. Must be
    /// `#[inline(always)]`.
    fn work<const N: usize, const HALF: bool>(&mut self, first: usize);
}

/// Work on all lanes of such rows, as many at a time as stay in the registers with two rows; no more than 4.
#[inline(always)]
fn in_groups<T, A: Arithmetic>(like: &Padded<T>, _: A, mut group: impl Group)
where
    T: Float,
{
    let at_a_time = (A::SUMS / (2 * size_of::<[T; LANES]>())).clamp(1, 4);
    let width = like.width();
    for first in (0..width).step_by(at_a_time) {
        let lanes = at_a_time.min(width - first);
        match (lanes, like.half() && first + lanes == width) {
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

/// `out ← X·W + b`, from the lists of `X`.
pub struct Forward<'a, T> {
    /// The batch.
    pub columns: &'a Columns<T>,
    /// Weights, a row a feature; an even number of them.
    pub w: &'a Padded<T>,
    /// Biases, as one row.
    pub b: &'a Padded<T>,
    /// The result, as wide as `w`.
    pub out: &'a mut Padded<T>,
}

impl<T: Float> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let width = self.w.width();
        for out in self.out.lanes_mut().chunks_exact_mut(width.max(1)).take(self.columns.rows) {
            out.copy_from_slice(self.b.lanes());
        }
        match &self.columns.entries {
            Entries::Bytes(entries, table) => self.all(entries, |byte| table[usize::from(byte)], arithmetic),
            Entries::Floats(entries) => self.all(entries, |float| float, arithmetic),
        }
    }
}

impl<T: Float> Forward<'_, T> {
    #[inline(always)]
    fn all<V: Copy>(self, entries: &[(u32, [V; 2])], value: impl Fn(V) -> T + Copy, arithmetic: impl Arithmetic) {
        let (w, rows, width) = (self.w, self.columns.rows, self.w.width());
        let out = self.out.lanes_mut();
        for (pair, &end) in self.columns.ends.iter().enumerate() {
            let list = &entries[pair * rows..end];
            if !list.is_empty() {
                let w_pair = &w.lanes()[2 * pair * width..][..2 * width];
                in_groups(w, arithmetic, AddPair { list, value, w_pair, out, arithmetic });
            }
        }
    }
}

/// What a pair of columns adds to the rows in its list.
struct AddPair<'a, T, V, F, A> {
    list: &'a [(u32, [V; 2])],
    value: F,
    /// Two rows.
    w_pair: &'a [[T; LANES]],
    out: &'a mut [[T; LANES]],
    arithmetic: A,
}

impl<T: Float, V: Copy, F: Fn(V) -> T, A: Arithmetic> Group for AddPair<'_, T, V, F, A> {
    #[inline(always)]
    fn work<const N: usize, const HALF: bool>(&mut self, first: usize) {
        let width = self.w_pair.len() / 2;
        let [even, odd]: [[[T; LANES]; N]; 2] =
            std::array::from_fn(|row| std::array::from_fn(|lane| self.w_pair[row * width + first + lane]));
        for &(n, [a, b]) in self.list {
            let (a, b) = ((self.value)(a), (self.value)(b));
            let out = &mut self.out[n as usize * width + first..][..N];
            for lane in 0..N {
                for i in 0..numbers::<N, HALF>(lane) {
                    let sum = self.arithmetic.mul_add(a, even[lane][i], out[lane][i]);
                    out[lane][i] = self.arithmetic.mul_add(b, odd[lane][i], sum);
                }
            }
        }
    }
}

/// `out[i] ← X[rows[i]]·W + b`, row by row.
pub struct Product<'a, T, R> {
    /// The data.
    pub x: &'a Nonzeros<T>,
    /// Which rows of it: numbers below `x.rows()`.
    pub rows: R,
    /// Weights, a row a feature; an even number of them.
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
        let w = self.w;
        in_groups(w, arithmetic, RowByRow { product: self, pairs, value, arithmetic });
    }
}

/// The running sums stand in registers, those of even and of odd columns, until a tile of columns is done.
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
            let w = &w.lanes()[tile * TILE * width + first..];
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

/// What to do with a row of Xᵀ·d. A trait and not a closure: its method can be told to be compiled into the kernel, at its level.
pub trait EachRow<T> {
    /// `lanes` are those from `first` on of row `p`. Must be `#[inline(always)]`.
    fn row<const N: usize>(&mut self, p: usize, first: usize, lanes: [[T; LANES]; N], arithmetic: impl Arithmetic);
}

/// dW ← Xᵀ·d, or dW ← dW + Xᵀ·d, `dW` without padding.
pub(crate) struct Store<'a, T> {
    pub d_w: &'a mut [T],
    pub outputs: usize,
    pub onto_itself: bool,
}

impl<T: Float> EachRow<T> for Store<'_, T> {
    #[inline(always)]
    fn row<const N: usize>(&mut self, p: usize, first: usize, lanes: [[T; LANES]; N], _: impl Arithmetic) {
        let row = &mut self.d_w[p * self.outputs..(p + 1) * self.outputs];
        let onto_itself = self.onto_itself;
        // Whole lanes by a length known beforehand, as in `Padded::load`.
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
pub struct Backward<'a, T, E> {
    /// The batch.
    pub columns: &'a Columns<T>,
    /// The gradient of the forward product's result.
    pub d: &'a Padded<T>,
    /// What to do with a row of the gradient.
    pub each: E,
    /// Whether to hand over rows of zeros too: those of pairs of columns that are zero in the whole batch.
    pub every: bool,
}

impl<T: Float, E: EachRow<T>> Kernel for Backward<'_, T, E> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let columns = self.columns;
        match &columns.entries {
            Entries::Bytes(entries, table) => self.all(entries, |byte| table[usize::from(byte)], arithmetic),
            Entries::Floats(entries) => self.all(entries, |float| float, arithmetic),
        }
    }
}

impl<T: Float, E: EachRow<T>> Backward<'_, T, E> {
    #[inline(always)]
    fn all<V: Copy>(mut self, entries: &[(u32, [V; 2])], value: impl Fn(V) -> T + Copy, arithmetic: impl Arithmetic) {
        let (rows, each) = (self.columns.rows, &mut self.each);
        for (pair, &end) in self.columns.ends.iter().enumerate() {
            let list = &entries[pair * rows..end];
            if !list.is_empty() || self.every {
                let alone = 2 * pair + 1 == self.columns.columns;
                in_groups(self.d, arithmetic, SumPair { pair, alone, list, value, d: self.d, each, arithmetic });
            }
        }
    }
}

/// The rows of the gradient that belong to a pair of columns; `alone` says that there is no second one.
struct SumPair<'a, T, V, F, E, A> {
    pair: usize,
    alone: bool,
    list: &'a [(u32, [V; 2])],
    value: F,
    d: &'a Padded<T>,
    each: &'a mut E,
    arithmetic: A,
}

impl<T: Float, V: Copy, F: Fn(V) -> T, E: EachRow<T>, A: Arithmetic> Group for SumPair<'_, T, V, F, E, A> {
    #[inline(always)]
    fn work<const N: usize, const HALF: bool>(&mut self, first: usize) {
        let (width, d) = (self.d.width(), &self.d.lanes()[first..]);
        let mut even = [[T::zero(); LANES]; N];
        let mut odd = even;
        for &(n, [a, b]) in self.list {
            let d = &d[n as usize * width..][..N];
            add_scaled::<T, N, HALF>(&mut even, (self.value)(a), d, self.arithmetic);
            add_scaled::<T, N, HALF>(&mut odd, (self.value)(b), d, self.arithmetic);
        }
        self.each.row(2 * self.pair, first, even, self.arithmetic);
        if !self.alone {
            self.each.row(2 * self.pair + 1, first, odd, self.arithmetic);
        }
    }
}

/// `sum ← sum + x · lanes`; `HALF` says that of the last lane the first half alone is added.
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

/// How many numbers of a lane are computed: a half of the last one's if `HALF`.
#[inline(always)]
fn numbers<const N: usize, const HALF: bool>(lane: usize) -> usize {
    if HALF && lane + 1 == N {
        LANES / 2
    } else {
        LANES
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::level::{available, detect};
    use crate::matmul::tests::numbers;
    use ndarray::{Array2, ArrayView1, Axis};

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
        padded.load(detect().unwrap(), &rows.iter().copied().collect::<Vec<_>>());
        padded
    }

    /// W with the row of zeros that makes the number of rows even.
    fn even<T: Float>(w: &Array2<T>) -> Padded<T> {
        let mut padded = Padded::zeros(w.nrows().next_multiple_of(2), w.ncols()).unwrap();
        padded.load(detect().unwrap(), w.as_slice().unwrap());
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
        /// The batch as it is.
        batch: Array2<f64>,
    }

    fn refilled<T: Float>(columns: &mut Columns<T>, level: Level, x: &Nonzeros<T>, rows: &[usize], next: &[usize]) {
        columns.refill(level, x, rows.iter().copied(), next.iter().copied()).unwrap();
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
                see(Data { all: without_zeros(x), batch });
            }
        }
    }

    fn forward_is_three_loops<T: Float>() {
        // Filled again and again, whatever they held.
        let mut columns = Columns::default();
        each_data::<T>(|Data { all, batch }| {
            let features = all.features();
            let pairs = pairs_of_rows(batch.view());
            for outputs in OUTPUTS {
                let (w, b) = (numbers::<T>((features, outputs), 1), numbers::<T>((1, outputs), 2));
                let (sums, sizes) = three_loops(batch.view(), wide(&w).view());
                let (want, sizes) = (sums + wide(&b), sizes + wide(&b).mapv(f64::abs));
                let (w, b) = (even(&w), padded(&b));
                let mut fused = [None, None];
                for &level in available() {
                    let near = |run: &mut dyn FnMut(&mut Padded<T>)| {
                        // What was there is not read, and what is behind the batch not written.
                        let mut out = padded(&Array2::from_elem((ROOM, outputs), T::nan()));
                        run(&mut out);
                        for i in 0..ROOM {
                            let row: Vec<_> = out.row(i).as_flattened().to_vec();
                            let (numbers, rest) = row.split_at(outputs);
                            assert!(rest.iter().all(|&x| x == T::zero()));
                            assert!(i < BATCH.len() || numbers.iter().all(|x| x.is_nan()));
                        }
                        let mut got = Array2::zeros((BATCH.len(), outputs));
                        out.store(level, got.as_slice_mut().unwrap());
                        for ((i, j), got) in got.indexed_iter() {
                            // Each term is rounded as a product, in the sum it is added to, at the end of each tile, and in f64 again.
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
                        near(&mut |out| level.run(Forward { columns: &columns, w: &w, b: &b, out }))
                    });
                    // What comes next changes no bit; nor does the level, where products are not rounded.
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

    /// How often each row was handed over, per lane.
    struct Seen<'a> {
        times: &'a mut Array2<usize>,
    }

    impl<T: Float> EachRow<T> for Seen<'_> {
        #[inline(always)]
        fn row<const N: usize>(&mut self, p: usize, first: usize, _: [[T; LANES]; N], _: impl Arithmetic) {
            (first..first + N).for_each(|lane| self.times[[p, lane]] += 1);
        }
    }

    fn backward_is_three_loops<T: Float>() {
        let mut columns = Columns::default();
        each_data::<T>(|Data { all, batch }| {
            let features = all.features();
            let lists = rows_of_columns(batch.view());
            for outputs in OUTPUTS {
                let d = numbers::<T>((BATCH.len(), outputs), 3);
                let before = numbers::<T>((features, outputs), 4);
                let (sums, sizes) = three_loops(batch.t(), wide(&d).view());
                let (want, sizes) = (sums + wide(&before), sizes + wide(&before).mapv(f64::abs));
                // An entry of a longer batch would bring a nan.
                let mut room = Array2::from_elem((ROOM, outputs), T::nan());
                room.slice_mut(ndarray::s![..BATCH.len(), ..]).assign(&d);
                let d = padded(&room);
                let mut fused = None;
                for &level in available() {
                    // A batch that takes all of the room before this one, which does not.
                    let longer: [_; ROOM] = std::array::from_fn(|i| EXAMPLES - 1 - i);
                    refilled(&mut columns, level, &all, &longer, &[]);
                    refilled(&mut columns, level, &all, &BATCH, &[]);
                    for every in [false, true] {
                        let mut times = Array2::zeros((features, d.width()));
                        level.run(Backward { columns: &columns, d: &d, each: Seen { times: &mut times }, every });
                        for ((p, _), &times) in times.indexed_iter() {
                            assert_eq!(times, usize::from(every || lists[p] > 0), "row {p} at {}", level.name());
                        }
                    }
                    let stored = |onto_itself: bool, d_w: &Array2<T>| {
                        let mut d_w = d_w.clone();
                        let each = Store { d_w: d_w.as_slice_mut().unwrap(), outputs, onto_itself };
                        level.run(Backward { columns: &columns, d: &d, each, every: !onto_itself });
                        d_w
                    };
                    let nothing = stored(true, &Array2::zeros(before.dim()));
                    assert_eq!(stored(false, &Array2::from_elem(before.dim(), T::nan())), nothing);
                    let got = stored(true, &before);
                    for ((p, j), got) in got.indexed_iter() {
                        // Each term is rounded as a product, in the sum it is added to, with what was there, and in f64 again.
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

    /// The list of a pair, and what its numbers stand for.
    fn list<T: Float>(columns: &Columns<T>, pair: usize) -> Vec<(u32, [T; 2])> {
        let range = pair * columns.rows..columns.ends[pair];
        match &columns.entries {
            Entries::Bytes(entries, table) => {
                entries[range].iter().map(|&(n, pair)| (n, pair.map(|byte| table[usize::from(byte)]))).collect()
            }
            Entries::Floats(entries) => entries[range].to_vec(),
        }
    }

    #[test]
    fn lists_of_rows_looked_through_are_those_of_rows_kept() {
        let (mut columns, mut looked) = (Columns::<f64>::default(), Columns::default());
        for features in FEATURES {
            for x in Kinds::of(&mostly_zeros(EXAMPLES, features, 7)).each() {
                let mut kept = Nonzeros::new(features, x, 1.0);
                kept.extend(detect().unwrap(), x, 2..EXAMPLES).unwrap();
                for &level in available() {
                    columns.refill(level, &kept, 0..EXAMPLES - 2, 0..0).unwrap();
                    looked.refill_from(level, x, 2..EXAMPLES).unwrap();
                    assert_eq!(looked.dim(), columns.dim());
                    for pair in 0..features.div_ceil(2) {
                        assert_eq!(list(&looked, pair), list(&columns, pair));
                    }
                }
            }
        }
    }

    #[test]
    fn the_lists_are_what_is_not_zero_in_order() {
        let mut columns = Columns::default();
        each_data::<f32>(|Data { all, batch }| {
            let features = all.features();
            // Then nine times the full row, which stands second in the batch: it takes all of the room there is.
            for (rows, places) in [(&BATCH, std::array::from_fn(|i| i)), (&[5; 9], [1; 9])] {
                refilled(&mut columns, detect().unwrap(), &all, rows, &[3]);
                for pair in 0..features.div_ceil(2) {
                    let at = |row: usize, column: usize| batch.get((places[row], column)).map_or(0.0, |&x| x as f32);
                    let wanted = (0..9).map(|row| (row as u32, [at(row, 2 * pair), at(row, 2 * pair + 1)]));
                    let wanted: Vec<_> = wanted.filter(|(_, numbers)| numbers != &[0.0; 2]).collect();
                    assert_eq!(list(&columns, pair), wanted);
                }
            }
        });
    }
}

//! The nonzeros of a data set, row by row.
//!
//! Four of five pixels of MNIST are zero, and a zero adds nothing to `x·W` nor to `xᵀ·d`. So a data set that is sparse
//! enough is read once, and of each row the pairs of neighbouring numbers that are not both zero are stored (compressed
//! sparse rows, of pairs):
//!
//! ```text
//! tile k of row n:   i = n · tiles + k,   places[starts[i] .. starts[i + 1]],  numbers[the same]
//! ```
//!
//! The place of a pair in its tile is a byte. Floats are converted to the type computed in, and multiplied by the scale
//! of a leading `Rescaling` layer, here, once, instead of at every step. Bytes stay bytes, and a table gives the value
//! of each of the 256: 60,000 images then take 18 MB, which may fit in a last-level cache, so a batch drawn at random
//! arrives sooner. Cost: 0.4 µs per image of bytes, 0.7 of f32; memory for each stored pair: a byte and its two
//! numbers.

use crate::error::{agree, reserve};
use crate::machine::level::{prefetch, Arithmetic, Kernel, Level};
use crate::sparse::rows::Rows;
use crate::{Float, KernelError};
use ndarray::{ArrayView1, ArrayView2};
use std::ops::Range;

/// Data with a larger share of such pairs goes through the dense kernels. Measured with AVX-512 in f32, batch 100, 784
/// features: a training step costs the same both ways at a share of 0.46, with 50 outputs and with 200; reading the
/// data once comes on top.
const DENSE: f64 = 0.4;

/// The most columns in a tile: the place of a pair in its tile must fit in a byte.
pub(crate) const TILE: usize = 512;

/// From this many columns on a row has at least two tiles of equal or nearly equal width, so that two threads can
/// divide a step by tiles (`first_layer`). Each tile of a row is a loop of its own, whose end costs some 12 ns.
const WORTH_TWO: usize = 64;

/// The tile width for rows of `features` numbers: an even number of tiles of equal width, if there are at least two.
fn tile_width(features: usize) -> usize {
    if features < WORTH_TWO {
        return features.next_multiple_of(2);
    }
    let tiles = 2 * features.div_ceil(2 * TILE);
    features.div_ceil(tiles).next_multiple_of(2)
}

/// Multiplications from which it pays to look for zeros: 27 rows of 784 numbers and 50 outputs.
const WORTH_LOOKING: usize = 1 << 20;

/// Compressed sparse rows.
#[derive(Debug)]
pub struct Nonzeros<T> {
    features: usize,
    scale: f64,
    /// Columns per tile, and tiles per row.
    tile_width: usize,
    tiles: usize,
    /// Where each tile of each row starts, and at the end where the last one ends.
    starts: Vec<usize>,
    /// The index of each pair in its tile.
    places: Vec<u8>,
    numbers: Numbers<T>,
}

/// The pairs of all rows, concatenated.
#[derive(Debug)]
pub(crate) enum Numbers<T> {
    /// Bytes, and the value of each of the 256.
    Bytes(Vec<[u8; 2]>, Box<[T; 256]>),
    /// The numbers themselves.
    Floats(Vec<[T; 2]>),
}

impl<T: Float> Nonzeros<T> {
    /// No rows yet. Rows will have `features` numbers of the type of `x`, each multiplied by `scale`.
    pub fn new(features: usize, x: Rows<'_>, scale: f64) -> Self {
        let numbers = match x {
            Rows::Bytes(_) => {
                let table = std::array::from_fn(|byte| T::of(byte as f64 * scale));
                Numbers::Bytes(Vec::new(), Box::new(table))
            }
            Rows::Single(_) | Rows::Double(_) => Numbers::Floats(Vec::new()),
        };
        let tile_width = tile_width(features);
        let tiles = features.div_ceil(tile_width.max(1));
        Self { features, scale, tile_width, tiles, starts: vec![0], places: Vec::new(), numbers }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        (self.starts.len() - 1) / self.tiles.max(1)
    }

    /// Numbers per row, zeros included.
    pub fn features(&self) -> usize {
        self.features
    }

    pub(crate) fn numbers(&self) -> &Numbers<T> {
        &self.numbers
    }

    /// Tiles per row.
    pub(crate) fn tiles(&self) -> usize {
        self.tiles
    }

    /// Columns per tile: an even number.
    pub(crate) fn tile_width(&self) -> usize {
        self.tile_width
    }

    /// The places of the pairs in a tile of a row, and the range of their numbers.
    #[inline(always)]
    pub(crate) fn tile(&self, row: usize, tile: usize) -> (&[u8], Range<usize>) {
        let tile = row * self.tiles + tile;
        let range = self.starts[tile]..self.starts[tile + 1];
        (&self.places[range.clone()], range)
    }

    /// Prefetch the offsets of a row.
    #[inline(always)]
    pub(crate) fn ask_where(&self, row: usize) {
        prefetch(&self.starts[row * self.tiles..][..self.tiles + 1]);
    }

    /// The columns of these tiles.
    pub(crate) fn columns(&self, tiles: &Range<usize>) -> Range<usize> {
        tiles.start * self.tile_width..(tiles.end * self.tile_width).min(self.features)
    }

    /// Prefetch the places and `pairs` of these tiles of a row.
    #[inline(always)]
    pub(crate) fn ask_for<V>(&self, row: usize, tiles: &Range<usize>, pairs: &[[V; 2]]) {
        let range = self.starts[row * self.tiles + tiles.start]..self.starts[row * self.tiles + tiles.end];
        prefetch(&self.places[range.clone()]);
        prefetch(&pairs[range]);
    }

    /// Append these rows of `x`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`]; the rows appended so far stay. [`KernelError::Sizes`] or [`KernelError::Kind`] if the
    /// rows of `x` have another length or type, [`KernelError::Row`] if `x` does not have that many.
    pub fn extend(&mut self, level: Level, x: Rows<'_>, rows: Range<usize>) -> Result<(), KernelError> {
        agree("the number of columns of x", x.dim().1, "the number of features", self.features)?;
        let there = x.dim().0;
        if rows.end > there && !rows.is_empty() {
            return Err(KernelError::Row { got: (rows.end - 1) as i64, rows: there });
        }
        let Self { scale, tile_width, starts, places, .. } = self;
        let (scale, tile) = (*scale, *tile_width);
        match (x, &mut self.numbers) {
            (Rows::Bytes(x), Numbers::Bytes(bytes, _)) => {
                append(level, x, rows, tile, (starts, places, bytes), |byte| byte)
            }
            (Rows::Single(x), Numbers::Floats(floats)) if scale == 1.0 => {
                append(level, x, rows, tile, (starts, places, floats), T::of_single)
            }
            (Rows::Double(x), Numbers::Floats(floats)) if scale == 1.0 => {
                append(level, x, rows, tile, (starts, places, floats), T::of)
            }
            (Rows::Single(x), Numbers::Floats(floats)) => {
                append(level, x, rows, tile, (starts, places, floats), |x| T::of(f64::from(x) * scale))
            }
            (Rows::Double(x), Numbers::Floats(floats)) => {
                append(level, x, rows, tile, (starts, places, floats), |x| T::of(x * scale))
            }
            _ => Err(KernelError::Kind),
        }
    }
}

/// Append the nonzeros in `rows` of `x`, each converted by `keep`.
fn append<S: Pairs, V: Copy>(
    level: Level,
    x: ArrayView2<'_, S>,
    rows: Range<usize>,
    tile: usize,
    (starts, places, numbers): (&mut Vec<usize>, &mut Vec<u8>, &mut Vec<[V; 2]>),
    keep: impl Fn(S) -> V + Copy,
) -> Result<(), KernelError> {
    let mut found = [0; CAPACITY];
    for row in rows {
        let row = x.row(row);
        let row = row.as_standard_layout(); // no copy if the row is contiguous
        for tile in row.as_slice().unwrap_or(&[]).chunks(tile.max(1)) {
            let found = level.run(Find { tile, places: &mut found });
            reserve(places, found.len())?;
            reserve(numbers, found.len())?;
            places.extend_from_slice(found);
            numbers.extend(found.iter().map(|&place| pair(tile, place).map(keep)));
            reserve(starts, 1)?;
            starts.push(places.len());
        }
    }
    Ok(())
}

/// The pair at that place of a tile. A last number without a neighbour is paired with zero.
#[inline(always)]
fn pair<S: Copy + Default>(tile: &[S], place: u8) -> [S; 2] {
    let (pairs, last) = tile.as_chunks::<2>();
    let last = || [last.first().copied().unwrap_or_default(), S::default()];
    pairs.get(usize::from(place)).copied().unwrap_or_else(last)
}

/// Find the pairs of one tile that are not both zero.
struct Find<'a, 'p, S> {
    tile: &'a [S],
    places: &'p mut [u8; CAPACITY],
}

/// Places are found 8 at a time.
const CAPACITY: usize = (TILE / 2).next_multiple_of(8);

/// The positions of the set bits in a byte, lowest first: eight bytes, as one word.
const PLACES: [u64; 256] = {
    let (mut table, mut byte) = ([0; 256], 0);
    while byte < 256 {
        let (mut found, mut place) = (0, 0);
        while place < 8 {
            if byte >> place & 1 == 1 {
                table[byte] |= place << (8 * found);
                found += 1;
            }
            place += 1;
        }
        byte += 1;
    }
    table
};

/// A number type that data is stored in.
pub(crate) trait Pairs: Copy + Default {
    /// Zero exactly if both numbers of the pair are: -0 counts as zero, nan does not.
    fn word(pair: [Self; 2]) -> u64;
}

impl Pairs for u8 {
    #[inline(always)]
    fn word(pair: [u8; 2]) -> u64 {
        u16::from_le_bytes(pair).into()
    }
}

impl Pairs for f32 {
    #[inline(always)]
    fn word([a, b]: [f32; 2]) -> u64 {
        (u64::from(a.to_bits()) | u64::from(b.to_bits()) << 32) & 0x7fff_ffff_7fff_ffff
    }
}

impl Pairs for f64 {
    #[inline(always)]
    fn word([a, b]: [f64; 2]) -> u64 {
        (a.to_bits() | b.to_bits()) << 1
    }
}

impl<'p, S: Pairs> Kernel for Find<'_, 'p, S> {
    type Output = &'p [u8];

    /// No branch depends on the data: with one in ten mispredicted, the loop takes three times as long.
    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) -> &'p [u8] {
        let Self { tile, places } = self;
        let (sixteens, rest) = tile.as_chunks::<16>();
        let mut end = 0;
        for (sixteen, first) in sixteens.iter().zip((0..).step_by(8)) {
            end += note(sixteen, first, &mut places[end..], arithmetic);
        }
        if !rest.is_empty() {
            end += note(&last_sixteen(rest), 8 * sixteens.len() as u8, &mut places[end..], arithmetic);
        }
        &places[..end]
    }
}

/// Write the places of those of eight pairs that are not both zero, the first pair being at place `first`; returns how
/// many.
#[inline(always)] // a closure might not be inlined into the kernel, at its level
fn note<S: Pairs>(sixteen: &[S; 16], first: u8, places: &mut [u8], arithmetic: impl Arithmetic) -> usize {
    let byte = not_zero(sixteen, arithmetic);
    let found = PLACES[usize::from(byte)] + u64::from_le_bytes([first; 8]);
    // Always write eight; the count says how many of them stay. There is room: no more were found than looked at.
    places[..8].copy_from_slice(&found.to_le_bytes());
    byte.count_ones() as usize
}

/// Which of eight pairs are not both zero, one bit each.
#[inline(always)]
pub(crate) fn not_zero<S: Pairs>(sixteen: &[S; 16], arithmetic: impl Arithmetic) -> u8 {
    arithmetic.nonzero(std::array::from_fn(|i| S::word([sixteen[2 * i], sixteen[2 * i + 1]])))
}

/// The remainder of a row after its whole sixteens, padded with zeros.
#[inline(always)]
pub(crate) fn last_sixteen<S: Pairs>(rest: &[S]) -> [S; 16] {
    let mut sixteen = [S::default(); 16];
    sixteen[..rest.len()].copy_from_slice(rest);
    sixteen
}

/// Whether skipping the zeros of `x` pays in a product with `outputs` columns of `others`, which must be finite.
pub(crate) fn skips<T: Float>(level: Level, x: Rows<'_>, outputs: usize, others: &[T]) -> bool {
    let (n, features) = x.dim();
    n.saturating_mul(features).saturating_mul(outputs) >= WORTH_LOOKING
        && pays(level, x)
        && level.run(AllFinite(others))
}

/// Whether none of the numbers is nan or infinite.
pub(crate) struct AllFinite<'a, T>(pub &'a [T]);

impl<T: Float> Kernel for AllFinite<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn run(self, _: impl Arithmetic) -> bool {
        // Each chunk to its end: a loop with an early exit is not vectorized.
        self.0.chunks(256).all(|chunk| chunk.iter().fold(true, |finite, number| finite & number.is_finite()))
    }
}

/// Whether skipping the zeros of `x` pays, judged by about 16 rows spread over the data, always the same ones. Only
/// contiguous data qualifies.
pub fn pays(level: Level, x: Rows<'_>) -> bool {
    let (n, features) = x.dim();
    if n == 0 || features == 0 || !x.lie_end_to_end() {
        return false;
    }
    let looked_at = (0..n).step_by(n.div_ceil(16));
    let pairs = looked_at.len() * features.div_ceil(2);
    let there: usize = match x {
        Rows::Bytes(x) => looked_at.map(|row| level.run(Count(x.row(row)))).sum(),
        Rows::Single(x) => looked_at.map(|row| level.run(Count(x.row(row)))).sum(),
        Rows::Double(x) => looked_at.map(|row| level.run(Count(x.row(row)))).sum(),
    };
    (there as f64) < DENSE * pairs as f64
}

/// Counts the pairs of neighbours in a row that are not both zero.
struct Count<'a, S>(ArrayView1<'a, S>);

impl<S: Pairs> Kernel for Count<'_, S> {
    type Output = usize;

    #[inline(always)]
    fn run(self, _: impl Arithmetic) -> usize {
        let (pairs, last) = self.0.as_slice().unwrap_or(&[]).as_chunks::<2>();
        let there = pairs.iter().map(|&pair| u32::from(S::word(pair) != 0)).sum::<u32>();
        there as usize + last.iter().filter(|&&last| S::word([last, S::default()]) != 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::affine::tests::full;
    use crate::machine::level::{available, detect};
    use crate::sparse::product::tests::{mostly_zeros, Kinds};
    use ndarray::{array, s, Array2};
    use proptest::prelude::*;

    fn level() -> Level {
        detect().unwrap()
    }

    /// The pairs of a row with their values, read from the stored arrays.
    fn row<T: Float>(sparse: &Nonzeros<T>, row: usize) -> Vec<(usize, [T; 2])> {
        let mut pairs = Vec::new();
        for tile in 0..sparse.tiles() {
            let (places, at) = sparse.tile(row, tile);
            assert!(places.windows(2).all(|two| two[0] < two[1]), "{places:?}");
            assert!(places.iter().all(|&place| usize::from(place) < sparse.tile_width() / 2), "{places:?}");
            let numbers: Vec<_> = match sparse.numbers() {
                Numbers::Bytes(bytes, table) => {
                    bytes[at].iter().map(|two| two.map(|b| table[usize::from(b)])).collect()
                }
                Numbers::Floats(floats) => floats[at].to_vec(),
            };
            assert_eq!(places.len(), numbers.len());
            pairs
                .extend(places.iter().map(|&place| tile * (sparse.tile_width() / 2) + usize::from(place)).zip(numbers));
        }
        pairs
    }

    /// nan equals nan, and -0 equals 0.
    fn same<T: Float>(a: T, b: T) -> bool {
        a == b || (a.is_nan() && b.is_nan())
    }

    /// Everything that is stored, as one string, in which nan equals nan.
    fn all<T: Float>(sparse: &Nonzeros<T>) -> String {
        format!("{sparse:?}")
    }

    fn filled<T: Float>(level: Level, x: Rows<'_>, rows: Range<usize>) -> Nonzeros<T> {
        let mut sparse = Nonzeros::new(x.dim().1, x, 1.0);
        sparse.extend(level, x, rows).unwrap();
        sparse
    }

    #[test]
    fn rows_of_another_kind_or_length_are_refused() {
        let (bytes, floats, short) = (array![[1u8, 2]], array![[1.0f32, 2.0]], array![[1u8]]);
        let mut sparse = Nonzeros::<f64>::new(2, Rows::Bytes(bytes.view()), 1.0);
        assert_eq!(sparse.extend(level(), Rows::Single(floats.view()), 0..1), Err(KernelError::Kind));
        assert!(matches!(sparse.extend(level(), Rows::Bytes(short.view()), 0..1), Err(KernelError::Sizes { .. })));
        assert_eq!(sparse.rows(), 0);
        let mut sparse = Nonzeros::<f64>::new(2, Rows::Single(floats.view()), 1.0);
        assert_eq!(sparse.extend(level(), Rows::Bytes(bytes.view()), 0..1), Err(KernelError::Kind));
        assert_eq!(sparse.rows(), 0);
        let beyond = sparse.extend(level(), Rows::Single(floats.view()), 0..3);
        assert_eq!((beyond, sparse.rows()), (Err(KernelError::Row { got: 2, rows: 1 }), 0));
    }

    #[test]
    fn rows_that_lie_apart_are_those_that_lie_end_to_end() {
        let x = mostly_zeros(6, 37, 5);
        for rows in Kinds::of(&x).each() {
            let wanted = all(&filled::<f32>(level(), rows, 0..6));
            let mut apart = Array2::from_elem((37, 12), 1.0);
            apart.slice_mut(s![.., ..;2]).assign(&Kinds::wide(rows).t());
            let (bytes, single) = (apart.mapv(|x| x as u8), apart.mapv(|x| x as f32));
            let [bytes, single] = [
                Rows::Bytes(bytes.slice(s![.., ..;2]).reversed_axes()),
                Rows::Single(single.slice(s![.., ..;2]).reversed_axes()),
            ];
            let apart = match rows {
                Rows::Bytes(_) => bytes,
                Rows::Single(_) => single,
                Rows::Double(_) => Rows::Double(apart.slice(s![.., ..;2]).reversed_axes()),
            };
            assert_eq!(all(&filled::<f32>(level(), apart, 0..6)), wanted);
        }
    }

    #[test]
    fn zeros_are_left_out_and_numbers_scaled() {
        let x = array![[0u8, 2, 0, 0, 255], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]];
        let (single, double) = (x.mapv(f32::from), x.mapv(f64::from));
        for x in [Rows::Bytes(x.view()), Rows::Single(single.view()), Rows::Double(double.view())] {
            let mut sparse = Nonzeros::<f32>::new(5, x, 1.0 / 255.0);
            sparse.extend(level(), x, 0..3).unwrap();
            assert_eq!((sparse.rows(), sparse.features()), (3, 5));
            // The last column has no neighbour and is paired with zero.
            assert_eq!(row(&sparse, 0), [(0, [0.0, 2.0 / 255.0]), (2, [1.0, 0.0])]);
            assert_eq!(row(&sparse, 1), []);
            assert_eq!(row(&sparse, 2), [(0, [1.0 / 255.0, 0.0])]);
        }
    }

    #[test]
    fn tiles_are_halves_or_parts_of_halves() {
        for features in (0..3 * TILE).chain([10_000, 10_001]) {
            let x = Array2::<u8>::zeros((0, features));
            let sparse = Nonzeros::<f32>::new(features, Rows::Bytes(x.view()), 1.0);
            let (width, tiles) = (sparse.tile_width(), sparse.tiles());
            assert!(width % 2 == 0 && width <= TILE, "{features}: {width}");
            assert_eq!(sparse.columns(&(0..tiles)), 0..features);
            if features >= WORTH_TWO {
                let [left, right] = [0..tiles / 2, tiles / 2..tiles].map(|tiles| sparse.columns(&tiles).len());
                // Widths are even, and the last tile has the remainder.
                assert!(tiles % 2 == 0 && left >= right && left - right <= 2 * tiles, "{features}: {left} and {right}");
            }
        }
    }

    #[test]
    fn rows_longer_than_a_tile_from_each_kind_in_parts() {
        for features in [37, 65, 2 * TILE, 2 * TILE + 1] {
            let x = mostly_zeros(4, features, 5);
            for rows in Kinds::of(&x).each() {
                let double = Kinds::wide(rows);
                let mut sparse = Nonzeros::<f64>::new(features, rows, 1.0);
                sparse.extend(level(), rows, 1..3).unwrap();
                sparse.extend(level(), rows, 3..4).unwrap();
                assert_eq!(sparse.rows(), 3);
                for (i, original) in (1..4).enumerate() {
                    let mut back = vec![0.0; features + 1];
                    for (pair, [a, b]) in row(&sparse, i) {
                        (back[2 * pair], back[2 * pair + 1]) = (a, b);
                    }
                    assert_eq!(back.pop().filter(|_| features % 2 == 1).unwrap_or(0.0), 0.0);
                    assert_eq!(back, double.row(original).to_vec());
                }
            }
        }
    }

    #[test]
    fn nan_is_kept_and_negative_zero_left_out() {
        let x = array![[f64::NAN, -0.0, -0.0, 0.0, -0.0]];
        let sparse = filled::<f64>(level(), Rows::Double(x.view()), 0..1);
        let pairs = row(&sparse, 0);
        assert_eq!(pairs.len(), 1);
        assert!(pairs[0].0 == 0 && pairs[0].1[0].is_nan() && pairs[0].1[1] == 0.0);
    }

    #[test]
    fn it_pays_for_sparse_data_only() {
        // In each row, so many tenths of the pairs have a number that is not zero: the left, the right, or both.
        for (features, columns) in [(20, 0), (20, 1), (200, 0), (201, 1), (5000, 0)] {
            let share = |tenths: usize| {
                Array2::from_shape_fn((50, features), |(i, j)| {
                    u8::from((i + j / 2) % 10 < tenths && ((i + j / 2) % 3 == 2 || j % 2 == columns))
                })
            };
            let judge = |x: Array2<u8>| {
                let x = Kinds::of(&x);
                let judged = |&level| x.each().map(|x| pays(level, x));
                available().iter().flat_map(judged).collect::<Vec<_>>()
            };
            for (tenths, want) in [(0, true), (1, true), (3, true), (5, false), (10, false)] {
                assert!(judge(share(tenths)).iter().all(|&pays| pays == want), "{tenths} in ten of {features}");
            }
            assert!(judge(Array2::ones((50, features))).iter().all(|pays| !pays));
        }
        assert!(!pays(level(), Rows::Bytes(Array2::zeros((0, 20)).view())));
        assert!(!pays(level(), Rows::Bytes(Array2::zeros((20, 0)).view())));
        // A last column without a neighbour counts as a pair.
        assert!(pays(level(), Rows::Bytes(array![[0u8, 0, 0, 0, 1]].view())));
        assert!(!pays(level(), Rows::Bytes(array![[0u8, 0, 1]].view())));
    }

    #[test]
    fn rows_all_over_the_data_are_judged() {
        let mut x = Array2::<u8>::zeros((6400, 4));
        x.slice_mut(s![2000.., ..]).fill(1);
        assert!(!pays(level(), Rows::Bytes(x.view())));
        x.slice_mut(s![2000.., ..]).fill(0);
        x.slice_mut(s![..2000, ..]).fill(1);
        assert!(pays(level(), Rows::Bytes(x.view())));
    }

    /// Bytes, most of them zero. As floats (see [`floats`]) some become special values.
    fn bytes() -> impl Strategy<Value = Array2<u8>> {
        let features = prop_oneof![0..5usize, 385..400usize, 780..790usize, 1..600usize];
        (0..7usize, features, 0..=4u32).prop_flat_map(|(n, features, filled)| {
            let byte = prop_oneof![4 - filled => Just(0), filled => any::<u8>(), 1 => 0..8u8];
            let numbers = prop::collection::vec(byte, n * features);
            numbers.prop_map(move |numbers| Array2::from_shape_vec((n, features), numbers).unwrap())
        })
    }

    /// Zero in the same places, except for a few zeros of either sign; the other bytes become floats of every kind.
    fn floats(bytes: &Array2<u8>) -> (Array2<f32>, Array2<f64>) {
        let double = |byte: u8| match byte {
            0 => 0.0,
            1 => -0.0,
            2 => f64::NAN,
            3 => f64::INFINITY,
            4 => f64::NEG_INFINITY,
            5 => f64::MIN_POSITIVE / 8.0, // 0 in f32
            6 => f64::from(f32::MIN_POSITIVE) / 8.0,
            _ => (f64::from(byte) - 100.3).sin(),
        };
        (bytes.mapv(|byte| double(byte) as f32), bytes.mapv(double))
    }

    /// `x` is stored exactly, whichever way it is read.
    fn holds<T: Float, S: Pairs + PartialEq>(
        x: Rows<'_>,
        original: &Array2<S>,
        value: impl Fn(S) -> T,
    ) -> Result<(), TestCaseError> {
        let (n, features) = original.dim();
        let pairs = features.div_ceil(2);
        let sparse = filled::<T>(level(), x, 0..n);
        prop_assert_eq!(sparse.features(), features);
        if features == 0 {
            return Ok(()); // no tiles, so the number of rows is unknown
        }
        prop_assert_eq!(sparse.rows(), n);
        for (i, original) in original.rows().into_iter().enumerate() {
            let at = |column: usize| original.get(column).copied().unwrap_or_default();
            let zero = |column: usize| at(column) == S::default();
            let wanted = (0..pairs).filter(|pair| !(zero(2 * pair) && zero(2 * pair + 1)));
            let got = row(&sparse, i);
            prop_assert_eq!(got.iter().map(|stored| stored.0).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
            for (pair, numbers) in got {
                for (number, column) in numbers.into_iter().zip(2 * pair..) {
                    prop_assert!(same(number, value(at(column))), "row {}, column {}: {}", i, column, number);
                }
            }
        }
        for &other in available() {
            prop_assert_eq!(all(&filled::<T>(other, x, 0..n)), all(&sparse));
        }
        Ok(())
    }

    #[test]
    fn zeros_are_skipped_where_that_pays_and_nothing_is_infinite() {
        let x = mostly_zeros(64, 128, 3);
        let full = full(64, 128);
        let w = vec![1.0f32; 128 * 128];
        for &level in available() {
            let skips = |x: &Array2<u8>, outputs, w: &[f32]| skips(level, Rows::Bytes(x.view()), outputs, w);
            assert!(skips(&x, 128, &w)); // 2²⁰ multiplications
            assert!(!skips(&x, 127, &w));
            assert!(!skips(&full, 128, &w));
            for (bad, at) in [(f32::NAN, 0), (f32::INFINITY, 255), (f32::NEG_INFINITY, 256), (f32::NAN, w.len() - 1)] {
                let mut w = w.clone();
                w[at] = bad;
                assert!(!skips(&x, 128, &w));
            }
            assert!(skips(&x, 128, &[f32::MAX, f32::MIN, -0.0]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn what_is_kept_are_the_nonzero_pairs_and_nothing_else(x in bytes()) {
            let (single, double) = floats(&x);
            holds::<f32, _>(Rows::Bytes(x.view()), &x, f32::from)?;
            holds::<f64, _>(Rows::Bytes(x.view()), &x, f64::from)?;
            holds::<f32, _>(Rows::Single(single.view()), &single, |x| x)?;
            holds::<f64, _>(Rows::Single(single.view()), &single, f64::from)?;
            holds::<f32, _>(Rows::Double(double.view()), &double, |x| x as f32)?;
            holds::<f64, _>(Rows::Double(double.view()), &double, |x| x)?;
        }
    }
}

//! The nonzeros of a batch as lists, one for each pair of columns.
//!
//! In training, each batch is turned into such lists from the [`Nonzeros`] of the data set, and both products of a step
//! iterate over them (see [`sparse`](crate::sparse::product)):
//!
//! ```text
//! list of pair p     (n, [x, y])     for the rows n of the batch where x = X[n][2p] or y = X[n][2p + 1] is not zero
//! ```
//!
//! Why lists of a fixed capacity (the batch size) each, and not the sorted transpose: one pass instead of three. Why
//! the numbers as they are stored: an entry with two bytes is 8 bytes and crosses no cache line. Cost for 100 MNIST
//! images of bytes on Zen 4: 14 µs, half of it waiting for images drawn at random.

use crate::dense::padded::Padded;
use crate::error::resize;
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::sparse::nonzeros::{Nonzeros, Numbers};
use crate::sparse::product::{Backward, EachRow, Forward, Lists};
use crate::{Float, KernelError};
use std::ops::Range;

/// For each pair of columns, the rows where it is not zero, and its two numbers there.
#[derive(Debug)]
pub(crate) struct Columns<T> {
    entries: Entries<T>,
    /// Where the list of each pair ends; that of pair p starts at p · `rows`.
    ends: Vec<usize>,
    rows: usize,
    columns: usize,
}

/// The lists, with the numbers as they are stored.
#[derive(Debug)]
enum Entries<T> {
    /// Bytes, and the value of each of the 256.
    Bytes(Vec<(u32, [u8; 2])>, Box<[T; 256]>),
    Floats(Vec<(u32, [T; 2])>),
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self { entries: Entries::Floats(Vec::new()), ends: Vec::new(), rows: 0, columns: 0 }
    }
}

impl<T: Float> Columns<T> {
    /// Reserve memory for batches of `rows` rows of these tiles of `x`, so that `refill` allocates nothing.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub(crate) fn reserve(&mut self, x: &Nonzeros<T>, tiles: &Range<usize>, rows: usize) -> Result<(), KernelError> {
        let capacity = self.start(rows, x.columns(tiles).len())?;
        match x.numbers() {
            Numbers::Bytes(_, table) => self.bytes(table, capacity).map(drop),
            Numbers::Floats(_) => self.floats(capacity).map(drop),
        }
    }

    /// Fill the lists from these rows of `x`, all below `x.rows()`, in the existing memory if it is large enough. The
    /// rows of the `next` batch are prefetched meanwhile.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub(crate) fn refill<R>(
        &mut self,
        level: Level,
        x: &Nonzeros<T>,
        tiles: Range<usize>,
        rows: R,
        next: R,
    ) -> Result<(), KernelError>
    where
        R: ExactSizeIterator<Item = usize> + Clone,
    {
        let capacity = self.start(rows.len(), x.columns(&tiles).len())?;
        match x.numbers() {
            Numbers::Bytes(pairs, table) => {
                let (entries, ends) = self.bytes(table, capacity)?;
                level.run(Note { x, tiles, pairs, rows, next, entries, ends });
            }
            Numbers::Floats(pairs) => {
                let (entries, ends) = self.floats(capacity)?;
                level.run(Note { x, tiles, pairs, rows, next, entries, ends });
            }
        }
        Ok(())
    }

    /// `out ← X·W + b`, where X is the batch and `out` is as wide as `w`.
    pub(crate) fn forward(&self, level: Level, w: &Padded<T>, b: &[T], out: &mut Padded<T>) {
        let w = w.as_rows();
        let (ends, dim) = (&self.ends[..], (self.rows, self.columns));
        match &self.entries {
            Entries::Bytes(entries, table) => {
                let lists = Listed { entries, ends, dim, value: |byte| table[usize::from(byte)] };
                level.run(Forward { lists, w, b, out });
            }
            Entries::Floats(entries) => {
                let lists = Listed { entries, ends, dim, value: |float| float };
                level.run(Forward { lists, w, b, out });
            }
        }
    }

    /// Pass on each row of Xᵀ·d: with `every`, also those of columns that are zero in the whole batch.
    pub(crate) fn backward<E: EachRow<T>>(&self, level: Level, d: &Padded<T>, each: E, every: bool) {
        let (ends, dim) = (&self.ends[..], (self.rows, self.columns));
        match &self.entries {
            Entries::Bytes(entries, table) => {
                let lists = Listed { entries, ends, dim, value: |byte| table[usize::from(byte)] };
                level.run(Backward { lists, d, each, every });
            }
            Entries::Floats(entries) => {
                let lists = Listed { entries, ends, dim, value: |float| float };
                level.run(Backward { lists, d, each, every });
            }
        }
    }

    /// Start empty lists for `rows` × `columns`; returns the capacity in entries.
    fn start(&mut self, rows: usize, columns: usize) -> Result<usize, KernelError> {
        let pairs = columns.div_ceil(2);
        (self.rows, self.columns) = (rows, columns);
        resize(&mut self.ends, pairs, 0)?;
        self.ends.iter_mut().enumerate().for_each(|(pair, end)| *end = pair * rows);
        Ok(pairs.saturating_mul(rows))
    }

    /// Memory for `capacity` entries of bytes, and the ends of the lists.
    fn bytes(&mut self, table: &[T; 256], capacity: usize) -> Result<Filling<'_, u8>, KernelError> {
        if !matches!(&self.entries, Entries::Bytes(_, same) if **same == *table) {
            self.entries = Entries::Bytes(Vec::new(), Box::new(*table));
        }
        match &mut self.entries {
            Entries::Bytes(entries, _) => Ok((at_least(entries, capacity, (0, [0; 2]))?, &mut self.ends)),
            Entries::Floats(_) => Err(KernelError::Kind),
        }
    }

    /// Memory for `capacity` entries of floats, and the ends of the lists.
    fn floats(&mut self, capacity: usize) -> Result<Filling<'_, T>, KernelError> {
        if !matches!(self.entries, Entries::Floats(_)) {
            self.entries = Entries::Floats(Vec::new());
        }
        match &mut self.entries {
            Entries::Floats(entries) => Ok((at_least(entries, capacity, (0, [T::zero(); 2]))?, &mut self.ends)),
            Entries::Bytes(..) => Err(KernelError::Kind),
        }
    }
}

/// The entries, and where each list ends.
type Filling<'a, V> = (&'a mut [(u32, [V; 2])], &'a mut [usize]);

/// The vector, grown if needed. Old contents stay: the lists are overwritten anyway.
fn at_least<E: Clone>(entries: &mut Vec<E>, capacity: usize, blank: E) -> Result<&mut [E], KernelError> {
    let length = entries.len().max(capacity);
    resize(entries, length, blank)?;
    Ok(entries)
}

/// Write each row's pairs into the lists.
struct Note<'a, T, V, R> {
    x: &'a Nonzeros<T>,
    tiles: Range<usize>,
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
        let Self { x, tiles, pairs, rows, next, entries, ends } = self;
        let pairs_a_tile = (x.tile_width() / 2).max(1);
        // The offsets of a row must have arrived before its numbers can be prefetched.
        const AHEAD: usize = 12;
        let (mut soon, mut later) = (next.clone(), next.skip(AHEAD));
        for (i, row) in rows.enumerate() {
            later.next().into_iter().for_each(|row| x.ask_where(row));
            soon.next().into_iter().for_each(|row| x.ask_for(row, &tiles, pairs));
            for (tile, ends) in tiles.clone().zip(ends.chunks_mut(pairs_a_tile)) {
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

/// The lists, and the value of a number in them.
struct Listed<'a, V, F> {
    entries: &'a [(u32, [V; 2])],
    ends: &'a [usize],
    dim: (usize, usize),
    value: F,
}

impl<T, V: Copy, F: Fn(V) -> T + Copy> Lists<T> for Listed<'_, V, F> {
    #[inline(always)]
    fn dim(&self) -> (usize, usize) {
        self.dim
    }

    #[inline(always)]
    fn is_empty(&self, pair: usize) -> bool {
        self.ends[pair] == pair * self.dim.0
    }

    #[inline(always)]
    fn list(&self, pair: usize) -> impl Iterator<Item = (usize, [T; 2])> + Clone {
        let (list, value) = (&self.entries[pair * self.dim.0..self.ends[pair]], self.value);
        list.iter().map(move |&(n, [a, b])| (n as usize, [value(a), value(b)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::level::detect;
    use crate::sparse::product::tests::{each_data, refilled, Data, BATCH};

    /// The list of a pair, with the values of its numbers.
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
    fn the_lists_are_what_is_not_zero_in_order() {
        let mut columns = Columns::default();
        each_data::<f32>(|Data { all, batch, .. }| {
            let features = all.features();
            // Then the full row, the second of the batch, nine times: it takes all of the capacity.
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

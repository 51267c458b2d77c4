//! The rows of each batch, a block at a time.

/// Rows that are processed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub rows: &'a [i64],
    /// Whether they are the first of their batch.
    pub begins: bool,
    /// Whether they are the last of it.
    pub ends: bool,
}

/// The blocks of batch after batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks<'a> {
    /// The rows still to come.
    rows: &'a [i64],
    /// Rows per batch; the last batch may be shorter.
    size: usize,
    /// Rows per block; the last block of a batch may be shorter.
    at_once: usize,
    /// Rows of the current batch that are done.
    done: usize,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(rows: &'a [i64], size: usize, at_once: usize) -> Self {
        Self { rows, size, at_once, done: 0 }
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let left = self.rows.len().min(self.size - self.done);
        let (rows, behind) = self.rows.split_at(left.min(self.at_once));
        let block = Block { rows, begins: self.done == 0, ends: rows.len() == left };
        self.rows = behind;
        self.done = if block.ends { 0 } else { self.done + rows.len() };
        (!rows.is_empty()).then_some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_block_of_its_batch() {
        let rows: Vec<i64> = (0..11).collect();
        for (size, at_once) in [(4, 3), (4, 4), (4, 9), (11, 4), (20, 5), (1, 1), (5, 1)] {
            let mut blocks = Blocks::new(&rows, size, at_once);
            for batch in rows.chunks(size) {
                let parts = batch.chunks(at_once);
                let last = parts.len() - 1;
                for (i, part) in parts.enumerate() {
                    assert_eq!(blocks.next(), Some(Block { rows: part, begins: i == 0, ends: i == last }));
                }
            }
            assert_eq!(blocks.next(), None);
        }
    }
}

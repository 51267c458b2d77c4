//! Moves in one column of a layer's output: the column's sums, and the changed rows through all later layers. See
//! [`entries`](super).

use super::{Block, Numbers, Ready, Task, FEATURES, MOVES, ROWS, ZEROS};
use crate::dense::padded::LANES;
use crate::error::resize;
use crate::layers::activation::{Activation, Forward};
use crate::layers::affine::InVectors;
use crate::layers::Layer;
use crate::machine::level::{Arithmetic, Kernel};
use crate::sparse::product::add_scaled;
use crate::KernelError;
use std::ops::Range;

/// Memory to work in, reused from task to task.
#[derive(Default)]
pub(super) struct Workspace {
    /// The column of `W`, with its bias.
    column: Vec<f64>,
    /// For each block of features, the sum of its terms, and that of all other terms.
    terms: Vec<Numbers>,
    others: Vec<Numbers>,
    /// One row per example: the next affine layer without the column that moves; without such a layer, the scores.
    table: Vec<Numbers>,
    /// The column without a move, before and after the activations.
    before: Vec<Numbers>,
    after: Vec<f64>,
    /// The loss of each row, without a move and after each move.
    old: Vec<Numbers>,
    losses: Vec<Numbers>,
    changed: Changed,
    /// The input and the output of a layer.
    x: Vec<Numbers>,
    out: Vec<Numbers>,
}

/// A list of changed rows.
#[derive(Default)]
struct Changed {
    count: usize,
    /// The row, counted from the first of its block.
    rows: Vec<u32>,
    /// The move that changed it.
    moves: Vec<u32>,
    /// Its new number in the column.
    values: Vec<f64>,
}

impl Changed {
    #[inline(always)]
    fn push(&mut self, row: usize, moved: usize, value: f64, wanted: bool) {
        let at = self.count;
        (self.rows[at], self.moves[at], self.values[at]) = (row as u32, moved as u32, value);
        self.count += usize::from(wanted);
    }

    /// Append the numbers that a move has changed in the lane that starts at row `first`, out of `rows` rows.
    #[inline(always)]
    fn push_unlike(&mut self, moved: usize, now: &Numbers, before: &Numbers, first: usize, rows: usize) {
        // Most have not changed: compare without branches, one bit each, then visit only the bits that are set.
        let mut unlike = 0u32;
        for i in 0..LANES {
            unlike |= u32::from(differ(now.0[i], before.0[i])) << i;
        }
        if rows - first < LANES {
            unlike &= (1 << (rows - first)) - 1;
        }
        while unlike != 0 {
            let i = unlike.trailing_zeros() as usize;
            self.push(first + i, moved, now.0[i], true);
            unlike &= unlike - 1;
        }
    }

    /// Pad to whole lanes by repeating the last row.
    #[inline(always)]
    fn fill(&mut self) {
        while !self.count.is_multiple_of(LANES) {
            let last = self.count - 1;
            self.push(self.rows[last] as usize, self.moves[last] as usize, self.values[last], true);
        }
    }

    /// The activations of `between`.
    #[inline(always)]
    fn activate(&mut self, between: &[Layer], arithmetic: impl Arithmetic) {
        self.fill();
        activate(between, &mut self.values[..self.count], arithmetic);
    }

    /// Keep only the rows whose number differs from that in `old`.
    #[inline(always)]
    fn keep_unlike(&mut self, old: &[f64]) {
        let count = std::mem::take(&mut self.count);
        for i in 0..count {
            let (row, value) = (self.rows[i] as usize, self.values[i]);
            self.push(row, self.moves[i] as usize, value, differ(value, old[row]));
        }
    }
}

#[inline(always)]
fn differ(a: f64, b: f64) -> bool {
    a.to_bits() != b.to_bits()
}

/// Apply activations to `numbers`, which are whole lanes.
#[inline(always)]
fn activate(layers: &[Layer], numbers: &mut [f64], arithmetic: impl Arithmetic) {
    for layer in layers {
        if let Some(f) = layer.elementwise() {
            // A loop: a closure that is not inlined would be compiled without the level's instructions.
            for lane in numbers.as_chunks_mut().0 {
                activate_lane(f, lane, arithmetic);
            }
        }
    }
}

#[inline(always)]
fn activate_lane(f: Activation, lane: &mut [f64; LANES], arithmetic: impl Arithmetic) {
    let x = *lane;
    Forward { f, x: &x, out: lane }.run(arithmetic);
}

impl Workspace {
    pub(super) fn fit(&mut self, ready: &Ready<'_, '_>) -> Result<(), KernelError> {
        let lanes = ready.columns.div_ceil(LANES);
        let (rows, features) = (ready.targets.rows().min(ROWS), ready.coefficients.rows());
        let height = rows.div_ceil(LANES);
        let sums = features.div_ceil(FEATURES).saturating_mul(height);
        resize(&mut self.column, features, 0.0)?;
        resize(&mut self.terms, sums, ZEROS)?;
        resize(&mut self.others, sums, ZEROS)?;
        resize(&mut self.table, rows.saturating_mul(lanes), ZEROS)?;
        resize(&mut self.before, height, ZEROS)?;
        resize(&mut self.after, height * LANES, 0.0)?;
        resize(&mut self.old, height, ZEROS)?;
        resize(&mut self.losses, MOVES * height, ZEROS)?;
        let most = MOVES * rows + LANES;
        resize(&mut self.changed.rows, most, 0)?;
        resize(&mut self.changed.moves, most, 0)?;
        resize(&mut self.changed.values, most, 0.0)?;
        resize(&mut self.x, ready.widest, ZEROS)?;
        resize(&mut self.out, ready.widest, ZEROS)
    }

    /// Compute the loss of each changed row, through all that follows column `j`, and store it in `losses`, which has
    /// `width` lanes per move. The rows' targets start at `first`.
    #[inline(always)]
    fn finish(&mut self, ready: &Ready<'_, '_>, j: usize, first: usize, width: usize, arithmetic: impl Arithmetic) {
        self.changed.fill();
        let lanes = ready.columns.div_ceil(LANES);
        for start in (0..self.changed.count).step_by(LANES) {
            let rows: &[u32; LANES] = &self.changed.rows[start..].as_chunks().0[0];
            let values: &[f64; LANES] = &self.changed.values[start..].as_chunks().0[0];
            for (lane, (&row, &value)) in rows.iter().zip(values).enumerate() {
                let others = &self.table[row as usize * lanes..][..lanes];
                let out = self.x[..ready.columns].chunks_mut(LANES);
                match &ready.next {
                    Some(InVectors { w, .. }) => {
                        for ((others, w), out) in others.iter().zip(w.row(j)).zip(out) {
                            let mut sum = [others.0];
                            add_scaled::<f64, 1, false>(&mut sum, value, std::slice::from_ref(w), arithmetic);
                            out.iter_mut().zip(sum[0]).for_each(|(out, sum)| out.0[lane] = sum);
                        }
                    }
                    None => {
                        for (scores, out) in others.iter().zip(out) {
                            out.iter_mut().zip(scores.0).for_each(|(out, score)| out.0[lane] = score);
                        }
                        self.x[j].0[lane] = value;
                    }
                }
            }
            let rows = rows.map(|row| row as usize);
            let (mut inputs, mut params) = (ready.columns, ready.params);
            for layer in ready.rest {
                let (mine, behind) = params.split_at(layer.arrays());
                inputs = layer.side_by_side(mine, inputs, &mut self.x, &mut self.out, arithmetic);
                params = behind;
            }
            let targets = rows.map(|row| ready.targets.row(first + row));
            let losses = ready.loss.side_by_side(&targets, &mut self.x[..ready.classes], arithmetic);
            let moves = &self.changed.moves[start..][..LANES];
            for ((&row, &moved), loss) in rows.iter().zip(moves).zip(losses.0) {
                self.losses[moved as usize * width + row / LANES].0[row % LANES] = loss;
            }
        }
        self.changed.count = 0;
    }
}

/// `sum ← sum + Σ coefficients[i] · vectors[i]` over a range of i, for one of the `width` lanes of the vectors.
#[inline(always)]
fn add_terms(
    sum: &mut Numbers,
    coefficients: &[f64],
    vectors: &[[f64; LANES]],
    (lane, width): (usize, usize),
    range: Range<usize>,
    arithmetic: impl Arithmetic,
) {
    let mut sums = [sum.0];
    let vectors = vectors[range.start * width..range.end * width].chunks_exact(width.max(1));
    for (&x, vector) in coefficients[range].iter().zip(vectors) {
        add_scaled::<f64, 1, false>(&mut sums, x, &vector[lane..][..1], arithmetic);
    }
    sum.0 = sums[0];
}

/// A column of an affine layer's output, of which only the terms of one block of features are added anew.
struct Sums<'a> {
    inputs: &'a [[f64; LANES]],
    terms: Range<usize>,
}

impl Sums<'_> {
    /// `others + Σ column[i] · inputs[i]` over the block's features, for one lane.
    #[inline(always)]
    fn anew(&self, column: &[f64], others: &[Numbers], lane: usize, arithmetic: impl Arithmetic) -> Numbers {
        let mut sum = others[lane];
        add_terms(&mut sum, column, self.inputs, (lane, others.len()), self.terms.clone(), arithmetic);
        sum
    }
}

/// For each block of features, the sum of `coefficients[i] · vectors[i]` over all i outside it. No sum is subtracted
/// from another: the terms before the block are accumulated from the front, those after it from the end.
#[inline(always)]
fn sums_without(
    coefficients: &[f64],
    vectors: &[[f64; LANES]],
    width: usize,
    terms: &mut [Numbers],
    others: &mut [Numbers],
    arithmetic: impl Arithmetic,
) {
    let blocks = coefficients.len().div_ceil(FEATURES);
    for lane in 0..width {
        let mut sum = ZEROS;
        for block in 0..blocks {
            let mut term = ZEROS;
            add_terms(&mut term, coefficients, vectors, (lane, width), features(block, coefficients), arithmetic);
            others[block * width + lane] = sum;
            add(&mut sum, &term);
            terms[block * width + lane] = term;
        }
        let mut sum = ZEROS;
        for block in (0..blocks).rev() {
            add(&mut others[block * width + lane], &sum);
            add(&mut sum, &terms[block * width + lane]);
        }
    }
}

/// The coefficients of a block of features.
#[inline(always)]
fn features(block: usize, coefficients: &[f64]) -> Range<usize> {
    block * FEATURES..coefficients.len().min((block + 1) * FEATURES)
}

#[inline(always)]
fn add(sum: &mut Numbers, x: &Numbers) {
    sum.0.iter_mut().zip(x.0).for_each(|(sum, x)| *sum += x);
}

/// The sum of row losses, sixteen per lane, in a fixed order.
#[inline(always)]
fn total(losses: &[Numbers]) -> f64 {
    let mut sum = ZEROS;
    losses.iter().for_each(|losses| add(&mut sum, losses));
    sum.0.iter().sum()
}

/// One task: the losses after its moves.
pub(super) struct Moving<'a, 't> {
    pub ready: &'a Ready<'a, 't>,
    pub task: &'a mut Task,
    pub work: &'a mut Workspace,
}

impl Kernel for Moving<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let Self { ready, task, work } = self;
        work.column.clear();
        work.column.extend(ready.coefficients.column(task.column));
        for block in &ready.blocks {
            work.move_in_column(ready, block, task, arithmetic);
        }
    }
}

impl Workspace {
    /// Moves in a column of an affine layer's output: the contribution of one block of rows to the losses.
    #[inline(always)]
    fn move_in_column(&mut self, ready: &Ready<'_, '_>, block: &Block, task: &mut Task, arithmetic: impl Arithmetic) {
        let (width, first, j) = (block.width, block.rows.start, task.column);
        self.tabulate(ready, block.rows.clone(), j, arithmetic);
        sums_without(&self.column, block.inputs.lanes(), width, &mut self.terms, &mut self.others, arithmetic);
        let mut losses = &mut task.losses[..];
        for moves in task.moves.chunk_by(|a, b| a.feature / FEATURES == b.feature / FEATURES) {
            let at = moves[0].feature / FEATURES;
            let (others, terms) = (at * width..(at + 1) * width, features(at, &self.column));
            let sums = Sums { inputs: block.inputs.lanes(), terms };
            for lane in 0..width {
                self.before[lane] = sums.anew(&self.column, &self.others[others.clone()], lane, arithmetic);
            }
            let numbers = self.before[..width].iter().flat_map(|lane| lane.0);
            self.after.iter_mut().zip(numbers).for_each(|(after, before)| *after = before);
            activate(ready.between, &mut self.after[..width * LANES], arithmetic);
            self.losses[..width].fill(ZEROS);
            for row in 0..block.rows.len() {
                self.changed.push(row, 0, self.after[row], true);
            }
            self.finish(ready, j, first, width, arithmetic);
            self.old[..width].copy_from_slice(&self.losses[..width]);
            for moves in moves.chunks(MOVES) {
                for (i, moved) in moves.iter().enumerate() {
                    self.losses[i * width..][..width].copy_from_slice(&self.old[..width]);
                    let old = std::mem::replace(&mut self.column[moved.feature], moved.value);
                    let finite = old.is_finite() && moved.value.is_finite();
                    let there = if finite { block.there[moved.feature] } else { u8::MAX };
                    for lane in (0..width).filter(|lane| there & 1 << lane != 0) {
                        let now = sums.anew(&self.column, &self.others[others.clone()], lane, arithmetic);
                        self.changed.push_unlike(i, &now, &self.before[lane], lane * LANES, block.rows.len());
                    }
                    self.column[moved.feature] = old;
                }
                self.changed.activate(ready.between, arithmetic);
                self.changed.keep_unlike(&self.after);
                self.finish(ready, j, first, width, arithmetic);
                let (these, later) = losses.split_at_mut(moves.len());
                let sums = self.losses.chunks_exact(width).map(total);
                these.iter_mut().zip(sums).for_each(|(loss, sum)| *loss += sum);
                losses = later;
            }
        }
    }

    /// For a range of rows: b and the terms of the next affine layer except that of column j; without such a layer, the
    /// scores.
    #[inline(always)]
    fn tabulate(&mut self, ready: &Ready<'_, '_>, rows: Range<usize>, j: usize, arithmetic: impl Arithmetic) {
        let width = ready.columns.div_ceil(LANES);
        for (out, row) in self.table.chunks_exact_mut(width.max(1)).zip(rows) {
            let x = &ready.rows[row * ready.width..][..ready.width];
            match &ready.next {
                Some(InVectors { w, b }) => {
                    for (lane, out) in out.iter_mut().enumerate() {
                        out.0 = b.lanes()[lane];
                        for terms in [0..j, j + 1..x.len()] {
                            add_terms(out, x, w.lanes(), (lane, width), terms, arithmetic);
                        }
                    }
                }
                None => out.iter_mut().zip(x.chunks(LANES)).for_each(|(out, x)| out.0[..x.len()].copy_from_slice(x)),
            }
        }
    }
}

//! The losses of a network with single numbers moved: the numeric side of a gradient check.
//!
//! ```text
//! out[e, k] = the mean loss, with parameter[entries[e]] replaced by itself + offsets[e, k]
//! ```
//!
//! Forward pass and loss only. Nothing here knows a derivative: each moved number goes through the network's own
//! arithmetic, and everything after it is evaluated anew. In particular a column `x·w` is never `z + δ·x`, which would
//! presume what is to be checked. Only work that the move does not affect is saved:
//!
//! ```text
//! W[i, j]   column j = (the terms of all other blocks of features, unchanged) + the block of feature i, summed anew,
//!                      except for any sixteen rows in which feature i is always 0
//!           then, for each row in which the bits of the column have changed:
//!               the activations up to the next affine layer; a row whose number is then unchanged (dead ReLU) is done
//!               next affine layer = (b and its other inputs, unchanged) + the new number · W[j, :]
//!               all layers after it, and the loss, in full
//! b[j]      the same: b is one more row of W, and its feature is 1 in every row
//! ```
//!
//! Why that is sound: keeping or leaving out a partial sum is the associativity of +, whatever the terms are. A row
//! that is not evaluated anew has, bit for bit, the number it had, so it has the same loss. This also holds if its term
//! is 0·w before and after, w being finite. An offset of 0 gives exactly the loss that the same sums give unmoved.
//!
//! This applies where each row goes by itself through products and elementwise layers after the number. Elsewhere, and
//! for numbers of other layers, the layers after it are evaluated in full: [`anew`].
//!
//! Sixteen changed rows, from any moves, go through the rest of the network side by side, one per lane. So no sum goes
//! across lanes, and a row's loss does not depend on the rows beside it. Row losses are added in the order of the rows.
//! So the bits depend neither on the number of threads nor on how the work is divided into calls. Each call begins with
//! one forward pass.
//!
//! Cost per move: N·16 multiplications at most for the column, and for each changed row those of the layers after the
//! next affine one. For 784-50-10 with 100 digits, of which four fifths are zeros, some 10 of 100 rows reach the
//! softmax, and no product of 784 terms is computed.

mod anew;
mod column;

use crate::dense::padded::{Lane, Padded, LANES};
use crate::error::{agree, reserve, resize};
use crate::layers::affine::{Coefficients, InVectors};
use crate::layers::{Draws, Layer};
use crate::loss::{Loss, Targets};
use crate::machine::level::Level;
use crate::machine::threads;
use crate::network::stack::Stack;
use crate::KernelError;
use anew::Anew;
use column::{Moving, Workspace};
use ndarray::ArrayView2;
use std::ops::{Deref, Range};
use std::time::Instant;

/// Terms of a sum that are added anew when one of them moves.
const FEATURES: usize = 16;

/// Rows of the data per block: with [`MOVES`], this bounds the memory of a thread.
const ROWS: usize = 128;

/// Moves processed at a time.
const MOVES: usize = 64;

/// Multiplications (and operations that take as long) from which a second thread is woken: some 50 µs of work.
const WORTH_THREADS: usize = 1 << 19;

/// Multiplications per thread before the first look at the clock: a few milliseconds.
const FIRST_ROUND: usize = 1 << 25;

/// The most moves in a round: bounds the memory of a call.
const ROUND: usize = 1 << 17;

type Numbers = Lane<f64>;

const ZEROS: Numbers = Lane([0.0; LANES]);

/// Which numbers are moved, and by how much.
#[derive(Clone, Copy, Debug)]
pub struct Moves<'a> {
    /// The index of the parameter.
    pub parameter: usize,
    /// The indices of its numbers, in row-major order.
    pub entries: &'a [i64],
    /// Offsets per entry.
    pub each: usize,
    /// The offsets of the first entry, then those of the second, …
    pub offsets: &'a [f64],
}

/// Compute the losses after each move, from entry `first` on, until all are done or `deadline` has passed; always at
/// least some. `out` is ordered like the offsets. Returns the number of entries done now: the `first` of the next call.
///
/// ```
/// use chainrule_kernels::machine::level::detect;
/// use chainrule_kernels::numeric::entries::{losses, Moves};
/// use chainrule_kernels::loss::{Loss, Targets};
/// use chainrule_kernels::layers::Layer;
/// use chainrule_kernels::network::stack::Stack;
/// use ndarray::array;
/// use std::time::Instant;
///
/// let stack = Stack::new(1, vec![Layer::affine(2)], Loss::Softmax);
/// let params: [&[f64]; 2] = [&[0.0, 0.0], &[0.0, 0.0]];
/// let moves = Moves { parameter: 1, entries: &[0], each: 2, offsets: &[0.0, 3f64.ln()] };
/// let (x, t, mut out) = (array![[1.0]], Targets::ids(&[0]), [0.0; 2]);
/// let done = losses(detect().unwrap(), &stack, &params, x.view(), t, &[], moves, 0, Instant::now(), &mut out);
/// assert_eq!(done, Ok(1));
/// // softmax gives the right class 1/2 before and 3/4 after
/// assert!((out[0] - 2f64.ln()).abs() < 1e-15 && (out[1] - (4f64 / 3.0).ln()).abs() < 1e-15);
/// ```
///
/// # Errors
///
/// [`KernelError::Sizes`] if arrays do not fit the stack or each other, [`KernelError::Label`], [`KernelError::Empty`]
/// without rows, [`KernelError::Number`] for a parameter or an entry that does not exist, [`KernelError::Memory`].
/// `out` is untouched then, except after the last.
#[allow(clippy::too_many_arguments)] // a network, its data, what to move, and how far to go
pub fn losses<P: Deref<Target = [f64]> + Sync>(
    level: Level,
    stack: &Stack,
    params: &[P],
    x: ArrayView2<'_, f64>,
    targets: Targets<'_, f64>,
    draws: &[Draws],
    moves: Moves<'_>,
    first: usize,
    deadline: Instant,
    out: &mut [f64],
) -> Result<usize, KernelError> {
    let (n, count) = (x.nrows(), moves.entries.len());
    stack.check(params)?;
    agree("the number of columns of x", x.ncols(), "the number of features", stack.features)?;
    agree("the number of rows of t", targets.rows(), "the number of rows of x", n)?;
    stack.loss.check(&targets, stack.classes())?;
    agree(
        "the number of offsets",
        moves.offsets.len(),
        "that of the entries, times the offsets each",
        count.saturating_mul(moves.each),
    )?;
    agree("the number of losses", out.len(), "the number of offsets", moves.offsets.len())?;
    let moved = (0..stack.layers.len()).find(|&i| {
        let mine = stack.arrays_of(i);
        (mine.start..mine.start + stack.layers[i].parameters()).contains(&moves.parameter)
    });
    let Some(moved) = moved else {
        let got = moves.parameter as i64;
        return Err(KernelError::Number { what: "parameter", got, there: params.len() });
    };
    let there = params[moves.parameter].len();
    if let Some(&got) = moves.entries.iter().find(|&&entry| usize::try_from(entry).map_or(true, |entry| entry >= there))
    {
        return Err(KernelError::Number { what: "entry", got, there });
    }
    if n == 0 {
        return Err(KernelError::Empty);
    }
    if first >= count || moves.each == 0 {
        return Ok(count);
    }
    let params: Vec<&[f64]> = params.iter().map(|p| &**p).collect();
    let number_by_number = |layer: &Layer| layer.product().is_some() || layer.elementwise().is_some();
    if stack.layers[moved].product().is_none() || !stack.layers[moved..].iter().all(number_by_number) {
        let chain = Chain { level, stack, n, params: &params, draws };
        let mut rows = numbers_of(x)?;
        chain.run(&mut rows, 0..moved)?;
        let x = rows.clone();
        chain.run(&mut rows, moved..moved + 1)?;
        let anew = Anew { level, stack, arrays: &params, targets, draws, layer: moved, x, out: rows };
        return anew.losses(moves, first, deadline, out);
    }
    let ready = Ready::new(level, stack, &params, x, targets, draws, moves.parameter, moved)?;
    let cost = ready.cost_of_a_move().saturating_mul(moves.each);
    let (mut done, mut round) = (first, (FIRST_ROUND / cost).saturating_mul(threads::count()));
    while done < count {
        round = round.clamp(1, (ROUND / moves.each).max(1));
        let (entries, start) = (done..count.min(done + round), Instant::now());
        let mut tasks = ready.tasks(&moves, entries.clone())?;
        ready.work(&mut tasks, entries.len().saturating_mul(cost) >= WORTH_THREADS)?;
        for task in &tasks {
            task.moves.iter().zip(&task.losses).for_each(|(moved, loss)| out[moved.at] = loss / n as f64);
        }
        done = entries.end;
        let now = Instant::now();
        if now >= deadline {
            break;
        }
        // Judging by these, as many as fill three quarters of the time left, since others may take longer.
        let fit = 0.75 * (deadline - now).as_secs_f64() / (now - start).as_secs_f64().max(1e-9);
        round = (entries.len() as f64 * fit.min(16.0)) as usize;
    }
    Ok(done)
}

/// One number, moved.
struct Move {
    /// The feature it belongs to: i of `W[i, j]`, and for `b[j]` the one after the last.
    feature: usize,
    /// Its new value.
    value: f64,
    /// The index of its loss.
    at: usize,
}

/// Moves in one column of an affine layer's output, ordered by feature.
struct Task {
    column: usize,
    moves: Vec<Move>,
    /// The sum of the rows' losses, for each move.
    losses: Vec<f64>,
}

/// Everything that no move changes.
struct Ready<'a, 't> {
    level: Level,
    loss: Loss,
    targets: Targets<'t, f64>,
    /// The index in its layer of the parameter that is moved, its numbers, all of that layer's, and the rows that flow
    /// into the layer.
    parameter: usize,
    values: &'a [f64],
    coefficients: Coefficients<'a>,
    blocks: Vec<Block>,
    /// The activations between a moved number and the next sum.
    between: &'a [Layer],
    /// Their output without a move, one row per example.
    rows: Vec<f64>,
    /// The length of such a row.
    width: usize,
    /// The parameters of the next product, if there is one.
    next: Option<InVectors<f64>>,
    /// The length of a row after that product.
    columns: usize,
    /// All layers after it, and their parameters.
    rest: &'a [Layer],
    params: &'a [&'a [f64]],
    widest: usize,
    classes: usize,
}

/// Some rows of an affine layer's input, transposed: feature after feature, with sixteen rows per lane. After the last
/// feature comes the 1 of the bias.
struct Block {
    rows: Range<usize>,
    /// Lanes per feature.
    width: usize,
    inputs: Padded<f64>,
    /// For each feature, one bit per lane: whether it is nonzero in any of those rows.
    there: Vec<u8>,
}

// One bit for each lane of a block.
const _: () = assert!(ROWS / LANES <= u8::BITS as usize);

impl Block {
    fn new(x: &[f64], features: usize, rows: Range<usize>) -> Result<Self, KernelError> {
        let width = rows.len().div_ceil(LANES);
        let mut inputs = Padded::zeros(features + 1, rows.len())?;
        for (i, row) in rows.clone().enumerate() {
            let x = x[row * features..][..features].iter().chain([&1.0]);
            x.zip(inputs.lanes_mut().chunks_exact_mut(width)).for_each(|(&x, lanes)| lanes[i / LANES][i % LANES] = x);
        }
        let mut there = Vec::new();
        reserve(&mut there, features + 1)?;
        there.extend(inputs.lanes().chunks_exact(width).map(|lanes| {
            let bits = lanes.iter().enumerate().map(|(i, lane)| u8::from(lane.iter().any(|&x| x != 0.0)) << i);
            bits.fold(0, |all, bit| all | bit)
        }));
        Ok(Self { rows, width, inputs, there })
    }
}

impl<'a, 't> Ready<'a, 't> {
    #[allow(clippy::too_many_arguments)] // a network, its data, and the parameter that is moved
    fn new(
        level: Level,
        stack: &'a Stack,
        params: &'a [&'a [f64]],
        x: ArrayView2<'_, f64>,
        targets: Targets<'t, f64>,
        draws: &[Draws],
        parameter: usize,
        at: usize,
    ) -> Result<Self, KernelError> {
        let (n, layers) = (x.nrows(), &stack.layers[..]);
        let sums = |layer: &Layer| layer.elementwise().is_none();
        let mut rows = numbers_of(x)?;
        let mine = stack.arrays_of(at);
        let forward = Chain { level, stack, n, params, draws };
        forward.run(&mut rows, 0..at)?;
        let features = stack.width_after(at);
        let block = |first: usize| Block::new(&rows, features, first..n.min(first + ROWS));
        let blocks = (0..n).step_by(ROWS).map(block).collect::<Result<_, _>>()?;
        let start = at + 1;
        let end = layers[start..].iter().position(sums).map_or(layers.len(), |next| start + next);
        forward.run(&mut rows, at..end)?;
        let width = stack.width_after(end);
        let (values, coefficients) = (params[parameter], Coefficients::new(&params[mine.clone()]));
        let (mut next, mut columns, mut rest, mut params) = (None, width, &layers[end..], &params[mine.end..]);
        if let Some(outputs) = rest.first().and_then(|layer| layer.product()) {
            let (its_params, behind) = params.split_at(rest[0].arrays());
            next.insert(InVectors::default()).load(level, its_params, width, outputs)?;
            (columns, rest, params) = (outputs, &rest[1..], behind);
        }
        let (widest, classes, between) = (stack.widest(), stack.classes(), &layers[start..end]);
        Ok(Self {
            level,
            loss: stack.loss,
            targets,
            parameter: parameter - mine.start,
            values,
            coefficients,
            blocks,
            between,
            rows,
            width,
            next,
            columns,
            rest,
            params,
            widest,
            classes,
        })
    }

    /// Multiplications if every row changes; an `exp` counts as 24.
    fn cost_of_a_move(&self) -> usize {
        let mut inputs = self.columns;
        let mut products = FEATURES.saturating_add(self.columns);
        for layer in self.rest {
            products = products.saturating_add(layer.size(inputs));
            inputs = layer.outputs(inputs);
        }
        let a_row = products.saturating_add(self.classes.saturating_mul(24));
        a_row.saturating_mul(self.targets.rows()).max(1)
    }

    /// The moves of some entries, grouped by column.
    fn tasks(&self, moves: &Moves<'_>, entries: Range<usize>) -> Result<Vec<Task>, KernelError> {
        let each = moves.each;
        let mut order = Vec::new();
        reserve(&mut order, entries.len())?;
        order.extend(entries.clone().map(|e| {
            let (feature, column) = self.coefficients.place(self.parameter, moves.entries[e] as usize);
            (column, feature, e)
        }));
        order.sort_unstable();
        // Short enough that the threads finish together.
        let longest = entries.len().div_ceil(4 * threads::count()).max(MOVES / each);
        let mut tasks = Vec::new();
        for group in order.chunk_by(|a, b| a.0 == b.0).flat_map(|group| group.chunks(longest)) {
            let mut task = Task { column: group[0].0, moves: Vec::new(), losses: Vec::new() };
            reserve(&mut task.moves, group.len() * each)?;
            resize(&mut task.losses, group.len() * each, 0.0)?;
            for &(_, feature, e) in group {
                let old = self.values[moves.entries[e] as usize];
                let moved = |at: usize| Move { feature, value: old + moves.offsets[at], at };
                task.moves.extend((e * each..(e + 1) * each).map(moved));
            }
            tasks.push(task);
        }
        Ok(tasks)
    }

    /// Compute the losses of each task.
    fn work(&self, tasks: &mut [Task], divided: bool) -> Result<(), KernelError> {
        let mut work = || {
            threads::try_each_with(tasks.iter_mut(), Workspace::default, |work, task| {
                work.fit(self)?;
                self.level.run(Moving { ready: self, task, work });
                Ok(())
            })
        };
        if divided {
            work()
        } else {
            threads::alone(work)
        }
    }
}

/// The numbers of a matrix, row-major.
fn numbers_of(x: ArrayView2<'_, f64>) -> Result<Vec<f64>, KernelError> {
    let mut rows = Vec::new();
    reserve(&mut rows, x.len())?;
    match x.as_slice() {
        Some(x) => rows.extend_from_slice(x),
        None => rows.extend(x),
    }
    Ok(rows)
}

/// The forward pass over all rows, layer by layer.
struct Chain<'a> {
    level: Level,
    stack: &'a Stack,
    n: usize,
    params: &'a [&'a [f64]],
    draws: &'a [Draws],
}

impl Chain<'_> {
    fn run(&self, rows: &mut Vec<f64>, layers: Range<usize>) -> Result<(), KernelError> {
        self.stack.train_forward(self.level, self.params, layers, self.n, self.draws, rows, &mut Vec::new())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::layers::activation::Activation;
    use crate::layers::affine::Affine;
    use crate::loss::tests::one_row;
    use crate::machine::level::{available, detect};
    use ndarray::{array, Array2};
    use std::time::Duration;
    use Activation::{LeakyRelu, Relu, Scale, Sigmoid, Tanh};

    /// The oracle: the mean loss by definition, with three loops per product, for every row and every layer.
    pub(crate) fn naive(stack: &Stack, params: &[Vec<f64>], x: &Array2<f64>, t: &Array2<f64>) -> f64 {
        let mut loss = 0.0;
        for (x, t) in x.rows().into_iter().zip(t.rows()) {
            let mut row = x.to_vec();
            for (i, layer) in stack.layers.iter().enumerate() {
                row = match *layer {
                    Layer::Affine(Affine { outputs }) => {
                        let [w, b] = &params[stack.parameters_of(i)] else { unreachable!() };
                        let term = |j: usize| row.iter().enumerate().map(move |(i, x)| x * w[i * outputs + j]);
                        (0..outputs).map(|j| b[j] + term(j).sum::<f64>()).collect()
                    }
                    Layer::Activation(f) => row
                        .iter()
                        .map(|&x| match f {
                            Relu => {
                                if x > 0.0 || x.is_nan() {
                                    x
                                } else {
                                    0.0
                                }
                            }
                            LeakyRelu(a) => {
                                if x > 0.0 {
                                    x
                                } else {
                                    a * x
                                }
                            }
                            Sigmoid => 1.0 / (1.0 + (-x).exp()),
                            Tanh => x.tanh(),
                            Scale(s) => s * x,
                        })
                        .collect(),
                    _ => unreachable!(),
                };
            }
            loss += one_row(stack.loss, &row, t);
        }
        loss / x.nrows() as f64
    }

    fn affine(outputs: usize) -> Layer {
        Layer::affine(outputs)
    }

    fn f(f: Activation) -> Layer {
        Layer::Activation(f)
    }

    /// Stacks of every structure: an activation first or last, none, one, two or three products, widths on both sides
    /// of a lane and of a block of features, widths of 0 and 1.
    fn stacks() -> Vec<Stack> {
        let build = |features: usize, layers: Vec<Layer>| Stack::new(features, layers, Loss::Softmax);
        let with = |loss: Loss, stack: Stack| Stack { loss, ..stack };
        vec![
            build(37, vec![affine(5), f(Relu), affine(3)]),
            build(16, vec![f(Scale(0.5)), affine(17), f(Sigmoid), affine(16), f(Tanh), affine(4)]),
            build(3, vec![affine(2), affine(33), f(LeakyRelu(0.1)), affine(1)]),
            build(15, vec![f(LeakyRelu(0.3)), f(Tanh), affine(10), f(Relu), f(Scale(2.0))]),
            build(4, vec![affine(7)]),
            build(5, vec![f(Tanh), f(Scale(3.0))]),
            build(2, vec![affine(0), affine(3)]),
            build(0, vec![affine(4), f(Relu), affine(2)]),
            build(2, vec![affine(3), f(Relu), affine(0), f(Relu), affine(20), f(Sigmoid), affine(2)]),
            with(Loss::Squared, build(9, vec![affine(5), f(Tanh), affine(18)])),
            with(Loss::Squared, build(4, vec![affine(7)])),
            with(Loss::Sigmoid, build(9, vec![affine(5), f(Relu), affine(18)])),
            with(Loss::Sigmoid, build(4, vec![affine(7)])),
        ]
    }

    struct Case {
        stack: Stack,
        params: Vec<Vec<f64>>,
        x: Array2<f64>,
        ids: Vec<i64>,
        soft: Array2<f64>,
    }

    impl Case {
        fn new(stack: Stack, n: usize) -> Self {
            let fill = |n: usize| numbers::<f64>((1, n), n as u64).into_iter().collect();
            let params = stack.sizes().map(fill).collect();
            // Every third number of the data is 0, as in images.
            let mut x = numbers::<f64>((n, stack.features()), 5);
            x.iter_mut().step_by(3).for_each(|x| *x = 0.0);
            let classes = stack.classes();
            let ids = (0..n).map(|i| (i * i % classes) as i64).collect();
            // Rows that do not sum to 1 exactly, and contain zeros.
            let mut soft = numbers::<f64>((n, classes), 7).mapv(f64::abs);
            soft.iter_mut().step_by(4).for_each(|t| *t = 0.0);
            Self { stack, params, x, ids, soft }
        }

        fn all() -> impl Iterator<Item = Self> {
            stacks().into_iter().flat_map(|stack| [1, 3, 16, 17].map(|n| Self::new(stack.clone(), n)))
        }

        /// Whether targets are rows of numbers: requested, or the only kind this loss takes.
        fn soft(&self, asked: bool) -> bool {
            asked || self.stack.loss != Loss::Softmax
        }

        fn targets(&self, soft: bool) -> Targets<'_, f64> {
            if self.soft(soft) {
                Targets::numbers(self.soft.view())
            } else {
                Targets::ids(&self.ids)
            }
        }

        /// The oracle with one number moved.
        fn moved(&self, soft: bool, parameter: usize, entry: usize, offset: f64) -> f64 {
            let mut params = self.params.clone();
            params[parameter][entry] += offset;
            let mut one_hot = Array2::zeros(self.soft.dim());
            self.ids.iter().enumerate().for_each(|(i, &id)| one_hot[[i, id as usize]] = 1.0);
            naive(&self.stack, &params, &self.x, if self.soft(soft) { &self.soft } else { &one_hot })
        }

        fn try_losses(&self, level: Level, soft: bool, moves: Moves<'_>) -> Result<Vec<f64>, KernelError> {
            let (mut out, late) = (vec![f64::NAN; moves.offsets.len()], Instant::now() + Duration::from_secs(60));
            let (x, t) = (self.x.view(), self.targets(soft));
            losses(level, &self.stack, &self.params, x, t, &[], moves, 0, late, &mut out).map(|_| out)
        }

        fn losses(&self, level: Level, soft: bool, parameter: usize, entries: &[i64], offsets: &[f64]) -> Vec<f64> {
            let offsets: Vec<f64> = entries.iter().flat_map(|_| offsets).copied().collect();
            let each = if entries.is_empty() { 1 } else { offsets.len() / entries.len() };
            self.try_losses(level, soft, Moves { parameter, entries, each, offsets: &offsets }).unwrap()
        }
    }

    /// Sums of at most 40 terms, four layers, 1,000 rows: the losses, of 1 to 10, are off by some hundred units of
    /// 2e-16.
    fn assert_close(got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-13 * (1.0 + want.abs()), "{got:?} against {want:?}");
    }

    /// From a step of a gradient check to one that switches ReLUs and changes which class is the largest.
    const OFFSETS: [f64; 5] = [0.0, 1e-6, -1e-3, 1.0, -20.0];

    #[test]
    fn every_number_moved_gives_the_loss_of_a_fresh_forward_pass() {
        for case in Case::all() {
            for (&level, soft) in available().iter().zip([false, true].into_iter().cycle()) {
                for parameter in 0..case.params.len() {
                    let entries: Vec<i64> = (0..case.params[parameter].len() as i64).collect();
                    let got = case.losses(level, soft, parameter, &entries, &OFFSETS);
                    for (e, got) in got.chunks_exact(OFFSETS.len()).enumerate() {
                        for (&got, offset) in got.iter().zip(OFFSETS) {
                            assert_close(got, case.moved(soft, parameter, e, offset));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn both_kinds_of_targets_at_every_level() {
        let case = Case::new(stacks().swap_remove(1), 5);
        for (&level, soft) in available().iter().flat_map(|level| [(level, false), (level, true)]) {
            for parameter in 0..case.params.len() {
                let got = case.losses(level, soft, parameter, &[1, 3], &OFFSETS);
                let wanted =
                    [1, 3].into_iter().flat_map(|e| OFFSETS.map(|offset| case.moved(soft, parameter, e, offset)));
                got.into_iter().zip(wanted).for_each(|(got, wanted)| assert_close(got, wanted));
            }
        }
    }

    #[test]
    fn more_rows_than_are_worked_on_at_a_time() {
        for n in [ROWS, ROWS + 1, 2 * ROWS + 20] {
            let case = Case::new(stacks().swap_remove(0), n);
            for parameter in 0..case.params.len() {
                let last = case.params[parameter].len() as i64 - 1;
                let got = case.losses(detect().unwrap(), false, parameter, &[last, 0], &OFFSETS);
                let entries = [last as usize, 0];
                let wanted =
                    entries.into_iter().flat_map(|e| OFFSETS.map(|offset| case.moved(false, parameter, e, offset)));
                got.into_iter().zip(wanted).for_each(|(got, wanted)| assert_close(got, wanted));
            }
        }
    }

    #[test]
    fn the_losses_are_no_straight_line() {
        // The derivative's prediction for a move of 20 is far from the actual loss.
        let case = Case::new(stacks().swap_remove(1), 3);
        for parameter in 0..case.params.len() {
            let size = case.params[parameter].len() as i64;
            let got = case.losses(detect().unwrap(), false, parameter, &[size / 2], &[0.0, 1e-4, -20.0]);
            let straight = got[0] + (got[1] - got[0]) / 1e-4 * -20.0;
            let wanted = case.moved(false, parameter, size as usize / 2, -20.0);
            assert_close(got[2], wanted);
            assert!((wanted - straight).abs() > 1e-3, "{parameter:?}: {wanted} is {straight}");
        }
    }

    #[test]
    fn an_offset_of_zero_changes_nothing_and_neither_does_one_that_is_rounded_away() {
        for case in Case::all() {
            for parameter in 0..case.params.len() {
                let entries: Vec<i64> = (0..case.params[parameter].len() as i64).collect();
                let got = case.losses(detect().unwrap(), false, parameter, &entries, &[0.0, 0.5, -0.0, 1e-30]);
                for (got, value) in got.chunks_exact(4).zip(&case.params[parameter]) {
                    assert_eq!(got[0].to_bits(), got[2].to_bits());
                    assert!(*value == 0.0 || got[0].to_bits() == got[3].to_bits());
                }
            }
        }
    }

    fn bits(losses: &[f64]) -> Vec<u64> {
        losses.iter().map(|loss| loss.to_bits()).collect()
    }

    #[test]
    fn the_bits_do_not_depend_on_which_moves_are_asked_for_together() {
        for case in Case::all() {
            for parameter in 0..case.params.len() {
                let size = case.params[parameter].len() as i64;
                let entries: Vec<i64> = (0..size).collect();
                let want = case.losses(detect().unwrap(), true, parameter, &entries, &OFFSETS);
                // Backwards, each twice; and one by one.
                let twice: Vec<i64> = entries.iter().rev().flat_map(|&e| [e, e]).collect();
                let got = case.losses(detect().unwrap(), true, parameter, &twice, &OFFSETS);
                let rows: Vec<&[f64]> = want.chunks_exact(OFFSETS.len()).collect();
                let wanted: Vec<f64> = twice.iter().flat_map(|&e| rows[e as usize]).copied().collect();
                assert_eq!(bits(&got), bits(&wanted));
                for e in (0..size).step_by(7) {
                    let got = case.losses(detect().unwrap(), true, parameter, &[e], &OFFSETS);
                    assert_eq!(bits(&got), bits(rows[e as usize]));
                }
            }
        }
    }

    #[test]
    fn a_deadline_stops_between_rounds_and_the_rest_gives_the_same_bits() {
        let case = Case::new(stacks().swap_remove(0), 1);
        for parameter in [0, 3] {
            let size = case.params[parameter].len() as i64;
            let entries: Vec<i64> = (0..size).cycle().take(ROUND + 10).collect();
            let offsets: Vec<f64> = entries.iter().flat_map(|_| [0.5, -1.0]).collect();
            let moves = Moves { parameter, entries: &entries, each: 2, offsets: &offsets };
            let want = case.try_losses(detect().unwrap(), false, moves).unwrap();
            let (mut out, mut done, mut calls) = (vec![f64::NAN; offsets.len()], 0, 0);
            while done < entries.len() {
                let (x, t, now) = (case.x.view(), case.targets(false), Instant::now());
                let before = done;
                done = losses(detect().unwrap(), &case.stack, &case.params, x, t, &[], moves, done, now, &mut out)
                    .unwrap();
                assert!(done > before && out[2 * done..].iter().all(|loss| loss.is_nan()));
                calls += 1;
            }
            assert!(calls > 2);
            assert_eq!(bits(&out), bits(&want));
        }
    }

    #[test]
    fn infinities_and_nan_go_where_the_forward_pass_takes_them() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        for (case, level) in Case::all().filter(|case| case.x.nrows() == 3).zip(available().iter().cycle()) {
            for parameter in 0..case.params.len() {
                let entries: Vec<i64> = (0..case.params[parameter].len() as i64).collect();
                let got = case.losses(*level, false, parameter, &entries, &[inf, -inf, nan, 0.0]);
                for (e, got) in got.chunks_exact(4).enumerate() {
                    for (&got, offset) in got.iter().zip([inf, -inf, nan, 0.0]) {
                        let want = case.moved(false, parameter, e, offset);
                        assert!(
                            (got.is_nan() && want.is_nan()) || got == want || (got - want).abs() < 1e-13 * want.abs(),
                            "{:?} {parameter:?}[{e}] + {offset}: {got} against {want}",
                            case.stack
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let case = Case::new(stacks().swap_remove(0), 3);
        let good = Moves { parameter: 1, entries: &[0, 4], each: 1, offsets: &[1.0, 2.0] };
        let refuse = |moves: Moves<'_>| case.try_losses(detect().unwrap(), false, moves).unwrap_err().to_string();
        let wrong = refuse(Moves { entries: &[0, 5], ..good });
        assert_eq!(wrong, "entry 5 was asked for, but there are 5, counted from 0");
        assert!(refuse(Moves { entries: &[-1, 0], ..good }).contains("entry -1"));
        let wrong = refuse(Moves { parameter: 4, ..good });
        assert_eq!(wrong, "parameter 4 was asked for, but there are 4, counted from 0");
        assert!(refuse(Moves { each: 2, ..good }).contains("the number of offsets is 2"));
        assert!(refuse(Moves { each: usize::MAX, ..good }).contains("the number of offsets is 2"));
        let call = |params: &[Vec<f64>], x: &Array2<f64>, ids: &[i64], out: &mut [f64]| {
            let level = detect().unwrap();
            losses(level, &case.stack, params, x.view(), Targets::ids(ids), &[], good, 0, Instant::now(), out)
        };
        let mut out = [7.0; 2];
        let ids = &case.ids[..];
        assert!(call(&case.params[1..], &case.x, ids, &mut out).is_err());
        assert!(call(&case.params, &array![[1.0]], &ids[..1], &mut out).is_err());
        assert!(call(&case.params, &case.x, &ids[1..], &mut out).is_err());
        assert!(call(&case.params, &case.x, ids, &mut [0.0; 3]).is_err());
        assert_eq!(
            call(&case.params, &case.x, &[0, 3, 0], &mut out),
            Err(KernelError::Label { got: 3, row: 1, classes: 3 })
        );
        assert_eq!(call(&case.params, &Array2::zeros((0, 37)), &[], &mut out), Err(KernelError::Empty));
        assert_eq!(out, [7.0; 2]);
        // Nothing to do, and past the end.
        assert_eq!(case.losses(detect().unwrap(), false, 0, &[], &[]), []);
        let (x, t) = (case.x.view(), case.targets(false));
        let done = losses(detect().unwrap(), &case.stack, &case.params, x, t, &[], good, 9, Instant::now(), &mut out);
        assert_eq!((done, out), (Ok(2), [7.0; 2]));
    }
}

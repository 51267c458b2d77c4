//! The first layer of a network in training, over data without its zeros ([`Nonzeros`]).
//!
//! The columns of the data, and with them the rows of `W`, are divided into two [`Partition`]s. The scores are `b` plus
//! the sums of the first partition, then plus those of the second. The order is the same whether one thread has both
//! partitions or the helper has the second ([`helper_thread`](super::helper_thread)).

use crate::dense::padded::Padded;
use crate::machine::level::Level;
use crate::network::optimize::Optimizer;
use crate::sparse::blocks::Blocks;
use crate::sparse::helper_thread::{with_another, Beside, Helper, Task};
use crate::sparse::nonzeros::Nonzeros;
use crate::sparse::partition::Partition;
use crate::{Float, KernelError};

/// The layer, with buffers for one block.
#[derive(Debug)]
pub(crate) struct First<T> {
    mine: Partition<T>,
    /// The partition that another thread can take over. `None` if the data has a single tile.
    other: Option<Partition<T>>,
    d: Padded<T>,
}

impl<T: Float> First<T> {
    /// The layer that maps `x` to `outputs` scores, for blocks of up to `at_once` rows.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub(crate) fn new(x: &Nonzeros<T>, outputs: usize, at_once: usize) -> Result<Self, KernelError> {
        let tiles = x.tiles();
        let end = tiles.div_ceil(2);
        Ok(Self {
            mine: Partition::new(x, 0..end, outputs, at_once)?,
            other: if end < tiles { Some(Partition::new(x, end..tiles, outputs, at_once)?) } else { None },
            d: Padded::zeros(at_once, outputs)?,
        })
    }

    /// Copy `w` and its optimizer state here, and reserve all memory that steps over `x` need, with whole batches or
    /// `in_blocks`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub(crate) fn load(
        &mut self,
        level: Level,
        x: &Nonzeros<T>,
        optimizer: &Optimizer,
        in_blocks: bool,
        w: &[T],
        state: &[&mut [T]],
    ) -> Result<(), KernelError> {
        for partition in std::iter::once(&mut self.mine).chain(&mut self.other) {
            partition.load(level, x, optimizer, in_blocks, w, state)?;
        }
        Ok(())
    }

    /// Copy them back.
    pub(crate) fn store(&self, level: Level, w: &mut [T], state: &mut [&mut [T]]) {
        for partition in std::iter::once(&self.mine).chain(&self.other) {
            partition.store(level, w, state);
        }
    }

    /// Let `steps` go through these blocks of `x`. With `divide`, another thread does the work `beside` first, and then
    /// joins in.
    ///
    /// # Errors
    ///
    /// Those of `steps`, and [`KernelError::Memory`] before they begin.
    pub(crate) fn during<'a, R>(
        &'a mut self,
        divide: bool,
        beside: Option<Beside<'_>>,
        level: Level,
        x: &'a Nonzeros<T>,
        blocks: Blocks<'a>,
        steps: impl FnOnce(InSteps<'a, T>) -> Result<R, KernelError>,
    ) -> Result<R, KernelError> {
        let Self { mine, other, d } = self;
        let to_join = match other {
            Some(_) if divide => Some((x, Padded::zeros(d.rows(), d.columns())?)),
            _ => None,
        };
        let other = other.as_mut().map_or(Other::None, Other::Here);
        with_another(level, beside, to_join, |helper| steps(InSteps { level, x, blocks, mine, other, d, helper }))
    }
}

/// The layer during the steps.
pub(crate) struct InSteps<'a, T> {
    level: Level,
    x: &'a Nonzeros<T>,
    /// The blocks to come, starting with the current one.
    blocks: Blocks<'a>,
    mine: &'a mut Partition<T>,
    other: Other<'a, T>,
    d: &'a mut Padded<T>,
    helper: Helper<'a, T>,
}

/// The second partition.
enum Other<'a, T> {
    /// There is none.
    None,
    /// This thread has it.
    Here(&'a mut Partition<T>),
    /// The helper has it.
    There,
}

impl<T: Float> InSteps<'_, T> {
    /// `out ← X·W + b` for the next block. The optimizer is in its state before this step.
    ///
    /// # Errors
    ///
    /// None, since the memory is reserved.
    pub(crate) fn forward(&mut self, optimizer: &Optimizer, b: &[T], out: &mut [T]) -> Result<(), KernelError> {
        let Self { level, x, mut blocks, .. } = *self;
        self.other = match std::mem::replace(&mut self.other, Other::None) {
            Other::Here(partition) => match self.helper.offer(Task { partition, blocks, optimizer: *optimizer }) {
                Some(partition) => Other::Here(partition),
                None => Other::There,
            },
            other => other,
        };
        let [now, next] = [(); 2].map(|()| blocks.next().map_or(&[][..], |block| block.rows));
        self.mine.forward(level, x, now, next, b)?;
        match &mut self.other {
            Other::None => {}
            Other::Here(partition) => {
                partition.forward(level, x, now, next, &[])?;
                self.mine.out.add(level, &partition.out);
            }
            Other::There => self.mine.out.add(level, self.helper.receive()?),
        }
        self.mine.out.store(level, out);
        Ok(())
    }

    /// Take the gradient of the scores from `forward`; after the last block of a batch, update `W`.
    pub(crate) fn backward(&mut self, optimizer: &Optimizer, d: &[T]) {
        let Some(block) = self.blocks.next() else { return };
        if let Other::There = self.other {
            self.helper.send(self.level, d);
        }
        self.d.load(self.level, d);
        self.mine.backward(self.level, optimizer, self.d, block);
        if let Other::Here(partition) = &mut self.other {
            partition.backward(self.level, optimizer, self.d, block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers as random;
    use crate::machine::level::{available, detect};
    use crate::machine::threads;
    use crate::network::optimize::Rule;
    use crate::sparse::nonzeros::TILE;
    use crate::sparse::product::tests::{
        bound, mostly_zeros, rows_of_columns, three_loops, wide, Kinds, FEATURES, OUTPUTS,
    };
    use crate::sparse::rows::Rows;
    use ndarray::Array2;

    fn borrow<T>(arrays: &mut [Vec<T>]) -> Vec<&mut [T]> {
        arrays.iter_mut().map(Vec::as_mut_slice).collect()
    }

    /// X·W + b, and W - η (xᵀ·d + λ W): the first step of plain gradient descent, and with momentum too.
    fn a_step_is_three_loops<T: Float>() {
        const BATCH: usize = 9;
        const CAPACITY: usize = 12;
        const ROWS: [i64; BATCH] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        let learning_rate = 0.1;
        let rate = T::of(learning_rate).wide();
        for (features, kind) in FEATURES.into_iter().zip((0..3).cycle()) {
            let kinds = Kinds::of(&mostly_zeros(BATCH, features, 7));
            let x = kinds.each()[kind];
            let mut sparse = Nonzeros::<T>::new(features, x, 1.0);
            sparse.extend(detect().unwrap(), x, 0..BATCH).unwrap();
            let x = Kinds::wide(x).mapv(|x| T::of(x).wide());
            let lists = rows_of_columns(x.view());
            for outputs in OUTPUTS {
                let (before, b) = (random::<T>((features, outputs), 1), random::<T>((1, outputs), 2));
                let d = random::<T>((BATCH, outputs), 3);
                let (scores, scores_sizes) = three_loops(x.view(), wide(&before).view());
                let (gradient, sizes) = three_loops(x.t(), wide(&d).view());
                for (&level, (rule, weight_decay)) in available().iter().flat_map(|level| {
                    [(Rule::Sgd, 0.0), (Rule::Sgd, 0.25), (Rule::Momentum(0.9), 0.0)].map(|rule| (level, rule))
                }) {
                    let optimizer = Optimizer { rule, learning_rate, weight_decay, steps: 1, largest_norm: None };
                    let mut first = First::new(&sparse, outputs, CAPACITY).unwrap();
                    let mut state = vec![vec![T::zero(); before.len()]; rule.states()];
                    let w = before.as_slice().unwrap();
                    first.load(level, &sparse, &optimizer, false, w, &borrow(&mut state)).unwrap();
                    // Rows past the batch would show in the result.
                    first.d.load(level, &vec![T::nan(); CAPACITY * outputs]);
                    let mut out = Array2::from_elem((BATCH, outputs), T::nan());
                    first
                        .during(false, None, level, &sparse, Blocks::new(&ROWS, BATCH, CAPACITY), |mut first| {
                            first.forward(&optimizer, b.as_slice().unwrap(), out.as_slice_mut().unwrap()).unwrap();
                            first.backward(&optimizer, d.as_slice().unwrap());
                            Ok(())
                        })
                        .unwrap();
                    for ((i, j), out) in out.indexed_iter() {
                        let (want, size) =
                            (scores[[i, j]] + b[[0, j]].wide(), scores_sizes[[i, j]] + b[[0, j]].wide().abs());
                        // Each term is rounded as a product and in a sum, the sums of the partitions once more, and in
                        // f64 again.
                        let off = (out.wide() - want).abs();
                        assert!(off <= bound::<T>(2 * features + 4, size), "{features}×{outputs} ({i}, {j}): {off}");
                    }
                    let mut after = Array2::from_elem(before.dim(), T::nan());
                    state.iter_mut().for_each(|state| state.fill(T::nan()));
                    first.store(level, after.as_slice_mut().unwrap(), &mut borrow(&mut state));
                    // In the first step of momentum, the velocity is the step.
                    for ((state, before), after) in state.iter().flatten().zip(&before).zip(&after) {
                        assert_eq!(*before + *state, *after);
                    }
                    for ((p, j), after) in after.indexed_iter() {
                        let w = before[[p, j]].wide();
                        let want = w - rate * (gradient[[p, j]] + weight_decay * w);
                        let size = w.abs() + rate * (sizes[[p, j]] + weight_decay * w.abs());
                        // The products and the sum of the gradient, two with λ, two with η, and in f64 again.
                        let off = (after.wide() - want).abs();
                        assert!(
                            off <= bound::<T>(2 * (1 + lists[p] + 1 + 2 + 2), size),
                            "{rule:?} {weight_decay} {p} {j}"
                        );
                        assert!(lists[p] > 0 || weight_decay > 0.0 || after == &before[[p, j]]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_step_is_three_loops_in_f32() {
        a_step_is_three_loops::<f32>();
    }

    #[test]
    fn a_step_is_three_loops_in_f64() {
        a_step_is_three_loops::<f64>();
    }

    /// `W` and its optimizer state after steps with the layer's output as `d`, in blocks of up to `at_once` rows of a
    /// batch of seven; and whether another thread joined in each time.
    fn steps(divide: bool, at_once: usize, optimizer: Optimizer, beside: Option<Beside<'_>>) -> (Vec<u32>, bool) {
        const OUTPUTS: usize = 21;
        let (features, size) = (2 * TILE + 1, 7);
        let x = mostly_zeros(40, features, 5);
        let mut sparse = Nonzeros::<f32>::new(features, Rows::Bytes(x.view()), 1.0 / 255.0);
        let level = detect().unwrap();
        sparse.extend(level, Rows::Bytes(x.view()), 0..40).unwrap();
        // The last batch is short.
        let rows: Vec<i64> = (0..20_001).map(|i| i * 11 % 40).collect();
        let mut w: Vec<f32> = random((features, OUTPUTS), 1).into_iter().collect();
        let mut state = vec![vec![0.0; w.len()]; optimizer.rule.states()];
        let mut first = First::new(&sparse, OUTPUTS, at_once).unwrap();
        let (mut rows, mut optimizer, mut beside, mut joined) = (&rows[..], optimizer, beside, true);
        // The steps end after a backward pass, as at a deadline; after a forward pass, as at a loss that is not finite;
        // and at the end of the rows.
        for (batches, and_a_half) in [(900, false), (900, true), (2000, false)] {
            first.load(level, &sparse, &optimizer, at_once < size, &w, &borrow(&mut state)).unwrap();
            let beside: Option<Beside<'_>> = beside.as_mut().map(|beside| &mut **beside as Beside<'_>);
            let blocks = Blocks::new(rows, size, at_once);
            let there = first.during(divide, beside, level, &sparse, blocks, |mut first| {
                let mut out = vec![0.0; size * OUTPUTS];
                for block in rows.chunks(size).take(batches).flat_map(|batch| Blocks::new(batch, size, at_once)) {
                    let out = &mut out[..block.rows.len() * OUTPUTS];
                    first.forward(&optimizer, &[0.5; OUTPUTS], out).unwrap();
                    optimizer.steps += u64::from(block.ends);
                    first.backward(&optimizer, out);
                }
                if and_a_half {
                    first.forward(&optimizer, &[0.5; OUTPUTS], &mut out[..at_once * OUTPUTS]).unwrap();
                }
                Ok(matches!(first.other, Other::There))
            });
            joined &= there.unwrap();
            rows = rows.get(batches * size..).unwrap_or(&[]);
            first.store(level, &mut w, &mut borrow(&mut state));
        }
        assert!(rows.is_empty());
        (w.iter().chain(state.iter().flatten()).map(|number| number.to_bits()).collect(), joined)
    }

    #[test]
    fn two_threads_give_the_bits_of_one() {
        for rule in [Rule::Sgd, Rule::Momentum(0.9), Rule::Adam(0.9, 0.999)] {
            let optimizer = Optimizer { rule, learning_rate: 1e-3, weight_decay: 0.0, steps: 0, largest_norm: None };
            for (at_once, work) in [(7, 0), (7, 1), (7, 200), (3, 0), (3, 1)] {
                let (one, joined) = steps(false, at_once, optimizer, None);
                assert!(!joined && one.iter().all(|&bits| f32::from_bits(bits).is_finite()));
                // The other thread may be busy with other work at times, but not every time.
                let times = if threads::count() > 1 { 100 } else { 1 };
                let joined = (0..times).any(|_| {
                    let mut left = work;
                    let mut beside = || {
                        left -= 1;
                        left > 0
                    };
                    let beside: Option<Beside<'_>> = if work > 0 { Some(&mut beside) } else { None };
                    let (two, joined) = steps(true, at_once, optimizer, beside);
                    assert_eq!(one, two, "{rule:?}, {at_once}, {work}");
                    assert!(left <= 0 || !joined);
                    joined
                });
                assert_eq!(joined, threads::count() > 1, "{rule:?}, {at_once}, {work}");
            }
        }
    }

    #[test]
    fn what_is_beside_ends_with_the_steps_and_alone_there_is_one_thread() {
        let optimizer =
            Optimizer { rule: Rule::Sgd, learning_rate: 1e-3, weight_decay: 0.0, steps: 0, largest_norm: None };
        let mut endless = || true;
        let (bits, joined) = steps(true, 7, optimizer, Some(&mut endless));
        assert!(!joined);
        assert_eq!(threads::alone(|| steps(true, 7, optimizer, Some(&mut endless))), (bits, false));
    }
}

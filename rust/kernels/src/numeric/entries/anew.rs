//! Moves of single numbers in networks where the rows are not independent in the layers after the number, or those
//! layers are not all products or elementwise. The part of its layer's output that the number affects is computed anew,
//! then all layers after it in full, for the whole batch, as in training. See [`entries`](super).
//!
//! Cost per move: a column of a product, or a filter of a convolution, and the forward pass after it. Moves are divided
//! among threads.

use crate::error::resize;
use crate::layers::{Draws, Pass};
use crate::loss::Targets;
use crate::machine::level::Level;
use crate::machine::threads;
use crate::network::stack::Stack;
use crate::numeric::entries::Moves;
use crate::KernelError;
use std::time::Instant;

/// A network without a move, and the layer with the moved number.
pub(super) struct Anew<'a, 't> {
    pub level: Level,
    pub stack: &'a Stack,
    pub arrays: &'a [&'a [f64]],
    pub targets: Targets<'t, f64>,
    pub draws: &'a [Draws],
    /// The index of the layer, its input, and its output without a move.
    pub layer: usize,
    pub x: Vec<f64>,
    pub out: Vec<f64>,
}

/// One thread's memory to work in.
#[derive(Default)]
struct Workspace {
    /// The parameter with one number moved.
    moved: Vec<f64>,
    x: Vec<f64>,
    out: Vec<f64>,
    y: Vec<f64>,
}

impl Anew<'_, '_> {
    /// The losses of the entries from `first` on; see [`losses`](super::losses).
    pub(super) fn losses(
        &self,
        moves: Moves<'_>,
        first: usize,
        deadline: Instant,
        out: &mut [f64],
    ) -> Result<usize, KernelError> {
        let (mut done, count) = (first, moves.entries.len());
        while done < count {
            let end = count.min(done + 4 * threads::count());
            let losses = out[done * moves.each..end * moves.each].chunks_mut(moves.each);
            threads::try_each_with((done..end).zip(losses), Workspace::default, |work, (e, losses)| {
                for (k, loss) in losses.iter_mut().enumerate() {
                    *loss =
                        self.loss(moves.parameter, moves.entries[e] as usize, moves.offsets[e * moves.each + k], work)?;
                }
                Ok(())
            })?;
            done = end;
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(done)
    }

    fn loss(&self, parameter: usize, entry: usize, offset: f64, work: &mut Workspace) -> Result<f64, KernelError> {
        let (stack, rows, mine) = (self.stack, self.targets.rows(), self.stack.arrays_of(self.layer));
        let Workspace { moved, x, out, y } = work;
        copy(self.arrays[parameter], moved)?;
        moved[entry] += offset;
        let mut arrays = self.arrays.to_vec();
        arrays[parameter] = moved;
        copy(&self.out, x)?;
        let (layer, flow, at) = (stack.layers[self.layer], stack.flow(self.layer, rows), parameter - mine.start);
        let mut memory = crate::layers::Memory::of(layer, flow)?;
        let mut pass: Pass<'_, f64> = memory.pass(layer, flow, stack.mode(self.layer, self.draws));
        layer.again(self.level, &arrays[mine], flow, &self.x, x, &mut pass, (at, entry))?;
        stack.train_forward(self.level, &arrays, self.layer + 1..stack.layers.len(), rows, self.draws, x, out)?;
        resize(y, x.len(), 0.0)?;
        Ok(stack.loss.mean(self.level, x, self.targets, 0..rows, y))
    }
}

fn copy(from: &[f64], to: &mut Vec<f64>) -> Result<(), KernelError> {
    resize(to, from.len(), 0.0)?;
    to.copy_from_slice(from);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::layers::activation::Activation;
    use crate::layers::convolution::Convolution;
    use crate::layers::dropout::Dropout;
    use crate::layers::normalization::{BatchNorm, LayerNorm};
    use crate::layers::pooling::Pooling;
    use crate::layers::window::Window;
    use crate::layers::Layer;
    use crate::loss::Loss;
    use crate::machine::level::available;
    use crate::numeric::entries::losses;
    use ndarray::{Array2, ArrayView2};
    use std::time::Duration;

    const ROWS: usize = 5;

    /// Every layer that a moved number can be in, or go through.
    fn network() -> (Stack, Vec<Vec<f64>>, Vec<Draws>) {
        let window = |sizes: [usize; 7]| Window::from_sizes(&sizes).unwrap();
        let layers = vec![
            Layer::affine(24),
            Layer::Convolution(Convolution::new(3, window([2, 3, 4, 2, 3, 1, 1]))),
            Layer::BatchNorm(BatchNorm { channels: 3, pixels: 16, momentum: 0.9 }),
            Layer::Activation(Activation::Tanh),
            Layer::Pooling(Pooling { window: window([3, 4, 4, 2, 2, 2, 0]), average: false }),
            Layer::Dropout(Dropout { ratio: 0.3 }),
            Layer::LayerNorm(LayerNorm { size: 12 }),
            Layer::affine(4),
        ];
        let stack = Stack::new(6, layers, Loss::Softmax);
        stack.fits().unwrap();
        let fill = |(size, seed): (usize, u64)| numbers::<f64>((1, size), seed).into_iter().map(|x| 0.3 * x).collect();
        let arrays = stack.sizes().zip(1..).map(fill).collect();
        let draws = (0..8).map(|layer| Draws { seed: 3, step: 1, layer, row: 0 }).collect();
        (stack, arrays, draws)
    }

    /// The loss of the whole network, unmoved.
    fn whole(stack: &Stack, arrays: &[Vec<f64>], draws: &[Draws], x: ArrayView2<'_, f64>, t: Targets<'_, f64>) -> f64 {
        let (mut rows, mut out) = (x.iter().copied().collect(), Vec::new());
        let (level, layers) = (available()[0], 0..stack.layers.len());
        stack.train_forward(level, arrays, layers, ROWS, draws, &mut rows, &mut out).unwrap();
        let mut y = vec![0.0; rows.len()];
        stack.loss.mean(level, &rows, t, 0..ROWS, &mut y)
    }

    #[test]
    fn a_loss_is_that_of_the_network_with_the_number_moved_whoever_finds_it() {
        let (stack, arrays, draws) = network();
        let (x, ids) = (numbers::<f64>((ROWS, 6), 9), [0, 3, 1, 2, 3]);
        let (x, t): (Array2<f64>, _) = (x, Targets::ids(&ids));
        let of_parameters: Vec<bool> =
            stack.layers.iter().flat_map(|its| (0..its.arrays()).map(|at| at < its.parameters())).collect();
        for parameter in 0..arrays.len() {
            let entries: Vec<i64> = (0..arrays[parameter].len() as i64).step_by(3).collect();
            let offsets: Vec<f64> = entries.iter().flat_map(|_| [0.0, 0.25, -0.5]).collect();
            let moves = Moves { parameter, entries: &entries, each: 3, offsets: &offsets };
            let run = |level, late: Duration| {
                let (mut found, mut done, mut calls) = (vec![f64::NAN; offsets.len()], 0, 0);
                while done < entries.len() {
                    let deadline = Instant::now() + late;
                    done = losses(level, &stack, &arrays, x.view(), t, &draws, moves, done, deadline, &mut found)?;
                    calls += 1;
                }
                Ok::<_, KernelError>((found, calls))
            };
            if !of_parameters[parameter] {
                assert!(run(available()[0], Duration::ZERO).is_err(), "statistics are not differentiated by");
                continue;
            }
            for &level in available() {
                let (found, _) = run(level, Duration::from_secs(60)).unwrap();
                let (in_parts, calls) = threads::alone(|| run(level, Duration::ZERO)).unwrap();
                assert_eq!(found, in_parts);
                // Numbers of the last layer take the fast path.
                if parameter + 2 < arrays.len() {
                    assert_eq!(calls, entries.len().div_ceil(4 * threads::count()));
                }
                for (i, found) in found.into_iter().enumerate() {
                    let (mut moved, entry) = (arrays.clone(), entries[i / 3] as usize);
                    moved[parameter][entry] += offsets[i];
                    let want = whole(&stack, &moved, &draws, x.view(), t);
                    // Sums of at most 24 terms, each layer's in another order, amplified by norms over a few numbers.
                    assert!((found - want).abs() < 1e-10, "{parameter} {entry}: {found} for {want}");
                }
            }
        }
    }
}

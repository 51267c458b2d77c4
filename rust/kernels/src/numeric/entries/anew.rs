//! Moves of single numbers in networks whose rows do not go through the layers behind them each by itself, or not number by number: what the number touches of
//! its layer's output is computed anew, and all layers behind it in full, for the whole batch, as in training. See [`entries`](super).
//!
//! Cost of a move: a column of a product, or a filter of a convolution, and the forward pass behind it. Moves are divided among threads.

use crate::error::resize;
use crate::layers::{Draws, Pass};
use crate::loss::Targets;
use crate::machine::level::Level;
use crate::machine::threads;
use crate::network::stack::Stack;
use crate::numeric::entries::Moves;
use crate::KernelError;
use std::time::Instant;

/// A network at rest, and the layer one of whose numbers is moved.
pub(super) struct Anew<'a, 't> {
    pub level: Level,
    pub stack: &'a Stack,
    pub arrays: &'a [&'a [f64]],
    pub targets: Targets<'t, f64>,
    pub draws: &'a [Draws],
    /// Which layer, what flows into it, and what comes out of it unmoved.
    pub layer: usize,
    pub x: Vec<f64>,
    pub out: Vec<f64>,
}

/// What one thread has for itself.
#[derive(Default)]
struct Workspace {
    /// The parameter, a number of it moved.
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
            threads::try_each_with((done..end).zip(losses).collect(), Workspace::default, |work, (e, losses)| {
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

//! The losses of a network with all its parameters moved along one direction: what the gradient check needs besides
//! single entries.
//!
//! ```text
//! out[k] = the mean loss, with every parameter p replaced by p + offsets[k]·v
//! ```
//!
//! Forward pass and loss only, with every product computed anew: `x·(W + a·V)` is never `x·W + a·(x·V)`, which would
//! presume what is to be checked. Zeros of the data are skipped if that pays ([`Data::Nonzeros`]): a weight on a zero
//! pixel has no effect, moved or not.
//!
//! Cost per offset: a forward pass, and one pass over the parameters that move. Offsets are divided among the threads.

use crate::error::{agree, reserve, resize};
use crate::layers::affine::{self, InVectors};
use crate::layers::Draws;
use crate::loss::Targets;
use crate::machine::level::Level;
use crate::machine::threads;
use crate::network::stack::{self, Data, Stack, BLOCK};
use crate::KernelError;
use ndarray::ArrayViewMut2;
use std::ops::Deref;
use std::time::Instant;

/// Compute the losses for the offsets from `first` on, until all are done or `deadline` has passed; always at least
/// some. A parameter without a direction stays. Returns the number of offsets done now: the `first` of the next call.
///
/// ```
/// use chainrule_kernels::numeric::directions::{losses_along, Scratch};
/// use chainrule_kernels::machine::level::detect;
/// use chainrule_kernels::sparse::rows::Rows;
/// use chainrule_kernels::loss::{Loss, Targets};
/// use chainrule_kernels::layers::Layer;
/// use chainrule_kernels::network::stack::{Data, Stack};
/// use ndarray::array;
/// use std::time::{Duration, Instant};
///
/// let stack = Stack::new(1, vec![Layer::affine(2)], Loss::Softmax);
/// let (w, b): (&[f64], &[f64]) = (&[0.0, 0.0], &[0.0, 0.0]);
/// let (x, mut out) = (array![[1.0]], [0.0; 2]);
/// let (data, t) = (Data::Rows(Rows::Double(x.view())), Targets::ids(&[0]));
/// let directions: [Option<&[f64]>; 2] = [None, Some(&[1.0, 0.0])];
/// let offsets = [0.0, 3f64.ln()];
/// let later = Instant::now() + Duration::from_secs(1);
/// losses_along(detect().unwrap(), &stack, &[w, b], &directions, data, t, &[], &offsets, 0, later, &mut out, &mut Scratch::default()).unwrap();
/// // softmax gives the right class 1/2 before and 3/4 after
/// assert!((out[0] - 2f64.ln()).abs() < 1e-15 && (out[1] - (4f64 / 3.0).ln()).abs() < 1e-15);
/// ```
///
/// # Errors
///
/// [`KernelError::Sizes`] if arrays do not fit the stack or each other, [`KernelError::Label`], [`KernelError::Empty`]
/// without rows, [`KernelError::Memory`]. `out` is untouched then, except after the last.
#[allow(clippy::too_many_arguments)] // a network, its data, the direction, and how far to go
pub fn losses_along<P: Deref<Target = [f64]> + Sync>(
    level: Level,
    stack: &Stack,
    params: &[P],
    directions: &[Option<&[f64]>],
    x: Data<'_, f64>,
    targets: Targets<'_, f64>,
    draws: &[Draws],
    offsets: &[f64],
    first: usize,
    deadline: Instant,
    out: &mut [f64],
    scratch: &mut Scratch,
) -> Result<usize, KernelError> {
    let (n, classes) = (x.rows(), stack.classes());
    stack.check(params)?;
    x.check(stack)?;
    agree("the number of rows of t", targets.rows(), "the number of rows of x", n)?;
    stack.loss.check(&targets, classes)?;
    agree("the number of directions", directions.len(), "the number of parameters", params.len())?;
    for (p, v) in params.iter().zip(directions) {
        agree("the size of a direction", v.map_or(p.len(), <[f64]>::len), "the size of its parameter", p.len())?;
    }
    agree("the number of losses", out.len(), "the number of offsets", offsets.len())?;
    if n == 0 {
        return Err(KernelError::Empty);
    }
    let skips = usize::from(stack.trains_otherwise() && matches!(x, Data::Nonzeros(_)));
    agree("the zeros left out", skips, "what layers that train otherwise than they evaluate allow", 0)?;
    let moving = Moving { level, stack, params, directions, x, targets, draws };
    let divided = moving.cost().saturating_mul(offsets.len()) >= WORTH_THREADS;
    let round = if divided { threads::count() } else { 1 };
    let workspaces = scratch.workspaces(stack, round);
    let mut done = first.min(offsets.len());
    while done < offsets.len() {
        let end = offsets.len().min(done + round);
        let items = offsets[done..end].iter().zip(&mut out[done..end]).zip(&mut *workspaces);
        threads::try_each_with(
            items,
            || (),
            |(), ((&offset, out), work)| {
                *out = moving.loss(offset, work)?;
                Ok(())
            },
        )?;
        done = end;
        if Instant::now() >= deadline {
            break;
        }
    }
    Ok(done)
}

/// Multiplications (and numbers moved) from which a second thread is woken: a millisecond of work, because in a check
/// the threads have time to fall asleep between two calls.
const WORTH_THREADS: usize = 1 << 26;

/// Memory to work in, which the caller keeps between calls: allocating half a megabyte anew costs as much as the loss
/// itself.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The stack that the workspaces were made for.
    stack: Option<Stack>,
    workspaces: Vec<Workspace>,
}

impl Scratch {
    fn workspaces(&mut self, stack: &Stack, count: usize) -> &mut [Workspace] {
        if self.stack.as_ref() != Some(stack) {
            self.workspaces.clear();
            self.stack = Some(stack.clone());
        }
        if self.workspaces.len() < count {
            self.workspaces.resize_with(count, Workspace::default);
        }
        self.workspaces.iter_mut().for_each(|work| work.ready = false);
        &mut self.workspaces
    }
}

/// Memory to work in for one offset.
#[derive(Debug, Default)]
struct Workspace {
    /// The parameters that move, moved.
    moved: Vec<Vec<f64>>,
    /// The parameters of a product that skips zeros.
    first: InVectors<f64>,
    /// Whether `first` already holds this call's `W`, which is the same for all offsets.
    ready: bool,
    block: stack::Workspace<f64>,
    scores: Vec<f64>,
    y: Vec<f64>,
}

struct Moving<'a, 'x, 't, P> {
    level: Level,
    stack: &'a Stack,
    params: &'a [P],
    directions: &'a [Option<&'a [f64]>],
    x: Data<'x, f64>,
    targets: Targets<'t, f64>,
    draws: &'a [Draws],
}

impl<P: Deref<Target = [f64]> + Sync> Moving<'_, '_, '_, P> {
    fn cost(&self) -> usize {
        let products = self.stack.cost().saturating_mul(self.x.rows());
        self.directions.iter().flatten().fold(products, |cost, v| cost.saturating_add(v.len()))
    }

    fn loss(&self, offset: f64, work: &mut Workspace) -> Result<f64, KernelError> {
        let (n, classes) = (self.x.rows(), self.stack.classes());
        let Workspace { moved, first, ready, block, scores, y } = work;
        moved.resize_with(self.params.len(), Vec::new);
        for ((moved, p), v) in moved.iter_mut().zip(self.params).zip(self.directions) {
            moved.clear();
            if let Some(v) = v {
                reserve(moved, p.len())?;
                moved.extend(p.iter().zip(*v).map(|(p, v)| p + offset * v));
            }
        }
        let which = self.params.iter().zip(self.directions).zip(&*moved);
        let params: Vec<&[f64]> = which.map(|((p, v), moved)| if v.is_some() { &moved[..] } else { p }).collect();
        if let (Data::Rows(x), true) = (self.x, self.stack.trains_otherwise()) {
            resize(scores, n.saturating_mul(self.stack.features), 0.0)?;
            x.gather(0..n, scores);
            let layers = 0..self.stack.layers.len();
            self.stack.train_forward(self.level, &params, layers, n, self.draws, scores, y)?;
            resize(y, scores.len(), 0.0)?;
            return Ok(self.stack.loss.mean(self.level, scores, self.targets, 0..n, y));
        }
        let skip = self.stack.skips(self.level, &params, self.x);
        if let (true, Some((layer, _))) = (skip, self.stack.first_product()) {
            let mine = self.stack.arrays_of(layer);
            if *ready {
                first.load_b(self.level, &params[mine]);
            } else {
                self.stack.load_first(self.level, &params, first)?;
                *ready = self.directions[mine.start + affine::W].is_none();
            }
        }
        let size = n.saturating_mul(classes);
        resize(scores, size, 0.0)?;
        resize(y, size, 0.0)?;
        for start in (0..n).step_by(BLOCK) {
            let rows = start..n.min(start + BLOCK);
            let out = &mut scores[rows.start * classes..rows.end * classes];
            let Ok(out) = ArrayViewMut2::from_shape((rows.len(), classes), out) else {
                continue; // not reached: the length fits
            };
            self.stack.scores_of_block(self.level, &params, skip.then_some(&*first), self.x, rows, block, out)?;
        }
        Ok(self.stack.loss.mean(self.level, &scores[..size], self.targets, 0..n, &mut y[..size]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::matmul::tests::numbers;
    use crate::layers::activation::Activation::{self, LeakyRelu, Relu, Scale, Sigmoid, Tanh};
    use crate::layers::Layer;
    use crate::loss::Loss;
    use crate::machine::level::{available, detect};
    use crate::numeric::entries::tests::naive;
    use crate::sparse::nonzeros::Nonzeros;
    use crate::sparse::rows::Rows;
    use ndarray::Array2;
    use std::time::Duration;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn vector(size: usize, seed: u64) -> Vec<f64> {
        numbers((1, size), seed).into_iter().collect()
    }

    /// A network, its parameters, and data of which about every second number is 0.
    fn network(features: usize, layers: Vec<Layer>, n: usize) -> (Stack, Vec<Vec<f64>>, Array2<f64>, Array2<f64>) {
        let stack = Stack::new(features, layers, Loss::Softmax);
        let params = stack.sizes().enumerate().map(|(i, size)| vector(size, i as u64 + 1));
        let params = params.collect();
        let x = numbers((n, features), 77).mapv(|x: f64| if x > 0.0 { x } else { 0.0 });
        let t = numbers((n, stack.classes()), 78).mapv(|t: f64| t.abs());
        let sums = t.sum_axis(ndarray::Axis(1)).insert_axis(ndarray::Axis(1));
        (stack, params, x, t / sums)
    }

    #[test]
    fn losses_are_those_of_the_definition() {
        let f = |f: Activation| Layer::Activation(f);
        let layers = [
            vec![Layer::affine(3)],
            vec![f(Scale(0.5)), Layer::affine(17), f(Relu), Layer::affine(4)],
            vec![f(Tanh), Layer::affine(5), f(Sigmoid), Layer::affine(2), f(LeakyRelu(0.1))],
        ];
        for (layers, n) in layers.into_iter().flat_map(|layers| [1, 3, 70].map(|n| (layers.clone(), n))) {
            let (stack, params, x, t) = network(19, layers, n);
            let directions: Vec<Vec<f64>> =
                params.iter().enumerate().map(|(i, p)| vector(p.len(), i as u64 + 40)).collect();
            // First all but the last move, then all but the first, then the first alone, with memory kept between
            // calls.
            let last = params.len() - 1;
            let moving = [0..last, 1..last + 1, 0..1].map(|which| {
                let direction = |i: usize| which.contains(&i).then_some(&directions[i][..]);
                (0..params.len()).map(direction).collect::<Vec<_>>()
            });
            let offsets = [0.0, -0.25, 1e-3];
            for &level in available() {
                let mut nonzeros = Nonzeros::new(19, Rows::Double(x.view()), stack.scale().unwrap_or(1.0));
                nonzeros.extend(level, Rows::Double(x.view()), 0..n).unwrap();
                let mut data = vec![Data::Rows(Rows::Double(x.view()))];
                if stack.first_product().is_some() {
                    data.push(Data::Nonzeros(&nonzeros));
                }
                for data in data {
                    let mut scratch = Scratch::default();
                    for some in &moving {
                        let mut out = [0.0; 3];
                        let targets = Targets::numbers(t.view());
                        let done = losses_along(
                            level,
                            &stack,
                            &params,
                            some,
                            data,
                            targets,
                            &[],
                            &offsets,
                            0,
                            later(),
                            &mut out,
                            &mut scratch,
                        );
                        assert_eq!(done, Ok(3));
                        for (offset, loss) in offsets.into_iter().zip(out) {
                            let moved: Vec<Vec<f64>> = (params.iter().zip(some))
                                .map(|(p, v)| match v {
                                    Some(v) => p.iter().zip(*v).map(|(p, v)| p + offset * v).collect(),
                                    None => p.clone(),
                                })
                                .collect();
                            let expected = naive(&stack, &moved, &x, &t);
                            // Sums of at most 19 terms in another order.
                            assert!((loss - expected).abs() <= 1e-13 * expected.abs().max(1.0), "{loss} {expected}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_written() {
        let (stack, params, x, _) = network(4, vec![Layer::affine(3)], 2);
        let level = detect().unwrap();
        let run = |directions: &[Option<&[f64]>], ids: &[i64], rows: usize, out: &mut [f64]| {
            let x = x.slice(ndarray::s![..rows, ..]);
            let (data, t) = (Data::Rows(Rows::Double(x)), Targets::ids(ids));
            losses_along(
                level,
                &stack,
                &params,
                directions,
                data,
                t,
                &[],
                &[0.0],
                0,
                later(),
                out,
                &mut Scratch::default(),
            )
            .unwrap_err()
        };
        let mut out = [7.0];
        assert!(matches!(run(&[None], &[0, 1], 2, &mut out), KernelError::Sizes { .. }));
        assert!(matches!(run(&[None, Some(&[1.0])], &[0, 1], 2, &mut out), KernelError::Sizes { .. }));
        assert!(matches!(run(&[None, None], &[0], 2, &mut out), KernelError::Sizes { .. }));
        assert!(matches!(run(&[None, None], &[0, 3], 2, &mut out), KernelError::Label { .. }));
        assert!(matches!(run(&[None, None], &[], 0, &mut out), KernelError::Empty));
        assert_eq!(out, [7.0]);
    }

    #[test]
    fn it_goes_on_where_it_stopped() {
        let (stack, params, x, t) = network(5, vec![Layer::affine(3)], 2);
        let level = detect().unwrap();
        let v = vector(15, 3);
        let run = |first: usize, deadline: Instant, out: &mut [f64]| {
            let (data, t) = (Data::Rows(Rows::Double(x.view())), Targets::numbers(t.view()));
            losses_along(
                level,
                &stack,
                &params,
                &[Some(&v[..]), None],
                data,
                t,
                &[],
                &[0.1, 0.2, 0.3],
                first,
                deadline,
                out,
                &mut Scratch::default(),
            )
        };
        let (mut at_once, mut in_parts) = ([0.0; 3], [0.0; 3]);
        assert_eq!(run(0, later(), &mut at_once), Ok(3));
        let mut done = 0;
        while done < 3 {
            let before = done;
            done = run(done, Instant::now(), &mut in_parts).unwrap();
            assert!(done > before);
        }
        assert_eq!(run(3, later(), &mut in_parts), Ok(3));
        assert_eq!(at_once, in_parts);
    }
}

//! Filters moved over an image.
//!
//! ```text
//! out[f, p] = Σₖ W[f, k] · x[k under p] + b[f]        p: a place of the window;  k: a pixel of it, of one channel
//! dW[f, k] = Σ over images and places d[f, p] · x[k under p]          db = Σ d          dx: each pixel what all places it was under send
//! ```
//!
//! Sixteen images go [side by side](crate::layers::side_by_side) through the kernels of [`filtering`](crate::layers::filtering); a few alone, as in a check,
//! one after the other by [`unfolded`](crate::layers::unfolded). Images are divided among threads. `dW` and `db` are sums over blocks of [`BLOCK`] images, and
//! the blocks are added up in pairs, the pairs in pairs: the same bits at any number of threads.
//!
//! Source: K. Saitoh, "Deep Learning from Scratch" §7.4. Cost: `filters · under · positions` multiplications an image, and twice that back.

use crate::dense::aligned::Aligned;
use crate::dense::padded::{Padded, LANES};
use crate::error::zeros;
use crate::layers::activation::Activation;
use crate::layers::filtering::{filters_at_once, Filtered, Filters, OfBiases, Products, Totals};
use crate::layers::side_by_side::{self, Field, Place};
use crate::layers::unfolded::Unfolded;
use crate::layers::window::Window;
use crate::layers::{in_parts, Definition, Flow, Gradients, Pass};
use crate::machine::level::Level;
use crate::machine::threads;
use crate::{Float, KernelError};
use std::ops::Deref;

/// Images whose sums are taken in their order; a larger batch has larger blocks, so that there are never more than [`BLOCKS`].
const BLOCK: usize = LANES;
const BLOCKS: usize = 64;

/// Multiplications from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 20;

/// The layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convolution {
    /// How many there are.
    pub filters: usize,
    /// What each has the size of.
    pub window: Window,
    /// The function that is applied to what comes out.
    behind: Option<Activation>,
}

/// Memory of one thread's work.
#[derive(Default)]
struct Workspace<T> {
    alone: Unfolded<T>,
    /// Sixteen images, and what comes out of them, side by side.
    image: Aligned<T>,
    d_image: Aligned<T>,
    out: Aligned<T>,
    /// Images with their padding, and the gradients of places with zeros around them.
    padded: Field<T>,
    turned: Field<T>,
    /// The products of filters and images, lane by lane.
    sums: Padded<T>,
}

impl Convolution {
    /// So many filters of the window's size.
    pub fn new(filters: usize, window: Window) -> Self {
        Self { filters, window, behind: None }
    }

    /// With a function that is applied to what comes out, unless there is one.
    pub(crate) fn with(self, behind: Activation) -> Option<Self> {
        self.behind.is_none().then_some(Self { behind: Some(behind), ..self })
    }

    /// Whether sixteen images go through the kernels at once.
    fn by_sixteens(flow: Flow) -> bool {
        flow.side_by_side || (flow.rows >= side_by_side::LEAST && flow.inputs > 0)
    }

    fn cost_of(self, rows: usize) -> usize {
        self.cost(0).saturating_mul(rows)
    }

    /// The window that moves over the gradients of the places, [set apart](Place::turned), to find those of the pixels.
    fn turned(self) -> Window {
        let Place { field: (rows, columns), .. } = Place::turned(self.window);
        Window { channels: self.filters, rows, columns, stride: 1, pad: 0, ..self.window }
    }

    /// Which number of W is that of the turned filter of a channel: the pixels of its window come from the last to the first.
    fn turned_place(self, channel: usize, k: usize) -> usize {
        let Window { channels, height, width, .. } = self.window;
        let size = height * width;
        let (filter, pixel) = (k / size, k % size);
        (filter * channels + channel) * size + (size - 1 - pixel)
    }

    /// How many images a block has in a batch of `rows`.
    fn block(rows: usize) -> usize {
        rows.div_ceil(BLOCKS).max(1).next_multiple_of(BLOCK)
    }
}

/// Sixteen images, in lanes, with the padding of the window around them.
fn padded<'a, T: Float>(
    window: Window,
    image: &'a [T],
    field: &'a mut Field<T>,
) -> Result<&'a [[T; LANES]], KernelError> {
    field.around(Place::padded(window), (window.channels, window.rows, window.columns), image.as_chunks().0)
}

/// The sums over sixteen images in lanes, and their gradients if there is where to; `turned`: the filters for those.
fn back_together<T: Float>(
    level: Level,
    layer: Convolution,
    turned: &Filters<T>,
    (image, d): (&[T], &[T]),
    (sums, d_b): (&mut [[T; LANES]], &mut [T]),
    d_x: Option<&mut [T]>,
    fields: (&mut Field<T>, &mut Field<T>),
) -> Result<(), KernelError> {
    let (window, filters, d) = (layer.window, layer.filters, d.as_chunks().0);
    let image = padded(window, image, fields.0)?;
    level.run(Products { window: window.padded(), filters, image, d, sums });
    level.run(OfBiases { d, places: window.positions(), d_b });
    let Some(d_x) = d_x else { return Ok(()) };
    let (down, across) = window.places();
    let image = fields.1.around(Place::turned(window), (filters, down, across), d)?;
    level.run(Filtered { window: layer.turned(), filters: turned, image, out: d_x.as_chunks_mut().0 });
    Ok(())
}

impl Definition for Convolution {
    const ARRAYS: usize = 2;

    fn inputs(self) -> Option<usize> {
        Some(self.window.inputs())
    }

    fn outputs(self, _: usize) -> usize {
        self.filters * self.window.positions()
    }

    fn shapes(self, _: usize) -> Vec<Vec<usize>> {
        let Window { channels, height, width, .. } = self.window;
        vec![vec![self.filters, channels, height, width], vec![self.filters]]
    }

    fn cost(self, _: usize) -> usize {
        self.filters.saturating_mul(self.window.under()).saturating_mul(self.window.positions())
    }

    fn takes_side_by_side(self) -> Option<bool> {
        Some(true)
    }

    fn divides(self, rows: usize, _: usize) -> bool {
        rows > 1 && self.cost_of(rows) >= WORTH_THREADS
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        x: &[T],
        out: &mut [T],
        _: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let Flow { rows, inputs, outputs, side_by_side } = flow;
        let [w, b] = arrays else { return Ok(()) };
        let (w, b): (&[T], &[T]) = (w, b);
        let (under, positions, divided) = (self.window.under(), self.window.positions(), self.divides(rows, inputs));
        if inputs == 0 {
            let each = if side_by_side { LANES * positions } else { positions };
            let numbers = b.iter().flat_map(|&b| std::iter::repeat_n(b, each)).cycle();
            out.iter_mut().zip(numbers).for_each(|(out, b)| *out = b);
            self.behind.iter().for_each(|f| f.apply_in_place(level, out));
            return Ok(());
        }
        if !Self::by_sixteens(flow) {
            return in_parts(1, (x, inputs), (out, outputs), divided, Unfolded::default, |alone, _, x, out| {
                alone.forward(level, self, (w, b), x, out)?;
                self.behind.iter().for_each(|f| f.apply_in_place(level, out));
                Ok(())
            });
        }
        let (window, filters) =
            (self.window.padded(), Filters::new(level, (self.filters, under), b, |filter, k| w[filter * under + k])?);
        in_parts(LANES, (x, inputs), (out, outputs), divided, Workspace::default, |work, _, x, out| {
            let Workspace { image, padded: field, out: lanes, .. } = work;
            if side_by_side {
                let image = padded(self.window, x, field)?;
                level.run(Filtered { window, filters: &filters, image, out: out.as_chunks_mut().0 });
                self.behind.iter().for_each(|f| f.apply_in_place(level, out));
                return Ok(());
            }
            image.resize(LANES * inputs)?;
            lanes.resize(LANES * outputs)?;
            side_by_side::load(level, x, inputs, image)?;
            let image = padded(self.window, image, field)?;
            level.run(Filtered { window, filters: &filters, image, out: lanes.as_chunks_mut().0 });
            self.behind.iter().for_each(|f| f.apply_in_place(level, lanes));
            side_by_side::store(level, lanes, out)
        })
    }

    /// One channel of the output.
    fn again<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        Flow { rows, inputs, outputs, .. }: Flow,
        x: &[T],
        out: &mut [T],
        pass: &mut Pass<'_, T>,
        (which, entry): (usize, usize),
    ) -> Result<(), KernelError> {
        let [w, b] = arrays else { return Ok(()) };
        let (under, positions) = (self.window.under(), self.window.positions());
        let filter = if which == 0 { entry / under.max(1) } else { entry };
        let (alone, mut channel) = (Self { filters: 1, ..self }, zeros(rows.saturating_mul(positions))?);
        let its: [&[T]; 2] = [&w[filter * under..][..under], &b[filter..=filter]];
        alone.forward(level, &its, Flow::of_rows(rows, inputs, positions), x, &mut channel, pass)?;
        for (out, channel) in out.chunks_exact_mut(outputs).zip(channel.chunks_exact(positions)) {
            out[filter * positions..][..positions].copy_from_slice(channel);
        }
        Ok(())
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        (x, out): (&[T], &[T]),
        wanted: bool,
        Gradients { d, d_x, d_params }: &mut Gradients<T>,
        _: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let [w, _] = arrays else { return Ok(()) };
        let (w, window): (&[T], _) = (w, self.window);
        let Flow { rows, inputs, outputs, side_by_side } = flow;
        let (of_w, block, room) = (w.len(), Self::block(rows), flow.room());
        let of_both = of_w + self.filters;
        let mut sums = zeros(rows.div_ceil(block).saturating_mul(of_both))?;
        let mut blocks = Vec::new();
        {
            let mut d_x = &mut d_x[..if wanted { room * inputs } else { 0 }];
            let ds = d[..room * outputs].chunks_mut((block * outputs).max(1));
            for (i, (sums, d)) in sums.chunks_exact_mut(of_both.max(1)).zip(ds).enumerate() {
                let images = i * block..room.min((i + 1) * block);
                let its;
                (its, d_x) = d_x.split_at_mut(if wanted { images.len() * inputs } else { 0 });
                blocks.push((images, sums, d, its));
            }
        }
        let together = Self::by_sixteens(flow);
        let turned = if wanted && together {
            let size = (window.channels, self.turned().under());
            Filters::new(level, size, &[], |channel, k| w[self.turned_place(channel, k)])?
        } else {
            Filters::default()
        };
        let all = || {
            threads::try_each_with(blocks, Workspace::default, |work, (images, sums, d, d_x)| {
                let x = &x[images.start * inputs..images.end * inputs];
                let its = &out[images.start * outputs..images.end * outputs];
                self.behind.iter().for_each(|f| f.apply_slope_alone(level, its, d));
                let (d_w, d_b) = sums.split_at_mut(of_w);
                if !together {
                    return work.alone.back(level, self, w, (x, d), (d_w, d_b), d_x);
                }
                let (at_once, under) = (filters_at_once::<T>(level), window.under());
                let Workspace { image, d_image, out, padded, turned: gradients, sums, .. } = work;
                sums.reshape(self.filters.next_multiple_of(at_once) * under, LANES)?;
                sums.lanes_mut().fill([T::zero(); LANES]);
                for (i, d) in (*d).chunks(LANES * outputs).enumerate() {
                    let sums = (sums.lanes_mut(), &mut *d_b);
                    let its = i * LANES * inputs..x.len().min((i + 1) * LANES * inputs);
                    let (x, d_x) = (&x[its.clone()], wanted.then(|| &mut d_x[its]));
                    if side_by_side {
                        back_together(level, self, &turned, (x, d), sums, d_x, (padded, gradients))?;
                        continue;
                    }
                    image.resize(LANES * inputs)?;
                    out.resize(LANES * outputs)?;
                    d_image.resize(LANES * inputs)?;
                    side_by_side::load(level, x, inputs, image)?;
                    side_by_side::load(level, d, outputs, out)?;
                    let to = wanted.then_some(&mut **d_image);
                    back_together(level, self, &turned, (&**image, &**out), sums, to, (padded, gradients))?;
                    if let Some(d_x) = d_x {
                        side_by_side::store(level, d_image, d_x)?;
                    }
                }
                level.run(Totals { at_once, sums: sums.lanes(), d_w, under });
                Ok(())
            })
        };
        if self.divides(rows, inputs) {
            all()?;
        } else {
            threads::alone(all)?;
        }
        if wanted && of_both == 0 {
            d_x[..room * inputs].fill(T::zero());
        }
        add_in_pairs(&mut sums, of_both);
        d_params[..of_both].fill(T::zero());
        d_params[..of_both].iter_mut().zip(&sums).for_each(|(to, &from)| *to = from);
        std::mem::swap(d, d_x);
        Ok(())
    }
}

/// The sum of some numbers, in sixteen parts.
pub(crate) fn sum<T: Float>(numbers: &[T]) -> T {
    let mut parts = [T::zero(); 16];
    let mut chunks = numbers.chunks_exact(16);
    for chunk in &mut chunks {
        parts.iter_mut().zip(chunk).for_each(|(part, &number)| *part += number);
    }
    parts.iter_mut().zip(chunks.remainder()).for_each(|(part, &number)| *part += number);
    add_in_pairs(&mut parts, 1);
    parts[0]
}

/// Sums of as many numbers each, side by side, added up into the first: neighbours, then neighbours of these, and so on.
pub(crate) fn add_in_pairs<T: Float>(sums: &mut [T], each: usize) {
    let mut apart = each;
    while apart > 0 && apart < sums.len() {
        for pair in sums.chunks_mut(2 * apart) {
            if pair.len() > apart {
                let (to, from) = pair.split_at_mut(apart);
                to[..each].iter_mut().zip(&from[..each]).for_each(|(to, &from)| *to += from);
            }
        }
        apart *= 2;
    }
}

//! Filters moved over an image.
//!
//! ```text
//! out[f, p] = Σₖ W[f, k] · x[k under p] + b[f]        p: a place of the window;  k: a pixel of it, of one channel
//! dW[f, k] = Σ over images and places d[f, p] · x[k under p]          db = Σ d          dx: each pixel the sum over all places it was under
//! ```
//!
//! Sixteen images go [side by side](crate::layers::side_by_side) through the kernels of
//! [`filtering`](crate::layers::filtering). A few images that come alone, as in a check, go one by one through
//! [`unfolded`](crate::layers::unfolded). Threads divide the images, and for the last of them the filters or channels.
//! `dW` and `db` are sums over blocks of [`BLOCK`] images, and the blocks are added in pairs, the pairs in pairs: the
//! same bits at any number of threads. A convolution may [fuse](crate::layers::behind) with the layers after it.
//!
//! Source: K. Saitoh, "Deep Learning from Scratch" §7.4. Cost: `filters · under · positions` multiplications per image,
//! and twice that in the backward pass.

use crate::dense::aligned::Aligned;
use crate::dense::matrix;
use crate::dense::padded::{Padded, LANES};
use crate::error::{resize, zeros};
use crate::layers::activation::Activation;
use crate::layers::behind::{Behind, RowByRow};
use crate::layers::filtering::{filters_at_once, Filtered, Filters, Largest, Products, Totals};
use crate::layers::pooling::Pooling;
use crate::layers::side_by_side::{self, Field, Place};
use crate::layers::unfolded::Unfolded;
use crate::layers::window::Window;
use crate::layers::{Definition, Flow, Gradients, Pass};
use crate::machine::level::Level;
use crate::machine::threads;
use crate::{Float, KernelError};
use ndarray::s;
use std::ops::{Deref, Range};

/// Images whose sums are accumulated in order. A larger batch has larger blocks, so that there are never more than
/// [`BLOCKS`].
const BLOCK: usize = 4 * LANES;
const BLOCKS: usize = 64;

/// Multiplications from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 20;

/// The layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convolution {
    /// The number of filters.
    pub filters: usize,
    /// The window, which has the size of a filter.
    pub window: Window,
    behind: Behind,
}

/// One thread's memory to work in.
#[derive(Default)]
struct Workspace<T> {
    alone: Unfolded<T>,
    /// The map of one image, and the gradients of the output.
    map: Vec<T>,
    d: Vec<T>,
    /// Sixteen images and their outputs, side by side.
    image: Aligned<T>,
    out: Aligned<T>,
    /// Images with their padding, and the gradients of places with zeros around them.
    padded: Field<T>,
    turned: Field<T>,
    /// A few rows of a map, or of its gradients.
    rows: Padded<T>,
    /// The sums of products of gradients and images, lane by lane.
    sums: Padded<T>,
}

/// A part of the backward pass: the gradients of some filters, or those of a few images.
enum Part<'a, T> {
    Filters { which: Range<usize>, images: Range<usize>, d_w: &'a mut [T], d_b: &'a mut [T] },
    Images { images: Range<usize>, channels: Range<usize>, d_x: &'a mut [T] },
}

impl Convolution {
    /// `filters` filters of the window's size.
    pub fn new(filters: usize, window: Window) -> Self {
        Self { filters, window, behind: Behind::default() }
    }

    /// With a function fused, if that is possible.
    pub(crate) fn with_function(self, f: Activation) -> Option<Self> {
        self.behind.with_function(f).map(|behind| Self { behind, ..self })
    }

    /// With pooling fused, if that is possible.
    pub(crate) fn with_pooling(self, pooling: Pooling) -> Option<Self> {
        self.behind.with_pooling(pooling).map(|behind| Self { behind, ..self })
    }

    /// Whether images go through the kernels sixteen at a time.
    fn by_sixteens(self, flow: Flow) -> bool {
        let alone = self.behind == Behind::default() && flow.rows >= side_by_side::LEAST;
        (flow.side_by_side || alone) && flow.inputs > 0
    }

    fn cost_of(self, rows: usize) -> usize {
        self.cost(0).saturating_mul(rows)
    }

    /// Outputs per image and filter.
    fn each(self) -> usize {
        self.behind.pooling.map_or(self.window, |pooling| pooling.window).positions()
    }

    /// The window that moves over the gradients of the places, [spread out](Place::turned), to compute those of the
    /// pixels.
    fn turned(self) -> Window {
        let Place { field: (rows, columns), .. } = Place::turned(self.window);
        Window { channels: self.filters, rows, columns, stride: 1, pad: 0, ..self.window }
    }

    /// The index in W of entry `k` of a channel's turned filter: the pixels of its window are in reverse order.
    fn turned_place(self, channel: usize, k: usize) -> usize {
        let Window { channels, height, width, .. } = self.window;
        let size = height * width;
        let (filter, pixel) = (k / size, k % size);
        (filter * channels + channel) * size + (size - 1 - pixel)
    }

    /// Images per block in a batch of `rows`.
    fn block(rows: usize) -> usize {
        rows.div_ceil(BLOCKS).max(1).next_multiple_of(BLOCK)
    }

    /// Sixteen images, in lanes, surrounded by the window's padding.
    fn padded<'a, T: Float>(
        self,
        level: Level,
        image: &'a [T],
        field: &'a mut Field<T>,
    ) -> Result<&'a [[T; LANES]], KernelError> {
        let Window { channels, rows, columns, .. } = self.window;
        field.around(level, Place::padded(self.window), channels, RowByRow::of((rows, columns), image.as_chunks().0))
    }

    /// The gradients of the map of some filters, for sixteen images.
    fn coming_back<'a, T: Float>(
        self,
        level: Level,
        flow: Flow,
        (d, out, places): (&'a [T], &'a [T], &'a [u32]),
        (images, filters): (&Range<usize>, Range<usize>),
        memory: &'a mut Aligned<T>,
    ) -> Result<RowByRow<'a, T>, KernelError> {
        let part = filters.start * self.each()..filters.end * self.each();
        let at = images.start * flow.outputs;
        let lanes_of_part = at + LANES * part.start..at + LANES * part.end;
        let numbers = lanes(level, flow, (d, flow.outputs), images, part, memory)?.as_chunks().0;
        let mut rows = RowByRow { behind: self.behind, ..RowByRow::of(self.window.places(), numbers) };
        if flow.side_by_side {
            rows.out = out[lanes_of_part.clone()].as_chunks().0;
            rows.places = places.get(lanes_of_part).unwrap_or_default().as_chunks().0;
        }
        Ok(rows)
    }

    /// The forward pass image by image.
    fn forward_alone<T: Float>(
        self,
        level: Level,
        (w, b): (&[T], &[T]),
        Flow { rows, inputs, outputs, .. }: Flow,
        x: &[T],
        out: &mut [T],
        places: &mut [u32],
    ) -> Result<(), KernelError> {
        let (positions, each) = (self.window.positions(), self.each());
        if outputs == 0 {
            return Ok(());
        }
        let mut places = places.chunks_exact_mut(outputs);
        let items = out.chunks_exact_mut(outputs).enumerate().map(|(i, out)| (i, out, places.next()));
        let all = || {
            threads::try_each_with(items, Workspace::default, |Workspace { alone, map, .. }, (i, out, places)| {
                let x = &x[i * inputs..][..inputs];
                let Some(pooling) = self.behind.pooling else {
                    alone.forward(level, self, (w, b), x, out)?;
                    self.behind.apply(level, out);
                    return Ok(());
                };
                resize(map, self.filters * positions, T::zero())?;
                alone.forward(level, self, (w, b), x, map)?;
                let mut places = places.unwrap_or_default().chunks_exact_mut(each);
                for (map, out) in map.chunks_exact(positions).zip(out.chunks_exact_mut(each)) {
                    pooling.largest(map, out, places.next().unwrap_or_default());
                }
                self.behind.apply(level, out);
                Ok(())
            })
        };
        if self.divides(rows, inputs) {
            all()
        } else {
            threads::alone(all)
        }
    }

    /// The backward pass image by image: adds to `d_w` and `d_b`.
    fn back_alone<T: Float>(
        self,
        level: Level,
        w: &[T],
        Flow { rows, inputs, outputs, .. }: Flow,
        (x, out, d, places): (&[T], &[T], &[T], &[u32]),
        (d_w, d_b): (&mut [T], &mut [T]),
        d_x: &mut [T],
    ) -> Result<(), KernelError> {
        let (positions, each) = (self.window.positions(), self.each());
        let mut work = Workspace::default();
        for i in 0..rows {
            let its = i * outputs..(i + 1) * outputs;
            resize(&mut work.d, outputs, T::zero())?;
            work.d.copy_from_slice(&d[its.clone()]);
            self.behind.f.iter().for_each(|f| f.apply_slope_alone(level, &out[its.clone()], &mut work.d));
            if self.behind.pooling.is_some() {
                resize(&mut work.map, self.filters * positions, T::zero())?;
                work.map.fill(T::zero());
                let ds = work.d.chunks_exact(each).zip(places[its].chunks_exact(each));
                for (map, (d, places)) in work.map.chunks_exact_mut(positions).zip(ds) {
                    d.iter().zip(places).for_each(|(&d, &place)| map[place as usize] = d);
                }
                std::mem::swap(&mut work.d, &mut work.map);
            }
            let d_x = if d_x.is_empty() { &mut [][..] } else { &mut d_x[i * inputs..][..inputs] };
            work.alone.back(level, self, w, (&x[i * inputs..][..inputs], &work.d), (d_w, d_b), d_x)?;
        }
        Ok(())
    }
}

/// `count` filters in at most `parts` ranges, each starting at a multiple of the kernels' block.
fn divided<T>(level: Level, count: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let at_once = filters_at_once::<T>(level);
    let each = count.div_ceil(at_once).div_ceil(parts).max(1) * at_once;
    (0..count).step_by(each).map(move |first| first..count.min(first + each))
}

/// Groups of sixteen images, and how many parts each is divided into: one, but as many as threads for the last groups,
/// which would leave threads idle.
fn sixteens(flow: Flow, threads: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    let Flow { rows, side_by_side, .. } = flow;
    let count = rows.div_ceil(LANES);
    let whole = if side_by_side { count - count % threads } else { count };
    (0..count).map(move |i| (i * LANES..rows.min((i + 1) * LANES), if i < whole { 1 } else { threads }))
}

/// The numbers `part` of sixteen images, or of the last ones, side by side: in place if they are stored so, else in
/// `memory`.
fn lanes<'a, T: Float>(
    level: Level,
    flow: Flow,
    (numbers, each): (&'a [T], usize),
    images: &Range<usize>,
    part: Range<usize>,
    memory: &'a mut Aligned<T>,
) -> Result<&'a [T], KernelError> {
    if flow.side_by_side {
        return Ok(&numbers[images.start * each..][..LANES * each][LANES * part.start..LANES * part.end]);
    }
    memory.resize(LANES * part.len())?;
    let rows = matrix(&numbers[images.start * each..images.end * each], images.len(), each)?;
    side_by_side::load(level, rows.slice(s![.., part]), memory)?;
    Ok(memory)
}

impl Definition for Convolution {
    const ARRAYS: usize = 2;

    fn inputs(self) -> Option<usize> {
        Some(self.window.inputs())
    }

    fn outputs(self, _: usize) -> usize {
        self.filters.saturating_mul(self.each())
    }

    fn shapes(self, _: usize) -> Vec<Vec<usize>> {
        let Window { channels, height, width, .. } = self.window;
        vec![vec![self.filters, channels, height, width], vec![self.filters]]
    }

    fn cost(self, _: usize) -> usize {
        self.filters.saturating_mul(self.window.under()).saturating_mul(self.window.positions())
    }

    fn takes_side_by_side(self) -> Option<bool> {
        // An empty image has no lanes: the output is the biases alone, and each row is filled by itself.
        Some(self.window.inputs() > 0)
    }

    fn divides(self, rows: usize, _: usize) -> bool {
        rows > 1 && self.cost_of(rows) >= WORTH_THREADS
    }

    fn remembers(self, flow: Flow) -> (usize, usize) {
        (0, if self.behind.pooling.is_some() { flow.room().saturating_mul(flow.outputs) } else { 0 })
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        arrays: &[P],
        flow: Flow,
        x: &[T],
        mut out: &mut [T],
        pass: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let Flow { rows, inputs, outputs, side_by_side } = flow;
        let [w, b] = arrays else { return Ok(()) };
        let (w, b): (&[T], &[T]) = (w, b);
        let (window, under, divides) = (self.window.padded(), self.window.under(), self.divides(rows, inputs));
        if !self.by_sixteens(flow) {
            return self.forward_alone(level, (w, b), flow, x, out, pass.places);
        }
        let filters = Filters::new(level, (self.filters, under), b, |filter, k| w[filter * under + k])?;
        let (mut places, mut items) = (&mut *pass.places, Vec::new());
        for (images, parts) in sixteens(flow, if divides { threads::allowed() } else { 1 }) {
            for which in divided::<T>(level, self.filters, parts) {
                let size = if side_by_side { LANES * which.len() * self.each() } else { images.len() * outputs };
                let (its, its_places);
                (its, out) = out.split_at_mut(size);
                (its_places, places) = places.split_at_mut(size.min(places.len()));
                items.push((images.clone(), which, its, its_places));
            }
        }
        let all = || {
            threads::try_each_with(items, Workspace::default, |work, (images, which, out, places)| {
                let Workspace { image, padded, out: memory, rows, .. } = work;
                let image = lanes(level, flow, (x, inputs), &images, 0..inputs, image)?;
                let image = self.padded(level, image, padded)?;
                if !side_by_side {
                    memory.resize(LANES * outputs)?;
                }
                let to = if side_by_side { &mut *out } else { &mut **memory };
                let largest = match self.behind.pooling {
                    Some(pooling) => Some(Largest::new(level, window, pooling, places.as_chunks_mut().0, rows)?),
                    None => None,
                };
                let filters = &filters;
                let inside = Place::padded(self.window).rows(self.window.rows);
                let lanes = to.as_chunks_mut().0;
                level.run(Filtered { window, filters, which, image, inside, out: lanes, largest });
                self.behind.apply(level, to);
                if side_by_side {
                    return Ok(());
                }
                side_by_side::store(level, memory, out)
            })
        };
        if divides {
            all()
        } else {
            threads::alone(all)
        }
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
        pass: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        let [w, _] = arrays else { return Ok(()) };
        let (w, window): (&[T], _) = (w, self.window);
        let Flow { rows, inputs, outputs, side_by_side } = flow;
        let (of_w, under, room) = (w.len(), window.under(), flow.room());
        let of_both = of_w + self.filters;
        let d_params = &mut d_params[..of_both];
        d_params.fill(T::zero());
        let to = &mut d_x[..if wanted { room * inputs } else { 0 }];
        if !self.by_sixteens(flow) || of_both == 0 {
            to.fill(T::zero());
            self.back_alone(level, w, flow, (x, out, d, pass.places), d_params.split_at_mut(of_w), to)?;
            std::mem::swap(d, d_x);
            return Ok(());
        }
        let (divides, block) = (self.divides(rows, inputs), Self::block(rows));
        let threads = if divides { threads::allowed() } else { 1 };
        let mut sums = zeros(rows.div_ceil(block).saturating_mul(of_both))?;
        let mut parts = Vec::new();
        let in_parts = (2 * threads).div_ceil(rows.div_ceil(block));
        for (i, sums) in sums.chunks_exact_mut(of_both).enumerate() {
            let (mut d_w, mut d_b) = sums.split_at_mut(of_w);
            for which in divided::<T>(level, self.filters, if threads > 1 { in_parts } else { 1 }) {
                let (its_w, its_b);
                (its_w, d_w) = d_w.split_at_mut(which.len() * under);
                (its_b, d_b) = d_b.split_at_mut(which.len());
                let images = i * block..rows.min((i + 1) * block);
                parts.push(Part::Filters { which, images, d_w: its_w, d_b: its_b });
            }
        }
        let mut turned = Filters::default();
        if wanted {
            let size = (window.channels, self.turned().under());
            turned = Filters::new(level, size, &[], |channel, k| w[self.turned_place(channel, k)])?;
            let mut d_x = to;
            for (images, in_parts) in sixteens(flow, threads) {
                for channels in divided::<T>(level, window.channels, in_parts) {
                    let size =
                        if side_by_side { LANES * channels.len() * window.pixels() } else { images.len() * inputs };
                    let its;
                    (its, d_x) = d_x.split_at_mut(size);
                    parts.push(Part::Images { images: images.clone(), channels, d_x: its });
                }
            }
        }
        let through = (&d[..room * outputs], out, &*pass.places);
        let all = || {
            threads::try_each_with(parts, Workspace::default, |work, part| match part {
                Part::Filters { which, images, d_w, d_b } => {
                    let Workspace { image, out: memory, padded, rows, sums, .. } = work;
                    sums.reshape(Products::<T>::sums(level, window, which.len()), LANES)?;
                    sums.lanes_mut().fill([T::zero(); LANES]);
                    Products::reserve(level, window, rows)?;
                    for first in images.clone().step_by(LANES) {
                        let images = first..images.end.min(first + LANES);
                        let d = self.coming_back(level, flow, through, (&images, which.clone()), memory)?;
                        let image = lanes(level, flow, (x, inputs), &images, 0..inputs, image)?;
                        let image = self.padded(level, image, padded)?;
                        let inside = Place::padded(window).rows(window.rows);
                        let (window, filters, sums) = (window.padded(), which.len(), sums.lanes_mut());
                        level.run(Products { window, filters, image, inside, d, rows, sums });
                    }
                    level.run(Totals { window, sums: sums.lanes(), d_w, d_b });
                    Ok(())
                }
                Part::Images { images, channels, d_x } => {
                    let Workspace { image: memory, out, turned: field, .. } = work;
                    let d = self.coming_back(level, flow, through, (&images, 0..self.filters), out)?;
                    let image = field.around(level, Place::turned(window), self.filters, d)?;
                    if !side_by_side {
                        memory.resize(LANES * inputs)?;
                    }
                    let to = if side_by_side { &mut *d_x } else { &mut **memory };
                    let inside = Place::turned(window).rows(window.places().0);
                    let (window, filters, which, out) = (self.turned(), &turned, channels, to.as_chunks_mut().0);
                    level.run(Filtered { window, filters, which, image, inside, out, largest: None });
                    if side_by_side {
                        return Ok(());
                    }
                    side_by_side::store(level, memory, d_x)
                }
            })
        };
        if divides {
            all()?;
        } else {
            threads::alone(all)?;
        }
        add_in_pairs(&mut sums, of_both);
        d_params.iter_mut().zip(&sums).for_each(|(to, &from)| *to = from);
        std::mem::swap(d, d_x);
        Ok(())
    }
}

/// The sum of all numbers, accumulated in sixteen parts.
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

/// Add up contiguous sums of `each` numbers into the first: neighbours, then neighbours of these, and so on.
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

//! A layer called by itself, over the caller's arrays: what the readable layers of Python are made of.
//!
//! Everything is checked here that a network knows of its layers. A large batch is taken some rows at a time, if the layer takes rows one by one: that bounds
//! the memory to work in, and the caller can end the call in between. Cost: that of the layer, and a copy of `d` and of `d_x`.

use crate::error::agree;
use crate::layers::{add, rows_at_once, size, Flow, Gradients, Layer, Mode, Pass};
use crate::machine::interrupt;
use crate::machine::level::Level;
use crate::{Float, KernelError};

/// How many numbers a row has behind the layer, and how many numbers and places it remembers of `rows` of them.
///
/// # Errors
///
/// [`KernelError::Sizes`] if it does not take rows of so many numbers.
pub fn sizes(layer: Layer, rows: usize, inputs: usize) -> Result<(usize, usize, usize), KernelError> {
    let flow = flow(layer, rows, inputs)?;
    let (numbers, places) = layer.remembers(flow);
    Ok((flow.outputs, numbers, places))
}

fn flow(layer: Layer, rows: usize, inputs: usize) -> Result<Flow, KernelError> {
    layer.expect_inputs(inputs)?;
    Ok(Flow::of_rows(rows, inputs, layer.outputs(inputs)))
}

/// `Ok` if everything is as large as the flow says.
fn check<T: Float>(
    layer: Layer,
    arrays: &[&[T]],
    flow: Flow,
    (x, out): (usize, usize),
    pass: &Pass<'_, T>,
) -> Result<(), KernelError> {
    agree("the number of parameters", arrays.len(), "the number of those that the layer has", layer.arrays())?;
    layer.check(flow.inputs, arrays)?;
    agree("the size of x", x, "its rows times the layer's inputs", flow.rows.saturating_mul(flow.inputs))?;
    agree("the size of the output", out, "its rows times the layer's outputs", flow.rows.saturating_mul(flow.outputs))?;
    let (numbers, places) = layer.remembers(flow);
    agree("the numbers that are remembered", pass.numbers.len(), "the number the layer remembers", numbers)?;
    agree("the places that are remembered", pass.places.len(), "the number the layer remembers", places)
}

/// `out ← layer(x)`, for so many rows.
///
/// # Errors
///
/// [`KernelError::Sizes`] if anything does not fit, [`KernelError::Memory`].
pub fn forward<T: Float>(
    level: Level,
    layer: Layer,
    arrays: &[&[T]],
    (rows, inputs): (usize, usize),
    x: &[T],
    out: &mut [T],
    mut pass: Pass<'_, T>,
) -> Result<(), KernelError> {
    let flow = flow(layer, rows, inputs)?;
    check(layer, arrays, flow, (x.len(), out.len()), &pass)?;
    for (first, flow) in blocks(layer, flow) {
        interrupt::check()?;
        let (x, out) =
            (some(x, first, flow.rows, inputs), &mut out[first * flow.outputs..][..flow.rows * flow.outputs]);
        layer.forward(level, arrays, flow, x, out, &mut next(&mut pass, layer, flow))?;
    }
    Ok(())
}

/// What goes through the layer at a time, and its first row.
fn blocks(layer: Layer, flow: Flow) -> impl Iterator<Item = (usize, Flow)> {
    let at_once = rows_at_once(&[layer], flow.rows).max(1);
    (0..flow.rows).step_by(at_once).map(move |first| (first, Flow { rows: at_once.min(flow.rows - first), ..flow }))
}

/// The pass for the next rows, taken from what is left of that for all.
fn next<'a, T>(left: &mut Pass<'a, T>, layer: Layer, flow: Flow) -> Pass<'a, T> {
    let (numbers, places) = layer.remembers(flow);
    let mode = left.mode;
    if let Mode::Train(draws) = &mut left.mode {
        draws.row = draws.row.wrapping_add(flow.rows as u64);
    }
    let (its_numbers, its_places);
    (its_numbers, left.numbers) = std::mem::take(&mut left.numbers).split_at_mut(numbers);
    (its_places, left.places) = std::mem::take(&mut left.places).split_at_mut(places);
    Pass { mode, numbers: its_numbers, places: its_places }
}

/// Rows from `first` on, of so many numbers each.
fn some<T>(numbers: &[T], first: usize, rows: usize, each: usize) -> &[T] {
    &numbers[first * each..][..rows * each]
}

/// The way back of a [`forward`] pass that was given `x`: `d_x ←` the gradient of `x`, `d_params ←` those of the parameters, from `d`, that of what came out.
///
/// # Errors
///
/// [`KernelError::Sizes`] if anything does not fit, [`KernelError::Number`] for a place that no image has, [`KernelError::Memory`].
#[allow(clippy::too_many_arguments)] // what flowed, and what flows back
pub fn backward<T: Float>(
    level: Level,
    layer: Layer,
    arrays: &[&[T]],
    (rows, inputs): (usize, usize),
    x: &[T],
    d: &[T],
    d_x: &mut [T],
    d_params: &mut [&mut [T]],
    mut pass: Pass<'_, T>,
) -> Result<(), KernelError> {
    let flow = flow(layer, rows, inputs)?;
    check(layer, arrays, flow, (x.len(), d.len()), &pass)?;
    agree("the size of dx", d_x.len(), "the size of x", x.len())?;
    agree("the number of gradients", d_params.len(), "the number of parameters", layer.parameters())?;
    for (d, shape) in d_params.iter().zip(layer.shapes(inputs)) {
        agree("the size of a gradient", d.len(), "the size of its parameter", size(shape))?;
    }
    let mut gradients = Gradients::new(rows_at_once(&[layer], rows) * inputs.max(flow.outputs), layer.size(inputs))?;
    d_params.iter_mut().for_each(|d| d.fill(T::zero()));
    for (first, flow) in blocks(layer, flow) {
        interrupt::check()?;
        let pass = next(&mut pass, layer, flow);
        let (x, d) = (some(x, first, flow.rows, inputs), some(d, first, flow.rows, flow.outputs));
        gradients.d[..d.len()].copy_from_slice(d);
        layer.back(level, arrays, flow, (x, d), true, &mut gradients, &pass)?;
        d_x[first * inputs..][..x.len()].copy_from_slice(&gradients.d[..x.len()]);
        let mut rest = &gradients.d_params[..];
        for d in &mut *d_params {
            let (its, behind) = rest.split_at(d.len());
            add(d, its, first > 0);
            rest = behind;
        }
    }
    Ok(())
}

//! A single layer over the caller's arrays: what Python's readable layers are built on.
//!
//! Everything that a network knows of its layers is checked here. A large batch is processed some rows at a time, if
//! the layer treats rows one by one: that bounds the memory to work in, and lets the caller interrupt the call. Cost:
//! that of the layer, and a copy of `d` and of `d_x`.

use crate::error::agree;
use crate::layers::{add, rows_at_once, size, Flow, Gradients, Layer, Mode, Pass};
use crate::machine::interrupt;
use crate::machine::level::Level;
use crate::{Float, KernelError};

/// The layer's outputs per row, and how many numbers and places it remembers for `rows` rows.
///
/// # Errors
///
/// [`KernelError::Sizes`] if it does not take rows of `inputs` numbers.
pub fn sizes(layer: Layer, rows: usize, inputs: usize) -> Result<(usize, usize, usize), KernelError> {
    let flow = flow(layer, rows, inputs)?;
    let (numbers, places) = layer.remembers(flow);
    Ok((flow.outputs, numbers, places))
}

fn flow(layer: Layer, rows: usize, inputs: usize) -> Result<Flow, KernelError> {
    layer.expect_inputs(inputs)?;
    Ok(Flow::of_rows(rows, inputs, layer.outputs(inputs)))
}

/// `Ok` if all sizes agree with the flow.
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

/// `out ← layer(x)`, for `rows` rows.
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

/// The blocks that go through the layer one after the other, each with its first row.
fn blocks(layer: Layer, flow: Flow) -> impl Iterator<Item = (usize, Flow)> {
    let at_once = rows_at_once(&[layer], flow.rows).max(1);
    (0..flow.rows).step_by(at_once).map(move |first| (first, Flow { rows: at_once.min(flow.rows - first), ..flow }))
}

/// The pass for the next rows, split off from what is left of the whole pass.
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

/// `rows` rows of `each` numbers, starting at row `first`.
fn some<T>(numbers: &[T], first: usize, rows: usize, each: usize) -> &[T] {
    &numbers[first * each..][..rows * each]
}

/// The backward pass to a [`forward`] pass over `x`: from `d`, the gradient of the output, `d_x ←` the gradient of `x`
/// and `d_params ←` those of the parameters.
///
/// # Errors
///
/// [`KernelError::Sizes`] if anything does not fit, [`KernelError::Number`] for a place that no image has,
/// [`KernelError::Memory`].
#[allow(clippy::too_many_arguments)] // what flowed forward, and what flows back
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

//! A layer called by itself, over the caller's arrays: what the readable layers of Python are made of.
//!
//! Everything is checked here that a network knows of its layers. Cost: that of the layer, and a copy of `d` and of `d_x`.

use crate::error::agree;
use crate::layers::{size, Flow, Gradients, Layer, Pass};
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
    agree("the size of x", x, "its rows times the layer's inputs", flow.rows * flow.inputs)?;
    agree("the size of the output", out, "its rows times the layer's outputs", flow.rows * flow.outputs)?;
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
    pass: &mut Pass<'_, T>,
) -> Result<(), KernelError> {
    let flow = flow(layer, rows, inputs)?;
    check(layer, arrays, flow, (x.len(), out.len()), pass)?;
    layer.forward(level, arrays, flow, x, out, pass)
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
    pass: &Pass<'_, T>,
) -> Result<(), KernelError> {
    let flow = flow(layer, rows, inputs)?;
    check(layer, arrays, flow, (x.len(), d.len()), pass)?;
    agree("the size of dx", d_x.len(), "the size of x", x.len())?;
    agree("the number of gradients", d_params.len(), "the number of parameters", layer.parameters())?;
    for (d, shape) in d_params.iter().zip(layer.shapes(inputs)) {
        agree("the size of a gradient", d.len(), "the size of its parameter", size(shape))?;
    }
    // They are the caller's, who may have written anything there.
    if let Some(&got) = pass.places.iter().find(|&&place| place as usize >= inputs) {
        return Err(KernelError::Number { what: "pixel", got: got.into(), there: inputs });
    }
    let mut gradients = Gradients::new(x.len().max(d.len()), layer.size(inputs))?;
    gradients.d[..d.len()].copy_from_slice(d);
    layer.back(level, arrays, flow, (x, d), true, &mut gradients, pass)?;
    d_x.copy_from_slice(&gradients.d[..x.len()]);
    let mut rest = &gradients.d_params[..];
    for d in d_params {
        let (its, behind) = rest.split_at(d.len());
        d.copy_from_slice(its);
        rest = behind;
    }
    Ok(())
}

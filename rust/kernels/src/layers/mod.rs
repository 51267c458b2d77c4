//! The layers, one by one, and what a network asks of any of them.
//!
//! A [`Layer`] owns the shapes of its parameters, its way forward and its way back; a [`stack`](crate::network::stack) knows how many parameters each
//! has, and no more. A layer is a file here and a row in each of the matches below. What only some layers can do is asked of any, and answered with
//! an `Option`: nobody else looks which layer it is.

pub mod activation;
pub mod affine;

use crate::dense::padded::Lane;
use crate::error::{agree, zeros};
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::network::optimize::Optimizer;
use crate::{Float, KernelError};
use activation::Activation;
use std::ops::Deref;

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layer {
    /// `out = x·W + b`, with as many columns as told.
    Affine(usize),
    /// An elementwise function.
    Activation(Activation),
}

/// How many rows flow through a layer, and how many numbers a row has before and behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// The gradients on their way back through a network.
#[derive(Debug)]
pub(crate) struct Gradients<T> {
    /// Of the output of the layer whose turn it is, and behind it of its input.
    pub d: Vec<T>,
    /// Buffer for the next.
    pub d_x: Vec<T>,
    /// Of a layer's parameters.
    pub d_params: Vec<T>,
}

impl<T: Float> Gradients<T> {
    /// Buffers for so many numbers that flow, and so many of a layer's parameters.
    pub(crate) fn new(flowing: usize, params: usize) -> Result<Self, KernelError> {
        Ok(Self { d: zeros(flowing)?, d_x: zeros(flowing)?, d_params: zeros(params)? })
    }
}

impl Layer {
    /// How many numbers a row of `inputs` has behind the layer.
    pub fn outputs(self, inputs: usize) -> usize {
        match self {
            Self::Affine(outputs) => outputs,
            Self::Activation(_) => inputs,
        }
    }

    /// How many parameters it has.
    pub fn parameters(self) -> usize {
        match self {
            Self::Affine(_) => affine::PARAMETERS,
            Self::Activation(_) => 0,
        }
    }

    /// The shape of each of them, for rows of `inputs` numbers.
    pub fn shapes(self, inputs: usize) -> Vec<Vec<usize>> {
        match self {
            Self::Affine(outputs) => affine::shapes(inputs, outputs),
            Self::Activation(_) => vec![],
        }
    }

    /// How many numbers each of them has, or as many as can be counted.
    pub(crate) fn sizes(self, inputs: usize) -> impl Iterator<Item = usize> {
        self.shapes(inputs).into_iter().map(|shape| shape.into_iter().fold(1, usize::saturating_mul))
    }

    /// How many numbers they have together, which is what a row costs in multiplications, or as many as can be counted.
    pub(crate) fn size(self, inputs: usize) -> usize {
        self.sizes(inputs).fold(0, usize::saturating_add)
    }

    /// Whether any product of a step with so many rows is divided among threads.
    pub(crate) fn divides_products(self, rows: usize, inputs: usize) -> bool {
        match self {
            Self::Affine(outputs) => affine::divides_products(rows, inputs, outputs),
            Self::Activation(_) => false,
        }
    }

    /// How many outputs it has, if it is a product `x·W + b` and its parameters are those two: one that [`sparse`](crate::sparse) can take in its
    /// place, without the zeros of `x`.
    pub(crate) fn product(self) -> Option<usize> {
        match self {
            Self::Affine(outputs) => Some(outputs),
            Self::Activation(_) => None,
        }
    }

    /// `Ok` if each of `params` is as long as its shape says.
    pub(crate) fn check<T, P: Deref<Target = [T]>>(self, inputs: usize, params: &[P]) -> Result<(), KernelError> {
        for (array, size) in params.iter().zip(self.sizes(inputs)) {
            agree("the size of a parameter", array.len(), "the size its layer wants", size)?;
        }
        Ok(())
    }

    /// `out ← layer(x)`.
    pub(crate) fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        params: &[P],
        flow: Flow,
        x: &[T],
        out: &mut [T],
    ) -> Result<(), KernelError> {
        match self {
            Self::Affine(_) => affine::forward(level, params, flow, x, out),
            Self::Activation(f) => {
                f.forward(level, x, out);
                Ok(())
            }
        }
    }

    /// The way back for rows `x` that gave `out`: `gradients.d` is that of `out`, and then, if it is `wanted`, of `x`; the parameters are updated,
    /// and the optimizer's `state` of them.
    #[allow(clippy::too_many_arguments)] // what flowed, what flows back, and what is updated
    pub(crate) fn backward<T: Float>(
        self,
        level: Level,
        flow: Flow,
        (x, out): (&[T], &[T]),
        wanted: bool,
        gradients: &mut Gradients<T>,
        params: &mut [&mut [T]],
        state: &mut [&mut [T]],
        optimizer: &Optimizer,
    ) -> Result<(), KernelError> {
        match self {
            Self::Affine(_) => affine::backward(level, flow, x, wanted, gradients, params, state, optimizer),
            Self::Activation(f) => {
                f.backward(level, out, &mut gradients.d[..out.len()]);
                Ok(())
            }
        }
    }

    /// The function, if it is applied to one number after the other.
    pub(crate) fn elementwise(self) -> Option<Activation> {
        match self {
            Self::Affine(_) => None,
            Self::Activation(f) => Some(f),
        }
    }

    /// What every number is multiplied by, if that is all it does.
    pub(crate) fn scale(self) -> Option<f64> {
        match self {
            Self::Activation(Activation::Scale(scale)) => Some(scale),
            Self::Affine(_) | Self::Activation(_) => None,
        }
    }

    /// Sixteen rows side by side, of which `x[k]` holds the k-th numbers, through the layer: `x` in and out, of `inputs` numbers and of as many as are
    /// answered; `out` is memory for that. For use in a kernel.
    #[inline(always)]
    pub(crate) fn side_by_side(
        self,
        params: &[&[f64]],
        inputs: usize,
        x: &mut Vec<Lane<f64>>,
        out: &mut Vec<Lane<f64>>,
        arithmetic: impl Arithmetic,
    ) -> usize {
        match self {
            Self::Affine(outputs) => {
                affine::side_by_side(&x[..inputs], params, &mut out[..outputs], arithmetic);
                std::mem::swap(x, out);
                outputs
            }
            Self::Activation(f) => {
                for lane in &mut x[..inputs] {
                    let x = lane.0;
                    activation::Forward { f, x: &x, out: &mut lane.0 }.run(arithmetic);
                }
                inputs
            }
        }
    }
}

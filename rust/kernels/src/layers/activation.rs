//! The elementwise layers, `out = f(x)`. The derivative of each is a function of its output, so the backward pass needs
//! only the output.
//!
//! | layer | f(x) | f'(x), from out |
//! |---|---|---|
//! | `Relu` | x where x > 0, else 0 | 1 where out > 0, else 0 |
//! | `LeakyRelu(a)`, a > 0 | x where x > 0, else a·x | 1 where out > 0, else a |
//! | `Sigmoid` | 1 / (1 + exp(-x)) | out (1 - out) |
//! | `Tanh` | tanh x | 1 - out² |
//! | `Scale(s)` | s·x | s |
//!
//! nan stays nan. A derivative of 0 gives a gradient of 0, even if the incoming gradient is nan.

use crate::error::agree;
use crate::layers::{Definition, Flow, Gradients, Pass};
use crate::machine::interrupt;
use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::machine::threads;
use crate::{Float, KernelError};
use std::ops::Deref;

/// One elementwise layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x`, multiplied by the number where it is below 0. The number must be above 0.
    LeakyRelu(f64),
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// Multiplication by a number.
    Scale(f64),
}

impl Activation {
    /// The layer of that name, with its number if it has one.
    pub fn from_name(name: &str, number: Option<f64>) -> Option<Self> {
        Some(match (name, number) {
            ("relu", None) => Self::Relu,
            ("leaky_relu", Some(slope)) => Self::LeakyRelu(slope),
            ("sigmoid", None) => Self::Sigmoid,
            ("tanh", None) => Self::Tanh,
            ("scale", Some(factor)) => Self::Scale(factor),
            _ => return None,
        })
    }

    /// `out ← f(x)`.
    pub fn apply<T: Float>(self, level: Level, x: &[T], out: &mut [T]) {
        each_part(x, out, |x, out| level.run(Forward { f: self, x, out }));
    }

    /// `x ← f(x)`, on the caller's thread.
    pub(crate) fn apply_in_place<T: Float>(self, level: Level, x: &mut [T]) {
        level.run(InPlace { f: self, x });
    }

    /// [`apply_slope`](Self::apply_slope) on the caller's thread.
    pub(crate) fn apply_slope_alone<T: Float>(self, level: Level, out: &[T], d: &mut [T]) {
        level.run(Backward { f: self, out, d });
    }

    /// Turn `d` from the gradient of the output into that of the input.
    pub fn apply_slope<T: Float>(self, level: Level, out: &[T], d: &mut [T]) {
        each_part(out, d, |out, d| level.run(Backward { f: self, out, d }));
    }
}

/// Numbers per part of work that is divided among threads: 128 kB in f32.
const PART: usize = 1 << 15;

/// Numbers from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 18;

/// Run `work` part by part, on more than one thread where there are many numbers.
fn each_part<T: Float>(x: &[T], out: &mut [T], work: impl Fn(&[T], &mut [T]) + Sync + Send) {
    if out.len() < WORTH_THREADS {
        return work(x, out);
    }
    let parts = x.chunks(PART).zip(out.chunks_mut(PART));
    threads::each_with(parts, || (), |(), (x, out)| work(x, out));
}

impl Definition for Activation {
    fn takes_side_by_side(self) -> Option<bool> {
        None
    }

    fn cost(self, inputs: usize) -> usize {
        inputs
    }

    fn forward<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        _: &[P],
        _: Flow,
        x: &[T],
        out: &mut [T],
        _: &mut Pass<'_, T>,
    ) -> Result<(), KernelError> {
        self.apply(level, x, out);
        Ok(())
    }

    fn back<T: Float, P: Deref<Target = [T]>>(
        self,
        level: Level,
        _: &[P],
        _: Flow,
        (_, out): (&[T], &[T]),
        _: bool,
        gradients: &mut Gradients<T>,
        _: &Pass<'_, T>,
    ) -> Result<(), KernelError> {
        self.apply_slope(level, out, &mut gradients.d[..out.len()]);
        Ok(())
    }
}

/// `out ← f(x)`, for use inside other kernels.
pub(crate) struct Forward<'a, T> {
    pub f: Activation,
    pub x: &'a [T],
    pub out: &'a mut [T],
}

impl<T: Float> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let Self { f, x, out } = self;
        let (zero, one) = (T::zero(), T::one());
        // Branch on the function once, not for every number, so that the compiler can vectorize each loop.
        match f {
            Activation::Relu => each(x, out, |x| if x <= zero { zero } else { x }),
            Activation::LeakyRelu(below) => each(x, out, |x| if x <= zero { T::of(below) * x } else { x }),
            Activation::Sigmoid => each(x, out, |x| {
                // The exponent is never above 0, so nothing overflows.
                let z = (-x.abs()).exp_of_negative(arithmetic);
                (if x >= zero { one } else { z }) / (one + z)
            }),
            Activation::Tanh => each(x, out, T::tanh),
            Activation::Scale(factor) => each(x, out, |x| x * T::of(factor)),
        }
    }
}

struct InPlace<'a, T> {
    f: Activation,
    x: &'a mut [T],
}

impl<T: Float> Kernel for InPlace<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        let mut before = [T::zero(); 64];
        for out in self.x.chunks_mut(before.len()) {
            let x = &mut before[..out.len()];
            x.copy_from_slice(out);
            Forward { f: self.f, x, out }.run(arithmetic);
        }
    }
}

/// `d ← d · f'`, from the output, for use inside other kernels.
pub(crate) struct Backward<'a, T> {
    pub f: Activation,
    pub out: &'a [T],
    pub d: &'a mut [T],
}

impl<T: Float> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { f, out, d } = self;
        let (zero, one) = (T::zero(), T::one());
        let product = |d: T, slope: T| if slope == zero { zero } else { d * slope };
        match f {
            Activation::Relu => along(out, d, |out, d| if out <= zero { zero } else { d }),
            Activation::LeakyRelu(below) => along(out, d, |out, d| if out <= zero { d * T::of(below) } else { d }),
            Activation::Sigmoid => along(out, d, |out, d| product(d, out * (one - out))),
            Activation::Tanh => along(out, d, |out, d| product(d, one - out * out)),
            Activation::Scale(factor) => along(out, d, |_, d| product(d, T::of(factor))),
        }
    }
}

/// `out ← d`, but 0 where the mask is not 0: the backward pass of a ReLU that stores where x was <= 0.
///
/// # Errors
///
/// [`KernelError::Sizes`] if the lengths differ.
pub fn zero_where<T: Float>(level: Level, mask: &[u8], d: &[T], out: &mut [T]) -> Result<(), KernelError> {
    agree("the size of the mask", mask.len(), "the size of dout", d.len())?;
    agree("the size of the output", out.len(), "the size of dout", d.len())?;
    for ((mask, d), out) in mask.chunks(AT_ONCE).zip(d.chunks(AT_ONCE)).zip(out.chunks_mut(AT_ONCE)) {
        interrupt::check()?;
        level.run(ZeroWhere { mask, d, out });
    }
    Ok(())
}

/// Numbers between two checks for an interrupt.
const AT_ONCE: usize = 1 << 18;

struct ZeroWhere<'a, T> {
    mask: &'a [u8],
    d: &'a [T],
    out: &'a mut [T],
}

impl<T: Float> Kernel for ZeroWhere<'_, T> {
    type Output = ();

    /// No branch depends on the mask: with one as good as random, half of the branches would be mispredicted.
    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        for ((out, &d), &mask) in self.out.iter_mut().zip(self.d).zip(self.mask) {
            *out = if mask == 0 { d } else { T::zero() };
        }
    }
}

#[inline(always)]
fn each<T: Float>(x: &[T], out: &mut [T], f: impl Fn(T) -> T) {
    x.iter().zip(out).for_each(|(&x, out)| *out = f(x));
}

#[inline(always)]
fn along<T: Float>(out: &[T], d: &mut [T], f: impl Fn(T, T) -> T) {
    out.iter().zip(d).for_each(|(&out, d)| *d = f(out, *d));
}

#[cfg(test)]
mod tests {
    use super::Activation::*;
    use crate::machine::level::available;
    use crate::Float;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn values_at_the_ends_of_the_line() {
        let mut out = [9.0; 5];
        for (f, want) in [
            (Relu, [0.0, 0.0, 0.0, INF]),
            (LeakyRelu(0.5), [-INF, -0.5, 0.0, INF]),
            (Sigmoid, [0.0, 1.0 / (1.0 + 1f64.exp()), 0.5, 1.0]),
            (Tanh, [-1.0, -(1f64.tanh()), 0.0, 1.0]),
            (Scale(2.0), [-INF, -2.0, 0.0, INF]),
        ] {
            for &level in available() {
                f.apply(level, &[-INF, -1.0, 0.0, INF, f64::NAN], &mut out);
                for (got, want) in out.iter().zip(want) {
                    assert!(got == &want || (got - want).abs() < 1e-15, "{f:?}: {out:?}");
                }
                assert!(out[4].is_nan(), "{f:?}");
            }
        }
    }

    /// Whole vectors and a remainder, with every magnitude that matters.
    fn values_and_slopes_are_the_formulas<T: Float>() {
        let x: Vec<T> = (-40..=40).map(|i| T::of(f64::from(i).powi(3) / 1000.0 + 0.1)).collect();
        let (mut out, gradient) = (x.clone(), T::of(0.7));
        for f in [Relu, LeakyRelu(0.25), Sigmoid, Tanh, Scale(-3.0)] {
            for &level in available() {
                f.apply(level, &x, &mut out);
                let mut d = vec![gradient; x.len()];
                f.apply_slope(level, &out, &mut d);
                for ((&x, &out), &d) in x.iter().zip(&out).zip(&d) {
                    let (x, got, epsilon) = (x.wide(), out.wide(), T::epsilon().wide());
                    // The derivative as a function of the output.
                    let (want, slope) = match f {
                        Relu => (x.max(0.0), f64::from(x > 0.0)),
                        LeakyRelu(a) if x <= 0.0 => (a * x, a),
                        LeakyRelu(_) => (x, 1.0),
                        Sigmoid => (1.0 / (1.0 + (-x).exp()), got * (1.0 - got)),
                        Tanh => (x.tanh(), 1.0 - got * got),
                        Scale(s) => (s * x, s),
                    };
                    // exp is off by two units, tanh likewise; a sum, a quotient and the oracle by half a unit each.
                    assert!(
                        (got - want).abs() <= 5.0 * epsilon * want.abs(),
                        "{f:?} of {x} at {}: {got}",
                        level.name()
                    );
                    assert!(
                        (d.wide() - gradient.wide() * slope).abs() <= 2.0 * epsilon * slope.abs().max(1.0),
                        "{f:?} of {x}: {d}"
                    );
                }
            }
        }
    }

    #[test]
    fn values_and_slopes_are_the_formulas_in_f32() {
        values_and_slopes_are_the_formulas::<f32>();
    }

    #[test]
    fn values_and_slopes_are_the_formulas_in_f64() {
        values_and_slopes_are_the_formulas::<f64>();
    }

    #[test]
    fn slopes_are_the_differences_of_the_values() {
        for f in [Relu, LeakyRelu(0.1), Sigmoid, Tanh, Scale(-3.0)] {
            for (x, &level) in [-2.0f64, -0.3, 0.4, 1.7].iter().zip(available().iter().cycle()) {
                let (mut out, h) = ([0.0; 3], 1e-5);
                f.apply(level, &[*x, x + h, x - h], &mut out);
                let mut d = [7.0];
                f.apply_slope(level, &out[..1], &mut d);
                // h²/6·f''' and ε/h, each about 1e-10
                assert!((d[0] - 7.0 * (out[1] - out[2]) / (2.0 * h)).abs() < 1e-8, "{f:?} at {x}");
            }
        }
    }

    #[test]
    fn a_closed_relu_stops_a_nan() {
        for &level in available() {
            let mut d = [1.0, f64::NAN, 3.0];
            Relu.apply_slope(level, &[2.0, 0.0, f64::NAN], &mut d);
            assert_eq!(d, [1.0, 0.0, 3.0]);
        }
    }

    #[test]
    fn zero_where_the_mask_is_not_zero_at_every_level() {
        for (n, &level) in [0, 1, 7, 64, 133].into_iter().flat_map(|n| available().iter().map(move |level| (n, level)))
        {
            // Any byte but 0 masks; nothing that is masked comes through.
            let mask: Vec<u8> = (0..n).map(|i| if i % 3 == 0 { 0 } else { (i % 255 + 1) as u8 }).collect();
            let d: Vec<f32> = (0..n).map(|i| if i % 3 == 1 { f32::NAN } else { -1.5 - i as f32 }).collect();
            let mut out = vec![f32::NAN; n];
            super::zero_where(level, &mask, &d, &mut out).unwrap();
            let want = (0..n).map(|i| if i % 3 == 0 { d[i] } else { 0.0 });
            assert!(out.iter().map(|x| x.to_bits()).eq(want.map(f32::to_bits)), "{n} at {}", level.name());
        }
        let (mask, mut out) = ([1; 3], [7.0; 3]);
        assert!(super::zero_where(available()[0], &mask[..2], &[1.0; 3], &mut out).is_err());
        assert!(super::zero_where(available()[0], &mask, &[1.0; 3], &mut out[..2]).is_err());
        assert_eq!(out, [7.0; 3]);
    }
}

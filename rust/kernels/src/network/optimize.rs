//! How a gradient changes a parameter: the rules of the book's chapter 6, number by number.
//!
//! With `p` the parameter, `g` its gradient (plus `λ p` under weight decay), η the learning rate, and `v h m` the
//! state, which is kept from step to step:
//!
//! | rule | state | what happens |
//! |---|---|---|
//! | `Sgd` | | p ← p - η g |
//! | `Momentum(α)` | v | v ← α v - η g;  p ← p + v |
//! | `Nesterov(α)` | v | v ← α v - η g;  p ← p + α v - η g |
//! | `AdaGrad` | h | h ← h + g²;  p ← p - η g / (√h + ε) |
//! | `RmsProp(ρ)` | h | h ← ρ h + (1 - ρ) g²;  p ← p - η g / (√h + ε) |
//! | `Adam(β₁, β₂)` | m, v | m ← m + (1 - β₁)(g - m);  v ← v + (1 - β₂)(g² - v);  p ← p - ηₜ m / (√v + ε) |
//!
//! ηₜ = η √(1 - β₂ᵗ) / (1 - β₁ᵗ) at step t = 1, 2, …; ε = 1e-7, as in the book. Velocities, `m`, `v` and the `h` of
//! `RmsProp` are flushed to 0 once they have decayed far enough: see `settled`.
//!
//! Sources: K. Saitoh, "Deep Learning from Scratch" §6.1; Sutskever et al. 2013 (Nesterov, in the form that looks ahead
//! from p); Duchi et al. 2011; Tieleman and Hinton 2012; Kingma and Ba 2015. Cost: one pass over p, g and the state.

use crate::machine::level::{Arithmetic, Kernel, Level};
use crate::machine::threads;
use crate::Float;

/// Keeps a quotient finite if a gradient has always been 0.
const EPSILON: f64 = 1e-7;

/// How a step follows from a gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Plain gradient descent.
    Sgd,
    /// A velocity that decays by this factor.
    Momentum(f64),
    /// A velocity that decays by this factor, looking one step ahead.
    Nesterov(f64),
    /// Steps shrink with the sum of squared gradients.
    AdaGrad,
    /// Steps shrink with a running mean of squared gradients that decays by this factor.
    RmsProp(f64),
    /// Running means of the gradient and of its square, which decay by these two factors.
    Adam(f64, f64),
}

impl Rule {
    /// The rule of that name, with its numbers if it has any.
    pub fn from_name(name: &str, first: f64, second: f64) -> Option<Self> {
        Some(match name {
            "sgd" => Self::Sgd,
            "momentum" => Self::Momentum(first),
            "nesterov" => Self::Nesterov(first),
            "adagrad" => Self::AdaGrad,
            "rmsprop" => Self::RmsProp(first),
            "adam" => Self::Adam(first, second),
            _ => return None,
        })
    }
}

/// A rule and its numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// The rule.
    pub rule: Rule,
    /// η.
    pub learning_rate: f64,
    /// λ; biases do not decay.
    pub weight_decay: f64,
    /// How many steps have been taken.
    pub steps: u64,
    /// The largest norm of the gradient of all parameters together; a longer gradient is scaled down to it.
    pub largest_norm: Option<f64>,
}

impl Rule {
    /// The number of state arrays per parameter, each in the parameter's shape.
    pub fn states(self) -> usize {
        match self {
            Self::Sgd => 0,
            Self::Momentum(_) | Self::Nesterov(_) | Self::AdaGrad | Self::RmsProp(_) => 1,
            Self::Adam(..) => 2,
        }
    }
}

impl Optimizer {
    /// Whether a parameter whose gradient is 0 does not change: then the rows of a weight matrix that no example of a
    /// batch reads can be skipped.
    pub(crate) fn rests_on_zero(&self) -> bool {
        self.rule == Rule::Sgd && self.weight_decay == 0.0
    }

    /// One step of one parameter. `self.steps` is the number of this step; `decays` says whether weight decay applies.
    pub(crate) fn update<'k, T: Float>(
        &self,
        level: Level,
        p: &mut [T],
        g: &[T],
        state: impl IntoIterator<Item = &'k mut [T]>,
        decays: bool,
    ) {
        // Their number was checked before the first step.
        let mut state = state.into_iter();
        let [a, b] = [(); 2].map(|()| state.next().unwrap_or_default());
        let step = self.step(decays);
        if p.len() < WORTH_THREADS {
            return level.run(Update { step, p, g, state: [a, b] });
        }
        let (mut a, mut b) = (a.chunks_mut(PART), b.chunks_mut(PART));
        let parts = p.chunks_mut(PART).zip(g.chunks(PART)).map(|(p, g)| {
            let state = [a.next().unwrap_or_default(), b.next().unwrap_or_default()];
            Update { step, p, g, state }
        });
        threads::each_with(parts, || (), |(), part| level.run(part));
    }

    /// The same for parameters of these shapes, with their gradients concatenated. Biases, and all other parameters
    /// with one axis, do not decay.
    pub(crate) fn update_each<T: Float>(
        &self,
        level: Level,
        shapes: &[Vec<usize>],
        params: &mut [&mut [T]],
        mut g: &[T],
        state: &mut [&mut [T]],
    ) {
        let states = self.rule.states();
        for (i, (shape, p)) in shapes.iter().zip(params).enumerate() {
            let (its, behind) = g.split_at(p.len());
            let state = state[i * states..][..states].iter_mut().map(|state| &mut **state);
            self.update(level, p, its, state, shape.len() > 1);
            g = behind;
        }
    }

    /// What step `self.steps` has in common for all numbers of a parameter.
    fn step<T: Float>(&self, decays: bool) -> Step<T> {
        let mut rate = self.learning_rate;
        if let Rule::Adam(beta1, beta2) = self.rule {
            let t = self.steps as f64;
            rate *= (1.0 - beta2.powf(t)).sqrt() / (1.0 - beta1.powf(t));
        }
        let decay = if decays { self.weight_decay } else { 0.0 };
        let (first, second) = match self.rule {
            Rule::Sgd | Rule::AdaGrad => (0.0, 0.0),
            Rule::Momentum(alpha) | Rule::Nesterov(alpha) => (alpha, 0.0),
            Rule::RmsProp(rho) => (rho, 1.0 - rho),
            Rule::Adam(beta1, beta2) => (1.0 - beta1, 1.0 - beta2),
        };
        let [rate, decay, first, second] = [rate, decay, first, second].map(T::of);
        Step { rule: self.rule, rate, decay, first, second }
    }
}

/// Numbers per part of an update that is divided among threads: 256 kB in f32, with their gradients and two arrays of
/// state.
const PART: usize = 1 << 14;

/// Numbers from which a second thread is woken.
const WORTH_THREADS: usize = 1 << 17;

/// One step of a rule, with its constants in the type computed in.
#[derive(Clone, Copy)]
struct Step<T> {
    rule: Rule,
    /// η, or Adam's ηₜ.
    rate: T,
    decay: T,
    /// α, ρ or 1 - β₁.
    first: T,
    /// 1 - ρ or 1 - β₂.
    second: T,
}

impl<T: Float> Step<T> {
    /// Update these numbers; state arrays that the rule does not have are empty.
    // Products and sums are rounded one by one, as in NumPy, so the readable rules in Python give the same numbers,
    // except for what is `settled`.
    #[inline(always)]
    fn update(&self, p: &mut [T], g: &[T], [a, b]: [&mut [T]; 2]) {
        let Self { rate, decay, first, second, .. } = *self;
        let (decayed, epsilon) = (decay != T::zero(), T::of(EPSILON));
        let gradients = p.iter_mut().zip(g).map(|(p, &g)| {
            let g = if decayed { g + decay * *p } else { g };
            (p, g)
        });
        match self.rule {
            Rule::Sgd => gradients.for_each(|(p, g)| *p -= rate * g),
            Rule::Momentum(_) => gradients.zip(a).for_each(|((p, g), v)| {
                *v = settled(first * *v - rate * g);
                *p += *v;
            }),
            Rule::Nesterov(_) => gradients.zip(a).for_each(|((p, g), v)| {
                *v = settled(first * *v - rate * g);
                *p += first * *v - rate * g;
            }),
            Rule::AdaGrad => gradients.zip(a).for_each(|((p, g), h)| {
                *h += g * g;
                *p -= rate * g / (h.sqrt() + epsilon);
            }),
            Rule::RmsProp(_) => gradients.zip(a).for_each(|((p, g), h)| {
                *h = settled(first * *h + second * (g * g));
                *p -= rate * g / (h.sqrt() + epsilon);
            }),
            Rule::Adam(..) => gradients.zip(a).zip(b).for_each(|(((p, g), m), v)| {
                *m = settled(*m + first * (g - *m));
                *v = settled(*v + second * (g * g - *v));
                *p -= rate * *m / (v.sqrt() + epsilon);
            }),
        }
    }
}

struct Update<'a, T> {
    step: Step<T>,
    p: &'a mut [T],
    g: &'a [T],
    state: [&'a mut [T]; 2],
}

impl<T: Float> Kernel for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        self.step.update(self.p, self.g, self.state);
    }
}

/// `x`, or 0 if it is negligible: below 1e-31 in f32, 1e-292 in f64.
///
/// A value that decays by a factor per step without new input, such as the velocity of a pixel that one image in ten
/// thousand has, would become subnormal and stay so. A CPU is ten times slower on such numbers: Adam's step took 105 µs
/// instead of 90, and after 80,000 steps, when `v` had decayed that far too, twice as long.
#[inline(always)]
fn settled<T: Float>(x: T) -> T {
    if x.abs() < T::min_positive_value() / T::epsilon() {
        T::zero()
    } else {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::level::available;

    /// p after three steps with g = 1, 2, -1 from p = 1, by the formulas above, written out.
    #[test]
    fn three_steps_of_each_rule_at_every_level() {
        let (eta, g) = (0.1, [1.0f64, 2.0, -1.0]);
        let momentum = |look_ahead: bool| {
            let (mut p, mut v) = (1.0, 0.0);
            for g in g {
                v = 0.9 * v - eta * g;
                p += if look_ahead { 0.9 * v - eta * g } else { v };
            }
            p
        };
        let adam = {
            let (mut p, mut m, mut v) = (1.0, 0.0, 0.0);
            for (g, t) in g.into_iter().zip(1..) {
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
                // The book's ε is added to the uncorrected root.
                p -= eta * m_hat / (v_hat.sqrt() + 1e-7 / (1.0 - 0.999f64.powi(t)).sqrt());
            }
            p
        };
        let adagrad = 1.0 - eta * (1.0 + 2.0 / 5f64.sqrt() - 1.0 / 6f64.sqrt());
        let (h1, h2, h3) = (0.01, 0.01 * 0.99 + 0.04, (0.01 * 0.99 + 0.04) * 0.99 + 0.01);
        let rms: f64 = 1.0 - eta * (1.0 / f64::sqrt(h1) + 2.0 / f64::sqrt(h2) - 1.0 / f64::sqrt(h3));
        let wanted = [
            (Rule::Sgd, 0.8),
            (Rule::Momentum(0.9), momentum(false)),
            (Rule::Nesterov(0.9), momentum(true)),
            (Rule::AdaGrad, adagrad),
            (Rule::RmsProp(0.99), rms),
            (Rule::Adam(0.9, 0.999), adam),
        ];
        for &level in available() {
            for (rule, want) in wanted {
                // 19 numbers: a whole vector and a remainder on every level.
                let (mut p, mut a, mut b) = ([1.0; 19], [0.0; 19], [0.0; 19]);
                for (g, steps) in g.into_iter().zip(1..) {
                    let optimizer =
                        Optimizer { rule, learning_rate: eta, weight_decay: 0.0, steps, largest_norm: None };
                    let state = [&mut a[..], &mut b[..]].into_iter().take(rule.states());
                    optimizer.update(level, &mut p, &[g; 19], state, true);
                }
                // ε = 1e-7 next to roots of about 1 and 0.1: 1e-6 of a step of 0.1
                assert!(p.iter().all(|p| (p - want).abs() < 2e-6), "{rule:?} at {}: {p:?} for {want}", level.name());
            }
        }
    }

    #[test]
    fn velocities_and_means_end_at_0_and_are_never_subnormal() {
        let rules = [Rule::Momentum(0.9), Rule::Nesterov(0.9), Rule::RmsProp(0.9), Rule::Adam(0.9, 0.9)];
        for (rule, &level) in rules.into_iter().flat_map(|rule| available().iter().map(move |level| (rule, level))) {
            let (mut p, mut a, mut b) = ([1.0f32; 19], [0.0; 19], [0.0; 19]);
            for steps in 1..1000 {
                let g = f32::from(u8::from(steps == 1));
                let optimizer = Optimizer { rule, learning_rate: 0.01, weight_decay: 0.0, steps, largest_norm: None };
                let state = [&mut a[..], &mut b[..]].into_iter().take(rule.states());
                optimizer.update(level, &mut p, &[g; 19], state, true);
                assert!(a.iter().chain(&b).all(|x| !x.is_subnormal()), "{rule:?}, step {steps}");
                // 0.9³⁰⁰ is 2e-14: far from negligible.
                assert!((steps > 300) || a.iter().all(|&a| a != 0.0), "{rule:?}, step {steps}");
            }
            assert_eq!([a, b], [[0.0; 19]; 2], "{rule:?}");
        }
    }

    #[test]
    fn many_numbers_in_parts_are_updated_as_one_by_one() {
        for rule in [Rule::Sgd, Rule::Momentum(0.9), Rule::Adam(0.9, 0.999)] {
            let n = WORTH_THREADS + 77;
            let optimizer = Optimizer { rule, learning_rate: 0.1, weight_decay: 0.01, steps: 1, largest_norm: None };
            let drawn = |of: f32| (0..n).map(|i| (i as f32 * of).sin()).collect::<Vec<_>>();
            let (g, mut whole) = (drawn(0.7), [drawn(0.3), drawn(0.2), vec![0.1; n]]);
            let mut parts = whole.clone();
            let level = available()[0];
            let [p, state @ ..] = &mut whole;
            optimizer.update(level, p, &g, state.iter_mut().map(Vec::as_mut_slice).take(rule.states()), true);
            for start in (0..n).step_by(1000) {
                let [p, state @ ..] = &mut parts;
                let its = start..n.min(start + 1000);
                let state = state.iter_mut().map(|state| &mut state[its.clone()]).take(rule.states());
                optimizer.update(level, &mut p[its.clone()], &g[its.clone()], state, true);
            }
            assert!(whole == parts, "{rule:?}");
        }
    }

    #[test]
    fn weight_decay_pulls_weights_and_not_biases_towards_0() {
        let optimizer =
            Optimizer { rule: Rule::Sgd, learning_rate: 0.5, weight_decay: 0.1, steps: 1, largest_norm: None };
        for (decays, want) in [(true, 0.95f64), (false, 1.0)] {
            let mut p = [1.0];
            optimizer.update(available()[0], &mut p, &[0.0], [], decays);
            assert_eq!(p, [want]);
        }
    }
}

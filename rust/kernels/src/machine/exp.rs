//! The exponential of numbers not above 0, in a form that the compiler can vectorize.
//!
//! ```text
//! n = round(x / ln 2),  r = x - n ln 2  (|r| <= ln 2 / 2)        exp(x) = 2ⁿ · Σₖ rᵏ / k!
//! ```
//!
//! Why not the C library's: it takes one number at a time, and the 1,000 of a batch of 100 rows of 10 scores took
//! longer than the matrix products around them. ln 2 is split into two parts, the first with trailing zero bits, so
//! that `n ln 2` is exact (Cody and Waite 1980). The sum is a Taylor series, truncated where the rest is below half a
//! unit in the last place. 2ⁿ is multiplied in two halves, so that subnormal results are rounded correctly. Error: at
//! most 2 units in the last place.

use crate::machine::level::Arithmetic;
use std::f64::consts::LOG2_E;

/// ln 2 in two parts: the first has 9 bits, so its product with a whole number below 2¹⁵ is exact in f32 too.
const LN_2: (f64, f64) = (0.693359375, -2.121_944_400_546_905_8e-4);

/// `exp(x)` for x <= 0, and nan for nan.
pub trait Exp {
    /// See the trait.
    fn exp_of_negative(self, arithmetic: impl Arithmetic) -> Self;
}

macro_rules! exp {
    ($t:ty, $signed:ty, $unsigned:ty, mantissa $mantissa:expr, bias $bias:expr, lowest $lowest:expr, degree $degree:expr) => {
        impl Exp for $t {
            #[inline(always)]
            fn exp_of_negative(self, arithmetic: impl Arithmetic) -> Self {
                // 1 / k!
                const TAYLOR: [$t; $degree + 1] = {
                    let (mut terms, mut k) = ([1.0; $degree + 1], 1);
                    while k <= $degree {
                        terms[k] = terms[k - 1] / k as $t;
                        k += 1;
                    }
                    terms
                };
                // Adding 1.5 · 2ᵐ, with m mantissa bits, leaves the nearest integer in the lowest bits.
                const ROUND: $t = 1.5 * (1u64 << $mantissa) as $t;
                let two_to_the = |n: $signed| <$t>::from_bits(((n + $bias) << $mantissa) as $unsigned);
                // Below `lowest` everything rounds to 0. Written so that nan stays nan.
                let x = if self < $lowest { $lowest } else { self };
                let rounded = arithmetic.mul_add(x, LOG2_E as $t, ROUND);
                let n = rounded - ROUND;
                let r = arithmetic.mul_add(n, -LN_2.0 as $t, x);
                let r = arithmetic.mul_add(n, -LN_2.1 as $t, r);
                let mut sum = TAYLOR[$degree];
                for k in (0..$degree).rev() {
                    sum = arithmetic.mul_add(sum, r, TAYLOR[k]);
                }
                let n = (rounded.to_bits() as $signed).wrapping_sub(ROUND.to_bits() as $signed);
                // In two halves. For nan any number will do.
                let n = if x.is_nan() { 0 } else { n };
                sum * two_to_the(n >> 1) * two_to_the(n - (n >> 1))
            }
        }
    };
}

exp!(f32, i32, u32, mantissa 23, bias 127, lowest -104.0, degree 7);
exp!(f64, i64, u64, mantissa 52, bias 1023, lowest -746.0, degree 13);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::level::{available, Kernel};
    use crate::Float;

    struct Each<'a, T>(&'a mut [T]);

    impl<T: Float> Kernel for Each<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run(self, arithmetic: impl Arithmetic) {
            self.0.iter_mut().for_each(|x| *x = x.exp_of_negative(arithmetic));
        }
    }

    #[test]
    fn within_two_units_in_the_last_place_at_every_level() {
        for &level in available() {
            // f32 against the C library's f64, which is exact at f32's precision.
            let x: Vec<f32> = (0..2_000_000).map(|i| -i as f32 * 5.3e-5).collect();
            let mut y = x.clone();
            level.run(Each(&mut y));
            for (x, y) in x.iter().zip(y) {
                let want = f64::from(*x).exp();
                let unit = f64::from((want as f32).next_up() - want as f32);
                assert!((f64::from(y) - want).abs() <= 2.0 * unit, "exp({x}) = {y} at {}", level.name());
            }
            // f64 against the C library's, which is off by less than one unit.
            let x: Vec<f64> = (0..2_000_000).map(|i| -f64::from(i) * 3.8e-4).collect();
            let mut y = x.clone();
            level.run(Each(&mut y));
            for (x, y) in x.iter().zip(y) {
                let want = x.exp();
                assert!((y - want).abs() <= 2.0 * (want.next_up() - want), "exp({x}) = {y} at {}", level.name());
            }
        }
    }

    #[test]
    fn the_ends_of_the_line() {
        for &level in available() {
            let mut y = [0.0f64, -0.0, f64::NEG_INFINITY, f64::MIN, -745.0, f64::NAN];
            level.run(Each(&mut y));
            assert_eq!(y[..4], [1.0, 1.0, 0.0, 0.0]);
            assert_eq!(y[4], 5e-324);
            assert!(y[5].is_nan());
            let mut y = [0.0f32, f32::NEG_INFINITY, -103.0, f32::NAN];
            level.run(Each(&mut y));
            assert_eq!(y[..3], [1.0, 0.0, 1e-45]);
            assert!(y[3].is_nan());
        }
    }
}

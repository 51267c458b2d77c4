//! Turns a fuzzer's bytes into test cases: sizes, kinds, and numbers from a seed.
//!
//! Sizes and kinds take one byte each, so that libFuzzer can change one of them alone. The numbers of an array come
//! from a seed of four bytes, so that inputs stay short. Missing bytes are 0: any input at all is a case.

pub mod memory;
pub mod network;

use arbitrary::Unstructured;
use chainrule_kernels::machine::level::{available, Level};
use chainrule_kernels::Float;

/// The source of a case.
pub struct Case<'a>(Unstructured<'a>);

/// What the numbers of an array are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// From -1 to 1.
    Plain,
    /// The same, but seven of eight are 0.
    Sparse,
    /// Integers from 0 to 3: many are equal.
    Few,
    /// Some of [`HOSTILE`] among plain ones.
    Hostile,
}

/// Numbers that break arithmetic, or nearly do.
pub const HOSTILE: [f64; 12] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    -0.0,
    1e308,
    -1e308,
    f64::MIN_POSITIVE,
    5e-324,
    1e-40,
    3.4e38,
    1e20,
    -709.0,
];

impl<'a> Case<'a> {
    /// A case from these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A number of 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Yes or no.
    pub fn is(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A size up to `most`, which is at most 255.
    pub fn size(&mut self, most: usize) -> usize {
        usize::from(self.byte()) % (most + 1)
    }

    /// The length of an axis: mostly below 10, sometimes up to 50, which is more than three vectors of any instruction
    /// set.
    pub fn axis(&mut self) -> usize {
        match usize::from(self.byte()) {
            small @ 0..200 => small % 10,
            large => large - 200,
        }
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.size(of.len() - 1)]
    }

    /// An instruction set of this CPU.
    pub fn level(&mut self) -> Level {
        self.one_of(available())
    }

    /// A kind of numbers for which rounding errors have a bound.
    pub fn tame(&mut self) -> Kind {
        self.one_of(&[Kind::Plain, Kind::Sparse, Kind::Few])
    }

    /// `count` numbers of this kind.
    pub fn numbers<T: Float>(&mut self, kind: Kind, count: usize) -> Vec<T> {
        let mut state = u64::from(self.0.arbitrary::<u32>().unwrap_or(0));
        let number = || {
            let word = mixed(&mut state);
            let plain = (word >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
            T::of(match kind {
                Kind::Plain => plain,
                Kind::Sparse if word & 7 > 0 => 0.0,
                Kind::Sparse => plain,
                Kind::Few => (word & 3) as f64,
                Kind::Hostile if word & 7 > 0 => plain,
                Kind::Hostile => HOSTILE[(word >> 3) as usize % HOSTILE.len()],
            })
        };
        std::iter::repeat_with(number).take(count).collect()
    }
}

/// The next word of SplitMix64.
fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The expected sum, in f64, and the sum of the absolute values of its terms, which the bound on rounding errors is
/// based on.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    value: f64,
    size: f64,
    terms: usize,
}

impl Sum {
    /// Add a term, a product of numbers of the type computed in.
    pub fn add(&mut self, term: f64) {
        self.value += term;
        self.size += term.abs();
        self.terms += 1;
    }

    /// Add another sum times a factor, with its error bound.
    pub fn add_times(&mut self, factor: f64, sum: &Sum) {
        self.value += factor * sum.value;
        self.size += factor.abs() * sum.size;
        self.terms = self.terms.max(sum.terms) + 1;
    }

    /// Panics unless `found` is the sum, up to one rounding per term and per addition, times two.
    pub fn expect<T: Float>(self, found: T, what: &str) {
        let bound = 2.0 * (self.terms + 2) as f64 * T::epsilon().wide() * self.size;
        let off = (found.wide() - self.value).abs();
        assert!(off <= bound, "{what}: {found}, but it should be {} to within {bound:e}", self.value);
    }
}

/// The sum of these terms.
impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

//! What the bytes of a fuzzer are made into: sizes, kinds, and numbers of a seed.
//!
//! Sizes and kinds take a byte each, so that libFuzzer can change one of them alone; the numbers of an array come of four, a seed, so that inputs stay
//! short. Bytes that are not there are 0: any input at all is a case.

pub mod memory;
pub mod network;

use arbitrary::Unstructured;
use chainrule_kernels::machine::level::{available, Level};
use chainrule_kernels::Float;

/// Where a case is read from.
pub struct Case<'a>(Unstructured<'a>);

/// What the numbers of an array are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// From -1 to 1.
    Plain,
    /// The same, seven of eight being 0.
    Sparse,
    /// Whole numbers from 0 to 3: many are equal.
    Few,
    /// Any of [`HOSTILE`] here and there among plain ones.
    Hostile,
}

/// Numbers that arithmetic has no answer for, or hardly one.
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
    /// What these bytes say.
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

    /// A size of an axis: mostly below 10, sometimes up to 50, which is more than three vectors of any instruction set.
    pub fn axis(&mut self) -> usize {
        match usize::from(self.byte()) {
            small @ 0..200 => small % 10,
            large => large - 200,
        }
    }

    /// One of those.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.size(of.len() - 1)]
    }

    /// An instruction set of this CPU.
    pub fn level(&mut self) -> Level {
        self.one_of(available())
    }

    /// What numbers are like, if they are to have a bound.
    pub fn tame(&mut self) -> Kind {
        self.one_of(&[Kind::Plain, Kind::Sparse, Kind::Few])
    }

    /// So many numbers.
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

/// A sum as it should be, in f64, and how large what was added up is: the bound of what rounding may do goes by that.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    value: f64,
    size: f64,
    terms: usize,
}

impl Sum {
    /// One term more, of factors that are numbers of the type computed in.
    pub fn add(&mut self, term: f64) {
        self.value += term;
        self.size += term.abs();
        self.terms += 1;
    }

    /// Such a sum more, times a number: what it is off by, the whole may be off by.
    pub fn add_times(&mut self, factor: f64, sum: &Sum) {
        self.value += factor * sum.value;
        self.size += factor.abs() * sum.size;
        self.terms = self.terms.max(sum.terms) + 1;
    }

    /// Panics unless `found` is the sum, to within a rounding of each of its terms and of each addition, twice over.
    pub fn expect<T: Float>(self, found: T, what: &str) {
        let bound = 2.0 * (self.terms + 2) as f64 * T::epsilon().wide() * self.size;
        let off = (found.wide() - self.value).abs();
        assert!(off <= bound, "{what}: {found}, but it should be {} to within {bound:e}", self.value);
    }
}

/// The sum of such terms.
impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

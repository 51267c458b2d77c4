//! Does a gradient belong to its function? For any function over ndarray, under `cargo test`.
//!
//! ```
//! use chainrule_gradcheck as gradcheck;
//! use ndarray::array;
//!
//! let x = array![[1.0, -2.0], [0.5, 3.0]];
//! gradcheck::check(|x| x.mapv(|x| x * x).sum(), |x| 2.0 * x, &x).unwrap().assert_ok();
//!
//! let wrong = gradcheck::check(|x| x.mapv(|x| x * x).sum(), |x| 3.0 * x, &x).unwrap();
//! assert!(!wrong.ok());
//! println!("{wrong}"); // a table with the worst entry and both values
//! ```
//!
//! For every number `x` of every input, with `F` and `B` the slopes to the right and to the left of it:
//!
//! ```text
//! D(h)  = (f(x + h) - f(x - h)) / 2h           error: h² f‴/6
//! D     = (4 D(h/2) - D(h)) / 3                Richardson: error h⁴
//! bar   = |D - D(h/2)| + 24 ε s / h + 4 ε      truncation; rounding, if each f is off by 8 ε s; the gradient's own
//! wrong if |gradient - D| > bar + 1e-7 max(|gradient|, |D|)
//! kink  if J = 2 (F - B)(h/2) - (F - B)(h) exceeds its own bar, 160 ε s / h, and does not shrink with h
//! ```
//!
//! Why so: a bare threshold passes gradients with errors below it, and fails correct ones computed in rough
//! arithmetic. Here each number comes with its own error bound. `s` is |f|, but at least 1: a loss near 0 comes from
//! numbers near 1 that cancel, and so does its gradient. (Or at least the mean |x| squared, if that is less: a function
//! of small numbers alone may be as small.) `h = ε^(1/5) max(|x|, mean |x|)`, 7e-4 of the size, balances h⁴ and ε/h. If
//! the two steps do not agree, h/8 and h/64 are tried, and the smallest bar counts. `F - B` is h f″ for a smooth
//! function, and J about h³; at a corner it is the jump of the slope. There is no gradient there: such entries are
//! skipped, counted and reported. A check proves nothing if, for a whole array, both sides are 0 within the bar or all
//! entries are corners. That is not `ok`, unless allowed by [`Report::allow_vacuous`].
//!
//! Cost: four evaluations of `f` per entry, up to eight more in doubt. Limits: it cannot see a gradient below the bar,
//! nor resolve a function that turns around within a thousandth of the size of its argument (sin at 1e6). Everything is
//! f64.
//!
//! Source: L. F. Richardson 1911; the choice of h as in W. H. Press et al., "Numerical Recipes", §5.7.

use ndarray::{Array, ArrayD, ArrayView, ArrayViewD, Axis, Dimension};
use std::{collections::HashMap, fmt};

/// What a correct gradient may be off by, relatively, for its own rounding.
const TOLERANCE: f64 = 1e-7;

/// How many ε a gradient may be off by if it comes from numbers near 1 that cancel, such as softmax's y - t.
const CANCELLED: f64 = 4.0;

/// How many ε each value of the function may be off by.
const OFF: f64 = 8.0;

/// Two steps agree if they differ by at most this fraction of the slope, or by rounding only.
const AGREE: f64 = 1e-6;

/// The fraction of the slopes on both sides from which a jump counts.
const JUMP: f64 = 1e-4;

/// The steps tried: h divided by each of these.
const DIVISORS: [f64; 3] = [1.0, 8.0, 64.0];

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// An array has the wrong shape.
    Shape {
        /// Which array.
        what: String,
        /// Its shape.
        got: Vec<usize>,
        /// The shape it must have.
        wanted: Vec<usize>,
    },
    /// The number of gradients differs from the number of inputs.
    Count {
        /// How many gradients.
        got: usize,
        /// How many inputs.
        wanted: usize,
    },
    /// A nan or an infinity.
    NotFinite {
        /// Where.
        what: String,
        /// The value.
        got: f64,
    },
    /// The function gave two values for the same input.
    Noise {
        /// The first.
        first: f64,
        /// The second.
        second: f64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { what, got, wanted } => write!(f, "{what} has shape {got:?}; it must be {wanted:?}"),
            Self::Count { got, wanted } => {
                write!(f, "backward gave {got} gradients for {wanted} inputs; it must give one each")
            }
            Self::NotFinite { what, got } => write!(f, "{what} is {got}; the check needs finite numbers"),
            Self::Noise { first, second } => {
                write!(f, "the function gave {first:e} and then {second:e} for the same input; fix its random numbers")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Both sides at one number.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The index of the input.
    pub array: usize,
    /// The index of the number in it.
    pub index: Vec<usize>,
    /// The gradient's value.
    pub gradient: f64,
    /// The value from the differences.
    pub numeric: f64,
    /// The error bound of the differences.
    pub bar: f64,
}

impl Entry {
    /// The difference of the two, in units of the allowed difference: wrong above 1.
    pub fn excess(&self) -> f64 {
        let allowed = self.bar + TOLERANCE * self.gradient.abs().max(self.numeric.abs());
        let difference = (self.gradient - self.numeric).abs();
        if difference == 0.0 {
            0.0
        } else {
            difference / allowed
        }
    }

    /// Whether both are indistinguishable from 0.
    fn is_zero(&self) -> bool {
        self.gradient.abs() <= self.bar && self.numeric.abs() <= self.bar
    }
}

/// The findings for one input.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayReport {
    /// Its shape.
    pub shape: Vec<usize>,
    /// How many numbers it has.
    pub entries: usize,
    /// How many of them have a wrong gradient.
    pub wrong: usize,
    /// How many are at a corner of the function, and not judged.
    pub kinks: usize,
    /// For how many both sides are indistinguishable from 0.
    pub zeros: usize,
    /// The worst entry, relative to what is allowed; `None` if all are kinks.
    pub worst: Option<Entry>,
}

impl ArrayReport {
    /// Record both sides of one more number; `inner` is the size of the terms that the gradient may have been summed
    /// from.
    fn note(&mut self, array: usize, index: &[usize], gradient: f64, slope: Slope, inner: f64) {
        let Slope { numeric, bar, kink } = slope;
        if kink {
            self.kinks += 1;
            return;
        }
        let bar = bar + CANCELLED * f64::EPSILON * inner;
        let entry = Entry { array, index: index.to_vec(), gradient, numeric, bar };
        self.wrong += usize::from(entry.excess() > 1.0);
        self.zeros += usize::from(entry.is_zero());
        if self.worst.as_ref().is_none_or(|worst| worst.excess() < entry.excess()) {
            self.worst = Some(entry);
        }
    }

    /// Whether this proves nothing: every number is a kink, or 0 on both sides.
    pub fn vacuous(&self) -> bool {
        self.kinks + self.zeros == self.entries
    }
}

/// The findings of a check. `{}` formats them as a table.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a report that nobody looks at checks nothing: call assert_ok()"]
pub struct Report {
    arrays: Vec<ArrayReport>,
    vacuous_allowed: bool,
}

impl Report {
    /// Whether every gradient agrees, and something was proved for each array.
    pub fn ok(&self) -> bool {
        self.arrays.iter().all(|array| array.wrong == 0 && (self.vacuous_allowed || !array.vacuous()))
    }

    /// The worst entry, relative to what is allowed.
    pub fn worst(&self) -> Option<&Entry> {
        self.arrays.iter().filter_map(|array| array.worst.as_ref()).max_by(|a, b| a.excess().total_cmp(&b.excess()))
    }

    /// One for each input.
    pub fn arrays(&self) -> &[ArrayReport] {
        &self.arrays
    }

    /// How many entries are at a corner of the function, and were not judged.
    pub fn kinks(&self) -> usize {
        self.arrays.iter().map(|array| array.kinks).sum()
    }

    /// The same report, for a function that is meant to be flat: arrays that prove nothing then pass.
    pub fn allow_vacuous(self) -> Self {
        Self { vacuous_allowed: true, ..self }
    }

    /// For tests.
    ///
    /// # Panics
    ///
    /// With the table, if the check is not [`ok`](Self::ok).
    #[track_caller]
    pub fn assert_ok(&self) {
        assert!(self.ok(), "\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "input  shape       entries  wrong  kinks   zero  verdict")?;
        for (i, array) in self.arrays.iter().enumerate() {
            let ArrayReport { shape, entries, wrong, kinks, zeros, worst } = array;
            let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
            let verdict = match worst {
                Some(worst) if *wrong > 0 => format!("DIFFERS, most at {:?}", worst.index),
                _ if array.vacuous() && !self.vacuous_allowed => "VACUOUS: nothing was compared".to_owned(),
                _ => "ok".to_owned(),
            };
            writeln!(f, "{i:>5}  {shape:<10} {entries:>8} {wrong:>6} {kinks:>6} {zeros:>6}  {verdict}")?;
            if let Some(Entry { gradient, numeric, bar, .. }) = worst.as_ref().filter(|_| *wrong > 0) {
                write!(f, "       gradient {gradient:.6e}, numeric {numeric:.6e} ± {bar:.1e}")?;
                // The ratio of two nonzero numbers often tells what is missing: 2, -1, 1/N.
                if *gradient != 0.0 && numeric.abs() > *bar {
                    write!(f, ", ratio {:.6}", gradient / numeric)?;
                }
                writeln!(f)?;
            }
        }
        write!(f, "{}", if self.ok() { "gradients agree" } else { "GRADIENTS ARE NOT PROVED RIGHT" })
    }
}

/// Compare `gradient(x)` with differences of `f(x)`, entry by entry.
///
/// ```
/// use chainrule_gradcheck as gradcheck;
/// use ndarray::array;
///
/// let x = array![1.0, 2.0, 3.0];
/// let report = gradcheck::check(|x| x.product(), |x| x.product() / x, &x)?;
/// assert!(report.ok());
/// # Ok::<(), gradcheck::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Shape`] if the gradient does not have the shape of `x`; [`Error::NotFinite`] for a nan or an infinity in
/// `x`, `f` or the gradient; [`Error::Noise`] if `f` gives two values for the same `x`.
pub fn check<D: Dimension>(
    mut f: impl FnMut(&Array<f64, D>) -> f64,
    gradient: impl FnOnce(&Array<f64, D>) -> Array<f64, D>,
    x: &Array<f64, D>,
) -> Result<Report, Error> {
    let gradient = gradient(x);
    let mut moved = x.clone();
    let mut evaluate = |place: Option<Place>| {
        let mut place = place.map(|place| (place.entry, place.value));
        exchange(&mut moved, &mut place);
        let y = f(&moved);
        exchange(&mut moved, &mut place);
        Ok(Value { f: y, size: y.abs() })
    };
    compare(&mut evaluate, &[dynamic(x)], &[dynamic(&gradient)])
}

/// Compare `backward(inputs, dout)` with differences of `Σ dout ⊙ forward(inputs)`, entry by entry of every input.
/// `dout` is random, from `seed`: with ones, outputs that always have the same sum (a softmax) would pass with a
/// gradient of zero.
///
/// ```
/// use chainrule_gradcheck as gradcheck;
/// use ndarray::{array, ArrayD, Ix2};
///
/// // A matrix product and its two gradients, dout·Bᵀ and Aᵀ·dout.
/// let matrix = |x: &ArrayD<f64>| x.clone().into_dimensionality::<Ix2>().unwrap();
/// let forward = |x: &[ArrayD<f64>]| matrix(&x[0]).dot(&matrix(&x[1])).into_dyn();
/// let backward = |x: &[ArrayD<f64>], dout: &ArrayD<f64>| {
///     let (a, b, dout) = (matrix(&x[0]), matrix(&x[1]), matrix(dout));
///     vec![dout.dot(&b.t()).into_dyn(), a.t().dot(&dout).into_dyn()]
/// };
/// let inputs = [array![[1.0, 2.0]].into_dyn(), array![[3.0, 4.0], [5.0, 6.0]].into_dyn()];
/// gradcheck::check_pair(forward, backward, &inputs, 1)?.assert_ok();
/// # Ok::<(), gradcheck::Error>(())
/// ```
///
/// # Errors
///
/// As [`check`]; [`Error::Count`] if there is not one gradient per input, [`Error::Shape`] also if the output changes
/// its shape.
pub fn check_pair(
    mut forward: impl FnMut(&[ArrayD<f64>]) -> ArrayD<f64>,
    backward: impl FnOnce(&[ArrayD<f64>], &ArrayD<f64>) -> Vec<ArrayD<f64>>,
    inputs: &[ArrayD<f64>],
    seed: u64,
) -> Result<Report, Error> {
    let out = forward(inputs);
    if let Some((index, &got)) = out.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::NotFinite { what: format!("forward's output at {:?}", index.slice()), got });
    }
    let dout = cotangent(out.shape(), seed);
    let gradients = backward(inputs, &dout);
    if gradients.len() != inputs.len() {
        return Err(Error::Count { got: gradients.len(), wanted: inputs.len() });
    }
    let mut moved = inputs.to_vec();
    let mut evaluate = |place: Option<Place>| {
        let array = place.map_or(0, |place| place.array);
        let mut place = place.map(|place| (place.entry, place.value));
        if let Some(array) = moved.get_mut(array) {
            exchange(array, &mut place);
        }
        let out = forward(&moved);
        if let Some(array) = moved.get_mut(array) {
            exchange(array, &mut place);
        }
        if out.shape() != dout.shape() {
            let (got, wanted) = (out.shape().to_vec(), dout.shape().to_vec());
            return Err(Error::Shape { what: "forward's output, called again,".to_owned(), got, wanted });
        }
        let terms = out.iter().zip(&dout).map(|(out, dout)| out * dout);
        Ok(Value { f: terms.clone().sum(), size: terms.map(f64::abs).sum() })
    };
    let (inputs, gradients): (Vec<_>, Vec<_>) =
        (inputs.iter().map(dynamic).collect(), gradients.iter().map(dynamic).collect());
    compare(&mut evaluate, &inputs, &gradients)
}

/// Compare `jacobian(x)` with differences of `f(x)`, an array of any shape, entry by entry of both. The Jacobian has
/// the shape of the output followed by that of `x`, and the indices in the report follow that shape. Each output is
/// judged by its own rounding.
///
/// ```
/// use chainrule_gradcheck as gradcheck;
/// use ndarray::{array, Array1};
///
/// // Polar coordinates: (r cos φ, r sin φ).
/// let f = |p: &Array1<f64>| array![p[0] * p[1].cos(), p[0] * p[1].sin()];
/// let jacobian = |p: &Array1<f64>| {
///     let (sin, cos) = p[1].sin_cos();
///     array![[cos, -p[0] * sin], [sin, p[0] * cos]].into_dyn()
/// };
/// gradcheck::check_jacobian(f, jacobian, &array![2.0, 0.5])?.assert_ok();
/// # Ok::<(), gradcheck::Error>(())
/// ```
///
/// Cost: as many evaluations of `f` as [`check`] takes, whatever the number of outputs, if one step suits them all.
///
/// # Errors
///
/// As [`check`]; [`Error::Shape`] also if the output changes its shape.
pub fn check_jacobian<D: Dimension, E: Dimension>(
    mut f: impl FnMut(&Array<f64, D>) -> Array<f64, E>,
    jacobian: impl FnOnce(&Array<f64, D>) -> ArrayD<f64>,
    x: &Array<f64, D>,
) -> Result<Report, Error> {
    let jacobian = jacobian(x);
    let base = f(x);
    let shape: Vec<usize> = base.shape().iter().chain(x.shape()).copied().collect();
    if jacobian.shape() != shape {
        return Err(Error::Shape { what: "the Jacobian".to_owned(), got: jacobian.shape().to_vec(), wanted: shape });
    }
    if let Some((index, &got)) = jacobian.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::NotFinite { what: format!("the Jacobian at {:?}", index.slice()), got });
    }
    let again = f(x);
    for ((index, &first), &second) in dynamic(&base).indexed_iter().zip(&again) {
        if !first.is_finite() {
            return Err(Error::NotFinite { what: format!("the output at {:?}", index.slice()), got: first });
        }
        if first != second {
            return Err(Error::Noise { first, second });
        }
    }
    let input = dynamic(x);
    let (scale, mut moved) = (typical(&input), x.clone());
    let mut found = ArrayReport { shape, entries: jacobian.len(), wrong: 0, kinks: 0, zeros: 0, worst: None };
    for (entry, (inner, &x)) in input.indexed_iter().enumerate() {
        if !x.is_finite() {
            return Err(Error::NotFinite { what: format!("input 0 at {:?}", inner.slice()), got: x });
        }
        // The outputs share their evaluations: `f` is called once for each value tried.
        let mut known: HashMap<u64, Vec<f64>> = HashMap::new();
        for (row, (outer, &here)) in dynamic(&base).indexed_iter().enumerate() {
            let mut at = |value: f64| {
                if let Some(outputs) = known.get(&value.to_bits()) {
                    return Ok(Value { f: outputs[row], size: outputs[row].abs() });
                }
                let mut place = Some((entry, value));
                exchange(&mut moved, &mut place);
                let outputs = f(&moved);
                exchange(&mut moved, &mut place);
                if outputs.shape() != base.shape() {
                    let (got, wanted) = (outputs.shape().to_vec(), base.shape().to_vec());
                    return Err(Error::Shape { what: "the output, called again,".to_owned(), got, wanted });
                }
                let outputs: Vec<f64> = outputs.iter().copied().collect();
                let f = outputs[row];
                known.insert(value.to_bits(), outputs);
                Ok(Value { f, size: f.abs() })
            };
            let index: Vec<usize> = outer.slice().iter().chain(inner.slice()).copied().collect();
            // An output in small units has small terms throughout.
            let row_of = outer.slice().iter().fold(jacobian.view(), |rest, &i| rest.index_axis_move(Axis(0), i));
            let largest = row_of.fold(0.0, |most: f64, d| most.max(d.abs()));
            let size = (scale * scale).min(1.0) * largest.min(1.0);
            let base = Value { f: here, size: here.abs().max(size) };
            let slope = slope(&mut at, x, x.abs().max(scale), base)?.ok_or_else(|| not_finite(x, 0, &inner))?;
            found.note(0, &index, jacobian[&index[..]], slope, size);
        }
    }
    Ok(Report { arrays: vec![found], vacuous_allowed: false })
}

fn dynamic<D: Dimension>(array: &Array<f64, D>) -> ArrayViewD<'_, f64> {
    ArrayView::into_dyn(array.view())
}

/// Random numbers of random sign, with sizes between 1/2 and 3/2: none so small that its output would not count.
/// (SplitMix64.)
fn cotangent(shape: &[usize], seed: u64) -> ArrayD<f64> {
    let mut state = seed;
    ArrayD::from_shape_simple_fn(shape, || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let size = 0.5 + (z >> 11) as f64 / (1u64 << 53) as f64;
        if z & 1 == 0 {
            size
        } else {
            -size
        }
    })
}

/// A number to move, and its new value.
#[derive(Clone, Copy)]
struct Place {
    array: usize,
    /// Its row-major index.
    entry: usize,
    value: f64,
}

/// Swap the value with the number at its place.
fn exchange<D: Dimension>(array: &mut Array<f64, D>, place: &mut Option<(usize, f64)>) {
    if let Some((entry, value)) = place {
        if let Some(there) = array.iter_mut().nth(*entry) {
            std::mem::swap(there, value);
        }
    }
}

/// A value of the function.
#[derive(Clone, Copy)]
struct Value {
    f: f64,
    /// The size of the terms it was summed from, which its rounding error is proportional to.
    size: f64,
}

type Evaluate<'a> = dyn FnMut(Option<Place>) -> Result<Value, Error> + 'a;

fn compare(
    evaluate: &mut Evaluate<'_>,
    inputs: &[ArrayViewD<'_, f64>],
    gradients: &[ArrayViewD<'_, f64>],
) -> Result<Report, Error> {
    for (i, (input, gradient)) in inputs.iter().zip(gradients).enumerate() {
        if gradient.shape() != input.shape() {
            let (got, wanted) = (gradient.shape().to_vec(), input.shape().to_vec());
            return Err(Error::Shape { what: format!("the gradient of input {i}"), got, wanted });
        }
        for (what, array) in [("input", input), ("the gradient of input", gradient)] {
            if let Some((index, &got)) = array.indexed_iter().find(|(_, value)| !value.is_finite()) {
                return Err(Error::NotFinite { what: format!("{what} {i} at {:?}", index.slice()), got });
            }
        }
    }
    let (base, again) = (evaluate(None)?, evaluate(None)?);
    if !base.f.is_finite() {
        return Err(Error::NotFinite { what: "the function's value".to_owned(), got: base.f });
    }
    if base.f != again.f {
        return Err(Error::Noise { first: base.f, second: again.f });
    }
    let mut arrays = Vec::new();
    for (array, (input, gradients)) in inputs.iter().zip(gradients).enumerate() {
        let (entries, shape) = (input.len(), input.shape().to_vec());
        let mut found = ArrayReport { shape, entries, wrong: 0, kinks: 0, zeros: 0, worst: None };
        let typical = typical(input);
        let inner = (typical * typical).min(1.0);
        let base = Value { size: base.size.max(inner), ..base };
        for (entry, ((index, &x), &gradient)) in input.indexed_iter().zip(gradients).enumerate() {
            let mut at = |value: f64| evaluate(Some(Place { array, entry, value }));
            let slope = slope(&mut at, x, x.abs().max(typical), base)?.ok_or_else(|| not_finite(x, array, &index))?;
            found.note(array, index.slice(), gradient, slope, inner);
        }
        arrays.push(found);
    }
    Ok(Report { arrays, vacuous_allowed: false })
}

/// The mean size of the numbers of an input; 1 if they are all 0.
fn typical(input: &ArrayViewD<'_, f64>) -> f64 {
    let mean = input.iter().map(|x| x.abs() / input.len() as f64).sum::<f64>();
    if mean > 0.0 {
        mean
    } else {
        1.0
    }
}

fn not_finite(x: f64, array: usize, index: &ndarray::IxDyn) -> Error {
    let what = format!("the function near {x:e} in input {array} at {:?}", index.slice());
    Error::NotFinite { what, got: f64::NAN }
}

/// The numeric side of one entry.
struct Slope {
    numeric: f64,
    bar: f64,
    kink: bool,
}

type At<'a> = dyn FnMut(f64) -> Result<Value, Error> + 'a;

/// The slope at `x`; `None` if the function is not finite near it, however small the step.
fn slope(at: &mut At<'_>, x: f64, scale: f64, base: Value) -> Result<Option<Slope>, Error> {
    let h = f64::EPSILON.powf(0.2) * scale;
    let mut best: Option<Steps> = None;
    for divisor in DIVISORS {
        if let Some(steps) = Steps::take(at, x, h / divisor, base)? {
            if best.as_ref().is_none_or(|best| steps.bar() < best.bar()) {
                best = Some(steps);
            }
        }
        if best.as_ref().is_some_and(Steps::agree) {
            break;
        }
    }
    let Some(best) = best else { return Ok(None) };
    let mut kink = false;
    if best.jumps() || !best.agree() {
        // At a corner at x, the jump stays the same with smaller steps. With a corner so near that every step crosses
        // it, no two steps agree.
        if let Some(smaller) = Steps::take(at, x, best.h / 2.0, base)? {
            let stays = smaller.jumps() && smaller.jump.abs() > best.jump.abs() / 2.0;
            kink = stays || (!best.agree() && (best.jumps() || smaller.jumps()));
        }
    }
    Ok(Some(Slope { numeric: best.slope, bar: best.bar(), kink }))
}

/// The result of the steps h and h/2 to both sides.
struct Steps {
    h: f64,
    slope: f64,
    truncation: f64,
    /// The error bound of each value of the function, divided by h.
    off: f64,
    jump: f64,
    /// The steeper of the slopes to the left and to the right.
    steepest: f64,
}

impl Steps {
    /// `None` if the function is not finite there.
    fn take(at: &mut At<'_>, x: f64, h: f64, base: Value) -> Result<Option<Self>, Error> {
        let mut size = base.size;
        let mut sides = |h: f64| -> Result<(f64, f64, f64), Error> {
            // Not h itself but the distance of the two rounded numbers.
            let (right, left) = (x + h, x - h);
            let (above, below) = (at(right)?, at(left)?);
            size = size.max(above.size).max(below.size);
            let forwards = (above.f - base.f) / (right - x);
            let backwards = (base.f - below.f) / (x - left);
            Ok(((above.f - below.f) / (right - left), forwards, backwards))
        };
        let (coarse, forwards, backwards) = sides(h)?;
        let far = forwards - backwards;
        let (fine, forwards, backwards) = sides(h / 2.0)?;
        let near = forwards - backwards;
        let slope = (4.0 * fine - coarse) / 3.0;
        let jump = 2.0 * near - far;
        let steepest = forwards.abs().max(backwards.abs());
        let truncation = (slope - fine).abs();
        let off = OFF * f64::EPSILON * size / h;
        let steps = Self { h, slope, truncation, off, jump, steepest };
        Ok((slope.is_finite() && jump.is_finite() && size.is_finite()).then_some(steps))
    }

    /// If f is off by one unit, D(h) is off by one over h and D(h/2) by two: D by (4·2 + 1) / 3.
    fn rounding(&self) -> f64 {
        3.0 * self.off
    }

    fn bar(&self) -> f64 {
        self.truncation + self.rounding()
    }

    /// Whether the two steps agree.
    fn agree(&self) -> bool {
        self.truncation <= self.rounding().max(AGREE * self.slope.abs())
    }

    /// Whether the slope jumps by more than rounding explains: (F - B)(h) is off by four units, (F - B)(h/2) by eight,
    /// and the latter counts twice.
    fn jumps(&self) -> bool {
        self.jump.abs() > 20.0 * self.off + JUMP * self.steepest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{array, Array1, Array2, Ix2};

    fn square(x: &Array2<f64>) -> f64 {
        x.mapv(|x| x * x).sum()
    }

    fn sigmoid(x: f64) -> f64 {
        if x >= 0.0 {
            1.0 / (1.0 + (-x).exp())
        } else {
            x.exp() / (1.0 + x.exp())
        }
    }

    fn matrix(x: &ArrayD<f64>) -> Array2<f64> {
        x.clone().into_dimensionality::<Ix2>().unwrap()
    }

    /// Numbers between -1 and 1, the same for the same seed.
    fn numbers(shape: (usize, usize), seed: u64) -> Array2<f64> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        Array2::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
    }

    /// The mean cross entropy of softmax scores, and its gradient.
    fn cross_entropy(scores: &Array2<f64>, ids: &[i64]) -> (f64, Array2<f64>) {
        let (mut loss, mut d, n) = (0.0, scores.clone(), scores.nrows() as f64);
        for (mut row, &id) in d.rows_mut().into_iter().zip(ids) {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row -= largest;
            let sum = row.mapv(f64::exp).sum();
            loss += (sum.ln() - row[id as usize]) / n;
            row.mapv_inplace(|s| s.exp() / sum);
            row[id as usize] -= 1.0;
        }
        (loss, d / n)
    }

    // An affine layer and its gradients: the correct pair that the wrong ones below are derived from.

    fn forward(inputs: &[ArrayD<f64>]) -> ArrayD<f64> {
        (matrix(&inputs[0]).dot(&matrix(&inputs[1])) + &inputs[2]).into_dyn()
    }

    fn backward(inputs: &[ArrayD<f64>], dout: &ArrayD<f64>) -> Vec<ArrayD<f64>> {
        let (x, w, dout) = (matrix(&inputs[0]), matrix(&inputs[1]), matrix(dout));
        vec![dout.dot(&w.t()).into_dyn(), x.t().dot(&dout).into_dyn(), dout.sum_axis(Axis(0)).into_dyn()]
    }

    fn inputs(scale: f64) -> Vec<ArrayD<f64>> {
        let numbers = |shape, seed| numbers(shape, seed) * scale;
        vec![
            numbers((4, 3), 1).into_dyn(),
            numbers((3, 3), 2).into_dyn(),
            numbers((1, 3), 3).row(0).to_owned().into_dyn(),
        ]
    }

    #[test]
    fn right_gradients_pass_at_every_scale() {
        for scale in [1e-6, 1e-3, 1.0, 1e3, 1e6] {
            let x = numbers((3, 4), 1) * scale;
            check(square, |x| 2.0 * x, &x).unwrap().assert_ok();
            check(|x| x.mapv(f64::abs).sum(), |x| x.mapv(f64::signum), &x).unwrap().assert_ok();
            let cube = |x: &Array2<f64>| x.mapv(|x| x * x * x).sum();
            check(cube, |x| x.mapv(|x| 3.0 * x * x), &x).unwrap().assert_ok();
            check_pair(forward, backward, &inputs(scale), 1).unwrap().assert_ok();
        }
    }

    #[test]
    fn a_thousand_right_gradients_raise_no_alarm() {
        for seed in 0..1000 {
            let scale = 10f64.powi(seed as i32 % 7 - 4);
            let (scores, ids) = (numbers((3, 4), seed) * scale, [0, 3, seed as i64 % 4]);
            let (f, gradient) =
                (|x: &Array2<f64>| cross_entropy(x, &ids).0, |x: &Array2<f64>| cross_entropy(x, &ids).1);
            let report = check(f, gradient, &scores).unwrap();
            // With scores in the hundreds, each softmax may be indistinguishable from 0 or 1.
            let report = if scale == 100.0 { report.allow_vacuous() } else { report };
            assert!(report.ok() && report.kinks() == 0, "seed {seed}\n{report}");
            let tanh = |x: &[ArrayD<f64>]| x[0].mapv(f64::tanh);
            let slope = |x: &[ArrayD<f64>], dout: &ArrayD<f64>| vec![x[0].mapv(|x| 1.0 - x.tanh().powi(2)) * dout];
            let report = check_pair(tanh, slope, &[(scores / scale * 3.0).into_dyn()], seed).unwrap();
            assert!(report.ok() && report.kinks() == 0, "seed {seed}\n{report}");
        }
    }

    #[test]
    fn a_saturated_sigmoid_passes_beside_one_that_is_not() {
        let x = array![-40.0, -1.0, 0.5, 40.0];
        let slope = |x: &Array1<f64>| x.mapv(|x| sigmoid(x) * sigmoid(-x));
        let report = check(|x| x.mapv(sigmoid).sum(), slope, &x).unwrap();
        report.assert_ok();
        assert_eq!(report.arrays()[0].zeros, 2);
    }

    #[test]
    fn scores_far_apart_pass() {
        let scores = array![[500.0, -500.0, 0.0], [1.0, 2.0, 3.0]];
        let f = |x: &Array2<f64>| cross_entropy(x, &[1, 0]).0;
        check(f, |x| cross_entropy(x, &[1, 0]).1, &scores).unwrap().assert_ok();
    }

    #[test]
    fn wrong_gradients_of_a_function_fail() {
        type Wrong = fn(&Array2<f64>) -> Array2<f64>;
        let x = numbers((3, 3), 1);
        // Σ x² + Σ x₀ⱼ x₁ⱼ
        let f = |x: &Array2<f64>| square(x) + (&x.row(0) * &x.row(1)).sum();
        let right: Wrong = |x| {
            let mut d = 2.0 * x;
            let (first, second) = (x.row(0), x.row(1));
            d.row_mut(0).zip_mut_with(&second, |d, x| *d += x);
            d.row_mut(1).zip_mut_with(&first, |d, x| *d += x);
            d
        };
        check(f, right, &x).unwrap().assert_ok();
        let wrong = |change: &dyn Fn(&mut Array2<f64>)| {
            let mut d = right(&x);
            change(&mut d);
            check(f, |_| d, &x).unwrap()
        };
        for (what, report) in [
            ("twice", wrong(&|d| *d *= 2.0)),
            ("a term missing", check(f, |x| 2.0 * x, &x).unwrap()),
            ("transposed", wrong(&|d| *d = d.t().to_owned())),
            ("the sign", wrong(&|d| *d *= -1.0)),
            ("zero", wrong(&|d| d.fill(0.0))),
            ("off by a millionth", wrong(&|d| *d *= 1.0 + 1e-6)),
        ] {
            assert!(!report.ok() && report.worst().unwrap().excess() > 1.0, "{what}\n{report}");
        }
        let halved = wrong(&|d| d[[1, 2]] *= 0.5);
        let worst = halved.worst().unwrap();
        assert_eq!((&worst.index[..], halved.arrays()[0].wrong), (&[1, 2][..], 1));
        assert!((worst.gradient / worst.numeric - 0.5).abs() < 1e-6);
        assert!((worst.numeric - right(&x)[[1, 2]]).abs() <= worst.bar);
    }

    #[test]
    fn wrong_gradients_of_a_pair_fail_at_every_scale_in_the_right_array() {
        type Change = fn(&[ArrayD<f64>], &mut Vec<ArrayD<f64>>);
        let changes: [(&str, usize, Change); 8] = [
            ("dx twice", 0, |_, d| d[0] *= 2.0),
            ("dW by the batch", 1, |_, d| d[1] /= 4.0),
            ("dW transposed", 1, |_, d| d[1] = d[1].t().to_owned()),
            ("one of dW halved", 1, |_, d| d[1][[2, 0]] *= 0.5),
            ("db the mean", 2, |_, d| d[2] /= 4.0),
            ("db zero", 2, |_, d| d[2].fill(0.0)),
            ("the sign of one", 0, |_, d| d[0][[3, 1]] *= -1.0),
            ("dW with decay", 1, |x, d| d[1] += &(&x[1] * 1e-3)),
        ];
        for scale in [1e-6, 1.0, 1e6] {
            for (what, array, change) in changes {
                let wrong = |x: &[ArrayD<f64>], dout: &ArrayD<f64>| {
                    let mut gradients = backward(x, dout);
                    change(x, &mut gradients);
                    gradients
                };
                let report = check_pair(forward, wrong, &inputs(scale), 3).unwrap();
                assert!(!report.ok(), "{what} at {scale}\n{report}");
                let wrong: Vec<usize> = (0..3).filter(|&i| report.arrays()[i].wrong > 0).collect();
                assert_eq!((wrong, report.worst().unwrap().array), (vec![array], array), "{what} at {scale}\n{report}");
            }
        }
    }

    #[test]
    fn a_softmax_whose_gradient_is_zero_fails_for_dout_is_not_ones() {
        let softmax = |x: &[ArrayD<f64>]| {
            let e = x[0].mapv(f64::exp);
            let sum = e.sum_axis(Axis(1)).insert_axis(Axis(1));
            e / sum
        };
        let zero = |x: &[ArrayD<f64>], _: &ArrayD<f64>| vec![&x[0] * 0.0];
        for seed in 0..20 {
            let x = numbers((2, 3), seed).into_dyn();
            assert!(check_pair(softmax, zero, &[x], seed).unwrap().arrays()[0].wrong >= 4);
        }
    }

    #[test]
    fn a_corner_is_left_out_counted_and_shown_whatever_the_gradient_says_there() {
        let x = array![1.0, 0.0, -2.0, 0.0];
        for at_zero in [0.0, 1.0, -1.0, 17.0] {
            let slope = |x: &Array1<f64>| x.mapv(|x: f64| if x == 0.0 { at_zero } else { x.signum() });
            let report = check(|x| x.mapv(f64::abs).sum(), slope, &x).unwrap();
            assert_eq!((report.ok(), report.kinks()), (true, 2), "{report}");
        }
        // If all entries are corners, nothing was compared.
        let report = check(|x| x.mapv(f64::abs).sum(), |x| x * 0.0, &array![0.0, 0.0]).unwrap();
        assert!(!report.ok() && report.worst().is_none() && report.to_string().contains("VACUOUS"));
    }

    #[test]
    fn a_corner_beside_x_is_either_stepped_around_or_found() {
        for distance in (-40..0).map(|i| 10f64.powf(f64::from(i) / 4.0)) {
            for sign in [-1.0, 1.0] {
                let x = array![1.0, sign * distance];
                let slope = |x: &Array1<f64>| x.mapv(|x| if x > 0.0 { 1.0 } else { 0.1 });
                let f = |x: &Array1<f64>| x.mapv(|x| if x > 0.0 { x } else { 0.1 * x }).sum();
                let report = check(f, slope, &x).unwrap();
                assert!(report.arrays()[0].wrong == 0, "{distance}\n{report}");
                // The smallest step is 7e-4 / 64 of the mean.
                assert!(report.kinks() == 0 || distance < 1e-5, "{distance}\n{report}");
                assert!(report.kinks() == 1 || distance > 1e-7, "{distance}\n{report}");
            }
        }
    }

    #[test]
    fn smooth_but_steep_is_no_corner() {
        for steep in [1.0, 10.0, 100.0, 1000.0] {
            let x = array![0.0, 1.0];
            let f = |x: &Array1<f64>| x.mapv(|x| (steep * x).tanh() + x).sum();
            let slope = |x: &Array1<f64>| x.mapv(|x| steep * (1.0 - (steep * x).tanh().powi(2)) + 1.0);
            let report = check(f, slope, &x).unwrap();
            assert!(report.ok() && report.kinks() == 0, "{steep}\n{report}");
        }
    }

    #[test]
    fn what_proves_nothing_is_not_ok_unless_allowed() {
        let x = array![1.0, 2.0];
        let report = check(|_| 5.0, |x| x * 0.0, &x).unwrap();
        assert!(!report.ok() && report.arrays()[0].vacuous());
        assert!(report.to_string().contains("VACUOUS"));
        assert!(report.clone().allow_vacuous().ok());
        assert!(std::panic::catch_unwind(|| report.assert_ok()).is_err());
        // A nonzero gradient of a flat function is wrong, vacuous reports allowed or not.
        assert!(!check(|_| 5.0, |x| x * 1.0, &x).unwrap().allow_vacuous().ok());
        // One of two inputs is not read by the function.
        let one = |inputs: &[ArrayD<f64>]| &inputs[0] * 2.0;
        let gradients = |inputs: &[ArrayD<f64>], dout: &ArrayD<f64>| vec![dout * 2.0, &inputs[1] * 0.0];
        let report = check_pair(one, gradients, &[x.clone().into_dyn(), x.into_dyn()], 1).unwrap();
        assert_eq!((report.ok(), report.arrays()[0].vacuous(), report.arrays()[1].vacuous()), (false, false, true));
        assert!(!check(|_| 1.0, |x| x.clone(), &Array1::<f64>::zeros(0)).unwrap().ok());
    }

    #[test]
    fn arrays_of_any_dimension_and_layout() {
        let x = ndarray::arr0(3.0);
        check(|x| x.sum().powi(2), |x| 2.0 * x, &x).unwrap().assert_ok();
        let x = ArrayD::from_shape_fn(vec![2, 3, 2, 2], |i| 1.0 + i.slice().iter().sum::<usize>() as f64);
        check(|x| x.mapv(f64::ln).sum(), |x| 1.0 / x, &x).unwrap().assert_ok();
        // Column-major: the moved entry is the one in the report.
        let x = numbers((3, 2), 1).reversed_axes();
        let weights = numbers((2, 3), 9);
        check(|x| (x * &weights).sum(), |_| weights.clone(), &x).unwrap().assert_ok();
        let mut wrong = weights.clone();
        wrong[[0, 2]] *= 2.0;
        let report = check(|x| (x * &weights).sum(), |_| wrong, &x).unwrap();
        assert_eq!(report.worst().unwrap().index, [0, 2]);
    }

    #[test]
    fn what_cannot_be_checked_is_an_error_that_names_the_place() {
        let x = array![[1.0, 2.0], [3.0, 4.0]];
        let error = check(square, |x| x.row(0).insert_axis(Axis(0)).to_owned(), &x).unwrap_err();
        assert_eq!(error.to_string(), "the gradient of input 0 has shape [1, 2]; it must be [2, 2]");
        let nan = |x: &Array2<f64>| x.mapv(|x| if x == 3.0 { f64::NAN } else { x });
        let error = check(square, nan, &x).unwrap_err();
        assert_eq!(error.to_string(), "the gradient of input 0 at [1, 0] is NaN; the check needs finite numbers");
        let error = check(square, |x| 2.0 * x, &nan(&x)).unwrap_err();
        assert!(error.to_string().contains("input 0 at [1, 0] is NaN"));
        let error = check(|x| x.sum() / 0.0, |x| x.clone(), &x).unwrap_err();
        assert!(error.to_string().contains("the function's value is inf"));
        let error = check(|x| (x[[1, 1]] - 4.0).sqrt(), |x| x.clone(), &x).unwrap_err();
        assert!(error.to_string().contains("the function near 4e0 in input 0 at [1, 1]"), "{error}");
        let mut calls = 0.0;
        let noisy = |x: &Array2<f64>| {
            calls += 1e-3;
            x.sum() + calls
        };
        assert!(matches!(check(noisy, |x| x.mapv(|_| 1.0), &x), Err(Error::Noise { .. })));

        let inputs = [x.clone().into_dyn()];
        let error = check_pair(|x| x[0].clone(), |_, _| vec![], &inputs, 1).unwrap_err();
        assert_eq!(error, Error::Count { got: 0, wanted: 1 });
        let mut first = true;
        let shrinking = |x: &[ArrayD<f64>]| {
            let rows = if std::mem::take(&mut first) { 2 } else { 1 };
            x[0].slice_axis(Axis(0), (..rows).into()).to_owned()
        };
        let error = check_pair(shrinking, |_, dout| vec![dout.clone()], &inputs, 1).unwrap_err();
        assert_eq!(error.to_string(), "forward's output, called again, has shape [1, 2]; it must be [2, 2]");
        let error = check_pair(|x| x[0].mapv(|x| 1.0 / (x - 4.0)), |_, d| vec![d.clone()], &inputs, 1).unwrap_err();
        assert!(error.to_string().contains("forward's output at [1, 1] is inf"));
    }

    #[test]
    fn a_function_that_ends_beside_x_is_checked_with_smaller_steps() {
        // The mean of |x| is 1/2, so the first step goes below 0.
        let x = array![1e-4, 1.0];
        check(|x| x.mapv(f64::ln).sum(), |x| 1.0 / x, &x).unwrap().assert_ok();
    }

    #[test]
    fn the_table_shows_both_sides_and_their_ratio() {
        let report = check(square, |x| 6.0 * x, &array![[1.0, 2.0]]).unwrap();
        let text = report.to_string();
        assert!(text.contains("DIFFERS, most at [0, ") && text.contains("ratio 3.000000"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100));
        assert!(text.ends_with("GRADIENTS ARE NOT PROVED RIGHT"));
    }

    #[test]
    fn every_seed_is_another_cotangent_and_none_of_it_is_small() {
        let (a, b) = (cotangent(&[100], 1), cotangent(&[100], 2));
        assert!(a != b && a == cotangent(&[100], 1));
        assert!(a.iter().all(|dout| (0.5..1.5).contains(&dout.abs())));
        assert!(a.iter().any(|&dout| dout > 0.0) && a.iter().any(|&dout| dout < 0.0));
    }

    // Polar coordinates, and outputs in other units.
    fn polar(p: &Array1<f64>) -> Array1<f64> {
        array![p[0] * p[1].cos(), p[0] * p[1].sin(), 1e-9 * p[0] * p[0], 7.0]
    }

    fn polar_jacobian(p: &Array1<f64>) -> Array2<f64> {
        let (sin, cos) = p[1].sin_cos();
        array![[cos, -p[0] * sin], [sin, p[0] * cos], [2e-9 * p[0], 0.0], [0.0, 0.0]]
    }

    #[test]
    fn a_right_jacobian_passes_and_a_wrong_entry_is_named() {
        let p = array![2.0, 0.5];
        check_jacobian(polar, |p| polar_jacobian(p).into_dyn(), &p).unwrap().assert_ok();
        for place in [[0, 0], [0, 1], [1, 1], [2, 0], [3, 1]] {
            let wrong = |p: &Array1<f64>| {
                let mut jacobian = polar_jacobian(p);
                jacobian[place] = if jacobian[place] == 0.0 { 1e-6 } else { jacobian[place] * 1.001 };
                jacobian.into_dyn()
            };
            let report = check_jacobian(polar, wrong, &p).unwrap();
            let worst = report.worst().unwrap();
            assert_eq!((report.arrays()[0].wrong, &worst.index[..]), (1, &place[..]), "{report}");
        }
    }

    #[test]
    fn a_jacobian_has_the_shapes_of_output_and_input() {
        // X Xᵀ for X of 2 × 3: d(XXᵀ)ᵢⱼ / dXₖₗ = δᵢₖ Xⱼₗ + δⱼₖ Xᵢₗ
        let x = numbers((2, 3), 4);
        let jacobian = |x: &Array2<f64>| {
            ArrayD::from_shape_fn(vec![2, 2, 2, 3], |i| {
                let d = |a: usize, b: usize| if i[a] == i[2] { x[[i[b], i[3]]] } else { 0.0 };
                d(0, 1) + d(1, 0)
            })
        };
        let mut calls = 0;
        let f = |x: &Array2<f64>| x.dot(&x.t());
        let counted = |x: &Array2<f64>| {
            calls += 1;
            f(x)
        };
        check_jacobian(counted, jacobian, &x).unwrap().assert_ok();
        assert!(calls <= 2 + 4 * 6, "{calls} evaluations");
        let error = check_jacobian(f, |x| x.clone().into_dyn(), &x).unwrap_err();
        assert_eq!(error.to_string(), "the Jacobian has shape [2, 3]; it must be [2, 2, 2, 3]");
        let one = |x: &Array2<f64>| ndarray::arr0(x.sum());
        check_jacobian(one, |x| x.mapv(|_| 1.0).into_dyn(), &x).unwrap().assert_ok();
    }

    #[test]
    fn what_is_no_jacobian_is_an_error() {
        let p = array![2.0, 0.5];
        let nan = |_: &Array1<f64>| ArrayD::from_elem(vec![4, 2], f64::NAN);
        assert!(matches!(check_jacobian(polar, nan, &p), Err(Error::NotFinite { .. })));
        let ends = |p: &Array1<f64>| polar(p) / 0.0;
        assert!(matches!(check_jacobian(ends, |p| polar_jacobian(p).into_dyn(), &p), Err(Error::NotFinite { .. })));
        let mut calls = 0.0;
        let noisy = |p: &Array1<f64>| {
            calls += 1.0;
            polar(p) + calls
        };
        assert!(matches!(check_jacobian(noisy, |p| polar_jacobian(p).into_dyn(), &p), Err(Error::Noise { .. })));
    }
}

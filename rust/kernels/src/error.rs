use std::fmt;

/// Why a kernel refused its arguments: each variant is one English sentence, with what was got and what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelError {
    /// Two sizes that must agree do not.
    Sizes {
        /// What has the first size.
        what: &'static str,
        /// The first size.
        got: usize,
        /// What it must agree with.
        with: &'static str,
        /// The size of that.
        wanted: usize,
    },
    /// A class id outside `0..classes`.
    Label {
        /// The id.
        got: i64,
        /// Its row.
        row: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// Class ids for a loss that compares numbers.
    Ids {
        /// The loss's name.
        loss: &'static str,
    },
    /// A row number outside the data.
    Row {
        /// The requested row number.
        got: i64,
        /// How many rows there are.
        rows: usize,
    },
    /// The index of something that does not exist.
    Number {
        /// What it is an index of.
        what: &'static str,
        /// The requested index.
        got: i64,
        /// How many there are.
        there: usize,
    },
    /// Bytes where there were floats before, or vice versa.
    Kind,
    /// `CHAINRULE_SIMD` names an instruction set that this CPU does not have.
    Level {
        /// The name.
        asked: String,
        /// The best available.
        highest: &'static str,
    },
    /// An environment variable that should be a number of threads, and is not.
    Threads {
        /// Its name.
        name: &'static str,
        /// Its value.
        got: String,
    },
    /// The mean of no examples.
    Empty,
    /// The caller interrupted the call.
    Interrupted,
    /// Scratch memory could not be allocated.
    Memory {
        /// How many numbers were wanted.
        numbers: usize,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sizes { what, got, with, wanted } => {
                write!(f, "{what} is {got}, but {with} is {wanted}; they must agree")
            }
            Self::Label { got, row, classes } => {
                write!(f, "labels must lie in 0..{}; got {got} at row {row}", classes.saturating_sub(1))
            }
            Self::Ids { loss } => {
                write!(f, "t holds class ids, but the {loss} loss wants a row of numbers for each example")
            }
            Self::Row { got, rows } => write!(f, "row {got} was asked for, but the data has {rows} rows"),
            Self::Number { what, got, there } => {
                write!(f, "{what} {got} was asked for, but there are {there}, counted from 0")
            }
            Self::Level { asked, highest } => {
                write!(f, "CHAINRULE_SIMD asks for {asked}, which this CPU does not have; the highest is {highest}")
            }
            Self::Threads { name, got } => {
                write!(f, "{name} is {got:?}, but it must be a whole number, 1 or more; or not set, for all CPUs")
            }
            Self::Kind => write!(f, "x holds bytes where the rows before held floats, or the other way round"),
            Self::Interrupted => write!(f, "the call was ended before it was done"),
            Self::Empty => write!(f, "the mean loss of an empty batch is not defined"),
            Self::Memory { numbers } => write!(f, "no memory for {numbers} numbers of scratch space"),
        }
    }
}

impl std::error::Error for KernelError {}

/// `Ok` if the sizes agree.
pub(crate) fn agree(what: &'static str, got: usize, with: &'static str, wanted: usize) -> Result<(), KernelError> {
    if got == wanted {
        Ok(())
    } else {
        Err(KernelError::Sizes { what, got, with, wanted })
    }
}

/// Memory for `numbers` more, or [`KernelError::Memory`] where `Vec` would end the process.
pub(crate) fn reserve<T>(scratch: &mut Vec<T>, numbers: usize) -> Result<(), KernelError> {
    scratch.try_reserve(numbers).map_err(|_| KernelError::Memory { numbers })
}

/// Resize the vector to `numbers`, filling new places with `blank`.
pub(crate) fn resize<T: Clone>(scratch: &mut Vec<T>, numbers: usize, blank: T) -> Result<(), KernelError> {
    reserve(scratch, numbers.saturating_sub(scratch.len()))?;
    scratch.resize(numbers, blank);
    Ok(())
}

/// A vector of zeros.
pub(crate) fn zeros<T: crate::Float>(numbers: usize) -> Result<Vec<T>, KernelError> {
    let mut scratch = Vec::new();
    resize(&mut scratch, numbers, T::zero())?;
    Ok(scratch)
}

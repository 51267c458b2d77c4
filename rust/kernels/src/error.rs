use std::fmt;

/// Why a kernel refused its arguments: one English sentence a variant, with what was got and what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelError {
    /// Two sizes that must agree do not.
    Sizes {
        /// What has the first size.
        what: &'static str,
        /// The first size.
        got: usize,
        /// What it has to agree with.
        with: &'static str,
        /// That one's size.
        wanted: usize,
    },
    /// A class id outside `0..classes`.
    Label {
        /// The id.
        got: i64,
        /// Where it stands.
        row: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// Class ids for a loss that compares numbers.
    Ids {
        /// Its name.
        loss: &'static str,
    },
    /// A row number outside the data.
    Row {
        /// The row number asked for.
        got: i64,
        /// How many rows there are.
        rows: usize,
    },
    /// The number of something that is not there.
    Number {
        /// What it is a number of.
        what: &'static str,
        /// The number asked for.
        got: i64,
        /// How many there are.
        there: usize,
    },
    /// Bytes where there were floats before, or the other way round.
    Kind,
    /// `CHAINRULE_SIMD` names an instruction set that is not to be had.
    Level {
        /// The name.
        asked: String,
        /// The best there is.
        highest: &'static str,
    },
    /// A variable of the environment that is no number of threads.
    Threads {
        /// Its name.
        name: &'static str,
        /// What it holds.
        got: String,
    },
    /// The mean of no examples.
    Empty,
    /// The caller had the call ended before it was done.
    Interrupted,
    /// The scratch memory could not be had.
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

/// Memory for so many more, or [`KernelError::Memory`] where `Vec` would end the process.
pub(crate) fn reserve<T>(scratch: &mut Vec<T>, numbers: usize) -> Result<(), KernelError> {
    scratch.try_reserve(numbers).map_err(|_| KernelError::Memory { numbers })
}

/// Make the vector as long as told, with `blank` in what is new.
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

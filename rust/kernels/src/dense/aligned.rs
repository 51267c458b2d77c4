//! Numbers that start on a cache line, so that a lane of sixteen touches no more lines than it must.

use crate::dense::padded::{Padded, LANES};
use crate::{Float, KernelError};
use std::ops::{Deref, DerefMut};

/// The numbers.
#[derive(Debug, Default)]
pub struct Aligned<T> {
    lanes: Padded<T>,
    count: usize,
}

impl<T: Float> Aligned<T> {
    /// Zeros.
    ///
    /// # Errors
    ///
    /// [`KernelError::Memory`].
    pub fn zeros(count: usize) -> Result<Self, KernelError> {
        let mut zeros = Self::default();
        zeros.resize(count)?;
        Ok(zeros)
    }

    /// Resize to `count` numbers, in the existing memory if it is large enough. Their values are unspecified.
    pub(crate) fn resize(&mut self, count: usize) -> Result<(), KernelError> {
        self.count = 0; // if the allocation fails
        let numbers = self.lanes.reshape(count.div_ceil(LANES), LANES);
        numbers.map_err(|_| KernelError::Memory { numbers: count })?; // without those that the alignment takes
        self.count = count;
        Ok(())
    }
}

impl<T: Float> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.lanes.numbers()[..self.count]
    }
}

impl<T: Float> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.lanes.numbers_mut()[..self.count]
    }
}

//! Numbers that begin at the address of a cache line, so that sixteen after the other never lie in two more lines than they must.

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

    /// Be so many numbers, in the memory there is if it is enough; what they are is not said.
    pub(crate) fn resize(&mut self, count: usize) -> Result<(), KernelError> {
        self.count = 0; // should there be no memory
        let numbers = self.lanes.reshape(count.div_ceil(LANES), LANES);
        numbers.map_err(|_| KernelError::Memory { numbers: count })?; // not as many as it takes to begin at a line
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

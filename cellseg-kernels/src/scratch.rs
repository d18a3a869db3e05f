//! Memory to work with.

use cellseg_core::{CpuBuffer, Real, Result};
use std::{
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// Numbers to work with. Like a tensor's they come from the allocator, which counts and keeps them.
pub(crate) struct Scratch<T> {
    /// Where they lie: looking it up in the buffer for every row takes longer than the row's sums.
    numbers: NonNull<[T]>,
    /// Owns them.
    _buffer: CpuBuffer,
}

// SAFETY: the only owner of its numbers, which are plain memory.
unsafe impl<T: Send> Send for Scratch<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: Sync> Sync for Scratch<T> {}

impl<T: Real> Scratch<T> {
    /// Zeros.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let mut scratch = Self::unspecified(count)?;
        scratch.fill(T::zero());
        Ok(scratch)
    }

    /// Whatever numbers the memory holds.
    pub(crate) fn unspecified(count: usize) -> Result<Self> {
        let mut buffer = CpuBuffer::new(T::DTYPE, count)?;
        let numbers = NonNull::from(buffer.as_mut_slice::<T>().unwrap_or_default());
        Ok(Scratch { numbers, _buffer: buffer })
    }
}

impl<T: Real> Deref for Scratch<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the numbers live on the heap until the buffer is dropped, and are reached through `self` alone.
        unsafe { self.numbers.as_ref() }
    }
}

impl<T: Real> DerefMut for Scratch<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`; `self` is borrowed exclusively.
        unsafe { self.numbers.as_mut() }
    }
}

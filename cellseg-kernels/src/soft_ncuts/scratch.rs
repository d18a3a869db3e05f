//! Memory to work with.

use cellseg_core::{CpuBuffer, Real, Result};
use std::{
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// Numbers to work with, zero at first. Like a tensor's they come from the allocator, which counts and keeps them.
pub(super) struct Scratch<T> {
    /// Where they lie: looking it up in the buffer for every row takes longer than the row's sums.
    numbers: NonNull<[T]>,
    /// Owns them.
    _buffer: CpuBuffer,
}

impl<T: Real> Scratch<T> {
    pub(super) fn new(count: usize) -> Result<Self> {
        let mut buffer = CpuBuffer::new(T::DTYPE, count)?;
        let numbers = buffer.as_mut_slice::<T>().unwrap_or_default();
        numbers.fill(T::zero());
        Ok(Scratch { numbers: NonNull::from(numbers), _buffer: buffer })
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

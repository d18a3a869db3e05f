//! Writing to one slice from several threads, each at places of its own.

use std::marker::PhantomData;
use std::ops::Range;

/// A slice whose parts are handed out to threads; whoever asks for a part promises that it is nobody else's.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer is that of a slice borrowed for 'a, and its parts go to one thread each by `slice`'s contract.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// A part of the slice.
    ///
    /// # Safety
    /// No two parts that share an element may be in use at the same time.
    #[allow(clippy::mut_from_ref, reason = "that parts do not overlap is the caller's promise")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "the part lies inside the slice");
        // SAFETY: the range lies inside the slice, which is borrowed for 'a; nobody else uses it by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

//! Numbers that several tasks write to, each of them to places of its own.

use std::marker::PhantomData;

/// A slice for tasks to share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a, T> {
    start: *mut T,
    length: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: a slice that may be written to from several threads; what keeps them apart are the promises where it is used.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(super) fn new(xs: &'a mut [T]) -> Self {
        Shared { start: xs.as_mut_ptr(), length: xs.len(), lent: PhantomData }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Where the number `i` lies.
    #[inline(always)]
    pub(super) fn at(&self, i: usize) -> *mut T {
        self.start.wrapping_add(i)
    }

    /// Some of the numbers.
    ///
    /// # Safety
    /// Nothing else refers to them while the slice lives.
    pub(super) unsafe fn slice(&self, at: usize, count: usize) -> &'a mut [T] {
        assert!(at.checked_add(count).is_some_and(|end| end <= self.length));
        // SAFETY: they lie in the slice, as just asserted, and the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), count) }
    }
}

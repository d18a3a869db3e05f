//! The trait of vector lanes.

use cellseg_core::Real;
use std::ops::{Add, Div, Mul, Sub};

/// The most lanes of any set.
pub(crate) const WIDEST: usize = 16;

/// `N` numbers that are worked on at once.
///
/// Values come from [`Lanes::splat`] and the loads only, and the implementing types are handed out by
/// [`Isa::run`](super::Isa::run) only, which has checked that the machine has their instructions.
pub trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// The type of the numbers.
    type Elem: Real;
    /// How many numbers there are.
    const N: usize;
    /// How many values of this type the machine's registers hold: it bounds register tiles.
    const REGISTERS: usize;

    /// `x` in every lane.
    fn splat(x: Self::Elem) -> Self;

    /// The `N` numbers from `p` on.
    ///
    /// # Safety
    /// `p` is valid for reads of `N` numbers.
    unsafe fn load(p: *const Self::Elem) -> Self;

    /// The `count` numbers from `p` on, and zeros after them.
    ///
    /// # Safety
    /// `count <= N`, and `p` is valid for reads of `count` numbers.
    unsafe fn load_first(p: *const Self::Elem, count: usize) -> Self;

    /// Writes all lanes from `p` on.
    ///
    /// # Safety
    /// `p` is valid for writes of `N` numbers.
    unsafe fn store(self, p: *mut Self::Elem);

    /// Writes the first `count` lanes from `p` on.
    ///
    /// # Safety
    /// `count <= N`, and `p` is valid for writes of `count` numbers.
    unsafe fn store_first(self, p: *mut Self::Elem, count: usize);

    /// `self * factor + addend`, rounded once where the machine can.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// The greater of two in each lane; `other` where either is not a number.
    fn max(self, other: Self) -> Self;

    /// `2^k` in each lane, for whole numbers `k` whose power is a normal number.
    fn power_of_two(self) -> Self;

    /// The sum of all lanes: halves are added until one number is left.
    #[inline(always)]
    fn sum(self) -> Self::Elem {
        const { assert!(Self::N <= WIDEST) }
        let mut lanes = [<Self::Elem as num_traits::Zero>::zero(); WIDEST];
        // SAFETY: there is room for `N` numbers.
        unsafe { self.store(lanes.as_mut_ptr()) }
        let mut half = Self::N / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    /// The first `N` numbers of `xs`, or all of them and zeros after them.
    #[inline(always)]
    fn from_slice(xs: &[Self::Elem]) -> Self {
        if xs.len() >= Self::N {
            // SAFETY: `xs` holds at least `N` numbers.
            unsafe { Self::load(xs.as_ptr()) }
        } else {
            // SAFETY: `xs` holds fewer than `N` numbers, and all of them are read.
            unsafe { Self::load_first(xs.as_ptr(), xs.len()) }
        }
    }

    /// Writes as many lanes as `out` has room for.
    #[inline(always)]
    fn write(self, out: &mut [Self::Elem]) {
        if out.len() >= Self::N {
            // SAFETY: `out` holds at least `N` numbers.
            unsafe { self.store(out.as_mut_ptr()) }
        } else {
            // SAFETY: `out` holds fewer than `N` numbers, and only those are written.
            unsafe { self.store_first(out.as_mut_ptr(), out.len()) }
        }
    }
}

//! Lanes in plain Rust, for machines without a set of their own and as the reference of the others.

use super::Lanes;
use cellseg_core::Real;
use std::{
    array::from_fn,
    ops::{Add, Div, Mul, Sub},
};

/// Four numbers: what every 64-bit machine's baseline vectors hold in single precision.
const N: usize = 4;

/// Four numbers in an array; the compiler makes vectors of it where the machine has any.
#[derive(Clone, Copy)]
pub(super) struct Portable<T>([T; N]);

macro_rules! operators {
    ($($trait:ident $method:ident $op:tt;)*) => { $(
        impl<T: Real> $trait for Portable<T> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Portable(from_fn(|i| self.0[i] $op other.0[i]))
            }
        }
    )* };
}
operators! { Add add +; Sub sub -; Mul mul *; Div div /; }

impl<T: Real> Lanes for Portable<T> {
    type Elem = T;
    const N: usize = N;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(x: T) -> Self {
        Portable([x; N])
    }

    #[inline(always)]
    unsafe fn load(p: *const T) -> Self {
        // SAFETY: the caller's promise.
        Portable(unsafe { p.cast::<[T; N]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_first(p: *const T, count: usize) -> Self {
        // SAFETY: the caller's promise; lanes from `count` on are not read.
        Portable(from_fn(|i| if i < count { unsafe { *p.add(i) } } else { T::zero() }))
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut T) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[T; N]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut T, count: usize) {
        for (i, x) in self.0.into_iter().enumerate().take(count) {
            // SAFETY: the caller's promise; lanes from `count` on are not written.
            unsafe { *p.add(i) = x }
        }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // Not `Float::mul_add`: without the instruction it is a call of the C library per number.
        self * factor + addend
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Portable(from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        // Exact in double precision, whose exponents start at -1023.
        Portable(from_fn(|i| T::of(f64::from_bits(((self.0[i].wide() as i64 + 1023) as u64) << 52))))
    }
}

//! Lanes of 128 bits: NEON, which every 64-bit ARM machine has.

use super::Lanes;
use cellseg_core::{DType, Real};
use std::{
    arch::aarch64::*,
    marker::PhantomData,
    ops::{Add, Div, Mul, Sub},
};

/// Four `f32` or two `f64`, by `T`.
///
/// `Real` is `f32` or `f64` and nothing else, and which one is known when the code is compiled: the branches on it
/// vanish.
#[derive(Clone, Copy)]
pub(super) struct V128<T>(float32x4_t, PhantomData<T>);

impl<T> V128<T> {
    #[inline(always)]
    fn ps(v: float32x4_t) -> Self {
        V128(v, PhantomData)
    }

    #[inline(always)]
    fn pd(v: float64x2_t) -> Self {
        // SAFETY: NEON is part of the target.
        V128(unsafe { vreinterpretq_f32_f64(v) }, PhantomData)
    }

    #[inline(always)]
    fn wide(self) -> float64x2_t {
        // SAFETY: as in `pd`.
        unsafe { vreinterpretq_f64_f32(self.0) }
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $ps:ident $pd:ident;)*) => { $(
        impl<T: Real> $trait for V128<T> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: as in `pd`.
                unsafe {
                    match T::DTYPE {
                        DType::F32 => Self::ps($ps(self.0, other.0)),
                        _ => Self::pd($pd(self.wide(), other.wide())),
                    }
                }
            }
        }
    )* };
}
operators! {
    Add add vaddq_f32 vaddq_f64;
    Sub sub vsubq_f32 vsubq_f64;
    Mul mul vmulq_f32 vmulq_f64;
    Div div vdivq_f32 vdivq_f64;
}

impl<T: Real> Lanes for V128<T> {
    type Elem = T;
    const N: usize = 16 / size_of::<T>();
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(x: T) -> Self {
        let p = &raw const x;
        // SAFETY: `x` is of the type that is read.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(vdupq_n_f32(*p.cast())),
                _ => Self::pd(vdupq_n_f64(*p.cast())),
            }
        }
    }

    #[inline(always)]
    unsafe fn load(p: *const T) -> Self {
        // SAFETY: the caller's promise: 16 bytes can be read.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(vld1q_f32(p.cast())),
                _ => Self::pd(vld1q_f64(p.cast())),
            }
        }
    }

    #[inline(always)]
    unsafe fn load_first(p: *const T, count: usize) -> Self {
        let mut lanes = [T::zero(); 4];
        // SAFETY: the caller's promise; four numbers have room for `count <= N`, and `N` of them are read again.
        unsafe {
            p.copy_to_nonoverlapping(lanes.as_mut_ptr(), count);
            Self::load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut T) {
        // SAFETY: the caller's promise: 16 bytes can be written.
        unsafe {
            match T::DTYPE {
                DType::F32 => vst1q_f32(p.cast(), self.0),
                _ => vst1q_f64(p.cast(), self.wide()),
            }
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut T, count: usize) {
        let mut lanes = [T::zero(); 4];
        // SAFETY: the caller's promise; four numbers have room for `N`, of which `count <= N` are copied.
        unsafe {
            self.store(lanes.as_mut_ptr());
            lanes.as_ptr().copy_to_nonoverlapping(p, count);
        }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as in `pd`.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(vfmaq_f32(addend.0, self.0, factor.0)),
                _ => Self::pd(vfmaq_f64(addend.wide(), self.wide(), factor.wide())),
            }
        }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // Not the maximum instruction, which returns what is not a number from either side.
        // SAFETY: as in `pd`.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(vbslq_f32(vcgtq_f32(self.0, other.0), self.0, other.0)),
                _ => Self::pd(vbslq_f64(vcgtq_f64(self.wide(), other.wide()), self.wide(), other.wide())),
            }
        }
    }
}

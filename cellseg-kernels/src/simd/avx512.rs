//! Lanes of 512 bits: AVX-512F.

use super::Lanes;
use cellseg_core::{DType, Real};
use std::{
    arch::x86_64::*,
    marker::PhantomData,
    ops::{Add, Div, Mul, Sub},
};

/// Sixteen `f32` or eight `f64`, by `T`.
///
/// `Real` is `f32` or `f64` and nothing else, and which one is known when the code is compiled: the branches on it
/// vanish. Values exist only where `Isa::run` has found AVX-512F.
#[derive(Clone, Copy)]
pub(super) struct V512<T>(__m512, PhantomData<T>);

impl<T> V512<T> {
    #[inline(always)]
    fn ps(v: __m512) -> Self {
        V512(v, PhantomData)
    }

    #[inline(always)]
    fn pd(v: __m512d) -> Self {
        // SAFETY: a value of this type is made only where AVX-512F is there (see the type).
        V512(unsafe { _mm512_castpd_ps(v) }, PhantomData)
    }

    #[inline(always)]
    fn wide(self) -> __m512d {
        // SAFETY: as in `pd`.
        unsafe { _mm512_castps_pd(self.0) }
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $ps:ident $pd:ident;)*) => { $(
        impl<T: Real> $trait for V512<T> {
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
    Add add _mm512_add_ps _mm512_add_pd;
    Sub sub _mm512_sub_ps _mm512_sub_pd;
    Mul mul _mm512_mul_ps _mm512_mul_pd;
    Div div _mm512_div_ps _mm512_div_pd;
}

impl<T: Real> Lanes for V512<T> {
    type Elem = T;
    const N: usize = 64 / size_of::<T>();
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(x: T) -> Self {
        let p = &raw const x;
        // SAFETY: `x` is of the type that is read; AVX-512F as in `pd`.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(_mm512_set1_ps(*p.cast())),
                _ => Self::pd(_mm512_set1_pd(*p.cast())),
            }
        }
    }

    #[inline(always)]
    unsafe fn load(p: *const T) -> Self {
        // SAFETY: the caller's promise: 64 bytes can be read.
        Self::ps(unsafe { _mm512_loadu_ps(p.cast()) })
    }

    #[inline(always)]
    unsafe fn load_first(p: *const T, count: usize) -> Self {
        // SAFETY: the caller's promise; masked lanes are not read.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(_mm512_maskz_loadu_ps(first(count) as __mmask16, p.cast())),
                _ => Self::pd(_mm512_maskz_loadu_pd(first(count) as __mmask8, p.cast())),
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut T) {
        // SAFETY: the caller's promise: 64 bytes can be written.
        unsafe { _mm512_storeu_ps(p.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut T, count: usize) {
        // SAFETY: the caller's promise; masked lanes are not written.
        unsafe {
            match T::DTYPE {
                DType::F32 => _mm512_mask_storeu_ps(p.cast(), first(count) as __mmask16, self.0),
                _ => _mm512_mask_storeu_pd(p.cast(), first(count) as __mmask8, self.wide()),
            }
        }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as in `pd`.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(_mm512_fmadd_ps(self.0, factor.0, addend.0)),
                _ => Self::pd(_mm512_fmadd_pd(self.wide(), factor.wide(), addend.wide())),
            }
        }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: as in `pd`. The instruction returns its second operand where either is not a number.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(_mm512_max_ps(self.0, other.0)),
                _ => Self::pd(_mm512_max_pd(self.wide(), other.wide())),
            }
        }
    }
}

/// A mask of the first `count <= 16` lanes.
#[inline(always)]
fn first(count: usize) -> u32 {
    (1u32 << count) - 1
}

//! Lanes of 256 bits: AVX2 with FMA.

use super::Lanes;
use cellseg_core::{DType, Real};
use std::{
    arch::x86_64::*,
    marker::PhantomData,
    ops::{Add, Div, Mul, Sub},
};

/// Eight `f32` or four `f64`, by `T`.
///
/// `Real` is `f32` or `f64` and nothing else, and which one is known when the code is compiled: the branches on it
/// vanish. Values exist only where `Isa::run` has found AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct V256<T>(__m256, PhantomData<T>);

impl<T> V256<T> {
    #[inline(always)]
    fn ps(v: __m256) -> Self {
        V256(v, PhantomData)
    }

    #[inline(always)]
    fn pd(v: __m256d) -> Self {
        // SAFETY: a value of this type is made only where AVX2 is there (see the type).
        V256(unsafe { _mm256_castpd_ps(v) }, PhantomData)
    }

    #[inline(always)]
    fn wide(self) -> __m256d {
        // SAFETY: as in `pd`.
        unsafe { _mm256_castps_pd(self.0) }
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $ps:ident $pd:ident;)*) => { $(
        impl<T: Real> $trait for V256<T> {
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
    Add add _mm256_add_ps _mm256_add_pd;
    Sub sub _mm256_sub_ps _mm256_sub_pd;
    Mul mul _mm256_mul_ps _mm256_mul_pd;
    Div div _mm256_div_ps _mm256_div_pd;
}

impl<T: Real> Lanes for V256<T> {
    type Elem = T;
    const N: usize = 32 / size_of::<T>();
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(x: T) -> Self {
        let p = &raw const x;
        // SAFETY: `x` is of the type that is read; AVX2 as in `pd`.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(_mm256_set1_ps(*p.cast())),
                _ => Self::pd(_mm256_set1_pd(*p.cast())),
            }
        }
    }

    #[inline(always)]
    unsafe fn load(p: *const T) -> Self {
        // SAFETY: the caller's promise: 32 bytes can be read.
        Self::ps(unsafe { _mm256_loadu_ps(p.cast()) })
    }

    #[inline(always)]
    unsafe fn load_first(p: *const T, count: usize) -> Self {
        // SAFETY: the caller's promise; masked lanes are not read.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(_mm256_maskload_ps(p.cast(), first::<T>(count))),
                _ => Self::pd(_mm256_maskload_pd(p.cast(), first::<T>(count))),
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut T) {
        // SAFETY: the caller's promise: 32 bytes can be written.
        unsafe { _mm256_storeu_ps(p.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut T, count: usize) {
        // SAFETY: the caller's promise; masked lanes are not written.
        unsafe {
            match T::DTYPE {
                DType::F32 => _mm256_maskstore_ps(p.cast(), first::<T>(count), self.0),
                _ => _mm256_maskstore_pd(p.cast(), first::<T>(count), self.wide()),
            }
        }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as in `pd`, FMA included.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(_mm256_fmadd_ps(self.0, factor.0, addend.0)),
                _ => Self::pd(_mm256_fmadd_pd(self.wide(), factor.wide(), addend.wide())),
            }
        }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: as in `pd`. The instruction returns its second operand where either is not a number.
        unsafe {
            match T::DTYPE {
                DType::F32 => Self::ps(_mm256_max_ps(self.0, other.0)),
                _ => Self::pd(_mm256_max_pd(self.wide(), other.wide())),
            }
        }
    }
}

/// All bits set in the first `count` lanes of type `T`.
#[inline(always)]
fn first<T>(count: usize) -> __m256i {
    // SAFETY: called with values at hand, so AVX2 is there.
    unsafe {
        let words = (count * size_of::<T>() / 4) as i32;
        _mm256_cmpgt_epi32(_mm256_set1_epi32(words), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }
}

//! Lanes of 512 bits: AVX-512F.

use super::{avx2, vector::vector};
use std::arch::x86_64::*;

vector! {
    /// Sixteen `f32` or eight `f64`, by `T`.
    V512: __m512, __m512d,
    registers: 32,
    to_single: _mm512_castpd_ps, to_double: _mm512_castps_pd,
    add: _mm512_add_ps, _mm512_add_pd,
    sub: _mm512_sub_ps, _mm512_sub_pd,
    mul: _mm512_mul_ps, _mm512_mul_pd,
    div: _mm512_div_ps, _mm512_div_pd,
    // The instruction returns its second operand where either is not a number.
    max: _mm512_max_ps, _mm512_max_pd,
    sum: sum_single, sum_double,
    mul_add: _mm512_fmadd_ps, _mm512_fmadd_pd,
    exponent: exponent_single, exponent_double,
    splat: _mm512_set1_ps, _mm512_set1_pd,
    load: _mm512_loadu_ps, store: _mm512_storeu_ps,
    first: load_first, store_first,
}

/// The sum of all lanes: halves are added until one number is left.
///
/// # Safety
/// AVX-512F and AVX2 are there.
#[inline(always)]
unsafe fn sum_single(v: __m512) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
        avx2::sum_single(_mm256_add_ps(_mm512_castps512_ps256(v), high))
    }
}

/// The sum of all lanes: halves are added until one number is left.
///
/// # Safety
/// AVX-512F and AVX2 are there.
#[inline(always)]
unsafe fn sum_double(v: __m512d) -> f64 {
    // SAFETY: the caller's promise.
    unsafe {
        let high = _mm512_extractf64x4_pd::<1>(v);
        avx2::sum_double(_mm256_add_pd(_mm512_castpd512_pd256(v), high))
    }
}

/// A mask of the 32-bit words of the first `count` numbers of type `T`.
#[inline(always)]
fn words<T>(count: usize) -> __mmask16 {
    ((1u32 << (count * size_of::<T>() / 4)) - 1) as __mmask16
}

/// # Safety
/// As for `Lanes::load_first`, where AVX-512F is there.
#[inline(always)]
unsafe fn load_first<T>(p: *const T, count: usize) -> __m512 {
    // SAFETY: the caller's promise; masked words are not read.
    unsafe { _mm512_maskz_loadu_ps(words::<T>(count), p.cast()) }
}

/// # Safety
/// As for `Lanes::store_first`, where AVX-512F is there.
#[inline(always)]
unsafe fn store_first<T>(p: *mut T, count: usize, v: __m512) {
    // SAFETY: the caller's promise; masked words are not written.
    unsafe { _mm512_mask_storeu_ps(p.cast(), words::<T>(count), v) }
}

/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn exponent_single(v: __m512) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(v))) }
}

/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn exponent_double(v: __m512d) -> __m512d {
    // SAFETY: the caller's promise.
    unsafe { _mm512_castsi512_pd(_mm512_slli_epi64::<52>(_mm512_castpd_si512(v))) }
}

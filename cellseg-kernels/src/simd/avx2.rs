//! Lanes of 256 bits: AVX2 with FMA.

use super::vector::vector;
use std::arch::x86_64::*;

vector! {
    /// Eight `f32` or four `f64`, by `T`.
    V256: __m256, __m256d,
    registers: 16,
    to_single: _mm256_castpd_ps, to_double: _mm256_castps_pd,
    add: _mm256_add_ps, _mm256_add_pd,
    sub: _mm256_sub_ps, _mm256_sub_pd,
    mul: _mm256_mul_ps, _mm256_mul_pd,
    div: _mm256_div_ps, _mm256_div_pd,
    // The instruction returns its second operand where either is not a number.
    max: _mm256_max_ps, _mm256_max_pd,
    sum: sum_single, sum_double,
    mul_add: _mm256_fmadd_ps, _mm256_fmadd_pd,
    exponent: exponent_single, exponent_double,
    splat: _mm256_set1_ps, _mm256_set1_pd,
    load: _mm256_loadu_ps, store: _mm256_storeu_ps,
    first: load_first, store_first,
}

/// The sum of all lanes: halves are added until one number is left.
///
/// # Safety
/// AVX2 is there.
#[inline(always)]
pub(super) unsafe fn sum_single(v: __m256) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// The sum of all lanes: halves are added until one number is left.
///
/// # Safety
/// AVX2 is there.
#[inline(always)]
pub(super) unsafe fn sum_double(v: __m256d) -> f64 {
    // SAFETY: the caller's promise.
    unsafe {
        let two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
        _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
    }
}

/// All bits set in the 32-bit words of the first `count` numbers of type `T`.
///
/// # Safety
/// AVX2 is there.
#[inline(always)]
unsafe fn words<T>(count: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let end = (count * size_of::<T>() / 4) as i32;
        _mm256_cmpgt_epi32(_mm256_set1_epi32(end), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }
}

/// # Safety
/// As for `Lanes::load_first`, where AVX2 is there.
#[inline(always)]
unsafe fn load_first<T>(p: *const T, count: usize) -> __m256 {
    // SAFETY: the caller's promise; masked words are not read.
    unsafe { _mm256_maskload_ps(p.cast(), words::<T>(count)) }
}

/// # Safety
/// As for `Lanes::store_first`, where AVX2 is there.
#[inline(always)]
unsafe fn store_first<T>(p: *mut T, count: usize, v: __m256) {
    // SAFETY: the caller's promise; masked words are not written.
    unsafe { _mm256_maskstore_ps(p.cast(), words::<T>(count), v) }
}

/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn exponent_single(v: __m256) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(v))) }
}

/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn exponent_double(v: __m256d) -> __m256d {
    // SAFETY: the caller's promise.
    unsafe { _mm256_castsi256_pd(_mm256_slli_epi64::<52>(_mm256_castpd_si256(v))) }
}

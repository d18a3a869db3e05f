//! Lanes of 128 bits: NEON, which every 64-bit ARM machine has.

use super::vector::vector;
use std::arch::aarch64::*;

vector! {
    /// Four `f32` or two `f64`, by `T`.
    V128: float32x4_t, float64x2_t,
    registers: 32,
    to_single: vreinterpretq_f32_f64, to_double: vreinterpretq_f64_f32,
    add: vaddq_f32, vaddq_f64,
    sub: vsubq_f32, vsubq_f64,
    mul: vmulq_f32, vmulq_f64,
    div: vdivq_f32, vdivq_f64,
    max: max_single, max_double,
    sum: sum_single, sum_double,
    mul_add: mul_add_single, mul_add_double,
    exponent: exponent_single, exponent_double,
    splat: vdupq_n_f32, vdupq_n_f64,
    load: vld1q_f32, store: vst1q_f32,
    first: load_first, store_first,
}

// Not the maximum instruction, which returns what is not a number from either side.

#[inline(always)]
fn max_single(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: NEON is part of the target.
    unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
}

#[inline(always)]
fn max_double(a: float64x2_t, b: float64x2_t) -> float64x2_t {
    // SAFETY: NEON is part of the target.
    unsafe { vbslq_f64(vcgtq_f64(a, b), a, b) }
}

#[inline(always)]
fn sum_single(v: float32x4_t) -> f32 {
    // SAFETY: NEON is part of the target.
    unsafe { vaddv_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v))) }
}

#[inline(always)]
fn sum_double(v: float64x2_t) -> f64 {
    // SAFETY: NEON is part of the target.
    unsafe { vaddvq_f64(v) }
}

#[inline(always)]
fn mul_add_single(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
    // SAFETY: NEON is part of the target.
    unsafe { vfmaq_f32(c, a, b) }
}

#[inline(always)]
fn mul_add_double(a: float64x2_t, b: float64x2_t, c: float64x2_t) -> float64x2_t {
    // SAFETY: NEON is part of the target.
    unsafe { vfmaq_f64(c, a, b) }
}

/// # Safety
/// As for `Lanes::load_first`.
#[inline(always)]
unsafe fn load_first<T>(p: *const T, count: usize) -> float32x4_t {
    let mut words = [0f32; 4];
    // SAFETY: the caller's promise; the numbers read are as many bytes as a register has, or fewer.
    unsafe {
        p.cast::<u8>().copy_to_nonoverlapping(words.as_mut_ptr().cast(), count * size_of::<T>());
        vld1q_f32(words.as_ptr())
    }
}

/// # Safety
/// As for `Lanes::store_first`.
#[inline(always)]
unsafe fn store_first<T>(p: *mut T, count: usize, v: float32x4_t) {
    let mut words = [0f32; 4];
    // SAFETY: the caller's promise; the numbers written are as many bytes as a register has, or fewer.
    unsafe {
        vst1q_f32(words.as_mut_ptr(), v);
        p.cast::<u8>().copy_from_nonoverlapping(words.as_ptr().cast(), count * size_of::<T>());
    }
}

/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn exponent_single(v: float32x4_t) -> float32x4_t {
    // SAFETY: the caller's promise.
    unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<23>(vreinterpretq_u32_f32(v))) }
}

/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn exponent_double(v: float64x2_t) -> float64x2_t {
    // SAFETY: the caller's promise.
    unsafe { vreinterpretq_f64_u64(vshlq_n_u64::<52>(vreinterpretq_u64_f64(v))) }
}

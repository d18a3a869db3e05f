//! Exponentials and the error function for vector loops.
//!
//! The `f32` forms have neither a branch nor a call, so a loop over them is compiled to vector instructions, and only
//! multiply, add and integer steps, so it gives the same bits on every machine. `f64`, in which gradients are checked,
//! goes to the standard library.

use crate::simd::{Lanes, WIDEST};
use cellseg_core::{DType, Element, Real};
use num_traits::Float;

/// Rounds the sum `x + MAGIC` of a number below 2^22 to a whole number, which then stands in the low bits.
const MAGIC: f32 = 12_582_912.0;
/// The natural logarithm of two as a sum of a short number, whose multiples are exact, and the rest.
const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// `(exp(r) - 1 - r) / r^2` for `|r| <= ln(2) / 2`, highest power first (Moshier, Cephes library, `expf`).
const SERIES: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `erf(x) / x - 1` in `x^2` for `|x| < SPLIT`, and `ln(erfc(x))` in `x` for `SPLIT <= x <= END`, highest power first; from
/// `END` on the function rounds to one. Fitted by `tests/fixtures/fit_erf.py`.
const NEAR: [f32; 7] =
    [8.479_044e-5, -8.167_84e-4, 5.203_192e-3, -2.686_024_6e-2, 0.112_837_106, -0.376_126_35, 0.128_379_17];
const FAR: [f32; 7] = [
    2.006_600_4e-4,
    -3.088_186_3e-3,
    2.240_102_7e-2,
    -0.104_282_625,
    -0.636_793_3,
    -1.127_900_4,
    -1.427_026_1e-4,
];
const SPLIT: f32 = 0.9;
const END: f32 = 4.0;

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    let mut p = coefficients[0];
    for c in &coefficients[1..] {
        p = p * x + c;
    }
    p
}

/// The whole number `k` and `exp(r) - 1` with `x = k ln(2) + r`.
#[inline(always)]
fn reduce(x: f32) -> (i32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let k = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let n = shifted - MAGIC;
    let r = (x - n * LN2[0]) - n * LN2[1];
    let p = polynomial(&SERIES, r);
    (k, p * (r * r) + r)
}

/// `2^k` for a normal result.
#[inline(always)]
fn power_of_two(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) as u32) << 23)
}

/// `x` between `low` and `high`; not a number stays so, unlike with `f32::max`.
#[inline(always)]
fn limit(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
fn exp_f32(x: f32) -> f32 {
    let (k, p) = reduce(limit(x, -104.0, 89.0));
    // In two steps, so that subnormal and infinite results come out of the multiplication.
    let half = k >> 1;
    (p + 1.0) * power_of_two(half) * power_of_two(k.wrapping_sub(half))
}

#[inline(always)]
fn exp_m1_f32(x: f32) -> f32 {
    let (k, p) = reduce(limit(x, -80.0, 89.0));
    // With half the power, which does not overflow where the result does not.
    let half = power_of_two(k.wrapping_sub(1));
    2.0 * (half * p + (half - 0.5))
}

#[inline(always)]
fn erf_f32(x: f32) -> f32 {
    let near = polynomial(&NEAR, x * x) * x + x;
    let far = 1.0 - exp_f32(polynomial(&FAR, limit(x.abs(), SPLIT, END)));
    if x.abs() < SPLIT { near } else { far.copysign(x) }
}

#[inline(always)]
fn ln_1p_f32(x: f32) -> f32 {
    // ln(1 + x) = 2 artanh(s), by its series: s is at most a third.
    const ARTANH: [f32; 9] =
        [1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 0.0];
    let s = x / (2.0 + x);
    let p = polynomial(&ARTANH, s * s);
    2.0 * (p * s + s)
}

/// `exp(x)`, to two units in the last place.
#[inline(always)]
pub(crate) fn exp<T: Real>(x: T) -> T {
    match T::as_f32(std::slice::from_ref(&x)) {
        Some(x) => T::of(f64::from(exp_f32(x[0]))),
        None => x.exp(),
    }
}

/// The least exponent of [`exp_lanes`]: beside a sum of ordinary numbers its power is nothing, while smaller ones would be
/// subnormal numbers, which take a core several times as long.
const LEAST: f64 = -87.0;

/// `exp(x)` in each lane for `x` up to 88, to two units in the last place; for `x` below -87 that of -87.
#[inline(always)]
pub(crate) fn exp_lanes<L: Lanes>(x: L) -> L {
    let splat = |x: f32| L::splat(L::Elem::of(f64::from(x)));
    // In this order what is not a number stays so.
    let x = L::splat(L::Elem::of(LEAST)).max(x);
    if L::Elem::DTYPE != DType::F32 {
        let mut lanes = [L::Elem::of(0.0); WIDEST];
        x.write(&mut lanes[..L::N]);
        lanes.iter_mut().for_each(|x| *x = x.exp());
        return L::from_slice(&lanes[..L::N]);
    }
    let k = x.mul_add(splat(std::f32::consts::LOG2_E), splat(MAGIC)) - splat(MAGIC);
    let r = k.mul_add(splat(-LN2[1]), k.mul_add(splat(-LN2[0]), x));
    let mut p = splat(SERIES[0]);
    for c in &SERIES[1..] {
        p = p.mul_add(r, splat(*c));
    }
    (p * r).mul_add(r, r + splat(1.0)) * k.power_of_two()
}

/// `exp(x) - 1` without cancellation near zero.
#[inline(always)]
pub(crate) fn exp_m1<T: Real>(x: T) -> T {
    match T::as_f32(std::slice::from_ref(&x)) {
        Some(x) => T::of(f64::from(exp_m1_f32(x[0]))),
        None => x.exp_m1(),
    }
}

/// The error function.
#[inline(always)]
pub(crate) fn erf<T: Real>(x: T) -> T {
    match T::as_f32(std::slice::from_ref(&x)) {
        Some(x) => T::of(f64::from(erf_f32(x[0]))),
        None => T::of(libm::erf(x.wide())),
    }
}

/// `ln(1 + x)` for `x` in `[0, 1]`, without cancellation near zero.
#[inline(always)]
pub(crate) fn ln_1p<T: Real>(x: T) -> T {
    match T::as_f32(std::slice::from_ref(&x)) {
        Some(x) => T::of(f64::from(ln_1p_f32(x[0]))),
        None => x.ln_1p(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of `got` in units of the last place of `expected`.
    fn ulps(got: f32, expected: f64) -> f64 {
        let unit = f64::from((expected as f32).abs()).max(f64::from(f32::MIN_POSITIVE)) * 2f64.powi(-23);
        (f64::from(got) - expected).abs() / unit
    }

    #[test]
    fn exponentials_agree_with_double_precision_over_their_whole_range() {
        for i in -1_040_000..=887_000 {
            let x = i as f32 * 1e-4;
            assert!(ulps(exp(x), f64::from(x).exp()) < 2.0, "exp({x})");
            assert!(ulps(exp_m1(x), f64::from(x).exp_m1()) < 3.0, "exp_m1({x})");
        }
    }

    #[test]
    fn the_error_function_and_the_logarithm_agree_with_double_precision() {
        for i in -60_000..=60_000 {
            let x = i as f32 * 1e-4;
            assert!(ulps(erf(x), libm::erf(f64::from(x))) < 2.0, "erf({x})");
        }
        for i in 0..=100_000 {
            let x = i as f32 * 1e-5;
            assert!(ulps(ln_1p(x), f64::from(x).ln_1p()) < 3.0, "ln_1p({x})");
        }
        assert_eq!([erf(f32::INFINITY), erf(f32::NEG_INFINITY), erf(1e-30)], [1.0, -1.0, 1.128_379_2e-30]);
    }

    #[test]
    fn exponentials_keep_infinities_and_what_is_not_a_number() {
        assert_eq!(
            [exp(f32::INFINITY), exp(100.0), exp(f32::NEG_INFINITY), exp(-200.0), exp(0.0)],
            [f32::INFINITY, f32::INFINITY, 0.0, 0.0, 1.0]
        );
        assert_eq!(
            [exp_m1(f32::INFINITY), exp_m1(f32::NEG_INFINITY), exp_m1(0.0)],
            [f32::INFINITY, -1.0, 0.0]
        );
        assert!(exp(f32::NAN).is_nan() && exp_m1(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
    }
}

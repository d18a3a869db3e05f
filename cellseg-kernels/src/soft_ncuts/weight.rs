//! Weights from their exponents.

use crate::pointwise::exponential::exp;
use cellseg_core::Real;

/// Smaller exponents count as this one: `exp(-80)` is nothing beside the weights that a sum consists of, while products
/// with weights that are smaller still would be subnormal numbers, which take a core several times as long.
const LEAST_EXPONENT: f64 = -80.0;

/// `exp(exponent)` for an exponent from zero down. What is not a number stays so.
#[inline(always)]
pub(super) fn weight<T: Real>(exponent: T) -> T {
    let least = T::of(LEAST_EXPONENT);
    exp(if exponent < least { least } else { exponent })
}

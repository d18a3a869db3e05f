//! Integers that order as finite f32 values do.

/// An integer that is smaller exactly when the value is smaller; -0 and 0 have the same.
#[inline(always)]
pub(crate) fn key(value: f32) -> u32 {
    // Adding 0 turns -0 into 0.
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The value that has this key.
pub(crate) fn value_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

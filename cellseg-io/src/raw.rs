//! Plain values in a file, of either byte order.

use std::io::{self, Read};

use crate::Voxel;

/// Fills `values` from `reader`, whose bytes come in big-endian order or not.
pub(crate) fn read_values<T: Voxel>(
    reader: &mut impl Read,
    values: &mut [T],
    big_endian: bool,
) -> io::Result<()> {
    reader.read_exact(bytemuck::cast_slice_mut(values))?;
    if big_endian != cfg!(target_endian = "big") {
        for value in values {
            *value = value.swap_bytes();
        }
    }
    Ok(())
}

/// Room for `count` values, or the number of bytes that cannot be had: an error instead of an abort.
pub(crate) fn reserve<T>(count: usize) -> Result<Vec<T>, u64> {
    let mut values = Vec::new();
    match values.try_reserve_exact(count) {
        Ok(()) => Ok(values),
        Err(_) => Err((count as u64).saturating_mul(size_of::<T>() as u64)),
    }
}

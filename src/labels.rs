//! Labels from files of any type.

use crate::Result;
use cellseg_io::{self as io, AnyVolume, Volume, read_any, read_labels};
use cellseg_post::relabel_sequential_u64;
use std::path::Path;

/// Reads labels, ids of 64 bits too: where they do not fit into 32 bits, they are renumbered 1, 2, ... in their order.
///
/// With the labels come the old ids, if they were renumbered: that of the new id `k` at place `k`.
///
/// # Errors
/// A file that cannot be read or holds no labels; more than 2^32 - 1 different ids.
pub fn read_labels_of_any_size(path: impl AsRef<Path>) -> Result<(Volume<u32>, Option<Vec<u64>>)> {
    let path = path.as_ref();
    let too_large = match read_labels(path) {
        Ok(labels) => return Ok((labels, None)),
        Err(e @ io::Error::Conversion { .. }) => e,
        Err(other) => return Err(other.into()),
    };
    let Volume { data, spacing, name } = match read_any(path)? {
        AnyVolume::U64(volume) => volume,
        AnyVolume::I64(volume) if volume.data.iter().all(|id| *id >= 0) => {
            volume.map(|id| id.cast_unsigned())
        }
        _ => return Err(too_large.into()),
    };
    let renumbered = relabel_sequential_u64(data.view())?;
    Ok((Volume { data: renumbered.ids, spacing, name }, Some(renumbered.old_ids)))
}

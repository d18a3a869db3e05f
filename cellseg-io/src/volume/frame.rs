//! Volumes without their voxels, and the slabs that these come in.

use std::ops::Range;

use super::Spacing;

/// A volume without its voxels: what is known of one that is made piece by piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// The lengths `[z, y, x]` in voxels.
    pub shape: [usize; 3],
    /// The size of a voxel in micrometres, where it is known.
    pub spacing: Option<Spacing>,
    /// A name for people.
    pub name: &'a str,
}

/// The bytes of a slab that is written at a time, if its planes are not larger, and the planes it has at most.
const SLAB_BYTES: usize = 1 << 26;
const MOST_PLANES: usize = 32;

/// The planes of a volume, some at a time: enough to keep all threads busy, few enough to be held at once.
pub(crate) fn slabs_of([z, y, x]: [usize; 3], value_bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let plane_bytes = y.saturating_mul(x).saturating_mul(value_bytes).max(1);
    let planes = (SLAB_BYTES / plane_bytes).clamp(1, MOST_PLANES);
    (0..z).step_by(planes).map(move |first| first..(first + planes).min(z))
}

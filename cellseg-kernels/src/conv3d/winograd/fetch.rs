//! Hints of which voxels are read or written soon.
//!
//! Panels of weights come from the third-level cache, and the rows of a tile lie pages apart in memory: the machine does not
//! foresee either by itself. Asking early makes 128 channels at 32^3 a fifth faster, and 16 or 64 at 64^3 a tenth.

use crate::simd::prefetch_later;
use std::ops::Range;

/// Has some voxels of a box fetched that starts at `p`, with `steps` numbers between neighbours on each axis.
#[inline(always)]
pub(super) fn fetch_box<T>(p: *const T, steps: [usize; 3], [depth, height, width]: [Range<usize>; 3]) {
    for z in depth {
        for y in height.clone() {
            for x in width.clone() {
                prefetch_later(p.wrapping_add(z * steps[0] + y * steps[1] + x * steps[2]));
            }
        }
    }
}

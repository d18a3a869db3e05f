//! Outputs cut into tiles.

use std::array::from_fn;

/// Numbers of a cache line in single precision.
const LINE: usize = 16;

/// The distance between neighbouring points that hold so many numbers each: an odd number of cache lines. At a distance
/// of a power of two all points would contend for the same few places of the caches.
pub(super) const fn apart(numbers: usize) -> usize {
    (numbers.div_ceil(LINE) | 1) * LINE
}

/// Volumes of outputs, cut into tiles of `m` voxels per axis, 2 or 4. Tiles at the end of an axis may reach beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiling {
    pub(super) outputs: [usize; 3],
    pub(super) m: [usize; 3],
    /// Tiles per axis.
    along: [usize; 3],
    batch: usize,
}

impl Tiling {
    pub(super) fn new(batch: usize, outputs: [usize; 3], m: [usize; 3]) -> Self {
        Tiling { outputs, m, along: from_fn(|i| outputs[i].div_ceil(m[i])), batch }
    }

    /// Tiles of all volumes.
    pub(super) fn count(&self) -> usize {
        self.batch * self.along.iter().product::<usize>()
    }

    /// Points per axis.
    pub(super) fn extents(&self) -> [usize; 3] {
        self.m.map(|m| m + 2)
    }

    /// Points of a tile.
    pub(super) fn points(&self) -> usize {
        self.extents().iter().product()
    }

    /// The volume of a tile and its first voxel.
    #[inline(always)]
    pub(super) fn get(&self, tile: usize) -> (usize, [usize; 3]) {
        let [d, h, w] = self.along;
        let (row, x) = (tile / w, tile % w);
        let (plane, y) = (row / h, row % h);
        let at = [plane % d, y, x];
        (plane / d, from_fn(|i| at[i] * self.m[i]))
    }
}

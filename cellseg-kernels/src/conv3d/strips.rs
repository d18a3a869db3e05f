//! The strips of voxels that a weight gradient is summed over.

use super::weight_gradient::{BLOCK, Problem};
use std::ops::Range;

/// Numbers of `g` in a strip: 32 KiB in single precision, which the first-level cache holds while the tiles run over it
/// one after another.
const STRIP: usize = 1 << 13;

/// The most voxels in a strip.
const STRIP_VOXELS: usize = 256;

/// The coarse voxels, cut into strips of some rows by a part of their width.
#[derive(Clone, Copy)]
pub(super) struct Strips {
    planes: usize,
    height: usize,
    width: usize,
    /// Strips along the height and the width of a plane.
    down: usize,
    across: usize,
}

impl Strips {
    pub(super) fn new(problem: &Problem) -> Self {
        let [d, h, w] = problem.axes.map(|a| a.coarse);
        let voxels = (STRIP / problem.coarse_channels.clamp(1, BLOCK)).min(STRIP_VOXELS);
        let across = w.div_ceil(voxels).max(1);
        let down = h.div_ceil((voxels * across / w.max(1)).max(1));
        Strips { planes: problem.batch * d, height: h, width: w, down, across }
    }

    pub(super) fn count(&self) -> usize {
        self.planes * self.down * self.across
    }

    /// The most rows and columns of a strip.
    pub(super) fn most(&self) -> (usize, usize) {
        (self.height.div_ceil(self.down), self.width.div_ceil(self.across))
    }

    /// The plane, rows and columns of a strip.
    pub(super) fn get(&self, i: usize) -> (usize, Range<usize>, Range<usize>) {
        let (plane, i) = (i / (self.down * self.across), i % (self.down * self.across));
        (
            plane,
            share(self.height, self.down, i / self.across),
            share(self.width, self.across, i % self.across),
        )
    }
}

/// The `i`-th of `parts` nearly equal parts of `0..n`.
pub(super) fn share(n: usize, parts: usize, i: usize) -> Range<usize> {
    n * i / parts..n * (i + 1) / parts
}

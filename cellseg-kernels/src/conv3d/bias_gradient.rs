//! The gradient of a bias: sums over all voxels.

use crate::simd::{Isa, Lanes, Routine};
use cellseg_core::Real;
use rayon::prelude::*;

/// Numbers whose sums are taken by one task: a fixed count, so that the result does not depend on the number of threads.
const PART: usize = 1 << 16;

/// `out[c] = sum over voxels of g[voxel, c]`.
pub(super) fn channel_sums<T: Real>(isa: Isa, g: &[T], out: &mut [T]) {
    let channels = out.len();
    out.fill(T::zero());
    if channels == 0 {
        return;
    }
    let part = (PART / channels).max(1) * channels;
    let parts: Vec<Vec<T>> = g.par_chunks(part).map(|g| isa.run(Part { g, channels })).collect();
    for sums in parts {
        add(out, &sums);
    }
}

#[inline(always)]
fn add<T: Real>(sums: &mut [T], xs: &[T]) {
    for (s, x) in sums.iter_mut().zip(xs) {
        *s += *x;
    }
}

/// The sums over some voxels.
struct Part<'a, T> {
    g: &'a [T],
    channels: usize,
}

impl<T: Real> Routine<T> for Part<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Vec<T> {
        // Few channels would leave lanes empty: several voxels are added side by side, and folded at the end.
        let width = self.channels * (4 * L::N).div_ceil(self.channels);
        let mut sums = vec![T::zero(); width];
        for voxels in self.g.chunks(width) {
            add(&mut sums, voxels);
        }
        let (first, rest) = sums.split_at_mut(self.channels);
        for voxel in rest.chunks_exact(first.len()) {
            add(first, voxel);
        }
        sums.truncate(self.channels);
        sums
    }
}

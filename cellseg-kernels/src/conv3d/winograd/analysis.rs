//! From volumes to points: the transform of what a convolution reads.

use super::{
    fetch::fetch_box,
    maps::{Inputs, OutputGradients, Transform},
    stage::{Place, Vectors, along, same},
    tiling::Tiling,
};
use crate::simd::{Lanes, Routine};
use cellseg_core::Real;
use std::{array::from_fn, marker::PhantomData, ops::Range};

/// Some channels of volumes `[n, d, h, w, c]`, and where tiles read them.
#[derive(Clone, Copy)]
pub(super) struct Volumes<'a, T> {
    pub(super) data: &'a [T],
    pub(super) extents: [usize; 3],
    pub(super) channels: usize,
    /// The channels that are read: first and count.
    pub(super) read: (usize, usize),
    /// The first voxel of a tile, from the first voxel of its outputs.
    pub(super) origin: [isize; 3],
}

/// What of the volumes a tile reads.
pub(super) trait Source: Transform {
    /// Voxels per axis for `m` outputs.
    fn voxels(m: usize) -> usize;
}

impl Source for Inputs {
    #[inline(always)]
    fn voxels(m: usize) -> usize {
        m + 2
    }
}

impl Source for OutputGradients {
    #[inline(always)]
    fn voxels(m: usize) -> usize {
        m
    }
}

/// Where slots lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    /// Numbers of a slot.
    pub(super) length: usize,
    /// Numbers between neighbouring tiles, and between neighbouring points.
    pub(super) tile: usize,
    pub(super) point: usize,
}

/// Transforms some tiles of volumes. Voxels outside the volume are zeros.
pub(super) struct Analysis<'a, T, X> {
    pub(super) tiling: &'a Tiling,
    pub(super) volumes: Volumes<'a, T>,
    pub(super) tiles: Range<usize>,
    /// A slot of numbers for each tile and point, with the channels first in it.
    pub(super) out: &'a mut [T],
    pub(super) slots: Slots,
    pub(super) transform: PhantomData<X>,
}

impl<T: Real, X: Source> Routine<T> for Analysis<'_, T, X> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) {
        let Volumes { extents, channels, read: (first, count), origin, .. } = self.volumes;
        let (m, points) = (self.tiling.m, self.tiling.extents());
        let reads = m.map(X::voxels);
        let Slots { length, tile: per_tile, point: per_point } = self.slots;
        let last = (self.tiles.len().max(1) - 1) * per_tile + (self.tiling.points() - 1) * per_point;
        assert!(self.out.len() >= last + length && length >= count.next_multiple_of(L::N));
        assert!(first + count <= channels);
        let steps = [extents[1] * extents[2] * channels, extents[2] * channels, channels];
        let mut scratch = Vectors::<L>::new();
        let mut patch = Vectors::<L>::new();
        for (i, tile) in self.tiles.clone().enumerate() {
            let (volume, at) = self.tiling.get(tile);
            let start: [isize; 3] = from_fn(|a| at[a] as isize + origin[a]);
            let inside = (0..3).all(|a| start[a] >= 0 && start[a] as usize + reads[a] <= extents[a]);
            let x = &self.volumes.data[volume * extents[0] * steps[0]..][..extents[0] * steps[0]];
            let out = self.out[i * per_tile..].as_mut_ptr();
            let following = self.tiling.get(tile + 1).1;
            let offset: isize = (0..3).map(|a| (following[a] as isize + origin[a]) * steps[a] as isize).sum();
            let following = x.as_ptr().wrapping_offset(offset).wrapping_add(first);
            for c in (0..count).step_by(L::N) {
                // The next tile's voxels, but for those that this tile reads, too, if they are neighbours.
                let ahead = [0..reads[0], 0..reads[1], reads[2] - m[2]..reads[2]];
                fetch_box(following.wrapping_add(c), steps, ahead);
                let from = if inside && c + L::N <= count {
                    let voxel: usize = (0..3).map(|a| start[a] as usize * steps[a]).sum();
                    Place { start: x[voxel + first + c..].as_ptr().cast_mut(), steps }
                } else {
                    fill::<L>(x, extents, channels, start, reads, first + c..first + count, &mut patch);
                    patch.place()
                };
                let between = scratch.place();
                let to = Place {
                    start: out.wrapping_add(c),
                    steps: [points[1] * points[2] * per_point, points[2] * per_point, per_point],
                };
                // SAFETY: the box at `from` lies inside the volume, as just looked up, or is the patch; its vectors are
                // full. `between` has room for all points of the largest tile. The slots of all points of this tile lie in
                // `out`, and each has room for whole vectors, as asserted.
                unsafe {
                    along::<L, X>(2, m[2], reads, from, between, same::<L>);
                    along::<L, X>(1, m[1], [reads[0], 0, points[2]], between, between, same::<L>);
                    along::<L, X>(0, m[0], [0, points[1], points[2]], between, to, same::<L>);
                }
            }
        }
    }
}

/// Copies a vector of channels of the box of voxels that starts at `start`, with zeros where there is no voxel or no
/// channel.
#[inline(always)]
fn fill<L: Lanes>(
    x: &[L::Elem],
    extents: [usize; 3],
    channels: usize,
    start: [isize; 3],
    reads: [usize; 3],
    read: Range<usize>,
    patch: &mut Vectors<L>,
) {
    let zero = L::splat(num_traits::Zero::zero());
    // The part of the box that lies inside the volume.
    let inside: [Range<isize>; 3] =
        from_fn(|a| (-start[a]).max(0)..(extents[a] as isize - start[a]).min(reads[a] as isize));
    let lanes = L::N.min(read.len());
    assert!(x.len() >= extents.iter().product::<usize>() * channels && read.end <= channels);
    for i in 0..reads[0] {
        for j in 0..reads[1] {
            let row = patch.row(i, j);
            let there = inside[0].contains(&(i as isize)) && inside[1].contains(&(j as isize));
            let line = ((start[0] + i as isize) * extents[1] as isize + start[1] + j as isize)
                * extents[2] as isize
                + start[2];
            for (k, to) in row.iter_mut().enumerate() {
                *to = if there && inside[2].contains(&(k as isize)) {
                    let from = (line + k as isize) as usize * channels + read.start;
                    // SAFETY: the voxel is inside the volume, and has the channels `read`.
                    unsafe {
                        let from = x.as_ptr().add(from);
                        if lanes == L::N { L::load(from) } else { L::load_first(from, lanes) }
                    }
                } else {
                    zero
                };
            }
        }
    }
}

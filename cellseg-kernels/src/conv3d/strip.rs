//! The register tile of the weight gradient, over a strip of voxels.

use super::tile::most_vectors;
use crate::simd::Lanes;
use std::array::from_fn;

/// Two packed operands over the same voxels.
pub(super) struct Strip<'a, T> {
    pub(super) rows: usize,
    /// Voxels of a row.
    pub(super) voxels: usize,
    /// Numbers that belong to one voxel: `voxel * x_voxel .. + height`, where neighbouring voxels may overlap.
    pub(super) x: &'a [T],
    pub(super) x_row: usize,
    pub(super) x_voxel: usize,
    /// Numbers that belong to one voxel: `voxel * g_voxel .. + width`.
    pub(super) g: &'a [T],
    pub(super) g_row: usize,
    pub(super) g_voxel: usize,
    /// Rows of the result.
    pub(super) height: usize,
    /// Columns of the result, whole vectors.
    pub(super) width: usize,
}

impl<T> Strip<'_, T> {
    /// The strip of the transposed result, of which `height` rows are wanted.
    pub(super) fn swapped(self, height: usize) -> Self {
        Strip {
            x: self.g,
            x_row: self.g_row,
            x_voxel: self.g_voxel,
            g: self.x,
            g_row: self.x_row,
            g_voxel: self.x_voxel,
            height,
            width: self.height,
            ..self
        }
    }
}

/// `sums[j][c] += sum over voxels of x[voxel][j] * g[voxel][c]`, with `sums` of `height` rows by `width` columns.
#[inline(always)]
pub(super) fn accumulate<L: Lanes>(strip: &Strip<'_, L::Elem>, sums: &mut [L::Elem]) {
    let &Strip { rows, voxels, x, x_row, x_voxel, g, g_row, g_voxel, width, height } = strip;
    if rows == 0 || voxels == 0 || height == 0 {
        return;
    }
    // Everything that `tile` relies on.
    assert!(width % L::N == 0 && sums.len() >= height * width);
    assert!(x.len() >= (rows - 1) * x_row + (voxels - 1) * x_voxel + height);
    assert!(g.len() >= (rows - 1) * g_row + (voxels - 1) * g_voxel + width);
    let vectors = width / L::N;
    let most = const { most_vectors(L::REGISTERS, size_of::<L::Elem>()) };
    let groups = vectors.div_ceil(most);
    for i in 0..groups {
        let (v, end) = (vectors * i / groups, vectors * (i + 1) / groups);
        // SAFETY: the vectors `v..end` exist; the rest was asserted above.
        unsafe {
            match const { most_vectors(L::REGISTERS, size_of::<L::Elem>()) } {
                1 => columns::<L, 6, 1>(strip, v, sums),
                2 => match end - v {
                    1 => columns::<L, 12, 1>(strip, v, sums),
                    _ => columns::<L, 6, 2>(strip, v, sums),
                },
                _ => match end - v {
                    1 => columns::<L, 16, 1>(strip, v, sums),
                    2 => columns::<L, 12, 2>(strip, v, sums),
                    3 => columns::<L, 8, 3>(strip, v, sums),
                    _ => columns::<L, 6, 4>(strip, v, sums),
                },
            }
        }
    }
}

/// The columns of `NV` vectors from the vector `v` on.
///
/// # Safety
/// What [`accumulate`] asserts, and `v + NV` vectors fit into the width.
#[inline(always)]
unsafe fn columns<L: Lanes, const MR: usize, const NV: usize>(
    strip: &Strip<'_, L::Elem>,
    v: usize,
    sums: &mut [L::Elem],
) {
    let height = strip.height;
    let mut j = 0;
    while j < height {
        // SAFETY: the tile's rows are at most those that are left; the rest is the caller's promise. Three is the
        // number of rows per channel under the usual kernel.
        j += unsafe {
            match height - j {
                left if left >= MR => tile::<L, MR, NV>(strip, j, v, sums),
                4.. => tile::<L, 4, NV>(strip, j, v, sums),
                3 => tile::<L, 3, NV>(strip, j, v, sums),
                _ => tile::<L, 1, NV>(strip, j, v, sums),
            }
        };
    }
}

/// `MR` rows of the result from `j` on, `NV` vectors from `v` on; returns `MR`.
///
/// # Safety
/// What [`accumulate`] asserts, and the rows and vectors exist.
#[inline(always)]
unsafe fn tile<L: Lanes, const MR: usize, const NV: usize>(
    strip: &Strip<'_, L::Elem>,
    j: usize,
    v: usize,
    sums: &mut [L::Elem],
) -> usize {
    let &Strip { rows, voxels, x, x_row, x_voxel, g, g_row, g_voxel, width, .. } = strip;
    // Row `j + r` and vector `v + c` of the sums exist for `r < MR` and `c < NV`.
    let at = |r: usize, c: usize| (j + r) * width + (v + c) * L::N;
    let mut tile = [[L::splat(num_traits::Zero::zero()); NV]; MR];
    for (r, row) in tile.iter_mut().enumerate() {
        for (c, sum) in row.iter_mut().enumerate() {
            // SAFETY: the place is in `sums`.
            *sum = unsafe { L::load(sums.as_ptr().add(at(r, c))) };
        }
    }
    for row in 0..rows {
        // SAFETY: the first voxel of a row that exists, and the rows `j..j + MR` of the result.
        let (mut x, mut g) =
            unsafe { (x.as_ptr().add(row * x_row + j), g.as_ptr().add(row * g_row + v * L::N)) };
        for _ in 0..voxels {
            // SAFETY: `x` and `g` point at a voxel of the row: `MR` and `NV * N` numbers can be read.
            unsafe {
                let g_vectors: [L; NV] = from_fn(
                    #[inline(always)]
                    |c| L::load(g.add(c * L::N)),
                );
                for (r, row) in tile.iter_mut().enumerate() {
                    let factor = L::splat(*x.add(r));
                    for c in 0..NV {
                        row[c] = factor.mul_add(g_vectors[c], row[c]);
                    }
                }
            }
            // Past the last voxel these are not read, and may point anywhere.
            x = x.wrapping_add(x_voxel);
            g = g.wrapping_add(g_voxel);
        }
    }
    for (r, tile) in tile.iter().enumerate() {
        for (c, sum) in tile.iter().enumerate() {
            // SAFETY: the place is in `sums`.
            unsafe { sum.store(sums.as_mut_ptr().add(at(r, c))) }
        }
    }
    MR
}

//! The register tile of the weight gradient, over a strip of voxels.

use super::tile::most_vectors;
use crate::simd::Lanes;
use std::array::from_fn;

/// Two operands over the same voxels.
#[derive(Clone, Copy)]
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

/// Where the numbers of a tap start in a strip's `x`, and where its sums do.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) x: usize,
    pub(super) sums: usize,
}

/// `sums[j][c] += sum over voxels of x[voxel][j] * g[voxel][c]` for each tap, with sums of `height` rows by `width` columns.
///
/// Taps of three or six rows, those of the first layers of networks, go through the registers several at a time: alone
/// they would leave most of them empty, and read `g` for each tap anew. For 1 -> 16 channels at 64^3 that is 25 % of the
/// peak without.
#[inline(always)]
pub(super) fn accumulate<L: Lanes>(strip: &Strip<'_, L::Elem>, taps: &[Tap], sums: &mut [L::Elem]) {
    let &Strip { rows, voxels, x, x_row, x_voxel, g, g_row, g_voxel, width, height } = strip;
    if rows == 0 || voxels == 0 || height == 0 {
        return;
    }
    // Everything that `tile` relies on.
    let reach = (rows - 1) * x_row + (voxels - 1) * x_voxel + height;
    assert!(width % L::N == 0);
    assert!(taps.iter().all(|t| x.len() >= t.x + reach && sums.len() >= t.sums + height * width));
    assert!(g.len() >= (rows - 1) * g_row + (voxels - 1) * g_voxel + width);
    let vectors = width / L::N;
    let most = const { most_vectors(L::REGISTERS, size_of::<L::Elem>()) };
    let groups = vectors.div_ceil(most);
    for i in 0..groups {
        let (v, end) = (vectors * i / groups, vectors * (i + 1) / groups);
        // SAFETY: the vectors `v..end` exist; the rest was asserted above.
        unsafe {
            match const { most_vectors(L::REGISTERS, size_of::<L::Elem>()) } {
                1 => columns::<L, 6, 1>(strip, taps, v, sums),
                2 => match (end - v, height) {
                    (1, 3) => several::<L, 3, 3, 1>(strip, taps, v, sums),
                    (1, 6) => several::<L, 2, 6, 1>(strip, taps, v, sums),
                    (1, _) => columns::<L, 12, 1>(strip, taps, v, sums),
                    (_, 3) => several::<L, 2, 3, 2>(strip, taps, v, sums),
                    _ => columns::<L, 6, 2>(strip, taps, v, sums),
                },
                _ => match (end - v, height) {
                    (1, 3) => several::<L, 3, 3, 1>(strip, taps, v, sums),
                    (1, 6) => several::<L, 2, 6, 1>(strip, taps, v, sums),
                    (1, _) => columns::<L, 16, 1>(strip, taps, v, sums),
                    (2, 3) => several::<L, 3, 3, 2>(strip, taps, v, sums),
                    (2, 6) => several::<L, 2, 6, 2>(strip, taps, v, sums),
                    (2, _) => columns::<L, 12, 2>(strip, taps, v, sums),
                    (3, _) => columns::<L, 8, 3>(strip, taps, v, sums),
                    (_, 3) => several::<L, 2, 3, 4>(strip, taps, v, sums),
                    _ => columns::<L, 6, 4>(strip, taps, v, sums),
                },
            }
        }
    }
}

/// The columns of `NV` vectors from the vector `v` on, of `G` taps at a time that have `H` rows each.
///
/// # Safety
/// What [`accumulate`] asserts, `H` is the height, and `v + NV` vectors fit into the width.
#[inline(always)]
unsafe fn several<L: Lanes, const G: usize, const H: usize, const NV: usize>(
    strip: &Strip<'_, L::Elem>,
    taps: &[Tap],
    v: usize,
    sums: &mut [L::Elem],
) {
    let (groups, rest) = taps.as_chunks::<G>();
    for group in groups {
        // SAFETY: the caller's promise.
        unsafe { tile::<L, G, H, NV>(strip, group, 0, v, sums) };
    }
    for tap in rest {
        // SAFETY: the caller's promise.
        unsafe { tile::<L, 1, H, NV>(strip, &[*tap], 0, v, sums) };
    }
}

/// The columns of `NV` vectors from the vector `v` on, of one tap after another.
///
/// # Safety
/// What [`accumulate`] asserts, and `v + NV` vectors fit into the width.
#[inline(always)]
unsafe fn columns<L: Lanes, const MR: usize, const NV: usize>(
    strip: &Strip<'_, L::Elem>,
    taps: &[Tap],
    v: usize,
    sums: &mut [L::Elem],
) {
    let height = strip.height;
    for tap in taps {
        let tap = &[*tap];
        let mut j = 0;
        while j < height {
            // SAFETY: the tile's rows are at most those that are left; the rest is the caller's promise. Three is the
            // number of rows per channel under the usual kernel.
            j += unsafe {
                match height - j {
                    left if left >= MR => tile::<L, 1, MR, NV>(strip, tap, j, v, sums),
                    4.. => tile::<L, 1, 4, NV>(strip, tap, j, v, sums),
                    3 => tile::<L, 1, 3, NV>(strip, tap, j, v, sums),
                    _ => tile::<L, 1, 1, NV>(strip, tap, j, v, sums),
                }
            };
        }
    }
}

/// `H` rows of the sums of each of `G` taps from `j` on, `NV` vectors from `v` on; returns `H`.
///
/// # Safety
/// What [`accumulate`] asserts, and the rows and vectors exist.
#[expect(
    clippy::needless_range_loop,
    reason = "the compiler keeps arrays in registers that plain loops index"
)]
#[inline(always)]
unsafe fn tile<L: Lanes, const G: usize, const H: usize, const NV: usize>(
    strip: &Strip<'_, L::Elem>,
    taps: &[Tap; G],
    j: usize,
    v: usize,
    sums: &mut [L::Elem],
) -> usize {
    let &Strip { rows, voxels, x, x_row, x_voxel, g, g_row, g_voxel, width, .. } = strip;
    // Row `j + r` and vector `v + c` of the sums of tap `t` exist for `r < H`, `c < NV` and `t < G`.
    let at = |t: usize, r: usize, c: usize| taps[t].sums + (j + r) * width + (v + c) * L::N;
    let mut tile = [[[L::splat(num_traits::Zero::zero()); NV]; H]; G];
    for t in 0..G {
        for r in 0..H {
            for c in 0..NV {
                // SAFETY: the place is in `sums`.
                tile[t][r][c] = unsafe { L::load(sums.as_ptr().add(at(t, r, c))) };
            }
        }
    }
    for row in 0..rows {
        // SAFETY: the first voxel of a row that exists, and the rows `j..j + H` of the result.
        let (mut x, mut g): ([_; G], _) = unsafe {
            (
                from_fn(
                    #[inline(always)]
                    |t| x.as_ptr().add(taps[t].x + row * x_row + j),
                ),
                g.as_ptr().add(row * g_row + v * L::N),
            )
        };
        for _ in 0..voxels {
            // SAFETY: `x` and `g` point at a voxel of the row: `H` and `NV * N` numbers can be read.
            unsafe {
                let g_vectors: [L; NV] = from_fn(
                    #[inline(always)]
                    |c| L::load(g.add(c * L::N)),
                );
                for t in 0..G {
                    for r in 0..H {
                        let factor = L::splat(*x[t].add(r));
                        for c in 0..NV {
                            tile[t][r][c] = factor.mul_add(g_vectors[c], tile[t][r][c]);
                        }
                    }
                }
            }
            // Past the last voxel these are not read, and may point anywhere.
            for t in 0..G {
                x[t] = x[t].wrapping_add(x_voxel);
            }
            g = g.wrapping_add(g_voxel);
        }
    }
    for t in 0..G {
        for r in 0..H {
            for c in 0..NV {
                // SAFETY: the place is in `sums`.
                unsafe { tile[t][r][c].store(sums.as_mut_ptr().add(at(t, r, c))) }
            }
        }
    }
    H
}

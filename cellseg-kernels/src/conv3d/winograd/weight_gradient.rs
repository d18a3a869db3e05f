//! The gradient with respect to the kernel, summed up at the points.
//!
//! The gradient of a value of the kernel at a point is the sum, over all tiles, of products of what the tile's inputs and
//! its gradients of outputs are there. Only these sums are transformed back to taps, so that for tiles of 4 x 4 x 4 outputs
//! there are 216 multiplications instead of 1728, as in the forward direction.
//!
//! The work is cut into blocks of channels of both sides and parts of the tiles, by the problem alone. Each part's sums
//! become gradients of taps, an eighth of the memory, before the parts are added in their order.

use super::{
    analysis::{Analysis, Slots, Source, Volumes},
    maps::{Inputs, OutputGradients, TapGradients},
    shared::Shared,
    stage::{Place, Vectors, along, same},
    tiling::{Tiling, apart},
    weights::TAPS,
};
use crate::{
    conv3d::{
        strip::{self, Strip, Tap},
        weight_gradient::Problem,
    },
    scratch::Scratch,
    simd::{Isa, Lanes, Routine},
};
use cellseg_core::{Real, Result};
use rayon::prelude::*;
use std::{marker::PhantomData, ops::Range};

/// The most channels of either side in a block.
pub(super) const BLOCK: usize = 64;

/// Tiles that are multiplied at a time: the sums of all points pass through the caches once for so many.
pub(super) const TILES: usize = 32;

/// How many tasks there are at least, if there are enough tiles for them.
const TASKS: usize = 16;

/// The fewest tiles of a part: below them the transform to taps would be felt.
const PART: usize = 64;

/// `out[kd, kh, kw, fine channel, coarse channel] = sum over links of x * g`, with tiles of `m` outputs per axis.
pub(crate) fn weight_gradient<T: Real>(
    isa: Isa,
    problem: &Problem,
    m: [usize; 3],
    x: &[T],
    g: &[T],
    out: &mut [T],
) -> Result<()> {
    let Problem { batch, axes, fine_channels, coarse_channels } = *problem;
    let tiling = Tiling::new(batch, axes.map(|a| a.coarse), m);
    let blocks = |channels: usize| {
        let count = channels.div_ceil(BLOCK);
        (0..count).map(move |i| channels * i / count..channels * (i + 1) / count)
    };
    let pairs: Vec<_> =
        blocks(fine_channels).flat_map(|f| blocks(coarse_channels).map(move |c| (f.clone(), c))).collect();
    let parts = TASKS.div_ceil(pairs.len().max(1)).min(tiling.count() / PART).max(1);
    let sums = |out: &mut [T], parts: usize| {
        let out = Shared::new(out);
        (0..parts * pairs.len()).into_par_iter().try_for_each(|i| {
            let (part, (fine, coarse)) = (i / pairs.len(), pairs[i % pairs.len()].clone());
            isa.run(Task { problem, tiling: &tiling, part: (part, parts), fine, coarse, x, g, out })
        })
    };
    if parts == 1 {
        return sums(out, 1);
    }
    let length = out.len();
    let mut partial = Scratch::unspecified(parts * length)?;
    sums(&mut partial, parts)?;
    out.par_chunks_mut(coarse_channels).enumerate().for_each(|(row, out)| {
        out.copy_from_slice(&partial[row * coarse_channels..][..coarse_channels]);
        for part in 1..parts {
            let partial = &partial[part * length + row * coarse_channels..];
            out.iter_mut().zip(partial).for_each(|(sum, x)| *sum += *x);
        }
    });
    Ok(())
}

/// A block of channels of either side over one part of the tiles.
struct Task<'a, T> {
    problem: &'a Problem,
    tiling: &'a Tiling,
    /// Which of how many parts.
    part: (usize, usize),
    fine: Range<usize>,
    coarse: Range<usize>,
    x: &'a [T],
    g: &'a [T],
    /// `[part][tap][fine channel][coarse channel]`
    out: Shared<'a, T>,
}

impl<T: Real> Routine<T> for Task<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Result<()> {
        let Problem { axes, fine_channels, coarse_channels, .. } = *self.problem;
        let (points, count) = (self.tiling.points(), self.tiling.count());
        let (height, width) = (self.fine.len(), self.coarse.len().next_multiple_of(L::N));
        let slots = |length| Slots { length, tile: length, point: apart(TILES * length) };
        let (x_slots, g_slots) = (slots(height.next_multiple_of(L::N)), slots(width));
        let lengths = [points * x_slots.point, points * g_slots.point, points * apart(height * width)];
        let mut buffer = Scratch::unspecified(lengths.iter().sum())?;
        let (x, rest) = buffer.split_at_mut(lengths[0]);
        let (g, sums) = rest.split_at_mut(lengths[1]);
        sums.fill(T::zero());
        let inputs = Volumes {
            data: self.x,
            extents: axes.map(|a| a.fine),
            channels: fine_channels,
            read: (self.fine.start, height),
            origin: axes.map(|a| -(a.padding as isize)),
        };
        let gradients = Volumes {
            data: self.g,
            extents: axes.map(|a| a.coarse),
            channels: coarse_channels,
            read: (self.coarse.start, self.coarse.len()),
            origin: [0; 3],
        };
        let (part, parts) = self.part;
        let end = count * (part + 1) / parts;
        let mut tiles = count * part / parts..end;
        while !tiles.is_empty() {
            let block = tiles.start..(tiles.start + TILES).min(end);
            tiles.start = block.end;
            let voxels = block.len();
            self.analyse::<L, Inputs>(inputs, block.clone(), x, x_slots);
            self.analyse::<L, OutputGradients>(gradients, block, g, g_slots);
            for (point, sums) in sums.chunks_exact_mut(apart(height * width)).enumerate() {
                let strip = Strip {
                    rows: 1,
                    voxels,
                    x: &x[point * x_slots.point..],
                    x_row: 0,
                    x_voxel: x_slots.tile,
                    g: &g[point * g_slots.point..],
                    g_row: 0,
                    g_voxel: g_slots.tile,
                    height,
                    width,
                };
                strip::accumulate::<L>(&strip, &[Tap { x: 0, sums: 0 }], sums);
            }
        }
        self.synthesise::<L>(sums, width);
        Ok(())
    }
}

impl<T: Real> Task<'_, T> {
    #[inline(always)]
    fn analyse<L: Lanes<Elem = T>, X: Source>(
        &self,
        volumes: Volumes<'_, T>,
        tiles: Range<usize>,
        out: &mut [T],
        slots: Slots,
    ) {
        let transform = PhantomData::<X>;
        Analysis { tiling: self.tiling, volumes, tiles, out, slots, transform }.run::<L>();
    }

    /// Transforms the sums, `[fine channel][width]` at each point, to gradients of taps.
    #[inline(always)]
    fn synthesise<L: Lanes<Elem = T>>(&self, sums: &mut [T], width: usize) {
        let Problem { fine_channels, coarse_channels, .. } = *self.problem;
        let (m, points) = (self.tiling.m, self.tiling.extents());
        let per_point = apart(self.fine.len() * width);
        let tap_length = fine_channels * coarse_channels;
        let start = self.part.0 * TAPS * TAPS * TAPS * tap_length;
        assert!(sums.len() == self.tiling.points() * per_point);
        assert!(self.out.len() >= start + TAPS * TAPS * TAPS * tap_length);
        let mut scratch = Vectors::<L>::new();
        for (i, fine) in self.fine.clone().enumerate() {
            for c in (0..width).step_by(L::N) {
                let from = Place {
                    start: sums[i * width + c..].as_mut_ptr(),
                    steps: [points[1] * points[2] * per_point, points[2] * per_point, per_point],
                };
                let between = scratch.place();
                // SAFETY: the sums hold a vector for this fine channel and these coarse ones at every point, and the
                // scratch has room for all vectors of the largest tile.
                unsafe {
                    along::<L, TapGradients>(2, m[2], points, from, between, same::<L>);
                    along::<L, TapGradients>(1, m[1], [points[0], 0, TAPS], between, between, same::<L>);
                    along::<L, TapGradients>(0, m[0], [0, TAPS, TAPS], between, between, same::<L>);
                }
                let coarse = self.coarse.start + c;
                let lanes = L::N.min(self.coarse.end - coarse);
                for tap in 0..TAPS * TAPS * TAPS {
                    let v = scratch.row(tap / (TAPS * TAPS), tap / TAPS % TAPS)[tap % TAPS];
                    let at = start + tap * tap_length + fine * coarse_channels + coarse;
                    // SAFETY: channels of this block that exist, which no other task writes to.
                    unsafe { v.store_first(self.out.at(at), lanes) }
                }
            }
        }
    }
}

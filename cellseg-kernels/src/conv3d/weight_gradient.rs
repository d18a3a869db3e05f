//! The gradient of a convolution with respect to its kernel.
//!
//! `gradient[k][a][b] = sum over links (fine, k, coarse) of x[fine][a] * g[coarse][b]`: a matrix product whose inner
//! dimension is all voxels. A register tile holds `MR` rows by `NV` vectors of the result while it runs over a strip of
//! voxels, reading `MR` neighbouring numbers of `x` and `NV` vectors of `g` per voxel. Where rows of `x` are padded, strips
//! are copied into a small buffer first, with the taps of a row side by side: then `kw * a` are the rows of one matrix, no
//! voxel needs a look at the volume's sides, and a strip is read by all its tiles from the first- or second-level cache.
//! What needs no padding, to a row's end or to whole vectors, is read where it lies: copies took a quarter of the time of
//! a 1x1x1 kernel.
//!
//! Partial sums over fixed parts of the volume are added in their order: the result does not depend on the number of
//! threads, which share the parts and the blocks of the result.

use super::{
    geometry::{Axis, Direction},
    strip::{self, Strip, Tap},
    strips::{Strips, share},
};
use crate::{
    scratch::Scratch,
    simd::{Isa, Lanes, Routine},
};
use cellseg_core::{Real, Result};
use rayon::prelude::*;
use std::ops::Range;

/// The two ends of the links: `x` lies on fine voxels, `g` on coarse ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) batch: usize,
    /// Depth, height, width.
    pub(crate) axes: [Axis; 3],
    pub(crate) fine_channels: usize,
    pub(crate) coarse_channels: usize,
}

/// The most channels of either side in a block of the result: a block's strips and sums then fit into the second-level
/// cache.
pub(super) const BLOCK: usize = 64;

/// The same without padding, where voxels have few taps in common, and strips are read less often the larger a block is.
const LARGE_BLOCK: usize = 128;

/// The fewest voxels of `g` in a part: each part has sums of its own, and adding them up costs as much time as some dozens
/// of voxels. 22 parts of 16^3 voxels with 64 channels ran at 65 % of the peak, 4 parts at 93 %.
const PART: usize = 1024;

/// How many tasks there are at least, if the volume allows: enough for any machine's threads to share evenly.
const TASKS: usize = 64;

/// Numbers of a result that is computed as one block: they fit into the second-level cache for all taps of depth and
/// height, and packing the same strip again for each depth would cost more than keeping them.
const SMALL: usize = 3 * 32 * 32;

/// How the work is cut, from the problem and the width of a vector alone.
struct Plan {
    problem: Problem,
    /// The blocks of the result, each with the place of its sums among those of a part.
    blocks: Vec<Block>,
    /// Numbers of a part's sums.
    length: usize,
    parts: usize,
    strips: Strips,
    lanes: usize,
    /// Whether `x` is read where it lies.
    in_place: bool,
}

/// A block of the result.
struct Block {
    /// Taps of depth and height, `kd * kernel + kh`.
    taps: Range<usize>,
    fine: Range<usize>,
    coarse: Range<usize>,
    start: usize,
    /// Whether the sums of a tap are `[coarse][kw * fine]`, not `[kw * fine][coarse]`.
    swapped: bool,
}

impl Plan {
    fn new(problem: &Problem, lanes: usize) -> Self {
        let [d, h, w] = problem.axes;
        let taps = d.kernel * h.kernel;
        let Problem { fine_channels, coarse_channels, .. } = *problem;
        let most = if w.padding == 0 { LARGE_BLOCK } else { BLOCK };
        // A small result is one block, so that each strip is packed and read from memory once.
        let together = if w.kernel * fine_channels * coarse_channels <= SMALL { taps } else { h.kernel };
        let (fine_blocks, coarse_blocks) = (fine_channels.div_ceil(most), coarse_channels.div_ceil(most));
        let mut blocks = vec![];
        let mut length = 0;
        for i in 0..fine_blocks {
            for j in 0..coarse_blocks {
                for first in (0..taps).step_by(together) {
                    let fine = share(fine_channels, fine_blocks, i);
                    let coarse = share(coarse_channels, coarse_blocks, j);
                    // Vectors lie along the side that has more of them: each number that is broadcast meets them all. For
                    // 16 channels at 64^3 that is 75 instead of 65 % of the peak.
                    let row = w.kernel * fine.len();
                    let swapped = coarse.len() <= lanes && row > lanes && row.is_multiple_of(lanes);
                    let taps = first..(first + together).min(taps);
                    let block = Block { taps, fine, coarse, start: length, swapped };
                    length += block.taps.len() * block.height(w.kernel) * block.width(lanes);
                    blocks.push(block);
                }
            }
        }
        let strips = Strips::new(problem);
        let voxels = problem.batch * d.coarse * h.coarse * w.coarse;
        let parts = TASKS.div_ceil(blocks.len().max(1)).min(voxels / PART).min(strips.count()).max(1);
        Plan {
            problem: *problem,
            blocks,
            length,
            parts,
            strips,
            lanes,
            in_place: w.kernel == 1 && w.padding == 0,
        }
    }
}

impl Block {
    /// Rows of a tap's sums.
    fn height(&self, kw: usize) -> usize {
        kw * self.fine.len()
    }

    /// Columns of the sums: whole vectors.
    fn width(&self, lanes: usize) -> usize {
        self.coarse.len().next_multiple_of(lanes)
    }
}

impl Problem {
    /// The same problem as one row of voxels, where each of them is linked with the one at its own place.
    fn flat(&self) -> Option<Problem> {
        let plain = |a: &Axis| a.kernel == 1 && a.stride == 1 && a.padding == 0;
        let axis = |n| Axis { fine: n, coarse: n, kernel: 1, stride: 1, padding: 0 };
        let voxels = self.batch * self.axes.iter().map(|a| a.coarse).product::<usize>();
        self.axes.iter().all(plain).then(|| Problem {
            batch: 1,
            axes: [axis(1), axis(1), axis(voxels)],
            ..*self
        })
    }
}

/// `out[kd, kh, kw, fine channel, coarse channel] = sum over links of x * g`.
///
/// # Errors
/// Memory for the sums of the parts.
pub(crate) fn weight_gradient<T: Real>(
    isa: Isa,
    problem: &Problem,
    x: &[T],
    g: &[T],
    out: &mut [T],
) -> Result<()> {
    if x.is_empty() || g.is_empty() {
        out.fill(T::zero());
    }
    if x.is_empty() || g.is_empty() || out.is_empty() {
        return Ok(());
    }
    let plan = Plan::new(&problem.flat().unwrap_or(*problem), isa.lanes::<T>());
    let mut sums = Scratch::new(plan.parts * plan.length)?;
    let mut tasks = vec![];
    let mut rest = &mut sums[..];
    for part in 0..plan.parts {
        for (i, block) in plan.blocks.iter().enumerate() {
            let end = plan.blocks.get(i + 1).map_or(plan.length, |next| next.start);
            let (mine, others) = rest.split_at_mut(end - block.start);
            rest = others;
            tasks.push(Task { plan: &plan, block, part, x, g, sums: mine });
        }
    }
    tasks.into_par_iter().try_for_each(|task| isa.run(task))?;
    plan.add_parts(&sums, out);
    Ok(())
}

impl Plan {
    /// Adds the sums of all parts, in their order.
    fn add_parts<T: Real>(&self, sums: &[T], out: &mut [T]) {
        let Problem { axes: [_, _, w], fine_channels, coarse_channels, .. } = self.problem;
        out.par_chunks_mut(coarse_channels).enumerate().for_each(|(row, out)| {
            let (tap, fine) = (row / fine_channels, row % fine_channels);
            let (tap, kw) = (tap / w.kernel, tap % w.kernel);
            for b in self.blocks.iter().filter(|b| b.taps.contains(&tap) && b.fine.contains(&fine)) {
                let (height, width) = (b.height(w.kernel), b.width(self.lanes));
                let j = kw * b.fine.len() + fine - b.fine.start;
                let start = b.start + (tap - b.taps.start) * height * width;
                let out = &mut out[b.coarse.clone()];
                out.fill(T::zero());
                for sums in sums.chunks_exact(self.length).map(|part| &part[start..]) {
                    if b.swapped {
                        out.iter_mut().zip(sums[j..].iter().step_by(height)).for_each(|(o, x)| *o += *x);
                    } else {
                        out.iter_mut().zip(&sums[j * width..]).for_each(|(o, x)| *o += *x);
                    }
                }
            }
        });
    }
}

/// One block of the result over one part of the voxels.
struct Task<'a, T> {
    plan: &'a Plan,
    block: &'a Block,
    part: usize,
    x: &'a [T],
    g: &'a [T],
    sums: &'a mut [T],
}

/// What a strip has to do with a tap.
struct Place {
    /// The rows of coarse voxels that are linked through it.
    rows: Range<usize>,
    tap: Tap,
}

impl<T: Real> Routine<T> for Task<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Result<()> {
        let Plan { problem, parts, strips, lanes, in_place, .. } = *self.plan;
        let Problem { axes: [d, h, w], fine_channels, coarse_channels, .. } = problem;
        let Block { ref taps, ref fine, ref coarse, swapped, .. } = *self.block;
        let (width, height) = (self.block.width(lanes), self.block.height(w.kernel));
        let size = height * width;
        let depths = taps.start / h.kernel..taps.end.div_ceil(h.kernel);
        // Vectors of `g` are read in place where they are whole and lie together.
        let g_in_place = width == coarse.len() && (in_place || width == coarse_channels);
        // Few rows: all taps at once, each of which then reads zeros where the volume has no row.
        let together = !in_place && !swapped && matches!(height, 3 | 6);
        let (most_rows, most_columns) = strips.most();
        let mut gs = Scratch::new(if g_in_place { 0 } else { most_rows * most_columns * width })?;
        let plane = ((most_rows - 1) * h.stride + h.kernel) * ((most_columns - 1) * w.stride + w.kernel);
        let mut xs = Scratch::unspecified(if in_place { 0 } else { depths.len() * plane * fine.len() })?;
        let (mut group, mut places) = (Vec::with_capacity(taps.len()), Vec::with_capacity(taps.len()));
        for (plane, rows, columns) in share(strips.count(), parts, self.part).map(|i| strips.get(i)) {
            let (n, z) = (plane / d.coarse, plane % d.coarse);
            let from = ((plane * h.coarse + rows.start) * w.coarse + columns.start) * coarse_channels;
            let g = &self.g[from..];
            let (g, g_row, g_voxel) = if g_in_place {
                (&g[coarse.start..], w.coarse * coarse_channels, coarse_channels)
            } else {
                for (to, g) in gs
                    .chunks_exact_mut(columns.len() * width)
                    .zip(g.chunks(w.coarse * coarse_channels))
                    .take(rows.len())
                {
                    for (to, g) in to.chunks_exact_mut(width).zip(g.chunks_exact(coarse_channels)) {
                        to[..coarse.len()].copy_from_slice(&g[coarse.clone()]);
                    }
                }
                (&gs[..], columns.len() * width, width)
            };
            // Voxels of a row of `x` that the strip reads, the first of them at `first - padding`.
            let reach = (columns.len() - 1) * w.stride + w.kernel;
            let first = columns.start * w.stride;
            let row = if in_place { w.fine * fine_channels } else { reach * fine.len() };
            let y_first = rows.start * h.stride;
            let y_count = (rows.len() - 1) * h.stride + h.kernel;
            let strip = Strip {
                rows: rows.len(),
                voxels: columns.len(),
                x: &[],
                x_row: h.stride * row,
                x_voxel: w.stride * if in_place { fine_channels } else { fine.len() },
                g,
                g_row,
                g_voxel,
                height,
                width,
            };
            places.clear();
            for (i, kd) in depths.clone().enumerate() {
                let Some(z) = d.source(Direction::ToCoarse, z, kd) else { continue };
                let from = (n * d.fine + z) * h.fine * w.fine * fine_channels;
                let held = i * y_count * row;
                if !in_place {
                    let plane = &self.x[from..];
                    for (y, to) in xs[held..].chunks_exact_mut(row).take(y_count).enumerate() {
                        match (y_first + y).checked_sub(h.padding).filter(|&y| y < h.fine) {
                            Some(y) => {
                                let x = &plane[y * w.fine * fine_channels..][..w.fine * fine_channels];
                                pack(x, fine_channels, fine.clone(), first as isize - w.padding as isize, to);
                            }
                            None if together => to.fill(T::zero()),
                            None => {}
                        }
                    }
                }
                for kh in 0..h.kernel {
                    let tap = kd * h.kernel + kh;
                    if !taps.contains(&tap) {
                        continue;
                    }
                    let sums = (tap - taps.start) * size;
                    let valid = h.coarse_range(kh);
                    let valid = valid.start.max(rows.start)..valid.end.min(rows.end);
                    if together {
                        places.push(Place { rows: rows.clone(), tap: Tap { x: held + kh * row, sums } });
                    } else if !valid.is_empty() {
                        let x = if in_place {
                            let y = valid.start * h.stride + kh - h.padding;
                            from + y * row + first * fine_channels + fine.start
                        } else {
                            held + ((valid.start - rows.start) * h.stride + kh) * row
                        };
                        places.push(Place { rows: valid, tap: Tap { x, sums } });
                    }
                }
            }
            let strip = Strip { x: if in_place { self.x } else { &xs }, ..strip };
            let at_once = if together { places.len().max(1) } else { 1 };
            for places in places.chunks(at_once) {
                let read = places[0].rows.clone();
                group.clear();
                group.extend(places.iter().map(|p| p.tap));
                let mut strip =
                    Strip { rows: read.len(), g: &g[(read.start - rows.start) * g_row..], ..strip };
                if swapped {
                    // The operands change sides, and the place is one in `g` then.
                    strip = Strip { x: &strip.x[group[0].x..], ..strip }.swapped(coarse.len());
                    group[0].x = 0;
                }
                strip::accumulate::<L>(&strip, &group, self.sums);
            }
        }
        Ok(())
    }
}

/// Copies the channels `block` of neighbouring voxels of the row `x` to `out`, from the voxel `first` on; zeros where
/// the row has none.
#[inline(always)]
fn pack<T: Real>(x: &[T], channels: usize, block: Range<usize>, first: isize, out: &mut [T]) {
    let voxels = out.len() / block.len();
    let before = ((-first).max(0) as usize).min(voxels);
    if before == voxels {
        return out.fill(T::zero());
    }
    let begin = (first + before as isize) as usize;
    let inside = (x.len() / channels).saturating_sub(begin).min(voxels - before);
    let (zeros, out) = out.split_at_mut(before * block.len());
    zeros.fill(T::zero());
    let (out, zeros) = out.split_at_mut(inside * block.len());
    zeros.fill(T::zero());
    let x = &x[(begin * channels).min(x.len())..];
    if block.len() == channels {
        out.copy_from_slice(&x[..inside * channels]);
        return;
    }
    for (to, x) in out.chunks_exact_mut(block.len()).zip(x.chunks_exact(channels)) {
        to.copy_from_slice(&x[block.clone()]);
    }
}

//! The exact anisotropic Euclidean distance transform.
//!
//! Squared distances are separable (Felzenszwalb & Huttenlocher 2012): rows first, then for each line along y and z
//! `out(i) = min over j of in(j) + (w (i - j))^2`. Nuclei are small, so the minimum is taken over growing |i - j|, for
//! [`LANES`] lines at a time, and ends for each voxel as soon as `(w |i - j|)^2` reaches the best so far. Lines that need a
//! reach of more than [`MAX_REACH`] voxels take the lower envelope of parabolas instead. Both are exact.

use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;

use super::envelope::Envelope;
use crate::Spacing;
use crate::grid::{Grid, raster};
use crate::memory::zeros;
use crate::runs::{Run, cut_mask};
use crate::wide::wide;

/// How many lines are swept together: a cache line of f32.
const LANES: usize = 16;

/// How many groups of lines are gathered together, so that memory is read in more than one cache line at a time.
const GROUPS: usize = 4;

/// Beyond this reach the envelope is faster.
const MAX_REACH: usize = 24;

/// Voxels that one thread takes at least: the boxes of small objects are not worth a second one.
const PART: usize = 1 << 14;

/// The distance in micrometres of each true voxel (z, y, x) to the nearest false one; 0 for false voxels.
///
/// Voxel centres are measured, and the outside of the volume counts for nothing: without a false voxel every
/// distance is infinite. As `scipy.ndimage.distance_transform_edt(mask, sampling=spacing)`, in f32.
pub fn distance_transform(mask: ArrayView3<bool>, spacing: Spacing) -> Array3<f32> {
    transform(mask, spacing, f32::sqrt)
}

/// The square of [`distance_transform`], which spares a square root where only the order matters.
pub fn squared_distance_transform(mask: ArrayView3<bool>, spacing: Spacing) -> Array3<f32> {
    transform(mask, spacing, |squared| squared)
}

/// The distance in micrometres of each voxel (z, y, x) to the nearest one on the other side of the mask's border: above 0
/// inside, below 0 outside.
///
/// Infinite, with the side's sign, where the other side has no voxel.
pub fn signed_distance_transform(mask: ArrayView3<bool>, spacing: Spacing) -> Array3<f32> {
    let mut signed = distance_transform(mask, spacing);
    let outside = mask.mapv(|inside| !inside);
    signed -= &distance_transform(outside.view(), spacing);
    signed
}

/// The squared distances, changed by `finish` when they are written for the last time.
fn transform(mask: ArrayView3<bool>, spacing: Spacing, finish: impl Fn(f32) -> f32 + Sync) -> Array3<f32> {
    let grid = Grid::of(&mask);
    let mut squared = zeros(grid);
    if grid.len() == 0 {
        return squared;
    }
    let inside = raster(&mask);
    let [steps_z, steps_y, steps_x] =
        [(spacing.z(), grid.nz), (spacing.y(), grid.ny), (spacing.x(), grid.nx)]
            .map(|(side, len)| Steps::new(side, len));
    squared
        .as_slice_mut()
        .expect("zeros are made in raster order")
        .par_chunks_exact_mut(grid.plane())
        .zip(inside.par_chunks_exact(grid.plane()))
        .with_min_len(PART.div_ceil(grid.plane()))
        .for_each_init(
            || (Vec::new(), Lines::new(&steps_y)),
            |(runs, lines), (plane, inside)| {
                for (row, inside) in plane.chunks_exact_mut(grid.nx).zip(inside.chunks_exact(grid.nx)) {
                    runs.clear();
                    cut_mask(inside, runs);
                    along_row(row, runs, &steps_x.squares);
                }
                let mut rows: Vec<&mut [f32]> = plane.chunks_exact_mut(grid.nx).collect();
                lines.transform(&mut rows, |squared| squared);
            },
        );
    let columns: Vec<_> = squared.axis_iter_mut(Axis(1)).collect();
    columns.into_par_iter().with_min_len(PART.div_ceil(grid.nz * grid.nx)).for_each_init(
        || Lines::new(&steps_z),
        |lines, mut column| {
            let mut rows: Vec<&mut [f32]> =
                column.rows_mut().into_iter().filter_map(|row| row.into_slice()).collect();
            lines.transform(&mut rows, &finish);
        },
    );
    squared
}

/// Steps along an axis of a volume.
struct Steps {
    /// The squared length of 0, 1, ... steps, up to the length of the axis.
    squares: Vec<f32>,
    /// The squared length of one step, not rounded.
    square: f64,
}

impl Steps {
    fn new(side: f64, len: usize) -> Self {
        let squares = (0..=len).map(|steps| (side * side * (steps as f64).powi(2)) as f32).collect();
        Self { squares, square: side * side }
    }
}

/// Squared distances to the nearest false voxel of the same row, over the runs of true ones.
fn along_row(row: &mut [f32], runs: &[Run], squares: &[f32]) {
    for &(start, end) in runs {
        let (start, end) = (start as usize, end as usize);
        let run = &mut row[start..end];
        let len = run.len();
        let (from_start, from_end) = match (start > 0, end < squares.len() - 1) {
            (false, false) => {
                run.fill(f32::INFINITY);
                continue;
            }
            (true, false) => (len, 0),
            (false, true) => (0, len),
            (true, true) => (len.div_ceil(2), len / 2),
        };
        run[..from_start].copy_from_slice(&squares[1..=from_start]);
        for (value, square) in run.iter_mut().rev().zip(&squares[1..=from_end]) {
            *value = *square;
        }
    }
}

/// Parallel lines of one length, and room to work on some of them.
struct Lines<'a> {
    steps: &'a Steps,
    /// The values of each group, with [`MAX_REACH`] infinite rows on both ends.
    before: [Vec<[f32; LANES]>; GROUPS],
    after: [Vec<[f32; LANES]>; GROUPS],
    line: Vec<f64>,
    envelope: Envelope,
}

impl<'a> Lines<'a> {
    fn new(steps: &'a Steps) -> Self {
        let len = steps.squares.len() - 1;
        Self {
            steps,
            before: std::array::from_fn(|_| vec![[f32::INFINITY; LANES]; len + 2 * MAX_REACH]),
            after: std::array::from_fn(|_| vec![[0.0; LANES]; len]),
            line: Vec::with_capacity(len),
            envelope: Envelope::default(),
        }
    }

    /// One separable step along the lines that go through `rows`, one value of each row a line.
    fn transform(&mut self, rows: &mut [&mut [f32]], finish: impl Fn(f32) -> f32) {
        let width = rows.first().map_or(0, |row| row.len());
        for x in (0..width).step_by(LANES * GROUPS) {
            let end = width.min(x + LANES * GROUPS);
            let groups = (end - x).div_ceil(LANES);
            for (at, row) in rows.iter().enumerate() {
                for (before, values) in self.before.iter_mut().zip(row[x..end].chunks(LANES)) {
                    let to = &mut before[MAX_REACH + at];
                    match <&[f32; LANES]>::try_from(values) {
                        Ok(values) => *to = *values,
                        Err(_) => {
                            // Lines that are not there need no work.
                            *to = [0.0; LANES];
                            to[..values.len()].copy_from_slice(values);
                        }
                    }
                }
            }
            for group in 0..groups {
                if !sweep(&self.before[group], &self.steps.squares, &mut self.after[group]) {
                    self.envelopes(group);
                }
            }
            for (at, row) in rows.iter_mut().enumerate() {
                for (after, values) in self.after.iter().zip(row[x..end].chunks_mut(LANES)) {
                    for (value, after) in values.iter_mut().zip(&after[at]) {
                        *value = finish(*after);
                    }
                }
            }
        }
    }

    /// The transform of a group's lines one by one.
    fn envelopes(&mut self, group: usize) {
        let len = self.after[group].len();
        let weight = self.steps.square;
        for lane in 0..LANES {
            self.line.clear();
            let values = self.before[group][MAX_REACH..MAX_REACH + len].iter();
            self.line.extend(values.map(|lanes| f64::from(lanes[lane])));
            self.envelope.build(&self.line, weight);
            for (at, after) in self.after[group].iter_mut().enumerate() {
                after[lane] = match self.envelope.lowest_at(at) {
                    Some(nearest) => {
                        (self.line[nearest] + weight * (at as f64 - nearest as f64).powi(2)) as f32
                    }
                    None => f32::INFINITY,
                };
            }
        }
    }
}

wide! {
    /// The transform of a group of lines by growing reach; false if it needs more than [`MAX_REACH`].
    fn sweep(before: &[[f32; LANES]], squares: &[f32], after: &mut [[f32; LANES]]) -> bool {
        for (at, after) in (MAX_REACH..).zip(after) {
            let mut best = before[at];
            let mut reach = 0;
            loop {
                reach += 1;
                // No square is left if the line is as long as the reach: nothing lies further away.
                let Some(&square) = squares.get(reach) else { break };
                let mut above = 0;
                for lane in 0..LANES {
                    above |= i32::from(best[lane] > square);
                }
                if above == 0 {
                    break;
                }
                if reach > MAX_REACH {
                    return false;
                }
                let (left, right) = (&before[at - reach], &before[at + reach]);
                for lane in 0..LANES {
                    let nearer = if left[lane] < right[lane] { left[lane] } else { right[lane] };
                    let here = nearer + square;
                    best[lane] = if here < best[lane] { here } else { best[lane] };
                }
            }
            *after = best;
        }
        true
    }
}

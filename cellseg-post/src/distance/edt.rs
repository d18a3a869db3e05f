//! The exact anisotropic Euclidean distance transform.
//!
//! Squared distances are separable (Felzenszwalb & Huttenlocher 2012): rows first, then for each line along y and z
//! `out(i) = min over j of in(j) + (w (i - j))^2`. Nuclei are small, so the minimum is taken over growing |i - j| for
//! 64 lines at a time and stops as soon as `(w |i - j|)^2` exceeds all that is left to improve; lines that need a
//! reach of more than [`MAX_REACH`] voxels take the lower envelope of parabolas instead. Both are exact.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use crate::Spacing;
use crate::grid::{Grid, raster};
use crate::lanes::{LANES, StridedAxis, for_each_block};

/// Beyond this reach the envelope is faster than one more sweep.
const MAX_REACH: usize = 24;

/// The distance in micrometres of each true voxel (z, y, x) to the nearest false one; 0 for false voxels.
///
/// Voxel centres are measured, and the outside of the volume counts for nothing: without a false voxel every
/// distance is infinite. As `scipy.ndimage.distance_transform_edt(mask, sampling=spacing)`, in f32.
pub fn distance_transform(mask: ArrayView3<bool>, spacing: Spacing) -> Array3<f32> {
    let mut distance = squared_distance_transform(mask, spacing);
    let voxels = distance.as_slice_mut().expect("the transform is made in raster order");
    voxels.par_iter_mut().with_min_len(1 << 16).for_each(|value| *value = value.sqrt());
    distance
}

/// The square of [`distance_transform`], which spares a square root where only the order matters.
pub fn squared_distance_transform(mask: ArrayView3<bool>, spacing: Spacing) -> Array3<f32> {
    let grid = Grid::of(&mask);
    let mut squared = Array3::zeros(grid.shape());
    if grid.len() == 0 {
        return squared;
    }
    let [wz, wy, wx] = spacing.to_array();
    let inside = raster(&mask);
    squared
        .as_slice_mut()
        .expect("zeros are made in raster order")
        .par_chunks_exact_mut(grid.nx)
        .zip(inside.par_chunks_exact(grid.nx))
        .with_min_len(64)
        .for_each(|(row, inside)| along_row(row, inside, wx));
    for (axis, width) in [(StridedAxis::Y, wy), (StridedAxis::Z, wz)] {
        for_each_block(&mut squared, axis, Scratch::default, |scratch, block, _| {
            along_block(scratch, block, width * width);
        });
    }
    squared
}

/// Squared distances to the nearest false voxel of the same row.
fn along_row(row: &mut [f32], inside: &[bool], width: f64) {
    let mut steps = f64::INFINITY;
    for (value, &inside) in row.iter_mut().zip(inside) {
        steps = if inside { steps + 1.0 } else { 0.0 };
        *value = ((steps * width) * (steps * width)) as f32;
    }
    steps = f64::INFINITY;
    for (value, &inside) in row.iter_mut().zip(inside).rev() {
        steps = if inside { steps + 1.0 } else { 0.0 };
        *value = value.min(((steps * width) * (steps * width)) as f32);
    }
}

#[derive(Default)]
struct Scratch {
    before: Vec<f32>,
    line: Vec<f64>,
    envelope: Envelope,
}

/// One separable step for a block of lines; `weight` is the squared voxel side along them.
fn along_block(scratch: &mut Scratch, block: &mut [f32], weight: f64) {
    let length = block.len() / LANES;
    scratch.before.clear();
    scratch.before.extend_from_slice(block);
    for reach in 1..length {
        let step = (weight * (reach * reach) as f64) as f32;
        if largest(block) <= step {
            return;
        }
        if reach > MAX_REACH {
            envelopes(scratch, block, weight);
            return;
        }
        let shift = reach * LANES;
        let len = block.len();
        lower(&mut block[..len - shift], &scratch.before[shift..], step);
        lower(&mut block[shift..], &scratch.before[..len - shift], step);
    }
}

/// The largest value, folded lane by lane so that it becomes vector instructions.
fn largest(block: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for row in block.chunks_exact(LANES) {
        lanes.iter_mut().zip(row).for_each(|(high, value)| *high = high.max(*value));
    }
    lanes.into_iter().fold(0.0, f32::max)
}

fn lower(out: &mut [f32], from: &[f32], step: f32) {
    out.iter_mut().zip(from).for_each(|(low, value)| *low = low.min(value + step));
}

fn envelopes(scratch: &mut Scratch, block: &mut [f32], weight: f64) {
    let Scratch { before, line, envelope } = scratch;
    for lane in 0..LANES {
        line.clear();
        line.extend(before.iter().skip(lane).step_by(LANES).map(|value| f64::from(*value)));
        envelope.build(line, weight);
        for (step, out) in block.iter_mut().skip(lane).step_by(LANES).enumerate() {
            if let Some(nearest) = envelope.lowest_at(step) {
                let apart = step as f64 - nearest as f64;
                *out = (line[nearest] + weight * apart * apart) as f32;
            }
        }
    }
}

/// The lower envelope of the parabolas `height(j) + weight (i - j)^2` over all j of finite height.
///
/// Where two parabolas are equally low, the one of smaller j counts.
#[derive(Default)]
pub(super) struct Envelope {
    /// The j of each parabola on the envelope and the position from which on it is the lowest.
    parabolas: Vec<(usize, f64)>,
    /// Where the last query ended; queries come in rising order.
    at: usize,
}

impl Envelope {
    pub(super) fn build(&mut self, heights: &[f64], weight: f64) {
        self.parabolas.clear();
        self.at = 0;
        for (j, &height) in heights.iter().enumerate() {
            if height == f64::INFINITY {
                continue;
            }
            let mut from = f64::NEG_INFINITY;
            while let Some(&(last, last_from)) = self.parabolas.last() {
                // Written so that equal heights meet exactly half way.
                let meet =
                    (j + last) as f64 / 2.0 + (height - heights[last]) / (2.0 * weight * (j - last) as f64);
                if meet > last_from {
                    from = meet;
                    break;
                }
                self.parabolas.pop();
            }
            self.parabolas.push((j, from));
        }
    }

    /// The j of the lowest parabola at `position`; `None` if there is none. Positions must not fall between calls.
    pub(super) fn lowest_at(&mut self, position: usize) -> Option<usize> {
        while self.parabolas.get(self.at + 1).is_some_and(|(_, from)| *from < position as f64) {
            self.at += 1;
        }
        self.parabolas.get(self.at).map(|(j, _)| *j)
    }
}

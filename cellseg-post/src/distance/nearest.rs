//! The exact feature transform: which seed is nearest.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use super::envelope::Envelope;
use crate::grid::{Grid, raster};
use crate::lanes::{LANES, StridedAxis, for_each_block};
use crate::{Error, Spacing};

/// Marks voxels that no seed is known for yet.
const NONE: u32 = u32::MAX;

/// The id of the seed voxel nearest to each voxel (z, y, x): the discrete Voronoi diagram of the seeds.
///
/// A seed is a voxel of id other than 0; distances are Euclidean between voxel centres at `spacing`. Of equally near
/// seeds the first in raster order counts. All zero if there are no seeds.
///
/// # Errors
/// [`Error::TooLarge`] for volumes of 2^32 - 1 voxels and more.
pub fn nearest_seed(seeds: ArrayView3<u32>, spacing: Spacing) -> Result<Array3<u32>, Error> {
    let grid = Grid::of(&seeds).fits_u32()?;
    let ids = raster(&seeds);
    let mut nearest = nearest_index(grid, &ids, spacing);
    nearest
        .as_slice_mut()
        .expect("made in raster order")
        .par_iter_mut()
        .with_min_len(1 << 16)
        .for_each(|seed| *seed = if *seed == NONE { 0 } else { ids[*seed as usize] });
    Ok(nearest)
}

/// The raster index of the nearest seed voxel, axis by axis as in the distance transform.
fn nearest_index(grid: Grid, ids: &[u32], spacing: Spacing) -> Array3<u32> {
    let mut nearest = Array3::zeros(grid.shape());
    if grid.len() == 0 {
        return nearest;
    }
    nearest
        .as_slice_mut()
        .expect("zeros are made in raster order")
        .par_chunks_exact_mut(grid.nx)
        .zip(ids.par_chunks_exact(grid.nx))
        .enumerate()
        .for_each(|(row, (nearest, ids))| along_row(nearest, ids, row * grid.nx));
    let [wz, wy, wx] = spacing.to_array();
    let square = |a: usize, b: usize, side: f64| (side * a.abs_diff(b) as f64).powi(2);
    for_each_block(&mut nearest, StridedAxis::Y, Scratch::default, |scratch, block, at| {
        along_block(scratch, block, wy * wy, |seed, lane| {
            let [_, _, x] = grid.position(seed);
            square(x, at.first_x + lane, wx)
        });
    });
    for_each_block(&mut nearest, StridedAxis::Z, Scratch::default, |scratch, block, at| {
        along_block(scratch, block, wz * wz, |seed, lane| {
            let [_, y, x] = grid.position(seed);
            square(x, at.first_x + lane, wx) + square(y, at.plane, wy)
        });
    });
    nearest
}

/// The nearest seed of the same row; the first of two equally near ones.
fn along_row(nearest: &mut [u32], ids: &[u32], first: usize) {
    let mut seed = NONE;
    for (x, (nearest, &id)) in nearest.iter_mut().zip(ids).enumerate() {
        if id != 0 {
            seed = (first + x) as u32;
        }
        *nearest = seed;
    }
    seed = NONE;
    for (x, (nearest, &id)) in nearest.iter_mut().zip(ids).enumerate().rev() {
        let here = (first + x) as u32;
        if id != 0 {
            seed = here;
        }
        if *nearest == NONE || (seed != NONE && seed - here < here - *nearest) {
            *nearest = seed;
        }
    }
}

#[derive(Default)]
struct Scratch {
    seeds: Vec<u32>,
    heights: Vec<f64>,
    envelope: Envelope,
}

/// One separable step for a block of lines; `known(seed, lane)` is the squared distance across the line.
fn along_block(scratch: &mut Scratch, block: &mut [u32], weight: f64, known: impl Fn(usize, usize) -> f64) {
    let Scratch { seeds, heights, envelope } = scratch;
    for lane in 0..LANES {
        seeds.clear();
        seeds.extend(block.iter().skip(lane).step_by(LANES));
        heights.clear();
        heights.extend(seeds.iter().map(|&seed| match seed {
            NONE => f64::INFINITY,
            seed => known(seed as usize, lane),
        }));
        envelope.build(heights, weight);
        for (step, out) in block.iter_mut().skip(lane).step_by(LANES).enumerate() {
            if let Some(nearest) = envelope.lowest_at(step) {
                *out = seeds[nearest];
            }
        }
    }
}

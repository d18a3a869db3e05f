//! Voronoi-Otsu labelling with exact distances.
//!
//! Under this name CLIc, clesperanto and CellSeg3D grow seeds by alternating box and diamond dilations on the voxel
//! grid. Here every foreground voxel gets the truly nearest seed, at the voxels' true proportions.
//!
//! Voxels are treated by runs; [`rivals`] tells how the nearest seed is found without looking at all.

mod dilation;
mod rivals;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use crate::components::Bodies;
use crate::grid::{Grid, raster, same_shape};
use crate::labels::FirstSeen;
use crate::memory::zeros;
use crate::{Connectivity, Error, Labels, Spacing};
pub(crate) use dilation::grow_by_dilations;
use rivals::Rivals;

/// Divides a mask (z, y, x) among seeds: each voxel goes to the nearest seed of its own connected component.
///
/// Distances are Euclidean at `spacing`; of equally near seeds the first in raster order counts. A component without a
/// seed becomes an object of its own, so no foreground is lost. Seeds outside the mask are ignored. Components are
/// 26-connected.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::TooManyLabels`], or [`Error::TooLarge`] for 2^32 - 1 voxels and more.
pub fn voronoi(seeds: ArrayView3<u32>, mask: ArrayView3<bool>, spacing: Spacing) -> Result<Labels, Error> {
    same_shape(("the seeds", &seeds), ("the mask", &mask))?;
    let grid = Grid::of(&mask).fits_u32()?;
    let (ids, inside) = (raster(&seeds), raster(&mask));
    let dense = Labels::from_ids(seeds);
    let parts: Vec<Vec<SeedVoxel>> = grid
        .slabs()
        .into_par_iter()
        .map(|planes| {
            let voxels = planes.start * grid.plane()..planes.end * grid.plane();
            let found = voxels.filter(|&index| ids[index] != 0 && inside[index]);
            found.map(|index| SeedVoxel::new(grid.position(index), dense.voxels()[index])).collect()
        })
        .collect();
    let bodies = Bodies::of_mask(grid, &inside, Connectivity::TwentySix)?;
    divide(&bodies, parts.concat(), dense.count(), spacing, zeros(grid))
}

/// A voxel of a seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeedVoxel {
    z: u32,
    y: u32,
    x: u32,
    id: u32,
}

impl SeedVoxel {
    /// The voxel at `[z, y, x]`, each below 2^32, of seed `id`.
    pub(crate) fn new([z, y, x]: [usize; 3], id: u32) -> Self {
        Self { z: z as u32, y: y as u32, x: x as u32, id }
    }
}

/// Divides components among seeds with ids 1 to `count`, whose voxels lie in them and come in raster order, and writes the
/// labels to `ids`, which is all 0.
fn divide(
    bodies: &Bodies,
    seeds: Vec<SeedVoxel>,
    count: u32,
    spacing: Spacing,
    mut ids: Array3<u32>,
) -> Result<Labels, Error> {
    let objects = u64::from(count) + u64::from(bodies.count);
    let most = u32::try_from(objects).map_err(|_| Error::TooManyLabels { count: objects })?;
    let grid = bodies.grid;
    let rivals = Rivals::new(bodies, seeds, count, spacing);
    let mut rest: &mut [u32] = ids.as_slice_mut().expect("zeros are made in raster order");
    let mut parts = Vec::with_capacity(bodies.slabs.len());
    for slab in &bodies.slabs {
        let (part, others) = rest.split_at_mut(slab.planes.len() * grid.plane());
        parts.push((slab, part));
        rest = others;
    }
    let seen: Vec<FirstSeen> =
        parts.into_par_iter().map(|(slab, voxels)| rivals.divide(bodies, slab, voxels, most)).collect();
    Ok(Labels::numbered(ids, seen, most))
}

/// Divides components among the 26-connected pieces of `maxima` that lie in them, those outside are ignored; writes the
/// labels to `ids`, which is all 0.
pub(crate) fn divide_among_maxima(
    maxima: Array3<bool>,
    bodies: &Bodies,
    spacing: Spacing,
    ids: Array3<u32>,
) -> Result<Labels, Error> {
    let grid = bodies.grid;
    let pieces = bodies.marked(&raster(&maxima.view()), Connectivity::TwentySix)?;
    let mut seeds = Vec::new();
    for slab in &pieces.slabs {
        let numbers = pieces.numbers(slab);
        for row in 0..slab.planes.len() * grid.ny {
            let (z, y) = (slab.planes.start + row / grid.ny, row % grid.ny);
            for run in slab.runs.row(row) {
                let (start, end) = slab.runs.list[run];
                seeds.extend((start..end).map(|x| SeedVoxel::new([z, y, x as usize], numbers[run])));
            }
        }
    }
    drop(maxima);
    divide(bodies, seeds, pieces.count, spacing, ids)
}

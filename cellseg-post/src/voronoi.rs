//! Voronoi-Otsu labelling with exact distances.
//!
//! Under this name CLIc, clesperanto and CellSeg3D grow seeds by alternating box and diamond dilations on the voxel
//! grid. Here every foreground voxel gets the truly nearest seed, at the voxels' true proportions.

use ndarray::{ArrayView3, Zip};
use rayon::prelude::*;

use crate::grid::{Grid, raster, same_shape};
use crate::{Connectivity, Error, Labels, Spacing, components, nearest_seed};

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
    let grid = Grid::of(&mask);
    let bodies = components(mask, Connectivity::TwentySix)?;
    let seeds = Zip::from(seeds).and(mask).map_collect(|&seed, &inside| if inside { seed } else { 0 });
    let seeds = Labels::from_ids(seeds.view());
    u32::try_from(u64::from(seeds.count()) + u64::from(bodies.count()))
        .map_err(|_| Error::TooManyLabels { count: u64::from(seeds.count()) + u64::from(bodies.count()) })?;

    let mut nearest = nearest_seed(seeds.ids(), spacing)?;
    let rivals = Rivals::new(grid, &seeds, &bodies, spacing);
    let body_ids = bodies.ids();
    nearest
        .as_slice_mut()
        .expect("the transform is made in raster order")
        .par_iter_mut()
        .zip(raster(&body_ids).par_iter())
        .enumerate()
        .with_min_len(1 << 12)
        .for_each(|(index, (seed, &body))| *seed = rivals.owner(index, *seed, body));
    Ok(Labels::from_ids(nearest.view()))
}

/// The seeds of each component of the mask.
struct Rivals {
    grid: Grid,
    spacing: [f64; 3],
    seed_count: u32,
    /// The component that each seed lies in.
    body_of_seed: Vec<u32>,
    /// The seed voxels of each component in raster order, with their seeds.
    of_body: Vec<Vec<(usize, u32)>>,
}

impl Rivals {
    fn new(grid: Grid, seeds: &Labels, bodies: &Labels, spacing: Spacing) -> Self {
        let mut body_of_seed = vec![0; seeds.count() as usize + 1];
        let mut of_body = vec![Vec::new(); bodies.count() as usize + 1];
        for (index, (&seed, &body)) in seeds.ids().iter().zip(bodies.ids()).enumerate() {
            if seed != 0 {
                body_of_seed[seed as usize] = body;
                of_body[body as usize].push((index, seed));
            }
        }
        Self { grid, spacing: spacing.to_array(), seed_count: seeds.count(), body_of_seed, of_body }
    }

    /// The id of a voxel of `body` whose nearest seed of all is `nearest`.
    fn owner(&self, index: usize, nearest: u32, body: u32) -> u32 {
        if body == 0 || self.body_of_seed[nearest as usize] == body {
            return if body == 0 { 0 } else { nearest };
        }
        // Rare: the nearest seed belongs to a neighbouring component.
        let here = self.grid.position(index);
        let distance = |seed: usize| -> f64 {
            let there = self.grid.position(seed);
            (0..3).map(|axis| (self.spacing[axis] * here[axis].abs_diff(there[axis]) as f64).powi(2)).sum()
        };
        self.of_body[body as usize]
            .iter()
            .map(|&(voxel, seed)| (distance(voxel), seed))
            .reduce(|best, other| if other.0 < best.0 { other } else { best })
            .map_or(self.seed_count + body, |(_, seed)| seed)
    }
}

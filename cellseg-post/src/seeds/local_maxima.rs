//! Voxels, or plateaus of equal voxels, above all their 26 neighbours.

use std::collections::VecDeque;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::grid::{Around, Grid, Neighbourhood, all_finite, raster};
use crate::memory::zeros;
use crate::wide::wide;
use crate::{Connectivity, Error};

/// What counts as a local maximum where neighbouring voxels are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaximaRule {
    /// A plateau of equal voxels is one maximum if nothing around it is higher: `skimage.morphology.local_maxima`.
    #[default]
    Plateau,
    /// A voxel must be higher than all its neighbours, so a plateau has no maximum: clesperanto (`pyclesperanto`).
    Strict,
    /// Of equal neighbours the first in the order x, y, z counts: the older `pyclesperanto_prototype`.
    ///
    /// One plateau can have several such voxels.
    FirstInScan,
}

/// How many rows are searched for marks at once.
const ROWS: usize = 256;

/// Marks the local maxima of a volume (z, y, x) among all 26 neighbours.
///
/// The outside of the volume counts for nothing. A constant volume has no maximum by [`MaximaRule::Plateau`].
///
/// # Errors
/// [`Error::NonFinite`].
pub fn local_maxima(image: ArrayView3<f32>, rule: MaximaRule) -> Result<Array3<bool>, Error> {
    let grid = Grid::of(&image);
    let voxels = raster(&image);
    all_finite(grid, &voxels)?;
    let mut maxima = zeros(grid);
    if grid.len() == 0 {
        return Ok(maxima);
    }
    let marks = maxima.as_slice_mut().expect("zeros are made in raster order");
    let hood = Neighbourhood::new(grid, Connectivity::TwentySix);
    let planes = grid.nz.div_ceil(16);
    // Whether a row has a maximum that is equal to a neighbour.
    let mut tied = vec![false; grid.nz * grid.ny];
    let slabs = marks.par_chunks_mut(planes * grid.plane()).zip(tied.par_chunks_mut(planes * grid.ny));
    slabs.enumerate().for_each(|(slab, (marks, tied))| {
        let first = slab * planes;
        mark_highest(grid, &voxels, first, marks, tied);
        if rule != MaximaRule::Plateau {
            let scan_order = |index: usize| {
                let [z, y, x] = grid.position(index);
                [x, y, z]
            };
            for (index, mark) in (first * grid.plane()..).zip(marks).filter(|(_, mark)| **mark) {
                *mark = hood.all(index, |other| {
                    voxels[other] < voxels[index]
                        || (rule == MaximaRule::FirstInScan && scan_order(other) > scan_order(index))
                });
            }
        }
    });
    if rule == MaximaRule::Plateau {
        drop_slopes(marks, &voxels, &hood, &tied);
    }
    Ok(maxima)
}

/// Marks the voxels of some planes, from plane `first` on, that no neighbour exceeds, and the rows in which one of them has
/// an equal neighbour.
///
/// The highest of 27 voxels is that of three planes, each the highest of three rows, each of three voxels.
fn mark_highest(grid: Grid, voxels: &[f32], first: usize, marks: &mut [bool], tied: &mut [bool]) {
    let plane_at = |z: usize| &voxels[z * grid.plane()..(z + 1) * grid.plane()];
    let mut rows = vec![0.0; grid.plane()];
    // The highest of 3 x 3 around each voxel of the plane before, of the same and of the next one.
    let mut highest: [Vec<f32>; 3] = std::array::from_fn(|_| vec![f32::MIN; grid.plane()]);
    if first > 0 {
        highest_of_plane(plane_at(first - 1), grid.nx, &mut rows, &mut highest[0]);
    }
    highest_of_plane(plane_at(first), grid.nx, &mut rows, &mut highest[1]);
    let planes = marks.chunks_exact_mut(grid.plane()).zip(tied.chunks_exact_mut(grid.ny));
    for (z, (marks, tied)) in (first..).zip(planes) {
        if z + 1 < grid.nz {
            highest_of_plane(plane_at(z + 1), grid.nx, &mut rows, &mut highest[2]);
        } else {
            highest[2].fill(f32::MIN);
        }
        let plane = plane_at(z);
        mark(plane, [&highest[0], &highest[1], &highest[2]], marks);
        for (y, tied) in tied.iter_mut().enumerate() {
            let row = y * grid.nx..(y + 1) * grid.nx;
            let mut maxima = row.clone().zip(&marks[row]).filter(|(_, mark)| **mark).map(|(at, _)| at);
            *tied = maxima.any(|at| {
                plane[at] == highest[0][at] || plane[at] == highest[2][at] || equals_beside(plane, grid, at)
            });
        }
        highest.rotate_left(1);
    }
}

/// Whether a voxel of a plane is equal to one of the up to eight around it.
fn equals_beside(plane: &[f32], grid: Grid, at: usize) -> bool {
    let (y, x) = (at / grid.nx, at % grid.nx);
    let columns = x.saturating_sub(1)..(x + 2).min(grid.nx);
    let mut equal = 0;
    for row in y.saturating_sub(1)..(y + 2).min(grid.ny) {
        let around = &plane[row * grid.nx..][columns.clone()];
        equal += around.iter().filter(|&&other| other == plane[at]).count();
    }
    // It is equal to itself.
    equal > 1
}

fn highest_of_plane(plane: &[f32], nx: usize, rows: &mut [f32], highest: &mut [f32]) {
    for (row, to) in plane.chunks_exact(nx).zip(rows.chunks_exact_mut(nx)) {
        to.copy_from_slice(row);
        raise(&mut to[1..], &row[..nx - 1]);
        raise(&mut to[..nx - 1], &row[1..]);
    }
    highest.copy_from_slice(rows);
    let len = rows.len();
    raise(&mut highest[nx..], &rows[..len - nx]);
    raise(&mut highest[..len - nx], &rows[nx..]);
}

wide! {
    fn raise(values: &mut [f32], others: &[f32]) {
        for (value, &other) in values.iter_mut().zip(others) {
            *value = if other > *value { other } else { *value };
        }
    }
}

wide! {
    fn mark(plane: &[f32], highest: [&[f32]; 3], marks: &mut [bool]) {
        let around = highest[0].iter().zip(highest[1]).zip(highest[2]);
        for ((mark, &value), ((&a, &b), &c)) in marks.iter_mut().zip(plane).zip(around) {
            *mark = value >= a && value >= b && value >= c;
        }
    }
}

/// Unmarks the plateaus that have a higher voxel somewhere along their rim.
///
/// Such a plateau holds a voxel that is not marked; the news spreads from there in waves over the equal voxels.
/// Only rows that are `tied` can have one.
fn drop_slopes(maxima: &mut [bool], voxels: &[f32], hood: &Neighbourhood, tied: &[bool]) {
    let beside_slope = |index: usize, maxima: &[bool]| {
        !hood.all(index, |other| maxima[other] || voxels[other] != voxels[index])
    };
    let nx = voxels.len() / tied.len();
    let found: Vec<Vec<usize>> = tied
        .par_chunks(ROWS)
        .enumerate()
        .map(|(part, tied)| {
            let rows = (part * ROWS..).zip(tied).filter(|(_, tied)| **tied).map(|(row, _)| row);
            let marked = rows.flat_map(|row| row * nx..(row + 1) * nx).filter(|&index| maxima[index]);
            marked.filter(|&index| beside_slope(index, maxima)).collect()
        })
        .collect();
    let mut wave: VecDeque<usize> = found.into_iter().flatten().collect();
    wave.iter().for_each(|&index| maxima[index] = false);
    while let Some(index) = wave.pop_front() {
        hood.each(index, |other| {
            if maxima[other] && voxels[other] == voxels[index] {
                maxima[other] = false;
                wave.push_back(other);
            }
        });
    }
    // Still marked everywhere: nothing differs, so nothing stands out.
    if maxima.iter().all(|&maximum| maximum) {
        maxima.fill(false);
    }
}

//! Voxels, or plateaus of equal voxels, above all their 26 neighbours.

use std::collections::VecDeque;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::grid::{Around, Grid, Neighbourhood, all_finite, raster};
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
    let hood = Neighbourhood::new(grid, Connectivity::TwentySix);
    let scan_order = |index: usize| {
        let [z, y, x] = grid.position(index);
        [x, y, z]
    };
    let mut maxima: Vec<bool> = (0..grid.len())
        .into_par_iter()
        .with_min_len(1 << 12)
        .map(|index| {
            let here = voxels[index];
            hood.all(index, |other| match rule {
                MaximaRule::Plateau => voxels[other] <= here,
                MaximaRule::Strict => voxels[other] < here,
                MaximaRule::FirstInScan => {
                    voxels[other] < here || (voxels[other] == here && scan_order(other) > scan_order(index))
                }
            })
        })
        .collect();
    if rule == MaximaRule::Plateau {
        drop_slopes(&mut maxima, &voxels, &hood);
    }
    Ok(Array3::from_shape_vec(grid.shape(), maxima).expect("one flag for each voxel"))
}

/// Unmarks the plateaus that have a higher voxel somewhere along their rim.
///
/// Such a plateau holds a voxel that is not marked; the news spreads from there in waves over the equal voxels.
fn drop_slopes(maxima: &mut [bool], voxels: &[f32], hood: &Neighbourhood) {
    let beside_slope = |index: usize, maxima: &[bool]| {
        !hood.all(index, |other| maxima[other] || voxels[other] != voxels[index])
    };
    let mut wave: VecDeque<usize> = (0..voxels.len())
        .into_par_iter()
        .with_min_len(1 << 12)
        .filter(|&index| maxima[index] && beside_slope(index, maxima))
        .collect::<Vec<_>>()
        .into();
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

//! Peaks and how far each stands out of its surroundings.
//!
//! Voxels are taken from the highest down, and a union-find keeps the hills that have risen so far. Where two hills
//! meet, the lower summit ends; the height from there to the meeting point is its persistence (the "dynamics" of
//! Grimaud 1992). The peaks of persistence h and more are the h-maxima of mathematical morphology.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::float_order::{key, value_of};
use crate::grid::{Grid, Neighbourhood, all_finite, raster, same_shape};
use crate::union_find::UnionFind;
use crate::{Connectivity, Error, Spacing};

/// A summit of a height map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// The voxel (z, y, x): the first in raster order if the summit is flat.
    pub position: [usize; 3],
    /// The height there.
    pub height: f32,
    /// How far one must go down before a higher summit can be reached; infinite for the highest of its component.
    pub persistence: f32,
}

/// The peaks of `height` inside `mask` whose persistence is at least `h`, the highest first.
///
/// Of equally high summits that meet, the first in raster order outlives the other.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::NonFinite`], [`Error::TooLarge`] for 2^32 - 1 voxels and more, or
/// [`Error::Argument`] if `h` is negative or NaN.
pub fn persistent_peaks(
    height: ArrayView3<f32>,
    mask: ArrayView3<bool>,
    h: f32,
    connectivity: Connectivity,
) -> Result<Vec<Peak>, Error> {
    same_shape(("the height map", &height), ("the mask", &mask))?;
    if h.is_nan() || h < 0.0 {
        return Err(Error::Argument {
            name: "the smallest persistence h",
            given: h.to_string(),
            expected: "a number of at least 0",
        });
    }
    let grid = Grid::of(&height).fits_u32()?;
    let voxels = raster(&height);
    all_finite(grid, &voxels)?;
    let hood = Neighbourhood::new(grid, connectivity);
    let mut hills = Hills { of_voxel: vec![0; grid.len()], sets: UnionFind::default(), peaks: Vec::new() };
    // Hill 0 stands for "none yet", so that the volume can start as zeros.
    hills.sets.push();
    for (height, index) in from_the_highest(&voxels, &raster(&mask)) {
        hills.rise(index, height, grid, &hood);
    }
    let Hills { mut peaks, .. } = hills;
    // A persistence of 0 is a second voxel of a flat summit, not a peak.
    peaks.retain(|peak| peak.persistence > 0.0 && peak.persistence >= h);
    Ok(peaks)
}

/// Heights and raster indices inside the mask by falling height, equal ones in raster order.
fn from_the_highest(voxels: &[f32], mask: &[bool]) -> impl Iterator<Item = (f32, usize)> {
    let mut order: Vec<u64> = voxels
        .par_iter()
        .zip(mask)
        .enumerate()
        .with_min_len(1 << 16)
        .filter(|(_, (_, inside))| **inside)
        .map(|(index, (&value, _))| u64::from(!key(value)) << 32 | index as u64)
        .collect();
    order.par_sort_unstable();
    order.into_iter().map(|entry| (value_of(!((entry >> 32) as u32)), entry as u32 as usize))
}

struct Hills {
    /// The hill each voxel rose on; 0 where none did yet.
    of_voxel: Vec<u32>,
    /// Hills that have met; the smallest number, which is the highest summit, stands for all.
    sets: UnionFind,
    /// The summit of hill `i + 1`.
    peaks: Vec<Peak>,
}

impl Hills {
    fn rise(&mut self, index: usize, height: f32, grid: Grid, hood: &Neighbourhood) {
        let Self { of_voxel, sets, peaks } = self;
        let mut hill = 0;
        hood.each(index, |other| {
            if of_voxel[other] == 0 || of_voxel[other] == hill {
                return;
            }
            let there = sets.find(of_voxel[other]);
            if hill == 0 {
                hill = there;
            } else if there != hill {
                let lower = &mut peaks[there.max(hill) as usize - 1];
                lower.persistence = lower.height - height;
                sets.unite(hill, there);
                hill = hill.min(there);
            }
        });
        if hill == 0 {
            hill = sets.push();
            peaks.push(Peak { position: grid.position(index), height, persistence: f32::INFINITY });
        }
        of_voxel[index] = hill;
    }
}

/// Keeps the peaks that are at least `distance` micrometres from every kept peak before them.
///
/// With the highest first, as [`persistent_peaks`] returns them, lower peaks give way to higher ones.
///
/// # Errors
/// [`Error::Argument`] if the distance is negative or not finite.
pub fn keep_apart(peaks: &[Peak], distance: f64, spacing: Spacing) -> Result<Vec<Peak>, Error> {
    if !(distance.is_finite() && distance >= 0.0) {
        return Err(Error::Argument {
            name: "the smallest distance between peaks in micrometres",
            given: distance.to_string(),
            expected: "a finite number of at least 0",
        });
    }
    if distance == 0.0 {
        return Ok(peaks.to_vec());
    }
    let sides = spacing.to_array();
    let place = |peak: &Peak| std::array::from_fn(|axis| peak.position[axis] as f64 * sides[axis]);
    // Only peaks in the 27 cells around a peak can be nearer than one cell's side.
    let mut cells: FxHashMap<[i64; 3], Vec<[f64; 3]>> = FxHashMap::default();
    let mut kept = Vec::new();
    for peak in peaks {
        let here: [f64; 3] = place(peak);
        let cell = here.map(|length| (length / distance).floor() as i64);
        let crowded = cells_around(cell).any(|cell| {
            cells.get(&cell).is_some_and(|others| {
                others.iter().any(|there| squared_distance(here, *there) < distance * distance)
            })
        });
        if !crowded {
            cells.entry(cell).or_default().push(here);
            kept.push(*peak);
        }
    }
    Ok(kept)
}

fn cells_around([z, y, x]: [i64; 3]) -> impl Iterator<Item = [i64; 3]> {
    (0..27).map(move |n| [z + n / 9 - 1, y + n / 3 % 3 - 1, x + n % 3 - 1])
}

fn squared_distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// A volume of `shape` (z, y, x) with id 1 at the first peak, 2 at the second, and 0 elsewhere.
///
/// # Errors
/// [`Error::TooManyLabels`]; [`Error::Argument`] if a peak lies outside the shape.
pub fn seed_volume(peaks: &[Peak], shape: [usize; 3]) -> Result<Array3<u32>, Error> {
    if u32::try_from(peaks.len()).is_err() {
        return Err(Error::TooManyLabels { count: peaks.len() as u64 });
    }
    let mut seeds = Array3::zeros(shape);
    for (id, peak) in (1..).zip(peaks) {
        let seed = seeds.get_mut(peak.position).ok_or_else(|| Error::Argument {
            name: "a peak's position (z, y, x)",
            given: format!("{:?}", peak.position),
            expected: "a voxel inside the volume",
        })?;
        *seed = id;
    }
    Ok(seeds)
}

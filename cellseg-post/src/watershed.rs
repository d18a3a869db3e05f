//! Watershed from seeds, by priority flood.
//!
//! Voxels are taken in the order of (level, time of arrival); a voxel's level is its own value, but never below that
//! of the voxel it was reached from (Barnes, Lehman & Mulla 2014; Beucher & Meyer 1993). That is scikit-image's order,
//! so the labels are the same except where seeds are equally high: scikit-image then lets the layout of its heap
//! decide, here the first in raster order comes first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ndarray::{Array3, ArrayView3};

use crate::float_order::{key, value_of};
use crate::grid::{Grid, Neighbourhood, all_finite, raster, same_shape};
use crate::{Connectivity, Error};

/// Floods `landscape` (z, y, x) inside `mask` from `seeds`, low values first.
///
/// Each voxel gets the id of the seed whose flood arrives first; 0 outside the mask and where no flood arrives. Seeds
/// outside the mask are ignored. As `skimage.segmentation.watershed(landscape, seeds, connectivity, mask=mask)`.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::NonFinite`], or [`Error::TooLarge`] for 2^32 - 1 voxels and more.
pub fn watershed(
    landscape: ArrayView3<f32>,
    seeds: ArrayView3<u32>,
    mask: ArrayView3<bool>,
    connectivity: Connectivity,
) -> Result<Array3<u32>, Error> {
    same_shape(("the landscape", &landscape), ("the seeds", &seeds))?;
    same_shape(("the landscape", &landscape), ("the mask", &mask))?;
    let grid = Grid::of(&landscape).fits_u32()?;
    let heights = raster(&landscape);
    all_finite(grid, &heights)?;
    let inside = raster(&mask);
    let hood = Neighbourhood::new(grid, connectivity);

    let mut ids: Vec<u32> =
        raster(&seeds).iter().zip(inside.iter()).map(|(&id, &inside)| if inside { id } else { 0 }).collect();
    let mut front = Front::new(&heights);
    for (index, _) in ids.iter().enumerate().filter(|(_, id)| **id != 0) {
        front.push(heights[index], 0, index as u32);
    }
    let mut arrivals = 0u32;
    while let Some((level, index)) = front.pop() {
        let index = index as usize;
        hood.each(index, |other| {
            if inside[other] && ids[other] == 0 {
                ids[other] = ids[index];
                arrivals += 1;
                front.push(heights[other].max(level), arrivals, other as u32);
            }
        });
    }
    Ok(Array3::from_shape_vec(grid.shape(), ids).expect("one id for each voxel"))
}

/// How many slices the range of heights is cut into.
const SLICES: usize = 4096;

/// The flood's front: a priority queue of voxels by (level, arrival, raster index).
///
/// Levels never fall, so only the slice of heights that is being flooded needs a heap; what lies higher waits in plain
/// lists. The order is that of one large heap, at a fraction of its cache misses.
struct Front {
    lowest: f32,
    slices_per_height: f32,
    current: usize,
    heap: BinaryHeap<Reverse<Entry>>,
    waiting: Vec<Vec<Reverse<Entry>>>,
}

/// The key of the level above the arrival in one number, and the voxel's raster index.
type Entry = (u64, u32);

impl Front {
    fn new(heights: &[f32]) -> Self {
        let lowest = heights.iter().copied().fold(f32::MAX, f32::min);
        let highest = heights.iter().copied().fold(f32::MIN, f32::max);
        Self {
            lowest,
            slices_per_height: SLICES as f32 / (highest - lowest),
            current: 0,
            heap: BinaryHeap::new(),
            waiting: vec![Vec::new(); SLICES],
        }
    }

    fn push(&mut self, level: f32, arrival: u32, index: u32) {
        let entry = Reverse((u64::from(key(level)) << 32 | u64::from(arrival), index));
        // The cast turns the NaN of a flat landscape (0 times infinity) into slice 0.
        let slice = ((level - self.lowest) * self.slices_per_height) as usize;
        let slice = slice.min(SLICES - 1);
        if slice <= self.current {
            self.heap.push(entry);
        } else {
            self.waiting[slice].push(entry);
        }
    }

    fn pop(&mut self) -> Option<(f32, u32)> {
        while self.heap.is_empty() && self.current + 1 < SLICES {
            self.current += 1;
            self.heap = std::mem::take(&mut self.waiting[self.current]).into();
        }
        self.heap.pop().map(|Reverse((order, index))| (value_of((order >> 32) as u32), index))
    }
}

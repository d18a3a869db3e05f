//! Watershed from seeds, by priority flood.
//!
//! Voxels are taken in the order of (level, time of arrival); a voxel's level is its own value, but never below that
//! of the voxel it was reached from (Barnes, Lehman & Mulla 2014; Beucher & Meyer 1993). That is scikit-image's order,
//! so the labels are the same except where seeds are equally high: scikit-image then lets the layout of its heap
//! decide, here the first in raster order comes first. [`SeedTies::Skimage`] follows the heap.
//!
//! No flood leaves its component of the mask, so each component is flooded on its own, in memory that fits the cache and
//! on any thread; the labels are those of one flood over the whole volume.

mod basin;
mod front;
mod hierarchy;
mod leaving;
mod seed_order;

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

pub use hierarchy::{Merge, Saliency, WatershedHierarchy};

use crate::bodies::{BodyRun, BodyRuns};
use crate::components::Bodies;
use crate::grid::{Around, Grid, Neighbourhood, all_finite, raster, same_shape};
use crate::memory::{prefetch, zeros};
use crate::{Connectivity, Error};
use basin::Basin;
use front::{Front, Queue};
use seed_order::SeedOrder;

/// Which of equally high seeds floods first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SeedTies {
    /// The first in raster order.
    #[default]
    Raster,
    /// The one that lies first in scikit-image's heap, so that labels are equal to those of
    /// `skimage.segmentation.watershed` to the last voxel; their order is sought by one thread.
    Skimage,
}

/// How [`watershed_with`] floods.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Flood {
    /// Which voxels a flood steps to.
    pub connectivity: Connectivity,
    /// Which of equally high seeds floods first.
    pub ties: SeedTies,
    /// How much a voxel's distance in voxels to its seed raises its level: 0 for a plain watershed, large values for
    /// objects of even size (Neubert & Protzel 2014). Other than 0 is flooded as scikit-image does.
    pub compactness: f64,
    /// Whether a line of background one voxel wide is left between objects. Flooded as scikit-image does, which draws no
    /// line where compactness is above 0.
    pub line: bool,
}

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
    watershed_with(landscape, seeds, mask, &Flood { connectivity, ..Flood::default() })
}

/// [`watershed`] with all its settings.
///
/// # Errors
/// Those of [`watershed`]; [`Error::Argument`] if the compactness is negative or not finite.
pub fn watershed_with(
    landscape: ArrayView3<f32>,
    seeds: ArrayView3<u32>,
    mask: ArrayView3<bool>,
    flood: &Flood,
) -> Result<Array3<u32>, Error> {
    same_shape(("the landscape", &landscape), ("the seeds", &seeds))?;
    same_shape(("the landscape", &landscape), ("the mask", &mask))?;
    if !(flood.compactness.is_finite() && flood.compactness >= 0.0) {
        return Err(Error::Argument {
            name: "the watershed's compactness",
            given: flood.compactness.to_string(),
            expected: "a finite number of at least 0",
        });
    }
    let grid = Grid::of(&landscape).fits_u32()?;
    let heights = raster(&landscape);
    all_finite(grid, &heights)?;
    let (seeds, inside) = (raster(&seeds), raster(&mask));
    let map = Map { grid, heights: &heights, seeds: &seeds, inside: &inside };
    let mut ids = zeros(grid);
    let voxels = ids.as_slice_mut().expect("zeros are made in raster order");
    if flood.compactness > 0.0 || flood.line {
        leaving::flood(&map, flood, voxels);
    } else {
        by_components(&map, flood, voxels)?;
    }
    Ok(ids)
}

/// What is flooded, in raster order.
struct Map<'a> {
    grid: Grid,
    heights: &'a [f32],
    seeds: &'a [u32],
    inside: &'a [bool],
}

impl Map<'_> {
    /// Asks for what the flood of a voxel that is taken soon will look at: levels leap through the volume.
    fn fetch_around<T>(&self, states: &[T], index: usize) {
        let (row, plane) = (self.grid.nx as isize, self.grid.plane() as isize);
        for step in [0, -row, row, -plane, plane] {
            let place = index.wrapping_add_signed(step);
            prefetch(states, place);
            prefetch(self.heights, place);
        }
    }
}

/// The label of voxels that no flood has reached yet.
const FREE: u32 = u32::MAX;

/// The same numbers for several floods, no two of which reach one voxel.
fn shared(labels: &mut [u32]) -> &[AtomicU32] {
    // SAFETY: atomic numbers lie in memory as plain ones do, and nobody else has these while they are borrowed.
    unsafe { &*(std::ptr::from_mut(labels) as *const [AtomicU32]) }
}

/// Floods each component of the mask.
fn by_components(map: &Map, flood: &Flood, ids: &mut [u32]) -> Result<(), Error> {
    let connectivity = flood.connectivity;
    let bodies = BodyRuns::new(Bodies::of_mask(map.grid, map.inside, connectivity)?);
    let (large, small) = bodies.large_and_small();
    let order = match flood.ties {
        SeedTies::Raster => SeedOrder::raster(),
        SeedTies::Skimage => SeedOrder::of_skimage(map, &bodies, connectivity),
    };
    let ids = shared(ids);
    let in_place = || {
        large
            .par_iter()
            .with_max_len(1)
            .for_each(|&body| in_place(map, bodies.of(body), connectivity, &order, ids));
    };
    let in_boxes = || {
        small.par_iter().with_max_len(256).for_each_init(
            || Basin::new(connectivity),
            |basin, &body| {
                let runs = bodies.of(body);
                match only_seed(map, runs) {
                    // They are 0 already.
                    Some(0) => (),
                    Some(id) => runs
                        .iter()
                        .flat_map(|run| &ids[run.voxels(map.grid)])
                        .for_each(|to| to.store(id, Relaxed)),
                    None => basin.flood(map, runs, &order, ids),
                }
            },
        );
    };
    rayon::join(in_place, in_boxes);
    Ok(())
}

/// The seed of a component that has exactly one id among its seeds; 0 if it has no seed.
fn only_seed(map: &Map, runs: &[BodyRun]) -> Option<u32> {
    let mut only = 0;
    for run in runs {
        for &seed in &map.seeds[run.voxels(map.grid)] {
            if seed != 0 && only != 0 && seed != only {
                return None;
            }
            only |= seed;
        }
    }
    Some(only)
}

/// Floods the component of these runs, in raster order, without a copy of it; `ids` are 0 in and around it.
fn in_place(map: &Map, runs: &[BodyRun], connectivity: Connectivity, order: &SeedOrder, ids: &[AtomicU32]) {
    let (mut seeds, mut names) = (Vec::new(), Vec::new());
    for run in runs {
        let voxels = run.voxels(map.grid);
        for (index, (id, &seed)) in
            (voxels.start as u32..).zip(ids[voxels.clone()].iter().zip(&map.seeds[voxels]))
        {
            id.store(if seed == 0 { FREE } else { names.len() as u32 }, Relaxed);
            if seed != 0 {
                names.push(seed);
                seeds.push(index);
            }
        }
    }
    order.sort(&mut seeds, |&index| index as usize);
    let mut front = Front::default();
    let mut queue = front.over(map.heights, runs.iter().map(|run| &map.heights[run.voxels(map.grid)]));
    seeds.iter().for_each(|&seed| queue.push(seed));
    pour(queue, ids, &Neighbourhood::new(map.grid, connectivity), |soon| map.fetch_around(ids, soon));
    for run in runs {
        for id in &ids[run.voxels(map.grid)] {
            let label = id.load(Relaxed);
            id.store(if label == FREE { 0 } else { names[label as usize] }, Relaxed);
        }
    }
}

/// How many voxels ahead of the flood memory is asked for.
const AHEAD: u32 = 4;

/// Floods what is [`FREE`] of `labels` from the voxels in the queue; `fetch` asks for what the flood of one that is taken
/// soon will look at.
fn pour(mut queue: Queue, labels: &[AtomicU32], around: &impl Around, fetch: impl Fn(usize)) {
    while let Some(voxel) = queue.pop() {
        if let Some(soon) = queue.ahead(AHEAD) {
            fetch(soon as usize);
        }
        let label = labels[voxel as usize].load(Relaxed);
        around.each(voxel as usize, |other| {
            if labels[other].load(Relaxed) == FREE {
                labels[other].store(label, Relaxed);
                queue.push(other as u32);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_flood_in_place_is_that_of_components_in_boxes(
            voxels in prop::collection::vec((0u8..6, 0u8..8, 0u8..5), 6 * 7 * 8),
            connectivity in prop_oneof![Just(Connectivity::Six), Just(Connectivity::TwentySix)],
        ) {
            let grid = Grid { nz: 6, ny: 7, nx: 8 };
            let heights: Vec<f32> = voxels.iter().map(|voxel| f32::from(voxel.0) - 3.0).collect();
            let inside: Vec<bool> = voxels.iter().map(|voxel| voxel.2 != 0).collect();
            let seeds: Vec<u32> =
                voxels.iter().zip(1..).map(|(voxel, index)| if voxel.1 == 0 { index } else { 0 }).collect();
            let map = Map { grid, heights: &heights, seeds: &seeds, inside: &inside };
            let flood = Flood { connectivity, ..Flood::default() };
            let mut apart = vec![0; grid.len()];
            by_components(&map, &flood, &mut apart).unwrap();
            let mut together = vec![0; grid.len()];
            let bodies = BodyRuns::new(Bodies::of_mask(grid, &inside, connectivity).unwrap());
            for body in bodies.all() {
                in_place(&map, bodies.of(body), connectivity, &SeedOrder::raster(), shared(&mut together));
            }
            prop_assert_eq!(apart, together);
        }
    }
}

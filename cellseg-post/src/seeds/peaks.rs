//! Peaks and how far each stands out of its surroundings.
//!
//! Voxels are taken from the highest down, and a union-find keeps the hills that have risen so far. Where two hills
//! meet, the lower summit ends; the height from there to the meeting point is its persistence (the "dynamics" of
//! Grimaud 1992). The peaks of persistence h and more are the h-maxima of mathematical morphology.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::by_height::ByHeight;
use crate::bodies::{BodyRun, BodyRuns, BoxGrid};
use crate::components::Bodies;
use crate::grid::{Around, Grid, Jumps, all_finite, raster, same_shape};
use crate::memory::zeros;
use crate::union_find::UnionFind;
use crate::wide::wide;
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
/// [`Error::ShapeMismatch`], [`Error::NonFinite`], [`Error::TooLarge`] for 2^32 - 1 voxels and more, those of a rim around a
/// component that fills the volume included, or [`Error::Argument`] if `h` is negative or NaN.
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
    let heights = raster(&height);
    all_finite(grid, &heights)?;
    let bodies = BodyRuns::new(Bodies::of_mask(grid, &raster(&mask), connectivity)?);
    // Large components come first, so that no thread is left with one alone in the end.
    let (large, small) = bodies.large_and_small();
    let boxed = |body: u32| BoxGrid::around(grid, bodies.of(body)).len();
    if large.iter().any(|&body| u32::try_from(boxed(body)).is_err()) {
        return Err(Error::TooLarge { shape: grid.shape(), limit: u64::from(u32::MAX) });
    }
    let parts: Vec<&[u32]> = large.chunks(1).chain(small.chunks(64)).collect();
    let found: Vec<Vec<Peak>> = parts
        .into_par_iter()
        .with_max_len(1)
        .map(|part| {
            let mut landscape = Landscape::new(connectivity);
            let mut peaks = Vec::new();
            for &body in part {
                landscape.copy(grid, &heights, bodies.of(body));
                landscape.rise(|peak| peaks.extend(Some(peak).filter(|peak| stands_out(peak, h))));
            }
            peaks
        })
        .collect();
    let mut peaks: Vec<Peak> = found.into_iter().flatten().collect();
    peaks.sort_by(|a, b| b.height.total_cmp(&a.height).then(a.position.cmp(&b.position)));
    Ok(peaks)
}

fn stands_out(peak: &Peak, h: f32) -> bool {
    // A persistence of 0 is a second voxel of a flat summit, not a peak.
    peak.persistence > 0.0 && peak.persistence >= h
}

/// A component in a box of its own, so that all that its hills need lies in the cache.
struct Landscape {
    connectivity: Connectivity,
    padded: BoxGrid,
    order: ByHeight,
    hills: Hills,
}

impl Landscape {
    fn new(connectivity: Connectivity) -> Self {
        Self { connectivity, padded: BoxGrid::default(), order: ByHeight::default(), hills: Hills::default() }
    }

    fn copy(&mut self, grid: Grid, heights: &[f32], runs: &[BodyRun]) {
        self.padded = BoxGrid::around(grid, runs);
        self.hills.clear(self.padded.len());
        self.order.clear();
        for run in runs {
            let place = self.padded.place(run);
            self.order.extend((place..).zip(&heights[run.voxels(grid)]).map(|(at, &height)| (height, at)));
        }
    }

    /// Calls `found` with each peak, by falling height.
    fn rise(&mut self, mut found: impl FnMut(Peak)) {
        let Self { hills, order, padded, connectivity } = self;
        let jumps = padded.jumps(*connectivity);
        if *connectivity == Connectivity::TwentySix {
            rise_among_26(hills, order, &jumps, &padded.rows_around());
        } else {
            order.falling().for_each(|(height, index)| hills.rise(index, height, &jumps));
        }
        for summit in hills.summits.drain(..) {
            found(summit.at(padded.position(summit.index)));
        }
    }
}

wide! {
    /// Lets all voxels rise; `rows` are the steps to the first voxels of the nine rows of three neighbours.
    ///
    /// Most voxels have one hill alone around them, which nine short vectors show at once.
    fn rise_among_26(hills: &mut Hills, order: &mut ByHeight, jumps: &Jumps, rows: &[isize; 9]) {
        for (height, index) in order.falling() {
            // The largest number around, and the smallest but 0; 0 less 1 is the largest of all.
            let (mut most, mut least) = ([0u32; 4], [u32::MAX; 4]);
            for row in rows {
                let at = index.wrapping_add_signed(*row);
                let four: [u32; 4] = *hills.of_voxel[at..].first_chunk().expect("the rim is wide enough");
                for lane in 0..4 {
                    most[lane] = most[lane].max(four[lane]);
                    least[lane] = least[lane].min(four[lane].wrapping_sub(1));
                }
            }
            let most = most[0].max(most[1]).max(most[2]);
            let least = least[0].min(least[1]).min(least[2]);
            if most > 0 && least == most - 1 {
                hills.of_voxel[index] = most;
            } else {
                hills.rise(index, height, jumps);
            }
        }
    }
}

/// Voxels that have not met a higher hill yet, and where they began.
struct Summit {
    index: usize,
    height: f32,
    persistence: f32,
}

impl Summit {
    fn at(&self, position: [usize; 3]) -> Peak {
        Peak { position, height: self.height, persistence: self.persistence }
    }
}

#[derive(Default)]
struct Hills {
    /// The hill each voxel rose on; 0 where none did yet.
    of_voxel: Vec<u32>,
    /// Hills that have met; the smallest number, which is the highest summit, stands for all. Hill 0 is none.
    sets: UnionFind,
    /// The summit of hill `i + 1`.
    summits: Vec<Summit>,
}

impl Hills {
    fn clear(&mut self, len: usize) {
        self.of_voxel.clear();
        if len <= self.of_voxel.capacity() {
            self.of_voxel.resize(len, 0);
        } else {
            let line = Grid { nz: 1, ny: 1, nx: len };
            self.of_voxel = zeros(line).into_raw_vec_and_offset().0;
        }
        self.sets = UnionFind::new(1);
        self.summits.clear();
    }

    /// Lets a voxel rise out of the flood.
    #[inline]
    fn rise(&mut self, index: usize, height: f32, around: &impl Around) {
        let Self { of_voxel, sets, summits } = self;
        let mut hill = 0;
        around.each(index, |other| {
            if of_voxel[other] == 0 || of_voxel[other] == hill {
                return;
            }
            let there = sets.find(of_voxel[other]);
            if hill == 0 {
                hill = there;
            } else if there != hill {
                let lower = &mut summits[there.max(hill) as usize - 1];
                lower.persistence = lower.height - height;
                sets.unite(hill, there);
                hill = hill.min(there);
            }
        });
        if hill == 0 {
            hill = sets.push();
            summits.push(Summit { index, height, persistence: f32::INFINITY });
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

//! Watershed without seeds: all basins, and in which order they would merge.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::watershed;
use crate::float_order::key;
use crate::grid::{Grid, Neighbourhood, raster};
use crate::union_find::UnionFind;
use crate::{Connectivity, Error, Labels, Spacing, persistent_peaks, seed_volume};

/// What makes a basin last when basins merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Saliency {
    /// How far its summit stands above the pass to a higher one (the "dynamics" of Grimaud 1992), in units of the map.
    #[default]
    Dynamics,
    /// Its volume in cubic micrometres when it merges.
    Volume,
}

/// Two basins that merge over the pass between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Merge {
    /// The ids of the basins on both sides of the pass; basins that each has merged with before come along.
    pub ids: [u32; 2],
    /// The saliency of the less salient side.
    pub saliency: f64,
}

/// All basins of a height map and the order of their merging (Najman & Schmitt 1996): every division of the foreground
/// into objects that a threshold on saliency can give, from one flood.
///
/// The objects at one saliency are unions of those at any lower one. With [`Saliency::Dynamics`] there are as many as
/// [`persistent_peaks`] of that persistence.
#[derive(Debug, Clone, PartialEq)]
pub struct WatershedHierarchy {
    ids: Array3<u32>,
    count: u32,
    merges: Vec<Merge>,
}

impl WatershedHierarchy {
    /// Floods `height` (z, y, x), bright where objects are, inside `mask` from every peak.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::NonFinite`], or [`Error::TooLarge`] for 2^32 - 1 voxels and more.
    pub fn new(
        height: ArrayView3<f32>,
        mask: ArrayView3<bool>,
        spacing: Spacing,
        by: Saliency,
        connectivity: Connectivity,
    ) -> Result<Self, Error> {
        let grid = Grid::of(&height);
        let peaks = persistent_peaks(height, mask, 0.0, connectivity)?;
        let seeds = seed_volume(&peaks, grid.shape())?;
        let depth = height.mapv(|value| -value);
        let ids = watershed(depth.view(), seeds.view(), mask, connectivity)?;
        let passes = passes(grid, &raster(&ids.view()), &raster(&height), connectivity);
        let worth: Vec<f64> = match by {
            // Peaks come from the highest down, and so do their ids.
            Saliency::Dynamics => peaks.iter().map(|peak| f64::from(peak.height)).collect(),
            Saliency::Volume => {
                let mut voxels = vec![0u64; peaks.len() + 1];
                ids.iter().for_each(|&id| voxels[id as usize] += 1);
                voxels[1..].iter().map(|&voxels| voxels as f64 * spacing.voxel_volume()).collect()
            }
        };
        let merges = merges(passes, worth, by);
        Ok(Self { ids, count: peaks.len() as u32, merges })
    }

    /// The number of basins.
    pub fn basins(&self) -> u32 {
        self.count
    }

    /// The merges by falling height of their passes.
    ///
    /// Their ids are those of the basins, numbered from the highest summit down.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// The objects whose borders are at least as salient as `saliency`; with 0 all basins.
    pub fn at(&self, saliency: f64) -> Labels {
        self.merged(|merge| merge.saliency < saliency)
    }

    /// The `count` most salient objects, or as near to that number as basins and separate parts of the mask allow.
    pub fn with_objects(&self, count: u32) -> Labels {
        let parts = self.count as usize - self.merges.len();
        let kept = (count as usize).saturating_sub(parts).min(self.merges.len());
        // Of equally salient merges the one over the lower pass is kept.
        let mut order: Vec<usize> = (0..self.merges.len()).rev().collect();
        order.sort_by(|&a, &b| self.merges[b].saliency.total_cmp(&self.merges[a].saliency));
        let mut keep = vec![false; self.merges.len()];
        order[..kept].iter().for_each(|&merge| keep[merge] = true);
        let mut keep = keep.into_iter();
        self.merged(|_| keep.next() == Some(false))
    }

    /// The basins with those merges done for which `done` is true.
    fn merged(&self, mut done: impl FnMut(&Merge) -> bool) -> Labels {
        let mut sets = UnionFind::new(self.count + 1);
        for merge in &self.merges {
            if done(merge) {
                sets.unite(merge.ids[0], merge.ids[1]);
            }
        }
        let roots: Vec<u32> = (0..=self.count).map(|id| sets.find(id)).collect();
        Labels::from_ids(self.ids.mapv(|id| roots[id as usize]).view())
    }
}

/// The highest pass between each pair of basins side by side, the highest of all first.
fn passes(grid: Grid, ids: &[u32], heights: &[f32], connectivity: Connectivity) -> Vec<([u32; 2], f32)> {
    let hood = Neighbourhood::new(grid, connectivity);
    let parts: Vec<FxHashMap<[u32; 2], f32>> = grid
        .slabs()
        .into_par_iter()
        .map(|planes| {
            let mut highest: FxHashMap<[u32; 2], f32> = FxHashMap::default();
            for here in planes.start * grid.plane()..planes.end * grid.plane() {
                let id = ids[here];
                if id == 0 {
                    continue;
                }
                hood.all(here, |there| {
                    // Each pair once.
                    if there < here && ids[there] != id && ids[there] != 0 {
                        let pair = [id.min(ids[there]), id.max(ids[there])];
                        let pass = heights[here].min(heights[there]);
                        highest.entry(pair).and_modify(|high| *high = high.max(pass)).or_insert(pass);
                    }
                    true
                });
            }
            highest
        })
        .collect();
    let mut highest: FxHashMap<[u32; 2], f32> = FxHashMap::default();
    for (pair, pass) in parts.into_iter().flatten() {
        highest.entry(pair).and_modify(|high| *high = high.max(pass)).or_insert(pass);
    }
    let mut passes: Vec<([u32; 2], f32)> = highest.into_iter().collect();
    passes.sort_unstable_by_key(|&(pair, pass)| (std::cmp::Reverse(key(pass)), pair));
    passes
}

/// The merges of basins over their passes; `worth` is the height of each one's summit, or its volume.
fn merges(passes: Vec<([u32; 2], f32)>, mut worth: Vec<f64>, by: Saliency) -> Vec<Merge> {
    let mut sets = UnionFind::new(worth.len() as u32 + 1);
    let mut merges = Vec::new();
    for (ids, pass) in passes {
        let [a, b] = ids.map(|id| sets.find(id));
        if a == b {
            continue;
        }
        let [worth_a, worth_b] = [a, b].map(|id| worth[id as usize - 1]);
        let (saliency, together) = match by {
            Saliency::Dynamics => (worth_a.min(worth_b) - f64::from(pass), worth_a.max(worth_b)),
            Saliency::Volume => (worth_a.min(worth_b), worth_a + worth_b),
        };
        merges.push(Merge { ids, saliency });
        sets.unite(a, b);
        worth[a.min(b) as usize - 1] = together;
    }
    merges
}

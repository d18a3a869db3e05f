//! Label volumes whose ids are 1, 2, ... without gaps.

use std::ops::RangeBounds;

use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::Spacing;
use crate::grid::{Grid, raster};
use crate::memory::zeros;

/// Instances: one id a voxel (z, y, x), 0 for background, 1 to `count` for the objects.
///
/// Ids have no gaps and are numbered in raster order of the objects' first voxels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    ids: Array3<u32>,
    count: u32,
}

impl Labels {
    /// No objects in a volume of `shape` (z, y, x).
    pub(crate) fn none(shape: [usize; 3]) -> Self {
        Self { ids: Array3::zeros(shape), count: 0 }
    }

    /// Ids already numbered 1 to `count` in raster order.
    pub(crate) fn from_dense(ids: Array3<u32>, count: u32) -> Self {
        Self { ids, count }
    }

    /// Renumbers any ids to 1, 2, ... in raster order of their first voxels; 0 stays background.
    ///
    /// Voxels with one id are one object, connected or not.
    pub fn from_ids(ids: ArrayView3<u32>) -> Self {
        let grid = Grid::of(&ids);
        let source = raster(&ids);
        let most = source.par_iter().with_min_len(1 << 16).max().copied().unwrap_or(0);
        if most as usize > grid.len().max(1 << 16) {
            return Self::from_any(grid, &source);
        }
        let seen = grid
            .slabs()
            .into_par_iter()
            .map(|planes| {
                let mut seen = FirstSeen::new(most);
                seen.row(&source[planes.start * grid.plane()..planes.end * grid.plane()]);
                seen
            })
            .collect();
        let mut copy = zeros(grid);
        copy.as_slice_mut().expect("zeros are made in raster order").copy_from_slice(&source);
        Self::numbered(copy, seen, most)
    }

    /// Renumbers ids that are too far apart for a table.
    fn from_any(grid: Grid, ids: &[u32]) -> Self {
        let mut numbers: FxHashMap<u32, u32> = FxHashMap::default();
        let mut last = (0, 0);
        let dense = ids
            .iter()
            .map(|&id| {
                if id != last.0 {
                    let next = numbers.len() as u32 + 1;
                    last = (id, if id == 0 { 0 } else { *numbers.entry(id).or_insert(next) });
                }
                last.1
            })
            .collect();
        let count = numbers.len() as u32;
        Self { ids: Array3::from_shape_vec(grid.shape(), dense).expect("one id for each voxel"), count }
    }

    /// Renumbers ids of at most `most`; `seen` tells which came first in each slab of the volume.
    pub(crate) fn numbered(mut ids: Array3<u32>, seen: Vec<FirstSeen>, most: u32) -> Self {
        let mut numbers = vec![0u32; most as usize + 1];
        let mut count = 0;
        for &id in seen.iter().flat_map(|slab| &slab.order) {
            if numbers[id as usize] == 0 {
                count += 1;
                numbers[id as usize] = count;
            }
        }
        if numbers.iter().zip(0..).any(|(&number, id)| number != id) {
            let voxels = ids.as_slice_mut().expect("label volumes are stored in raster order");
            voxels.par_iter_mut().with_min_len(1 << 16).for_each(|id| *id = numbers[*id as usize]);
        }
        Self { ids, count }
    }

    /// The id of each voxel (z, y, x).
    pub fn ids(&self) -> ArrayView3<'_, u32> {
        self.ids.view()
    }

    /// The number of objects, which is also the highest id.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Gives the volume of ids away.
    pub fn into_ids(self) -> Array3<u32> {
        self.ids
    }

    /// The number of voxels of each id; entry 0 counts the background.
    pub fn sizes(&self) -> Vec<u64> {
        let bins = self.count as usize + 1;
        let voxels = self.voxels();
        // Few parts, because each part counts into a table of its own.
        let parts: Vec<Vec<u64>> = voxels
            .par_chunks(voxels.len().div_ceil(8).max(1))
            .map(|part| {
                let mut sizes = vec![0; bins];
                part.iter().for_each(|&id| sizes[id as usize] += 1);
                sizes
            })
            .collect();
        parts.into_iter().fold(vec![0; bins], |mut total, part| {
            total.iter_mut().zip(part).for_each(|(sum, size)| *sum += size);
            total
        })
    }

    /// Removes the objects for which `keep`, given id and size in voxels, is false; renumbers the rest.
    pub fn retain(mut self, mut keep: impl FnMut(u32, u64) -> bool) -> Self {
        let sizes = self.sizes();
        let mut numbers = vec![0u32; sizes.len()];
        let mut count = 0;
        for (id, &size) in sizes.iter().enumerate().skip(1) {
            if keep(id as u32, size) {
                count += 1;
                numbers[id] = count;
            }
        }
        if count != self.count {
            self.ids
                .as_slice_mut()
                .expect("label volumes are stored in raster order")
                .par_iter_mut()
                .with_min_len(1 << 16)
                .for_each(|id| *id = numbers[*id as usize]);
            self.count = count;
        }
        self
    }

    /// Removes the objects that touch the border of the volume and so may be cut; renumbers the rest.
    ///
    /// As `skimage.segmentation.clear_border`.
    pub fn clear_border(self) -> Self {
        let mut touching = vec![false; self.count as usize + 1];
        for axis in 0..3 {
            let len = self.ids.len_of(Axis(axis));
            for index in [0, len.saturating_sub(1)].into_iter().filter(|&index| index < len) {
                self.ids.index_axis(Axis(axis), index).iter().for_each(|&id| touching[id as usize] = true);
            }
        }
        self.retain(|id, _| !touching[id as usize])
    }

    /// Keeps the objects whose number of voxels lies in `range`; renumbers them.
    ///
    /// On [`crate::components`] with 26 neighbours `filter_voxels(..n)` is CellSeg3D's `clear_large_objects(n)`, which
    /// there misses objects that its windows of 512 voxels cut, and `filter_voxels(n..)` its removal of small ones.
    pub fn filter_voxels(self, range: impl RangeBounds<u64>) -> Self {
        self.retain(|_, voxels| range.contains(&voxels))
    }

    /// Keeps the objects whose volume in cubic micrometres lies in `range`; renumbers them.
    pub fn filter_volume(self, range: impl RangeBounds<f64>, spacing: Spacing) -> Self {
        let voxel = spacing.voxel_volume();
        self.retain(|_, voxels| range.contains(&(voxels as f64 * voxel)))
    }

    /// The ids in raster order.
    pub(crate) fn voxels(&self) -> &[u32] {
        self.ids.as_slice().expect("label volumes are stored in raster order")
    }
}

/// The ids of a part of a volume in the order of their first voxels.
pub(crate) struct FirstSeen {
    order: Vec<u32>,
    seen: Vec<bool>,
    last: u32,
}

impl FirstSeen {
    /// For ids of at most `most`; 0 is never counted.
    pub(crate) fn new(most: u32) -> Self {
        Self { order: Vec::new(), seen: vec![false; most as usize + 1], last: 0 }
    }

    /// Adds voxels that follow in raster order.
    #[inline]
    pub(crate) fn row(&mut self, ids: &[u32]) {
        for &id in ids {
            if id != self.last {
                self.last = id;
                if id != 0 && !std::mem::replace(&mut self.seen[id as usize], true) {
                    self.order.push(id);
                }
            }
        }
    }
}

/// Ids renumbered by [`relabel_sequential`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relabelled {
    /// The new id of each voxel (z, y, x).
    pub ids: Array3<u32>,
    /// The old id of each new one; entry 0 is 0.
    pub old_ids: Vec<u32>,
}

/// Renumbers ids to 1, 2, ... keeping their order, as `skimage.segmentation.relabel_sequential` does.
pub fn relabel_sequential(ids: ArrayView3<u32>) -> Relabelled {
    let dense = Labels::from_ids(ids);
    let mut old_ids = vec![0u32; dense.count as usize + 1];
    for (&new, &old) in dense.ids.iter().zip(ids) {
        old_ids[new as usize] = old;
    }
    let mut by_old: Vec<u32> = (0..=dense.count).collect();
    by_old.sort_unstable_by_key(|&new| old_ids[new as usize]);
    let mut ranks = vec![0u32; by_old.len()];
    for (rank, &new) in by_old.iter().enumerate() {
        ranks[new as usize] = rank as u32;
    }
    old_ids.sort_unstable();
    Relabelled { ids: dense.ids.mapv_into(|new| ranks[new as usize]), old_ids }
}

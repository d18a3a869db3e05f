//! Which objects of two label volumes overlap, and by how much.

use ndarray::ArrayView3;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::Error;
use crate::grid::{Grid, raster, same_shape};

/// One true and one predicted object that share voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// The true object's place in [`Overlaps::truth`].
    pub truth: usize,
    /// The predicted object's place in [`Overlaps::prediction`].
    pub prediction: usize,
    /// How many voxels they share; at least 1.
    pub voxels: u64,
}

/// All that scores of instances need of two label volumes: the objects' sizes and their overlaps.
///
/// Sparse: its memory grows with the pairs of objects that touch, not with all pairs. Count once, score at any number
/// of thresholds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlaps {
    truth: Vec<(u32, u64)>,
    prediction: Vec<(u32, u64)>,
    pairs: Vec<Overlap>,
    voxels: u64,
}

/// Voxels of each pair of (true id, predicted id), background included.
type Counts = FxHashMap<(u32, u32), u64>;

impl Overlaps {
    /// Counts the overlaps of two label volumes (z, y, x).
    ///
    /// Any ids may be used; 0 is background. Voxels of one id are one object, connected or not.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], or [`Error::Empty`] if there are no voxels.
    pub fn count(truth: ArrayView3<u32>, prediction: ArrayView3<u32>) -> Result<Self, Error> {
        same_shape(("the truth", &truth), ("the prediction", &prediction))?;
        let grid = Grid::of(&truth).not_empty()?;
        let (truth, prediction) = (raster(&truth), raster(&prediction));
        let counts = grid
            .slabs()
            .into_par_iter()
            .map(|planes| {
                let voxels = planes.start * grid.plane()..planes.end * grid.plane();
                count_runs(&truth[voxels.clone()], &prediction[voxels])
            })
            .reduce(Counts::default, |mut total, part| {
                for (pair, voxels) in part {
                    *total.entry(pair).or_default() += voxels;
                }
                total
            });
        Ok(Self::from_counts(&counts))
    }

    fn from_counts(counts: &Counts) -> Self {
        let truth = sizes(counts, |pair| pair.0);
        let prediction = sizes(counts, |pair| pair.1);
        let place = |ids: &[(u32, u64)], id| ids.binary_search_by_key(&id, |(id, _)| *id).ok();
        let mut pairs: Vec<Overlap> = counts
            .iter()
            .filter_map(|(&(true_id, predicted_id), &voxels)| {
                let truth = place(&truth, true_id)?;
                let prediction = place(&prediction, predicted_id)?;
                Some(Overlap { truth, prediction, voxels })
            })
            .collect();
        // The order of a hash map must not show.
        pairs.sort_unstable_by_key(|pair| (pair.truth, pair.prediction));
        Self { truth, prediction, pairs, voxels: counts.values().sum() }
    }

    /// The id and the size in voxels of each true object, by rising id.
    pub fn truth(&self) -> &[(u32, u64)] {
        &self.truth
    }

    /// The id and the size in voxels of each predicted object, by rising id.
    pub fn prediction(&self) -> &[(u32, u64)] {
        &self.prediction
    }

    /// The number of voxels of the volume.
    pub fn voxels(&self) -> u64 {
        self.voxels
    }

    /// The pairs of objects that share voxels, by rising ids.
    pub fn pairs(&self) -> &[Overlap] {
        &self.pairs
    }
}

/// Counts runs of equal pairs, so that the table is asked once a run and not once a voxel.
fn count_runs(truth: &[u32], prediction: &[u32]) -> Counts {
    let mut counts = Counts::default();
    let mut rest = truth.iter().copied().zip(prediction.iter().copied());
    let Some(mut run) = rest.next() else { return counts };
    let mut length = 1;
    for pair in rest {
        if pair == run {
            length += 1;
        } else {
            *counts.entry(run).or_default() += length;
            (run, length) = (pair, 1);
        }
    }
    *counts.entry(run).or_default() += length;
    counts
}

/// The objects of one side and their sizes, by rising id, without the background.
fn sizes(counts: &Counts, side: impl Fn(&(u32, u32)) -> u32) -> Vec<(u32, u64)> {
    let mut sizes: FxHashMap<u32, u64> = FxHashMap::default();
    for (pair, voxels) in counts {
        *sizes.entry(side(pair)).or_default() += voxels;
    }
    sizes.remove(&0);
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort_unstable();
    sizes
}

//! Which objects of two label volumes overlap, and by how much.

use ndarray::ArrayView3;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::Error;
use crate::grid::{Grid, raster, same_shape};
use crate::runs::differing;
use crate::wide::wide;

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

/// A true and a predicted id, either 0 for background.
type Pair = (u32, u32);

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
        let counts: Vec<Vec<(Pair, u64)>> = grid
            .slabs()
            .into_par_iter()
            .map(|planes| {
                let voxels = planes.start * grid.plane()..planes.end * grid.plane();
                let mut counts = Counts::default();
                count_runs(&truth[voxels.clone()], &prediction[voxels], &mut counts);
                counts.of_pair.into_iter().collect()
            })
            .collect();
        Ok(Self::from_counts(summed(counts.concat())))
    }

    /// From the voxels of each pair, by rising ids.
    fn from_counts(counts: Vec<(Pair, u64)>) -> Self {
        let voxels = counts.iter().map(|(_, voxels)| voxels).sum();
        let mut truth: Vec<(u32, u64)> = Vec::new();
        for &((id, _), voxels) in counts.iter().filter(|((id, _), _)| *id != 0) {
            match truth.last_mut() {
                Some((last, size)) if *last == id => *size += voxels,
                _ => truth.push((id, voxels)),
            }
        }
        let of_prediction = counts.iter().filter(|((_, id), _)| *id != 0);
        let prediction = summed(of_prediction.map(|&((_, id), voxels)| (id, voxels)).collect());
        let place = |ids: &[(u32, u64)], id| ids.binary_search_by_key(&id, |(id, _)| *id).ok();
        let pairs = counts.par_iter().filter_map(|&((true_id, predicted_id), voxels)| {
            let truth = place(&truth, true_id)?;
            let prediction = place(&prediction, predicted_id)?;
            Some(Overlap { truth, prediction, voxels })
        });
        let pairs = pairs.collect();
        Self { truth, prediction, pairs, voxels }
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

/// The voxels of each pair of ids in a part of the volumes.
#[derive(Default)]
struct Counts {
    of_pair: FxHashMap<Pair, u64>,
}

impl Counts {
    #[inline(always)]
    fn add(&mut self, pair: Pair, voxels: usize) {
        *self.of_pair.entry(pair).or_default() += voxels as u64;
    }
}

wide! {
    /// Counts runs of equal pairs, so that the table is asked once a run and not once a voxel.
    fn count_runs(truth: &[u32], prediction: &[u32], counts: &mut Counts) {
        let borders = truth.len().saturating_sub(1);
        let words = borders / 64;
        let mut start = 0;
        for at in (0..words).map(|word| 64 * word) {
            let mut changes = changes(truth, at) | changes(prediction, at);
            while changes != 0 {
                let end = at + changes.trailing_zeros() as usize + 1;
                changes &= changes - 1;
                counts.add((truth[start], prediction[start]), end - start);
                start = end;
            }
        }
        for end in 64 * words + 1..=truth.len() {
            let differs = |ids: &[u32]| ids.get(end) != ids.get(end - 1);
            if differs(truth) || differs(prediction) {
                counts.add((truth[start], prediction[start]), end - start);
                start = end;
            }
        }
    }
}

/// A bit for each of the 64 voxels from `at` on that differs from the next.
#[inline(always)]
fn changes(ids: &[u32], at: usize) -> u64 {
    match (ids[at..].first_chunk::<64>(), ids[at + 1..].first_chunk()) {
        (Some(here), Some(next)) => differing(here, next),
        _ => 0,
    }
}

/// The sums of the counts of equal keys, by rising key.
fn summed<K: Ord + Copy + Send>(mut counts: Vec<(K, u64)>) -> Vec<(K, u64)> {
    counts.par_sort_unstable_by_key(|(key, _)| *key);
    counts.dedup_by(|(key, voxels), (last, sum)| {
        let equal = key == last;
        if equal {
            *sum += *voxels;
        }
        equal
    });
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_count_what_voxels_do(
            voxels in prop::collection::vec(prop_oneof![5 => Just((0u32, 0u32)), 1 => (0u32..3, 0u32..3)], 0..300),
            repeats in 1usize..20,
        ) {
            let long = voxels.iter().flat_map(|pair| std::iter::repeat_n(*pair, repeats));
            let (truth, prediction): (Vec<u32>, Vec<u32>) = long.clone().unzip();
            let mut counts = Counts::default();
            count_runs(&truth, &prediction, &mut counts);
            let mut expected: FxHashMap<Pair, u64> = FxHashMap::default();
            long.for_each(|pair| *expected.entry(pair).or_default() += 1);
            prop_assert_eq!(counts.of_pair, expected);
        }
    }
}

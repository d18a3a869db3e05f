//! The scores of the Cell Tracking Challenge.

use super::overlaps::Overlaps;

/// The weights of the acyclic oriented graph matching's errors in DET: a merged object, a missed one, an invented one.
const SPLIT_COST: f64 = 5.0;
const MISS_COST: f64 = 10.0;
const INVENTION_COST: f64 = 1.0;

impl Overlaps {
    /// SEG of the Cell Tracking Challenge: the mean over true objects of the Jaccard index with the predicted object that
    /// covers more than half of it, 0 where there is none; 0 if there is no true object.
    pub fn seg(&self) -> f64 {
        let scores = self.covering().into_iter().flatten().map(|(prediction, shared, truth)| {
            let union = self.truth()[truth].1 + self.prediction()[prediction].1 - shared;
            shared as f64 / union as f64
        });
        scores.sum::<f64>() / self.truth().len().max(1) as f64
    }

    /// DET of the Cell Tracking Challenge: `1 - min(A, A0) / A0`, where A weighs predicted objects that cover several true
    /// ones by 5 for each split needed, missed ones by 10 and invented ones by 1, and A0 is the cost of finding nothing.
    ///
    /// A true object is found by the predicted one that covers more than half of it. 0 if there is no true object but a
    /// predicted one; NaN if there is neither.
    pub fn det(&self) -> f64 {
        let mut found_by = vec![0u64; self.prediction().len()];
        let mut missed = 0u64;
        for covering in self.covering() {
            match covering {
                Some((prediction, _, _)) => found_by[prediction] += 1,
                None => missed += 1,
            }
        }
        let splits: u64 = found_by.iter().map(|found| found.saturating_sub(1)).sum();
        let invented = found_by.iter().filter(|found| **found == 0).count();
        let cost = SPLIT_COST * splits as f64 + MISS_COST * missed as f64 + INVENTION_COST * invented as f64;
        let nothing = MISS_COST * self.truth().len() as f64;
        match self.truth().len() {
            0 if invented > 0 => 0.0,
            _ => 1.0 - cost.min(nothing) / nothing,
        }
    }

    /// For each true object the predicted one that covers more than half of it: (prediction, shared voxels, truth).
    fn covering(&self) -> Vec<Option<(usize, u64, usize)>> {
        let mut covering = vec![None; self.truth().len()];
        for pair in self.pairs() {
            if 2 * pair.voxels > self.truth()[pair.truth].1 {
                covering[pair.truth] = Some((pair.prediction, pair.voxels, pair.truth));
            }
        }
        covering
    }
}

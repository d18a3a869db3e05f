//! Scores that compare two divisions of the voxels, whatever the parts are called.

use super::overlaps::Overlaps;

/// Which voxels a score of partitions counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counted {
    /// All; background is a part like any other.
    #[default]
    All,
    /// Those of the true objects only.
    TrueObjects,
}

/// The variation of information in bits (Meila 2007); 0 for the same division, NaN if no voxels are counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VariationOfInformation {
    /// The entropy of the prediction given the truth: what is split that belongs together.
    pub split: f64,
    /// The entropy of the truth given the prediction: what is merged that does not.
    pub merge: f64,
}

/// Rand scores of pairs of voxels, as the SNEMI3D challenge adapted them (Arganda-Carreras et al. 2015).
///
/// NaN where there are no pairs to count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptedRand {
    /// 1 less the F score of pairs.
    pub error: f64,
    /// Of the pairs of voxels in one predicted object, the share that is in one true object.
    ///
    /// scikit-image calls this recall.
    pub precision: f64,
    /// Of the pairs of voxels in one true object, the share that is in one predicted object.
    ///
    /// scikit-image calls this precision.
    pub recall: f64,
}

/// The voxels that a part of the truth and one of the prediction share, and all voxels of each part.
struct Cells {
    shared: Vec<u64>,
    truth: Vec<u64>,
    prediction: Vec<u64>,
}

impl Overlaps {
    /// The variation of information, as `skimage.metrics.variation_of_information`.
    pub fn variation_of_information(&self, counted: Counted) -> VariationOfInformation {
        let cells = self.cells(counted);
        let total = cells.shared.iter().sum::<u64>() as f64;
        // H = sum of -p log2 p, with counts instead of shares.
        let entropy = |counts: &[u64]| {
            let sum: f64 = counts
                .iter()
                .map(|&n| n as f64)
                .map(|n| if n > 0.0 { n * (total / n).log2() } else { 0.0 })
                .sum();
            sum / total
        };
        let both = entropy(&cells.shared);
        let given = |side: &[u64]| {
            let rest = both - entropy(side);
            // Rounding may leave a hair below 0.
            if rest < 0.0 { 0.0 } else { rest }
        };
        VariationOfInformation { split: given(&cells.truth), merge: given(&cells.prediction) }
    }

    /// The adapted Rand scores; with [`Counted::TrueObjects`] `skimage.metrics.adapted_rand_error`'s default.
    pub fn adapted_rand(&self, counted: Counted) -> AdaptedRand {
        let cells = self.cells(counted);
        let [shared, truth, prediction] =
            [&cells.shared, &cells.truth, &cells.prediction].map(|counts| 2.0 * pairs(counts) as f64);
        AdaptedRand {
            error: 1.0 - 2.0 * shared / (truth + prediction),
            precision: shared / prediction,
            recall: shared / truth,
        }
    }

    /// The adjusted Rand index (Hubert & Arabie 1985): 1 for the same division, 0 on average for a random one.
    ///
    /// Pairs are counted in whole numbers. 1 if both divisions are trivial, as in scikit-learn.
    pub fn adjusted_rand_index(&self, counted: Counted) -> f64 {
        let cells = self.cells(counted);
        let [shared, truth, prediction] =
            [&cells.shared, &cells.truth, &cells.prediction].map(|counts| pairs(counts) as f64);
        let all = pairs(&[cells.shared.iter().sum()]) as f64;
        let expected = if all > 0.0 { truth * prediction / all } else { 0.0 };
        let most = (truth + prediction) / 2.0;
        if most == expected { 1.0 } else { (shared - expected) / (most - expected) }
    }

    fn cells(&self, counted: Counted) -> Cells {
        let mut shared: Vec<u64> = self.pairs().iter().map(|pair| pair.voxels).collect();
        let mut truth: Vec<u64> = self.truth().iter().map(|(_, voxels)| *voxels).collect();
        // What of each object lies on the other side's background.
        let (mut true_rest, mut predicted_rest) = (truth.clone(), Vec::new());
        let mut prediction: Vec<u64> = vec![0; self.prediction().len()];
        predicted_rest.extend(self.prediction().iter().map(|(_, voxels)| *voxels));
        for pair in self.pairs() {
            true_rest[pair.truth] -= pair.voxels;
            predicted_rest[pair.prediction] -= pair.voxels;
            prediction[pair.prediction] += pair.voxels;
        }
        let mut predicted_background: u64 = true_rest.iter().sum();
        shared.extend(true_rest);
        if counted == Counted::All {
            prediction.iter_mut().zip(&predicted_rest).for_each(|(voxels, rest)| *voxels += rest);
            let true_background = self.voxels() - truth.iter().sum::<u64>();
            let neither = true_background - predicted_rest.iter().sum::<u64>();
            predicted_background += neither;
            truth.push(true_background);
            shared.extend(predicted_rest);
            shared.push(neither);
        }
        prediction.push(predicted_background);
        Cells { shared, truth, prediction }
    }
}

/// The number of pairs of voxels within parts of these sizes.
fn pairs(counts: &[u64]) -> u128 {
    counts.iter().map(|&n| u128::from(n) * u128::from(n.saturating_sub(1)) / 2).sum()
}

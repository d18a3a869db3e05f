//! What became of each object.

use super::matching::Criterion;
use super::overlaps::Overlaps;
use crate::Error;

/// A true object and the predicted one that it was matched with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatchedPair {
    /// The true object's id.
    pub truth: u32,
    /// The predicted object's id.
    pub prediction: u32,
    /// Their score by the criterion of the matching.
    pub score: f32,
}

/// What became of one true object.
#[derive(Debug, Clone, PartialEq)]
pub struct TrueOutcome {
    /// The true object's id.
    pub id: u32,
    /// Its number of voxels.
    pub voxels: u64,
    /// The predicted object that it is matched with, and their score.
    pub matched: Option<(u32, f32)>,
    /// The predicted objects of which more than half lies in it, if there are several: it was split into these.
    pub split_into: Vec<u32>,
    /// The predicted object that covers more than half of it and of other true objects too: it was merged into this.
    pub merged_into: Option<u32>,
}

impl Overlaps {
    /// The matched pairs at a threshold by rising true ids: those that [`Overlaps::matching`] counts.
    ///
    /// At a threshold of 0 it counts pairs without overlap as well; these are not listed.
    ///
    /// # Errors
    /// [`Error::Argument`] if the threshold is NaN.
    pub fn matched_pairs(&self, threshold: f64, criterion: Criterion) -> Result<Vec<MatchedPair>, Error> {
        let pairs = self.assigned(threshold, criterion)?;
        Ok(pairs
            .into_iter()
            .map(|(truth, prediction, score)| MatchedPair {
                truth: self.truth()[truth].0,
                prediction: self.prediction()[prediction].0,
                score,
            })
            .collect())
    }

    /// What became of each true object at a threshold, by rising ids.
    ///
    /// Swap truth and prediction for the same of predicted objects: those that are neither matched nor merged were
    /// invented.
    ///
    /// # Errors
    /// [`Error::Argument`] if the threshold is NaN.
    pub fn outcomes(&self, threshold: f64, criterion: Criterion) -> Result<Vec<TrueOutcome>, Error> {
        let mut outcomes: Vec<TrueOutcome> = self
            .truth()
            .iter()
            .map(|&(id, voxels)| TrueOutcome {
                id,
                voxels,
                matched: None,
                split_into: Vec::new(),
                merged_into: None,
            })
            .collect();
        for (truth, prediction, score) in self.assigned(threshold, criterion)? {
            outcomes[truth].matched = Some((self.prediction()[prediction].0, score));
        }
        // How many true objects each predicted one covers.
        let covers = |pair: &super::Overlap| 2 * pair.voxels > self.truth()[pair.truth].1;
        let mut covered = vec![0u32; self.prediction().len()];
        self.pairs().iter().filter(|pair| covers(pair)).for_each(|pair| covered[pair.prediction] += 1);
        for pair in self.pairs() {
            let (id, voxels) = self.prediction()[pair.prediction];
            let outcome = &mut outcomes[pair.truth];
            if 2 * pair.voxels > voxels {
                outcome.split_into.push(id);
            }
            if covers(pair) && covered[pair.prediction] > 1 {
                outcome.merged_into = Some(id);
            }
        }
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.split_into.len() < 2) {
            outcome.split_into.clear();
        }
        Ok(outcomes)
    }
}

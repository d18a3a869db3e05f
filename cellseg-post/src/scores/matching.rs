//! Detection scores of instances, with the semantics of `stardist.matching`.

use ndarray::{ArrayView3, Axis};

use super::assignment::{Edge, heaviest_assignment};
use super::overlaps::{Overlap, Overlaps};
use crate::Error;
use crate::grid::same_shape;

/// How much of two objects must coincide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Criterion {
    /// Intersection over union.
    #[default]
    Iou,
    /// Intersection over the true object.
    Iot,
    /// Intersection over the predicted object.
    Iop,
}

/// Objects found, missed and invented at one threshold, and the scores that follow.
///
/// A true positive is a pair of a true and a predicted object whose score is at least the threshold, in the one-to-one
/// assignment with the most such pairs. All ratios are 0 where nothing is matched, also if there is nothing to match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matching {
    /// What the objects are compared by.
    pub criterion: Criterion,
    /// The smallest score of a matched pair.
    pub threshold: f64,
    /// Matched pairs (true positives).
    pub tp: u64,
    /// Predicted objects without a true one (false positives).
    pub fp: u64,
    /// True objects without a predicted one (false negatives).
    pub fn_: u64,
    /// `tp / (tp + fp)`.
    pub precision: f64,
    /// `tp / (tp + fn)`.
    pub recall: f64,
    /// `tp / (tp + fp + fn)`, also called average precision (AP).
    pub accuracy: f64,
    /// `2 tp / (2 tp + fp + fn)`.
    pub f1: f64,
    /// Number of true objects.
    pub n_true: u64,
    /// Number of predicted objects.
    pub n_pred: u64,
    /// The matched pairs' total score over the number of true objects.
    pub mean_true_score: f64,
    /// The matched pairs' total score over their number.
    pub mean_matched_score: f64,
    /// The matched pairs' total score over `tp + fp / 2 + fn / 2` (Kirillov et al. 2019).
    pub panoptic_quality: f64,
}

impl Overlaps {
    /// Matches the objects at each threshold, as `stardist.matching.matching` does.
    ///
    /// Scores are f32, and so are thresholds when they are compared with them: 3/10 reaches `0.1 * 3.0`.
    ///
    /// # Errors
    /// [`Error::Argument`] if a threshold is NaN.
    pub fn matching(&self, thresholds: &[f64], criterion: Criterion) -> Result<Vec<Matching>, Error> {
        thresholds.iter().map(|&threshold| self.matching_at(threshold, criterion)).collect()
    }

    fn matching_at(&self, threshold: f64, criterion: Criterion) -> Result<Matching, Error> {
        let (n_true, n_pred) = (self.truth().len(), self.prediction().len());
        let matched = self.assigned(threshold, criterion)?;
        let total = matched.iter().map(|(_, _, score)| f64::from(*score)).sum();
        // Where nothing is asked of a pair, pairs without overlap count as well.
        let tp = if 0.0 >= threshold as f32 { n_true.min(n_pred) } else { matched.len() };
        Ok(Matching::new(criterion, threshold, [tp as u64, n_true as u64, n_pred as u64], total))
    }

    /// The pairs of the best assignment that reach the threshold: places of truth and prediction, and the score.
    pub(super) fn assigned(
        &self,
        threshold: f64,
        criterion: Criterion,
    ) -> Result<Vec<(usize, usize, f32)>, Error> {
        if threshold.is_nan() {
            return Err(Error::Argument {
                name: "the matching threshold",
                given: threshold.to_string(),
                expected: "a number, usually from 0.1 to 0.9",
            });
        }
        let (n_true, n_pred) = (self.truth().len(), self.prediction().len());
        let at_most = n_true.min(n_pred);
        let reached = |score: f32| score >= threshold as f32;
        // The first term counts matched pairs; the second, below 1 in total, prefers higher scores among equal counts.
        // If pairs without overlap count as well, every assignment has the same number and the term says nothing.
        let all_count = reached(0.0);
        let edges: Vec<Edge> = self
            .pairs()
            .iter()
            .map(|pair| {
                let score = self.score(pair, criterion);
                let preference = f64::from(score / (2 * at_most) as f32);
                let weight = f64::from(u8::from(reached(score) && !all_count)) + preference;
                Edge { row: pair.truth, column: pair.prediction, weight }
            })
            .collect();
        let chosen = heaviest_assignment(&edges, n_true, n_pred).into_iter().filter_map(|edge| {
            let place = (edge.row, edge.column);
            let pair =
                self.pairs().binary_search_by_key(&place, |pair| (pair.truth, pair.prediction)).ok()?;
            Some((edge.row, edge.column, self.score(&self.pairs()[pair], criterion)))
        });
        Ok(chosen.filter(|(_, _, score)| reached(*score)).collect())
    }

    fn score(&self, pair: &Overlap, criterion: Criterion) -> f32 {
        let (truth, prediction) = (self.truth()[pair.truth].1, self.prediction()[pair.prediction].1);
        let whole = match criterion {
            Criterion::Iou => truth + prediction - pair.voxels,
            Criterion::Iot => truth,
            Criterion::Iop => prediction,
        };
        (pair.voxels as f64 / whole as f64) as f32
    }
}

impl Matching {
    fn new(criterion: Criterion, threshold: f64, [tp, n_true, n_pred]: [u64; 3], total_score: f64) -> Self {
        let (fp, fn_) = (n_pred - tp, n_true - tp);
        let ratio = |part: f64, whole: f64| if part > 0.0 { part / whole } else { 0.0 };
        let [t, p, n] = [tp, fp, fn_].map(|count| count as f64);
        Self {
            criterion,
            threshold,
            tp,
            fp,
            fn_,
            precision: ratio(t, t + p),
            recall: ratio(t, t + n),
            accuracy: ratio(t, t + p + n),
            f1: ratio(2.0 * t, 2.0 * t + p + n),
            n_true,
            n_pred,
            mean_true_score: ratio(total_score, n_true as f64),
            mean_matched_score: ratio(total_score, t),
            panoptic_quality: ratio(total_score, t + p / 2.0 + n / 2.0),
        }
    }

    /// The scores of several images together: objects are counted over all, then the ratios are formed.
    ///
    /// As `stardist.matching.matching_dataset(by_image=False)`. `None` for no images, or if they were matched by
    /// different criteria or thresholds.
    pub fn pooled(images: &[Self]) -> Option<Self> {
        let first = Self::alike(images)?;
        let sum = |count: fn(&Self) -> u64| images.iter().map(count).sum::<u64>();
        let total = images.iter().map(|image| image.mean_true_score * image.n_true as f64).sum();
        let counts = [sum(|m| m.tp), sum(|m| m.n_true), sum(|m| m.n_pred)];
        Some(Self::new(first.criterion, first.threshold, counts, total))
    }

    /// The scores of several images averaged: each ratio is the mean of the images' ratios, counts are sums.
    ///
    /// As `stardist.matching.matching_dataset(by_image=True)`. `None` as for [`Matching::pooled`].
    pub fn averaged(images: &[Self]) -> Option<Self> {
        let pooled = Self::pooled(images)?;
        let mean = |ratio: fn(&Self) -> f64| images.iter().map(ratio).sum::<f64>() / images.len() as f64;
        Some(Self {
            precision: mean(|m| m.precision),
            recall: mean(|m| m.recall),
            accuracy: mean(|m| m.accuracy),
            f1: mean(|m| m.f1),
            mean_true_score: mean(|m| m.mean_true_score),
            mean_matched_score: mean(|m| m.mean_matched_score),
            panoptic_quality: mean(|m| m.panoptic_quality),
            ..pooled
        })
    }

    fn alike(images: &[Self]) -> Option<&Self> {
        let first = images.first()?;
        let same = |m: &Self| m.criterion == first.criterion && m.threshold == first.threshold;
        images.iter().all(same).then_some(first)
    }
}

/// Matches each slice along z as an image of its own and pools them: the F1 of the CellSeg3D paper's figures.
///
/// Cells of a slice are counted there, not cells of the volume; such scores must not stand beside 3D ones.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::Empty`], or [`Error::Argument`] if a threshold is NaN.
pub fn match_slices(
    truth: ArrayView3<u32>,
    prediction: ArrayView3<u32>,
    thresholds: &[f64],
    criterion: Criterion,
) -> Result<Vec<Matching>, Error> {
    same_shape(("the truth", &truth), ("the prediction", &prediction))?;
    crate::grid::Grid::of(&truth).not_empty()?;
    let slices: Vec<Vec<Matching>> = truth
        .axis_chunks_iter(Axis(0), 1)
        .zip(prediction.axis_chunks_iter(Axis(0), 1))
        .map(|(truth, prediction)| Overlaps::count(truth, prediction)?.matching(thresholds, criterion))
        .collect::<Result<_, _>>()?;
    Ok((0..thresholds.len())
        .filter_map(|at| Matching::pooled(&slices.iter().map(|slice| slice[at]).collect::<Vec<_>>()))
        .collect())
}

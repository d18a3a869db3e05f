//! How well predicted labels agree with true ones: one report of all scores.

use crate::Result;
use cellseg_post::{Criterion, Matching, Overlaps, dice, foreground_iou, match_slices};
use ndarray::ArrayView3;
use serde::Serialize;

/// The IoU thresholds 0.1, 0.2 .. 0.9 that the CellSeg3D paper reports.
pub const IOU_THRESHOLDS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// All scores of predicted instance labels against true ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// How many cells there are.
    pub true_cells: u64,
    /// How many cells were found.
    pub predicted_cells: u64,
    /// Dice coefficient of the foregrounds, without smoothing.
    pub dice: f64,
    /// Intersection over union of the foregrounds.
    pub foreground_iou: f64,
    /// F1 of whole 3D cells at IoU 0.5.
    pub f1: f64,
    /// Scores of whole 3D cells, one entry for each of [`IOU_THRESHOLDS`].
    pub cells: Vec<Score>,
    /// The same scores counted in the planes along z and summed, as in the CellSeg3D paper. Not to be compared with
    /// scores of whole cells.
    pub slices: Vec<Score>,
}

/// The scores at one IoU threshold; definitions are those of `stardist.matching`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// The least intersection over union of a match.
    pub iou: f64,
    /// Matched objects.
    pub true_positives: u64,
    /// Predicted objects without a match.
    pub false_positives: u64,
    /// True objects without a match.
    pub false_negatives: u64,
    /// Share of the predicted objects that are matched.
    pub precision: f64,
    /// Share of the true objects that are matched.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Average precision as the field uses the word: matches over all matched and unmatched objects.
    pub average_precision: f64,
    /// Panoptic quality: the sum of the matches' IoU over the mean number of objects.
    pub panoptic_quality: f64,
    /// Mean IoU of the matches.
    pub mean_matched_iou: f64,
}

impl From<&Matching> for Score {
    fn from(m: &Matching) -> Self {
        Score {
            iou: m.threshold,
            true_positives: m.tp,
            false_positives: m.fp,
            false_negatives: m.fn_,
            precision: m.precision,
            recall: m.recall,
            f1: m.f1,
            average_precision: m.accuracy,
            panoptic_quality: m.panoptic_quality,
            mean_matched_iou: m.mean_matched_score,
        }
    }
}

impl Evaluation {
    /// Scores `prediction` against `truth`, both labels `(z, y, x)` with 0 as background.
    ///
    /// # Errors
    /// Shapes that differ, and empty volumes.
    pub fn of(truth: ArrayView3<'_, u32>, prediction: ArrayView3<'_, u32>) -> Result<Self> {
        let overlaps = Overlaps::count(truth, prediction)?;
        let cells = overlaps.matching(&IOU_THRESHOLDS, Criterion::Iou)?;
        let slices = match_slices(truth, prediction, &IOU_THRESHOLDS, Criterion::Iou)?;
        let (true_mask, predicted_mask) = (truth.map(|&id| id > 0), prediction.map(|&id| id > 0));
        Ok(Evaluation {
            true_cells: overlaps.truth().len() as u64,
            predicted_cells: overlaps.prediction().len() as u64,
            dice: dice(true_mask.view(), predicted_mask.view(), 0.0)?,
            foreground_iou: foreground_iou(true_mask.view(), predicted_mask.view())?,
            f1: cells.iter().find(|m| m.threshold == 0.5).map_or(0.0, |m| m.f1),
            cells: cells.iter().map(Score::from).collect(),
            slices: slices.iter().map(Score::from).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn a_perfect_prediction_scores_one_everywhere_and_a_missed_cell_costs_recall() -> Result<()> {
        let mut truth = Array3::<u32>::zeros((4, 8, 8));
        truth.slice_mut(ndarray::s![1..3, 1..4, 1..4]).fill(7);
        truth.slice_mut(ndarray::s![1..3, 5..8, 5..8]).fill(9);
        let all = Evaluation::of(truth.view(), truth.view())?;
        assert_eq!((all.true_cells, all.predicted_cells, all.f1, all.dice), (2, 2, 1.0, 1.0));
        assert!(all.cells.iter().chain(&all.slices).all(|s| s.f1 == 1.0 && s.panoptic_quality == 1.0));
        let half = truth.map(|&id| if id == 7 { 1 } else { 0 });
        let one = Evaluation::of(truth.view(), half.view())?;
        assert_eq!((one.cells[4].recall, one.cells[4].precision), (0.5, 1.0));
        assert_eq!((one.slices[4].true_positives, one.slices[4].false_negatives), (2, 2));
        Ok(())
    }
}

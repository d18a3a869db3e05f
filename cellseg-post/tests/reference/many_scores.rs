//! Scores of many random cases beside stardist, and of some beside py-ctcmetrics and cellpose.

use approx::assert_abs_diff_eq;
use cellseg_post::{Criterion, Overlaps};
use ndarray::{Array1, Array2, Array3, Array4, Axis};

use super::fixture;

/// SplitMix64 (Steele, Lea & Flood 2014), as in `fixtures/make_many_scores.py`.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

fn case(number: u64) -> (Array3<u32>, Array3<u32>) {
    let mut numbers = Numbers(number);
    let shape = [2 + numbers.below(3), 3 + numbers.below(3), 3 + numbers.below(4)].map(|len| len as usize);
    let highest = 1 + numbers.below(9);
    let blocks: Vec<u64> = (0..12).map(|_| numbers.below(highest + 1)).collect();
    let mut prediction = Array3::zeros(shape);
    let mut truth = Array3::zeros(shape);
    for ((z, y, x), truth) in truth.indexed_iter_mut() {
        let id = if number % 2 == 1 {
            blocks[(z / 2) * 6 + (y / 2) * 2 + x / 3]
        } else {
            numbers.below(highest + 1)
        };
        let kept = numbers.below(4) > 0;
        *truth = id as u32;
        prediction[[z, y, x]] = if kept { id } else { numbers.below(highest + 2) } as u32;
    }
    if number.is_multiple_of(50) {
        truth.fill(0);
    }
    if number.is_multiple_of(70) {
        prediction.fill(0);
    }
    (truth, prediction)
}

#[test]
fn four_thousand_cases_with_ties_and_empties_are_stardists() {
    let thresholds = [0.0, 0.1, 0.2, 0.1 * 3.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
    let (tp, means): (Array2<u8>, Array1<f64>) = (fixture("many_tp"), fixture("many_means"));
    let mut matched = 0;
    for (number, (tp, mean)) in (0..).zip(tp.rows().into_iter().zip(&means)) {
        let (truth, prediction) = case(number);
        let overlaps = Overlaps::count(truth.view(), prediction.view()).unwrap();
        let scores = overlaps.matching(&thresholds, Criterion::Iou).unwrap();
        let ours: Vec<u8> = scores.iter().map(|m| m.tp as u8).collect();
        assert_eq!(ours, tp.to_vec(), "case {number}");
        for m in &scores {
            assert_eq!((m.tp + m.fp, m.tp + m.fn_), (m.n_pred, m.n_true), "case {number}");
            matched += m.tp;
        }
        let sum: f64 =
            scores.iter().map(|m| m.mean_matched_score + m.mean_true_score + m.panoptic_quality).sum();
        // Thirty means, each within 2e-7.
        assert_abs_diff_eq!(sum, *mean, epsilon = 30.0 * 2e-7);
    }
    assert!(matched > 10_000, "the cases must have something to match: {matched}");
}

#[test]
fn seg_and_det_are_py_ctcmetrics_and_average_precision_is_cellposes() {
    let (truths, predictions): (Array4<u8>, Array4<u8>) =
        (fixture("matching_truth"), fixture("matching_prediction"));
    let expected: Array2<f64> = fixture("other_scores");
    for ((truth, prediction), expected) in
        truths.axis_iter(Axis(0)).zip(predictions.axis_iter(Axis(0))).zip(expected.rows())
    {
        let overlaps =
            Overlaps::count(truth.mapv(u32::from).view(), prediction.mapv(u32::from).view()).unwrap();
        assert_abs_diff_eq!(overlaps.seg(), expected[0], epsilon = 1e-12);
        if expected[1].is_finite() {
            assert_abs_diff_eq!(overlaps.det(), expected[1], epsilon = 1e-12);
        }
        let scores = overlaps.matching(&[0.4, 0.5, 0.7, 0.9], Criterion::Iou).unwrap();
        for (score, &theirs) in scores.iter().zip(expected.iter().skip(2)) {
            // Nothing in both: cellpose divides 0 by 0.
            if theirs.is_finite() {
                assert_abs_diff_eq!(score.accuracy, theirs, epsilon = 1e-6);
            }
        }
    }
}

use approx::assert_abs_diff_eq;
use cellseg_post::{Criterion, Matching, Overlaps, match_slices};
use ndarray::{Array2, Array3, Array4, ArrayView1, Axis};

use super::fixture;

fn assert_same(ours: &Matching, stardist: ArrayView1<f64>, what: &str) {
    let counts = [ours.tp, ours.fp, ours.fn_].map(|count| count as f64);
    assert_eq!(counts, [stardist[0], stardist[1], stardist[2]], "tp, fp, fn of {what}");
    assert_eq!([ours.n_true as f64, ours.n_pred as f64], [stardist[7], stardist[8]], "{what}");
    let ratios = [ours.precision, ours.recall, ours.accuracy, ours.f1];
    for (ours, stardist) in ratios.iter().zip(stardist.iter().skip(3)) {
        assert_abs_diff_eq!(ours, stardist, epsilon = 1e-15);
    }
    let means = [ours.mean_true_score, ours.mean_matched_score, ours.panoptic_quality];
    for (ours, stardist) in means.iter().zip(stardist.iter().skip(9)) {
        // stardist sums scores in f32.
        assert_abs_diff_eq!(ours, stardist, epsilon = 2e-7);
    }
}

struct Cases {
    truth: Array4<u32>,
    prediction: Array4<u32>,
    thresholds: Vec<f64>,
}

impl Cases {
    fn read() -> Self {
        Self {
            truth: fixture::<u8, ndarray::Ix4>("matching_truth").mapv(u32::from),
            prediction: fixture::<u8, ndarray::Ix4>("matching_prediction").mapv(u32::from),
            thresholds: fixture::<f64, ndarray::Ix1>("matching_thresholds").to_vec(),
        }
    }

    fn matchings(&self, criterion: Criterion) -> Vec<Vec<Matching>> {
        let pairs = self.truth.outer_iter().zip(self.prediction.outer_iter());
        pairs
            .map(|(truth, prediction)| {
                Overlaps::count(truth, prediction).unwrap().matching(&self.thresholds, criterion).unwrap()
            })
            .collect()
    }
}

#[test]
fn matchings_are_stardists_with_ties_and_empty_volumes_by_every_criterion() {
    let cases = Cases::read();
    for (criterion, name) in [(Criterion::Iou, "iou"), (Criterion::Iot, "iot"), (Criterion::Iop, "iop")] {
        let expected: Array3<f64> = fixture(&format!("matching_{name}"));
        for (number, matchings) in cases.matchings(criterion).iter().enumerate() {
            for (at, ours) in matchings.iter().enumerate() {
                let what = format!("case {number} by {name} at {}", ours.threshold);
                assert_same(ours, expected.slice(ndarray::s![number, at, ..]), &what);
            }
        }
    }
}

#[test]
fn scores_of_many_images_are_those_of_stardists_matching_dataset() {
    let cases = Cases::read();
    let matchings = cases.matchings(Criterion::Iou);
    let pooled: Array2<f64> = fixture("matching_pooled");
    let averaged: Array2<f64> = fixture("matching_averaged");
    for at in 0..cases.thresholds.len() {
        let images: Vec<Matching> = matchings.iter().map(|matchings| matchings[at]).collect();
        assert_same(&Matching::pooled(&images).unwrap(), pooled.row(at), "the pooled images");
        assert_same(&Matching::averaged(&images).unwrap(), averaged.row(at), "the averaged images");
    }
}

#[test]
fn slice_wise_matching_is_what_the_paper_computed() {
    let cases = Cases::read();
    let expected: Array2<f64> = fixture("matching_slices");
    let (truth, prediction) = (cases.truth.index_axis(Axis(0), 1), cases.prediction.index_axis(Axis(0), 1));
    let ours = match_slices(truth, prediction, &cases.thresholds, Criterion::Iou).unwrap();
    assert_eq!(ours.len(), expected.nrows());
    for (ours, expected) in ours.iter().zip(expected.rows()) {
        assert_same(ours, expected, "the slices");
    }
}

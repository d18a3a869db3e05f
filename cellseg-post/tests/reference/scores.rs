use approx::assert_abs_diff_eq;
use cellseg_post::{Counted, Criterion, Matching, Overlaps, Spacing, SurfaceDistances, match_slices};
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

#[test]
fn scores_of_partitions_and_of_the_tracking_challenge_are_those_of_scikit_image_and_of_their_definitions() {
    let cases = Cases::read();
    let expected: Array2<f64> = fixture("partition_scores");
    let pairs = cases.truth.outer_iter().zip(cases.prediction.outer_iter());
    for (number, ((truth, prediction), expected)) in pairs.zip(expected.rows()).enumerate() {
        let overlaps = Overlaps::count(truth, prediction).unwrap();
        let [all, objects] =
            [Counted::All, Counted::TrueObjects].map(|counted| overlaps.variation_of_information(counted));
        let rand = overlaps.adapted_rand(Counted::TrueObjects);
        let ours = [
            all.split,
            all.merge,
            objects.split,
            objects.merge,
            rand.error,
            rand.precision,
            rand.recall,
            overlaps.adjusted_rand_index(Counted::All),
            overlaps.seg(),
            overlaps.det(),
        ];
        for (place, (ours, expected)) in ours.into_iter().zip(expected).enumerate() {
            let same = (ours - expected).abs() < 1e-9 || (ours.is_nan() && !expected.is_finite());
            assert!(same, "score {place} of case {number}: {ours} against {expected}");
        }
    }
}

#[test]
fn surface_distances_are_those_of_scipys_distance_transform() {
    let masks: Array4<bool> = fixture("surface_masks");
    let expected: ndarray::Array1<f64> = fixture("surface_distances");
    let spacing = Spacing::new(2.5, 1.0, 0.7).unwrap();
    let ours = SurfaceDistances::between(masks.index_axis(Axis(0), 0), masks.index_axis(Axis(0), 1), spacing)
        .unwrap();
    let ours = [
        f64::from(ours.hausdorff(100.0).unwrap()),
        f64::from(ours.hausdorff(95.0).unwrap()),
        ours.mean().unwrap(),
        ours.dice(1.5).unwrap(),
    ];
    for (ours, expected) in ours.iter().zip(&expected) {
        assert_abs_diff_eq!(ours, expected, epsilon = 2e-6);
    }
}

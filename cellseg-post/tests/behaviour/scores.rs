use cellseg_post::{Criterion, Matching, Overlaps, dice, foreground_iou, match_slices};
use ndarray::{Array3, arr3};

fn matching(truth: &Array3<u32>, prediction: &Array3<u32>, threshold: f64) -> Matching {
    Overlaps::count(truth.view(), prediction.view()).unwrap().matching(&[threshold], Criterion::Iou).unwrap()
        [0]
}

#[test]
fn thresholds_are_compared_in_f32_as_stardist_does() {
    let truth = arr3(&[[[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]]]);
    let prediction = truth.mapv(|_| 1);
    // In f64, 0.3 would be below 0.1 * 3.
    assert_eq!(matching(&truth, &prediction, 0.1 * 3.0).tp, 1);
}

#[test]
fn of_two_halves_one_matches_the_whole() {
    let m = matching(&arr3(&[[[1, 1]]]), &arr3(&[[[1, 2]]]), 0.5);
    assert_eq!((m.tp, m.fp, m.fn_), (1, 1, 0));
    assert_eq!(m.mean_matched_score, 0.5);
}

#[test]
fn more_pairs_are_preferred_to_better_ones() {
    // The best pair alone (4 of 6) would leave its partners without a match.
    let truth = arr3(&[[[1, 1, 1, 1, 1, 1, 2, 2]]]);
    let prediction = arr3(&[[[3, 3, 4, 4, 4, 4, 4, 4]]]);
    let m = matching(&truth, &prediction, 0.2);
    assert_eq!((m.tp, m.fp, m.fn_), (2, 0, 0));
}

#[test]
fn two_empty_volumes_score_zero_as_in_stardist() {
    let none = Array3::zeros((2, 2, 2));
    let m = matching(&none, &none, 0.5);
    assert_eq!([m.precision, m.recall, m.f1, m.accuracy, m.panoptic_quality], [0.0; 5]);
}

#[test]
fn slices_count_objects_of_slices() {
    let truth = Array3::from_elem((5, 2, 2), 1);
    let slices = match_slices(truth.view(), truth.view(), &[0.5, 0.9], Criterion::Iou).unwrap();
    assert_eq!(
        slices.iter().map(|m| (m.threshold, m.tp, m.n_true)).collect::<Vec<_>>(),
        [(0.5, 5, 5), (0.9, 5, 5)]
    );
    assert_eq!(matching(&truth, &truth, 0.5).n_true, 1);
}

#[test]
fn images_matched_differently_are_not_pooled() {
    let truth = Array3::from_elem((1, 2, 2), 1);
    let (a, b) = (matching(&truth, &truth, 0.5), matching(&truth, &truth, 0.6));
    assert_eq!(Matching::pooled(&[a, b]), None);
    assert_eq!(Matching::pooled(&[]), None);
    assert_eq!(Matching::averaged(&[a, a]).unwrap().f1, 1.0);
}

#[test]
fn dice_is_cellseg3ds_with_smooth_1() {
    let truth = arr3(&[[[true, true, false, false]]]);
    let prediction = arr3(&[[[true, false, true, false]]]);
    assert_eq!(dice(truth.view(), prediction.view(), 0.0).unwrap(), 0.5);
    assert_eq!(dice(truth.view(), prediction.view(), 1.0).unwrap(), 3.0 / 5.0);
    assert_eq!(foreground_iou(truth.view(), prediction.view()).unwrap(), 1.0 / 3.0);
    let none = truth.mapv(|_| false);
    assert_eq!(dice(none.view(), none.view(), 1.0).unwrap(), 1.0);
    assert!(dice(none.view(), none.view(), 0.0).unwrap().is_nan());
}

#[test]
fn twenty_thousand_touching_objects_are_matched_in_one_chain_quickly() {
    // Each prediction is shifted by half an object, so that all objects hang together in one graph.
    let truth = Array3::from_shape_fn((1, 1, 120_000), |(_, _, x)| 1 + x as u32 / 6);
    let prediction = Array3::from_shape_fn((1, 1, 120_000), |(_, _, x)| 1 + (x as u32 + 3) / 6);
    let m = matching(&truth, &prediction, 0.3);
    assert_eq!((m.tp, m.fp, m.fn_), (20_000, 1, 0));
}

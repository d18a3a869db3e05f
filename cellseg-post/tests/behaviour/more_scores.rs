use cellseg_post::{
    Counted, Criterion, Error, Matching, Overlaps, Spacing, SurfaceDistances, bootstrap_interval,
    match_centroids,
};
use ndarray::{Array3, arr3};
use proptest::prelude::*;

#[test]
fn each_true_object_is_told_what_became_of_it() {
    // 1 is found, 2 is split into two halves, 3 and 4 are merged, 5 is missed.
    let truth = arr3(&[[[1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 4, 4, 0, 5, 5]]]);
    let prediction = arr3(&[[[9, 9, 9, 0, 6, 6, 7, 7, 0, 8, 8, 8, 8, 0, 0, 0]]]);
    let overlaps = Overlaps::count(truth.view(), prediction.view()).unwrap();
    let outcomes = overlaps.outcomes(0.6, Criterion::Iou).unwrap();
    assert_eq!(outcomes[0].matched, Some((9, 1.0)));
    assert_eq!((outcomes[1].matched, outcomes[1].split_into.clone()), (None, vec![6, 7]));
    assert_eq!([outcomes[2].merged_into, outcomes[3].merged_into], [Some(8), Some(8)]);
    assert!(
        outcomes[4].matched.is_none()
            && outcomes[4].split_into.is_empty()
            && outcomes[4].merged_into.is_none()
    );
    assert_eq!(outcomes[4].voxels, 2);
    let pairs = overlaps.matched_pairs(0.6, Criterion::Iou).unwrap();
    assert_eq!(pairs.iter().map(|pair| (pair.truth, pair.prediction)).collect::<Vec<_>>(), [(1, 9)]);
    assert_eq!(pairs.len() as u64, overlaps.matching(&[0.6], Criterion::Iou).unwrap()[0].tp);
}

#[test]
fn equal_divisions_score_perfectly_and_a_split_is_no_merge() {
    let truth = arr3(&[[[1, 1, 1, 1, 2, 2]]]);
    let same = Overlaps::count(truth.view(), truth.mapv(|id| id * 5).view()).unwrap();
    let split = Overlaps::count(truth.view(), arr3(&[[[1, 1, 3, 3, 2, 2]]]).view()).unwrap();
    for counted in [Counted::All, Counted::TrueObjects] {
        let voi = same.variation_of_information(counted);
        assert_eq!((voi.split, voi.merge, same.adjusted_rand_index(counted)), (0.0, 0.0, 1.0));
        let voi = split.variation_of_information(counted);
        assert!((voi.split - 4.0 / 6.0).abs() < 1e-12 && voi.merge == 0.0);
        let rand = split.adapted_rand(counted);
        assert!(rand.precision == 1.0 && rand.recall < 1.0);
    }
    assert_eq!((same.seg(), same.det()), (1.0, 1.0));
}

#[test]
fn empty_masks_have_no_surface_distance_and_one_empty_is_infinitely_far() {
    let some = arr3(&[[[true, false, false]]]);
    let none = some.mapv(|_| false);
    let between = |a: &Array3<bool>, b: &Array3<bool>| {
        SurfaceDistances::between(a.view(), b.view(), Spacing::VOXELS).unwrap()
    };
    assert_eq!((between(&none, &none).hausdorff(100.0), between(&none, &none).mean()), (None, None));
    assert_eq!(between(&some, &none).hausdorff(95.0), Some(f32::INFINITY));
    assert_eq!(between(&some, &none).dice(1.0), Some(0.0));
    assert_eq!(between(&some, &some).hausdorff(101.0), None);
    let shifted = arr3(&[[[false, false, true]]]);
    assert_eq!(between(&some, &shifted).hausdorff(100.0), Some(2.0));
    let other_shape = Array3::from_elem((1, 1, 2), true);
    let error = SurfaceDistances::between(some.view(), other_shape.view(), Spacing::VOXELS);
    assert!(matches!(error, Err(Error::ShapeMismatch { .. })));
}

#[test]
fn bootstrap_intervals_hold_the_score_repeat_and_refuse_what_cannot_be_drawn() {
    let image = |correct: usize| {
        let truth = Array3::from_shape_fn((1, 1, 20), |(_, _, x)| x as u32 + 1);
        let prediction = truth.mapv(|id| if id as usize <= correct { id } else { 0 });
        Overlaps::count(truth.view(), prediction.view()).unwrap().matching(&[0.5], Criterion::Iou).unwrap()[0]
    };
    let images: Vec<Matching> = (5..15).map(image).collect();
    let f1 = |matching: &Matching| matching.f1;
    let (low, high) = bootstrap_interval(&images, f1, 0.95, 500, 7).unwrap();
    let pooled = Matching::pooled(&images).unwrap().f1;
    assert!(low < pooled && pooled < high && high - low < 0.4, "{low} {pooled} {high}");
    assert_eq!(bootstrap_interval(&images, f1, 0.95, 500, 7), Ok((low, high)));
    assert_ne!(bootstrap_interval(&images, f1, 0.95, 500, 8), Ok((low, high)));
    let (narrow_low, narrow_high) = bootstrap_interval(&images, f1, 0.5, 500, 7).unwrap();
    assert!(low < narrow_low && narrow_high < high);
    for (images, level, draws) in
        [(&images[..0], 0.9, 10), (&images, 1.5, 10), (&images, f64::NAN, 10), (&images, 0.9, 0)]
    {
        assert!(matches!(bootstrap_interval(images, f1, level, draws, 0), Err(Error::Argument { .. })));
    }
}

/// The most pairs and then the least total distance, trying all.
fn best(truth: &[[f64; 3]], prediction: &[[f64; 3]], distance: f64, used: &mut Vec<bool>) -> (usize, f64) {
    let Some((first, rest)) = truth.split_first() else { return (0, 0.0) };
    let mut found = best(rest, prediction, distance, used);
    for (place, other) in prediction.iter().enumerate() {
        let apart = first.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        if !used[place] && apart <= distance {
            used[place] = true;
            let (pairs, total) = best(rest, prediction, distance, used);
            used[place] = false;
            if pairs + 1 > found.0 || (pairs + 1 == found.0 && total + apart < found.1) {
                found = (pairs + 1, total + apart);
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn centroids_are_paired_as_often_and_as_near_as_can_be(
        truth in prop::collection::vec([0.0f64..9.0, 0.0f64..9.0, -5.0f64..5.0], 0..6),
        prediction in prop::collection::vec([0.0f64..9.0, 0.0f64..9.0, -5.0f64..5.0], 0..6),
        distance in 0.5f64..8.0,
    ) {
        let pairs = match_centroids(&truth, &prediction, distance).unwrap();
        let (count, total) = best(&truth, &prediction, distance, &mut vec![false; prediction.len()]);
        prop_assert_eq!(pairs.len(), count);
        prop_assert!((pairs.iter().map(|pair| pair.2).sum::<f64>() - total).abs() < 1e-9);
    }
}

#[test]
fn centroids_that_cannot_be_compared_are_refused() {
    let at = [[0.0; 3]];
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(match_centroids(&at, &at, wrong), Err(Error::Argument { .. })));
    }
    assert!(match_centroids(&[[0.0, f64::NAN, 0.0]], &at, 1.0).unwrap_err().to_string().contains("NaN"));
}

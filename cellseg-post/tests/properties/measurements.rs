use cellseg_post::{Criterion, Overlaps, Spacing, dice, foreground_iou, regions};
use ndarray::{Array3, Zip};
use proptest::prelude::*;

use super::{mask, spacing, volume};

fn two_labels() -> impl Strategy<Value = (Array3<u32>, Array3<u32>)> {
    volume((0u32..7, 0u32..7), 6).prop_map(|both| (both.mapv(|pair| pair.0), both.mapv(|pair| pair.1)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn swapping_truth_and_prediction_swaps_misses_and_inventions((a, b) in two_labels(), threshold in 0.01f64..1.0) {
        let there = Overlaps::count(a.view(), b.view()).unwrap().matching(&[threshold], Criterion::Iou).unwrap()[0];
        let back = Overlaps::count(b.view(), a.view()).unwrap().matching(&[threshold], Criterion::Iou).unwrap()[0];
        prop_assert_eq!((there.tp, there.fp, there.fn_), (back.tp, back.fn_, back.fp));
        prop_assert_eq!(there.f1, back.f1);
    }

    #[test]
    fn labels_match_themselves_under_any_names(labels in volume(0u32..7, 6)) {
        let renamed = labels.mapv(|id| if id == 0 { 0 } else { u32::MAX - id * 1000 });
        let objects = regions(labels.view(), None, Spacing::VOXELS).unwrap().len() as u64;
        let matching = Overlaps::count(labels.view(), renamed.view()).unwrap();
        for m in matching.matching(&[0.1, 0.5, 1.0], Criterion::Iou).unwrap() {
            prop_assert_eq!((m.tp, m.fp, m.fn_), (objects, 0, 0));
        }
    }

    #[test]
    fn overlaps_add_up_to_what_the_voxels_say((a, b) in two_labels()) {
        let overlaps = Overlaps::count(a.view(), b.view()).unwrap();
        let both = Zip::from(&a).and(&b).fold(0, |sum, &a, &b| sum + u64::from(a != 0 && b != 0));
        prop_assert_eq!(overlaps.pairs().iter().map(|pair| pair.voxels).sum::<u64>(), both);
        for pair in overlaps.pairs() {
            let (true_id, predicted_id) = (overlaps.truth()[pair.truth].0, overlaps.prediction()[pair.prediction].0);
            let shared = Zip::from(&a).and(&b).fold(0, |sum, &a, &b| sum + u64::from((a, b) == (true_id, predicted_id)));
            prop_assert_eq!(pair.voxels, shared);
        }
    }

    #[test]
    fn dice_and_iou_tell_the_same(a in mask(0.5, 5)) {
        let b = Array3::from_shape_fn(a.dim(), |(z, y, x)| a[(z, y, x)] != ((z + 2 * y + 3 * x) % 4 == 0));
        let (d, j) = (dice(a.view(), b.view(), 0.0).unwrap(), foreground_iou(a.view(), b.view()).unwrap());
        prop_assert!(d.is_nan() == j.is_nan());
        prop_assert!(j.is_nan() || (d - 2.0 * j / (1.0 + j)).abs() < 1e-12);
    }

    #[test]
    fn regions_cover_the_foreground_and_their_moments_are_those_of_their_voxels(
        labels in volume(0u32..4, 7),
        spacing in spacing(),
    ) {
        let image = Array3::from_shape_fn(labels.dim(), |(z, y, x)| ((z * 7 + y * 5 + x * 3) % 11) as f32 + 1.0);
        let regions = regions(labels.view(), Some(image.view()), spacing).unwrap();
        let foreground = labels.iter().filter(|&&id| id != 0).count() as u64;
        prop_assert_eq!(regions.iter().map(|region| region.voxels).sum::<u64>(), foreground);
        for region in &regions {
            let voxels: Vec<_> = labels.indexed_iter().filter(|(_, id)| **id == region.id).map(|(at, _)| at).collect();
            let n = voxels.len() as f64;
            let [side_z, side_y, side_x] = spacing.to_array();
            let place = |at: (usize, usize, usize)| [at.0 as f64 * side_z, at.1 as f64 * side_y, at.2 as f64 * side_x];
            let mut weight = 0.0;
            let mut weighted = [0.0; 3];
            for (axis, weighted) in weighted.iter_mut().enumerate() {
                let mean = voxels.iter().map(|&at| place(at)[axis]).sum::<f64>() / n;
                prop_assert!((region.centroid[axis] - mean).abs() < 1e-9);
                *weighted = voxels.iter().map(|&at| place(at)[axis] * f64::from(image[at])).sum();
            }
            voxels.iter().for_each(|&at| weight += f64::from(image[at]));
            let intensity = region.intensity.unwrap();
            let std = (voxels.iter().map(|&at| (f64::from(image[at]) - weight / n).powi(2)).sum::<f64>() / n).sqrt();
            prop_assert!((intensity.mean - weight / n).abs() < 1e-9 && (intensity.std - std).abs() < 1e-6);
            for (ours, expected) in intensity.weighted_centroid.unwrap().iter().zip(weighted) {
                prop_assert!((ours - expected / weight).abs() < 1e-9);
            }
            // The trace of the covariance is kept by the axes: the sum of l l / 20.
            let spread: f64 = (0..3)
                .map(|axis| voxels.iter().map(|&at| (place(at)[axis] - region.centroid[axis]).powi(2)).sum::<f64>() / n)
                .sum();
            let axes: f64 = region.axis_lengths.iter().map(|length| length * length / 20.0).sum();
            prop_assert!((spread - axes).abs() <= 1e-9 * (1.0 + spread));
        }
    }
}

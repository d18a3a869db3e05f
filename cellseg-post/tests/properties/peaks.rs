use cellseg_post::{
    Connectivity, MaximaRule, Peak, components, histogram, keep_apart, local_maxima, percentiles,
    persistent_peaks,
};
use ndarray::Array3;
use proptest::prelude::*;

use super::{mask, spacing, squared_distance, steps, volume};

/// A plateau by flood fill, and whether anything around it is higher.
fn is_maximum(image: &Array3<f32>, voxel: (usize, usize, usize)) -> bool {
    let height = image[voxel];
    let mut seen = vec![voxel];
    let mut next = 0;
    let mut differs = false;
    while next < seen.len() {
        let (z, y, x) = seen[next];
        next += 1;
        for at in (0..27).map(|n| (z + n / 9, y + n / 3 % 3, x + n % 3)) {
            let Some(at) = at.0.checked_sub(1).zip(at.1.checked_sub(1)).zip(at.2.checked_sub(1)) else {
                continue;
            };
            let at = (at.0.0, at.0.1, at.1);
            match image.get(at) {
                Some(&other) if other > height => return false,
                Some(&other) if other < height => differs = true,
                Some(_) if !seen.contains(&at) => seen.push(at),
                _ => {}
            }
        }
    }
    differs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn plateau_maxima_have_nothing_higher_around_them(image in steps(6)) {
        let maxima = local_maxima(image.view(), MaximaRule::Plateau).unwrap();
        for (voxel, &maximum) in maxima.indexed_iter() {
            prop_assert_eq!(maximum, is_maximum(&image, voxel), "at {:?}", voxel);
        }
    }

    #[test]
    fn strict_maxima_are_first_in_scan_and_those_lie_on_plateau_maxima_or_slopes(image in steps(6)) {
        let strict = local_maxima(image.view(), MaximaRule::Strict).unwrap();
        let first = local_maxima(image.view(), MaximaRule::FirstInScan).unwrap();
        let plateau = local_maxima(image.view(), MaximaRule::Plateau).unwrap();
        for ((voxel, &strict), &first) in strict.indexed_iter().zip(&first) {
            prop_assert!(!strict || first);
            prop_assert!(!strict || plateau[voxel] || image.len() == 1);
        }
        // The highest plateau has a first voxel, whichever way one looks at it.
        prop_assert!(first.iter().any(|&maximum| maximum));
    }

    #[test]
    fn there_is_one_peak_for_each_plateau_maximum(image in steps(7)) {
        let everywhere = image.mapv(|_| true);
        let peaks = persistent_peaks(image.view(), everywhere.view(), 0.0, Connectivity::TwentySix).unwrap();
        let maxima = local_maxima(image.view(), MaximaRule::Plateau).unwrap();
        let plateaus = components(maxima.view(), Connectivity::TwentySix).unwrap().count();
        // A constant volume is one peak of its component, and no local maximum.
        prop_assert_eq!(peaks.len() as u32, plateaus.max(1));
    }

    #[test]
    fn each_component_keeps_exactly_one_peak_for_ever(image in steps(7), density in 0.2f64..1.0) {
        let mask = Array3::from_shape_fn(image.dim(), |(z, y, x)| {
            ((z * 31 + y * 17 + x * 7) % 10) as f64 <= density * 10.0
        });
        for connectivity in [Connectivity::Six, Connectivity::TwentySix] {
            let peaks = persistent_peaks(image.view(), mask.view(), f32::INFINITY, connectivity).unwrap();
            prop_assert_eq!(peaks.len() as u32, components(mask.view(), connectivity).unwrap().count());
        }
    }

    #[test]
    fn a_larger_h_leaves_a_part_of_the_peaks(mask in mask(0.8, 6), image in steps(6), h in 0.0f32..4.0) {
        let mask = Array3::from_shape_fn(image.dim(), |at| mask.get(at).copied().unwrap_or(true));
        let all = persistent_peaks(image.view(), mask.view(), 0.0, Connectivity::Six).unwrap();
        let some = persistent_peaks(image.view(), mask.view(), h, Connectivity::Six).unwrap();
        let expected: Vec<Peak> = all.into_iter().filter(|peak| peak.persistence >= h).collect();
        prop_assert!(some.windows(2).all(|pair| pair[0].height >= pair[1].height));
        prop_assert_eq!(some, expected);
    }

    #[test]
    fn peaks_kept_apart_are_those_of_a_double_loop(
        places in prop::collection::vec((0usize..20, 0usize..20, 0usize..20), 0..60),
        distance in 0.0f64..12.0,
        spacing in spacing(),
    ) {
        let peaks: Vec<Peak> = places
            .iter()
            .map(|&(z, y, x)| Peak { position: [z, y, x], height: 1.0, persistence: 1.0 })
            .collect();
        let mut expected: Vec<Peak> = Vec::new();
        for (peak, &place) in peaks.iter().zip(&places) {
            let near = |kept: &Peak| {
                let [z, y, x] = kept.position;
                squared_distance(place, (z, y, x), spacing) < distance * distance
            };
            if !expected.iter().any(near) {
                expected.push(*peak);
            }
        }
        prop_assert_eq!(keep_apart(&peaks, distance, spacing).unwrap(), expected);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values(
        image in volume(prop_oneof![-1e30f32..1e30, -1.0f32..1.0, Just(0.0)], 5),
        q in 0.0f64..=100.0,
    ) {
        let mut sorted: Vec<f64> = image.iter().map(|&value| f64::from(value)).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = q / 100.0 * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
        let ours = percentiles(image.view(), &[q]).unwrap()[0];
        prop_assert!((ours - (low + (high - low) * rank.fract())).abs() <= 1e-12 * low.abs().max(high.abs()));
    }

    #[test]
    fn a_histogram_counts_every_voxel_between_its_edges(image in volume(-10.0f32..10.0, 5), bins in 1usize..40) {
        prop_assume!(image.iter().any(|&value| value != image[[0, 0, 0]]));
        let histogram = histogram(image.view(), bins).unwrap();
        for (bin, &count) in histogram.counts.iter().enumerate() {
            let (low, high) = (histogram.edges[bin], histogram.edges[bin + 1]);
            let inside = |value: &&f32| **value >= low && (**value < high || (bin + 1 == bins && **value == high));
            prop_assert_eq!(count, image.iter().filter(inside).count() as u64);
        }
    }
}

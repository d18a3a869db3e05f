use cellseg_post::{Connectivity, Labels, Saliency, Spacing, WatershedHierarchy, persistent_peaks};
use ndarray::{Array3, Zip};
use proptest::prelude::*;

use super::{mask, steps, volume};

fn hierarchy(height: &Array3<f32>, mask: &Array3<bool>, by: Saliency) -> WatershedHierarchy {
    let spacing = Spacing::new(2.0, 1.0, 1.0).unwrap();
    WatershedHierarchy::new(height.view(), mask.view(), spacing, by, Connectivity::TwentySix).unwrap()
}

/// A height for each voxel, no two the same.
fn all_different(most: usize) -> impl Strategy<Value = Array3<f32>> {
    volume(any::<u32>(), most).prop_map(|values| {
        let mut order: Vec<(u32, usize)> = values.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut ranks = vec![0.0; order.len()];
        order.iter().enumerate().for_each(|(rank, (_, at))| ranks[*at] = rank as f32);
        Array3::from_shape_vec(values.raw_dim(), ranks).unwrap()
    })
}

/// Whether every object of `fine` lies in one object of `coarse`, and both have the same foreground.
fn nested(fine: &Labels, coarse: &Labels) -> bool {
    let mut around = vec![0; fine.count() as usize + 1];
    Zip::from(fine.ids()).and(coarse.ids()).all(|&fine, &coarse| {
        let around = &mut around[fine as usize];
        if *around == 0 {
            *around = coarse;
        }
        *around == coarse && (fine == 0) == (coarse == 0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn there_are_as_many_objects_as_peaks_of_that_persistence(height in steps(8), inside in mask(0.8, 8)) {
        let inside = Array3::from_shape_fn(height.dim(), |at| inside.get(at).copied().unwrap_or(true));
        let hierarchy = hierarchy(&height, &inside, Saliency::Dynamics);
        for h in [0.0f32, 1.0, 2.0, 3.0, 9.0] {
            let peaks = persistent_peaks(height.view(), inside.view(), h, Connectivity::TwentySix).unwrap();
            prop_assert_eq!(hierarchy.at(f64::from(h)).count() as usize, peaks.len(), "h = {}", h);
        }
    }

    #[test]
    fn each_object_has_one_peak_of_that_persistence(height in all_different(7), h in 0usize..200) {
        let inside = height.mapv(|_| true);
        let peaks =
            persistent_peaks(height.view(), inside.view(), h as f32, Connectivity::TwentySix).unwrap();
        let objects = hierarchy(&height, &inside, Saliency::Dynamics).at(h as f64);
        let mut found: Vec<u32> = peaks.iter().map(|peak| objects.ids()[peak.position]).collect();
        found.sort_unstable();
        prop_assert_eq!(found, (1..=objects.count()).collect::<Vec<_>>());
    }

    #[test]
    fn coarse_objects_are_unions_of_fine_ones(height in steps(8)) {
        let inside = height.mapv(|value| value > 0.0);
        for by in [Saliency::Dynamics, Saliency::Volume] {
            let hierarchy = hierarchy(&height, &inside, by);
            let levels: Vec<Labels> = [0.0, 1.0, 2.0, 5.0, 20.0, f64::INFINITY].map(|v| hierarchy.at(v)).into();
            prop_assert_eq!(levels[0].count(), hierarchy.basins());
            for pair in levels.windows(2) {
                prop_assert!(nested(&pair[0], &pair[1]));
            }
            prop_assert_eq!(
                u64::from(levels[5].count()) + hierarchy.merges().len() as u64,
                u64::from(hierarchy.basins())
            );
            for count in 0..=hierarchy.basins() + 1 {
                let objects = hierarchy.with_objects(count);
                prop_assert_eq!(objects.count(), count.clamp(levels[5].count(), hierarchy.basins()));
                prop_assert!(nested(&levels[0], &objects));
            }
        }
    }

    #[test]
    fn no_object_is_smaller_than_the_volume_asked_unless_it_is_alone(height in steps(8), least in 1u32..60) {
        let inside = height.mapv(|value| value > 0.0);
        let hierarchy = hierarchy(&height, &inside, Saliency::Volume);
        let (objects, alone) = (hierarchy.at(f64::from(least)), hierarchy.at(f64::INFINITY));
        let sizes = objects.sizes();
        let alone_sizes = alone.sizes();
        for (&object, &part) in objects.ids().iter().zip(alone.ids()) {
            let voxels = sizes[object as usize];
            // A voxel is 2 cubic micrometres.
            prop_assert!(2 * voxels >= u64::from(least) || voxels == alone_sizes[part as usize]);
        }
    }
}

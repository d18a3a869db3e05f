use cellseg_post::{
    Connectivity, Spacing, components, distance_transform, distance_transform_of_ids, nearest_seed,
    signed_distance_transform, voronoi,
};
use ndarray::{Array3, Zip};
use proptest::prelude::*;

use super::{mask, spacing, squared_distance, volume};

fn nearest_background(mask: &Array3<bool>, voxel: (usize, usize, usize), spacing: Spacing) -> f64 {
    let background = mask.indexed_iter().filter(|(_, inside)| !**inside);
    background.map(|(other, _)| squared_distance(voxel, other, spacing)).fold(f64::INFINITY, f64::min)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn distances_are_the_smallest_of_all(mask in mask(0.9, 9), spacing in spacing()) {
        let distance = distance_transform(mask.view(), spacing);
        for (voxel, &ours) in distance.indexed_iter() {
            let exact = if mask[voxel] { nearest_background(&mask, voxel, spacing).sqrt() } else { 0.0 };
            prop_assert!(f64::from(ours) == exact || (f64::from(ours) / exact - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn distances_inside_objects_end_at_all_that_is_not_the_object(
        ids in volume(prop_oneof![2 => Just(0u32), 3 => 1u32..4, 1 => Just(u32::MAX)], 8),
        spacing in spacing(),
    ) {
        let distance = distance_transform_of_ids(ids.view(), spacing);
        for (voxel, &ours) in distance.indexed_iter() {
            let object = ids.mapv(|id| id == ids[voxel]);
            let exact = if ids[voxel] == 0 { 0.0 } else { nearest_background(&object, voxel, spacing).sqrt() };
            prop_assert!(f64::from(ours) == exact || (f64::from(ours) / exact - 1.0).abs() < 1e-6, "{} {}", ours, exact);
        }
    }

    #[test]
    fn signed_distances_are_those_of_the_two_sides(mask in mask(0.5, 7), spacing in spacing()) {
        let signed = signed_distance_transform(mask.view(), spacing);
        let inside = distance_transform(mask.view(), spacing);
        let outside = distance_transform(mask.mapv(|inside| !inside).view(), spacing);
        for (voxel, &distance) in signed.indexed_iter() {
            prop_assert_eq!(distance, if mask[voxel] { inside[voxel] } else { -outside[voxel] });
        }
    }

    #[test]
    fn far_distances_are_exact_too(
        holes in prop::collection::vec((0usize..3, 0usize..70, 0usize..70), 1..4),
        spacing in spacing(),
    ) {
        // Beyond 24 voxels another algorithm takes over.
        let mut mask = Array3::from_elem((3, 70, 70), true);
        holes.iter().for_each(|&hole| mask[hole] = false);
        for mask in [mask.view(), mask.view().permuted_axes([1, 0, 2])] {
            let holes: Vec<_> = mask.indexed_iter().filter(|(_, inside)| !**inside).map(|(at, _)| at).collect();
            for (voxel, &ours) in distance_transform(mask, spacing).indexed_iter() {
                let exact = holes.iter().map(|&hole| squared_distance(voxel, hole, spacing)).fold(f64::INFINITY, f64::min);
                prop_assert!((f64::from(ours) - exact.sqrt()).abs() <= 1e-6 * exact.sqrt());
            }
        }
    }

    #[test]
    fn the_nearest_seed_is_the_first_in_raster_order_of_all_nearest(
        seeds in volume(prop_oneof![9 => Just(0u32), 1 => 1u32..100], 8),
        doubled in any::<bool>(),
    ) {
        // Whole numbers, so that equal distances are equal in floating point as well.
        let spacing = Spacing::new(if doubled { 2.0 } else { 1.0 }, 1.0, 1.0).unwrap();
        let nearest = nearest_seed(seeds.view(), spacing).unwrap();
        for (voxel, &ours) in nearest.indexed_iter() {
            let all = seeds.indexed_iter().filter(|(_, id)| **id != 0);
            let best = all
                .map(|(at, &id)| (squared_distance(voxel, at, spacing), id))
                .reduce(|best, other| if other.0 < best.0 { other } else { best });
            prop_assert_eq!(ours, best.map_or(0, |(_, id)| id));
        }
    }

    #[test]
    fn seeds_are_nearest_at_any_spacing(
        seeds in volume(prop_oneof![9 => Just(0u32), 1 => 1u32..100], 8),
        spacing in spacing(),
    ) {
        let nearest = nearest_seed(seeds.view(), spacing).unwrap();
        for (voxel, &ours) in nearest.indexed_iter() {
            let distance = |id: Option<u32>| {
                let all = seeds.indexed_iter().filter(|(_, other)| id.map_or(**other != 0, |id| **other == id));
                all.map(|(at, _)| squared_distance(voxel, at, spacing)).fold(f64::INFINITY, f64::min)
            };
            if ours == 0 {
                prop_assert!(seeds.iter().all(|&id| id == 0));
            } else {
                prop_assert!(distance(Some(ours)) <= distance(None) * (1.0 + 1e-12));
            }
        }
    }

    #[test]
    fn voronoi_gives_each_voxel_to_the_nearest_seed_of_its_own_component(
        mask in mask(0.4, 8),
        chance in prop::collection::vec(0u8..6, 512),
    ) {
        let spacing = Spacing::new(2.0, 1.0, 1.0).unwrap();
        let bodies = components(mask.view(), Connectivity::TwentySix).unwrap();
        let seeds = Array3::from_shape_fn(mask.dim(), |(z, y, x)| u32::from(chance[z * 64 + y * 8 + x] == 0))
            * Array3::from_shape_fn(mask.dim(), |(z, y, x)| (z * 64 + y * 8 + x + 1) as u32);
        let labels = voronoi(seeds.view(), mask.view(), spacing).unwrap();
        // One id a seed or component stands for the same set of voxels on both sides.
        let mut expected = Array3::<u32>::zeros(mask.dim());
        for (voxel, id) in expected.indexed_iter_mut() {
            if mask[voxel] {
                let body = bodies.ids()[voxel];
                let rivals = seeds.indexed_iter().filter(|(at, seed)| **seed != 0 && bodies.ids()[*at] == body);
                let best = rivals
                    .map(|(at, &seed)| (squared_distance(voxel, at, spacing), seed))
                    .reduce(|best, other| if other.0 < best.0 { other } else { best });
                *id = best.map_or(1000 + body, |(_, seed)| seed);
            }
        }
        prop_assert_eq!(labels, cellseg_post::Labels::from_ids(expected.view()));
    }

    #[test]
    fn no_foreground_is_lost_or_made_by_voronoi(mask in mask(0.5, 8)) {
        let nothing = mask.mapv(|_| 0u32);
        let labels = voronoi(nothing.view(), mask.view(), Spacing::VOXELS).unwrap();
        Zip::from(labels.ids()).and(&mask).for_each(|&id, &inside| assert_eq!(id != 0, inside));
        let bodies = components(mask.view(), Connectivity::TwentySix).unwrap();
        prop_assert_eq!(labels, bodies, "without seeds, components remain");
    }
}

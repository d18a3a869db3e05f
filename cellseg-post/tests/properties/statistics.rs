use cellseg_post::{
    Error, LabelSource, MapSource, Region, Spacing, count_in_atlas, local_densities, nearest_neighbours,
    regions, regions_in_blocks, solidities,
};
use ndarray::Array3;
use proptest::prelude::*;

use super::{spacing, volume};

fn ids() -> impl Strategy<Value = Array3<u32>> {
    volume(prop_oneof![2 => Just(0u32), 3 => 1u32..5, 1 => Just(u32::MAX)], 8)
}

/// Regions at random places.
fn crowd() -> impl Strategy<Value = Vec<Region>> {
    let place = (0.0f64..40.0, prop_oneof![Just(3.0), 0.0f64..20.0], prop_oneof![Just(0.0), 0.0f64..300.0]);
    prop::collection::vec(place, 0..40).prop_map(|places| {
        let one = regions(Array3::from_elem((1, 1, 1), 1).view(), None, Spacing::VOXELS).unwrap();
        let at = |((z, y, x), id)| Region { id, centroid: [z, y, x], ..one[0].clone() };
        places.into_iter().zip(1..).map(at).collect()
    })
}

fn distance(a: &Region, b: &Region) -> f64 {
    (0..3).map(|axis| (a.centroid[axis] - b.centroid[axis]).powi(2)).sum::<f64>().sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_measure_what_the_whole_does(ids in ids(), block in [1usize..9, 1usize..9, 1usize..9], spacing in spacing()) {
        let image = Array3::from_shape_fn(ids.dim(), |(z, y, x)| ((z * 7 + y * 5 + x * 3) % 11) as f32 - 3.0);
        let whole = regions(ids.view(), Some(image.view()), spacing).unwrap();
        let source = image.view();
        let parts = regions_in_blocks(&ids, Some(&source), block, spacing).unwrap();
        prop_assert_eq!(whole.len(), parts.len());
        for (whole, part) in whole.iter().zip(&parts) {
            let without = |region: &Region| Region { intensity: None, ..region.clone() };
            prop_assert_eq!(without(whole), without(part));
            let (a, b) = (whole.intensity.unwrap(), part.intensity.unwrap());
            prop_assert_eq!((a.min, a.max), (b.min, b.max));
            for (a, b) in [(a.sum, b.sum), (a.mean, b.mean), (a.std, b.std)] {
                prop_assert!((a - b).abs() <= 1e-9 * (1.0 + a.abs()), "{} {}", a, b);
            }
            match (a.weighted_centroid, b.weighted_centroid) {
                // A sum that is nearly 0 has no meaningful centre.
                (Some(c), Some(d)) if a.sum.abs() > 1e-6 => {
                    prop_assert!((0..3).all(|axis| (c[axis] - d[axis]).abs() <= 1e-6 * (1.0 + c[axis].abs())));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn boxes_are_convex_and_nothing_is_more_than_convex(ids in ids()) {
        let regions = regions(ids.view(), None, Spacing::VOXELS).unwrap();
        for (region, (id, solidity)) in regions.iter().zip(solidities(ids.view())) {
            let solidity = solidity.unwrap();
            let filled = region.bounding_box.iter().map(|range| range.len() as u64).product::<u64>();
            prop_assert_eq!(region.id, id);
            prop_assert!(solidity > 0.0 && solidity <= 1.0);
            prop_assert!(region.voxels != filled || solidity == 1.0);
        }
    }

    #[test]
    fn neighbours_are_the_nearest_of_all(crowd in crowd(), count in 0usize..6, radius in 0.1f64..60.0) {
        let found = nearest_neighbours(&crowd, count);
        let densities = local_densities(&crowd, radius).unwrap();
        for (me, region) in crowd.iter().enumerate() {
            let mut all: Vec<(f64, u32)> = crowd
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != me)
                .map(|(_, other)| (distance(region, other), other.id))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let within = all.iter().filter(|(distance, _)| *distance <= radius).count() as f64;
            let ball = 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3);
            prop_assert!((densities[me] * ball - within).abs() < 1e-6);
            all.truncate(count);
            let ours: Vec<(f64, u32)> = found[me].iter().map(|other| (other.distance, other.id)).collect();
            prop_assert_eq!(ours, all);
        }
    }

    #[test]
    fn every_object_is_counted_in_one_region_of_the_atlas(ids in ids(), spacing in spacing()) {
        let objects = regions(ids.view(), None, spacing).unwrap();
        let atlas = Array3::from_shape_fn(ids.dim(), |(z, _, x)| [0, 7, 90_000][(z + x) % 3]);
        let counts = count_in_atlas(&objects, atlas.view(), spacing).unwrap();
        prop_assert_eq!(counts.iter().map(|count| count.objects).sum::<u64>(), objects.len() as u64);
        let volume: f64 = counts.iter().map(|count| count.volume).sum();
        let whole = atlas.len() as f64 * spacing.voxel_volume();
        prop_assert!((volume - whole).abs() < 1e-9 * whole);
        for count in counts {
            let inside = objects.iter().filter(|object| {
                atlas[object.centroid_voxels.map(|index| index.round() as usize)] == count.id
            });
            prop_assert_eq!(inside.count() as u64, count.objects);
        }
    }
}

#[test]
fn an_atlas_of_another_grid_and_a_bad_radius_are_refused() {
    let ids = Array3::from_elem((4, 5, 6), 1);
    let objects = regions(ids.view(), None, Spacing::VOXELS).unwrap();
    let error = count_in_atlas(&objects, Array3::zeros((2, 2, 2)).view(), Spacing::VOXELS).unwrap_err();
    assert!(error.to_string().contains("[2, 2, 2]") && error.to_string().contains("object 1"), "{error}");
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(local_densities(&objects, wrong), Err(Error::Argument { .. })));
    }
}

#[test]
fn blocks_name_a_bad_voxel_by_its_place_in_the_volume_and_pass_on_what_storage_says() {
    struct Broken;
    impl LabelSource for Broken {
        fn shape(&self) -> [usize; 3] {
            [5, 6, 7]
        }
        fn read(&self, _: [usize; 3], _: ndarray::ArrayViewMut3<u32>) -> Result<(), Error> {
            Err(Error::Storage { message: "the disk is gone".into() })
        }
    }
    let shape = [5, 6, 7];
    let error = regions_in_blocks(&Broken, None, [2; 3], Spacing::VOXELS).unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    let ids = Array3::from_elem(shape, 1u32);
    let mut image = Array3::<f32>::zeros(shape);
    image[[3, 4, 5]] = f32::NAN;
    let view = image.view();
    let source: &dyn MapSource = &view;
    let error = regions_in_blocks(&ids, Some(source), [2; 3], Spacing::VOXELS).unwrap_err();
    assert!(matches!(error, Error::NonFinite { position: [3, 4, 5], .. }), "{error}");
    assert!(regions_in_blocks(&ids, None, [2, 0, 2], Spacing::VOXELS).is_err());
    let error = regions_in_blocks(&Array3::<u32>::zeros((4, 6, 7)), Some(source), [2; 3], Spacing::VOXELS)
        .unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
}

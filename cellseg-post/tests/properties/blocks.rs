use cellseg_post::{
    Connectivity, Error, InstanceOptions, LabelSource, LabelStore, MapSource, Method, Spacing, Threshold,
    WatershedSeeds, components, components_in_blocks, components_of_ids, components_of_ids_in_blocks,
    instances, instances_in_blocks, mask_above, regions_in_blocks,
};
use ndarray::{Array3, ArrayView3, ArrayViewMut3};
use proptest::prelude::*;

use super::mask;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn blocks_give_the_components_of_the_whole_volume_whatever_their_shape(
        mask in prop_oneof![mask(0.3, 12), mask(0.6, 12)],
        block in [1usize..6, 1usize..6, 1usize..14],
        connectivity in prop_oneof![Just(Connectivity::Six), Just(Connectivity::Eighteen), Just(Connectivity::TwentySix)],
    ) {
        let map = mask.mapv(|inside| f32::from(u8::from(inside)));
        let mut stored = Array3::<u32>::zeros(map.dim());
        let count = components_in_blocks(&map.view(), 0.5, connectivity, block, &mut stored).unwrap();
        let whole = components(mask.view(), connectivity).unwrap();
        prop_assert_eq!(count, whole.count());
        prop_assert_eq!(whole.ids(), stored);
    }

    #[test]
    fn blocks_give_the_components_of_ids_of_the_whole_volume_whatever_their_shape(
        ids in prop::collection::vec(prop_oneof![Just(0u32), Just(3), Just(u32::MAX)], 9 * 8 * 10),
        block in [1usize..6, 1usize..6, 1usize..14],
        connectivity in prop_oneof![Just(Connectivity::Six), Just(Connectivity::Eighteen), Just(Connectivity::TwentySix)],
    ) {
        let ids = Array3::from_shape_vec((9, 8, 10), ids).unwrap();
        let mut stored = Array3::<u32>::zeros(ids.dim());
        let count = components_of_ids_in_blocks(&ids, connectivity, block, &mut stored).unwrap();
        let whole = components_of_ids(ids.view(), connectivity).unwrap();
        prop_assert_eq!(count, whole.count());
        prop_assert_eq!(whole.ids(), stored);
    }

    #[test]
    fn objects_much_larger_than_blocks_and_halo_are_stitched(
        rods in prop::collection::vec((0usize..3, 1usize..5, 10usize..40), 3),
        block in [3usize..9, 3usize..9, 3usize..9],
        halo in [2usize..4, 2usize..4, 2usize..4],
    ) {
        // Straight rods along z, y or x, too far apart to touch, through many blocks each.
        let mut map = Array3::<f32>::zeros((40, 40, 40));
        for (number, (axis, width, length)) in rods.into_iter().enumerate() {
            let mut part = map.slice_mut(ndarray::s![.., .., ..]);
            // The first axes of the permuted view are across the rod.
            part.swap_axes(axis, 2);
            let at = 13 * number;
            part.slice_mut(ndarray::s![at..at + width, at..at + width, 0..length]).fill(1.0);
        }
        let segment = |map: ArrayView3<f32>| components(mask_above(map, 0.5).view(), Connectivity::TwentySix);
        let whole = segment(map.view()).unwrap();
        let mut stored = Array3::<u32>::zeros(map.dim());
        let count = instances_in_blocks(&map.view(), block, halo, segment, &mut stored).unwrap();
        prop_assert_eq!(count, whole.count());
        prop_assert_eq!(whole.ids(), stored);
    }

    #[test]
    fn objects_smaller_than_the_halo_are_found_as_in_the_whole_volume(
        balls in prop::collection::vec((0usize..4, 0usize..4, 0usize..5, 1usize..3), 1..30),
        block in [3usize..15, 3usize..15, 3usize..15],
    ) {
        // Boxes of up to 5 voxels in cells of 6, so that they never touch.
        let mut map = Array3::<f32>::zeros((24, 24, 30));
        for (z, y, x, size) in balls {
            let at = [6 * z, 6 * y, 6 * x];
            map.slice_mut(ndarray::s![at[0]..at[0] + size, at[1]..at[1] + 2 * size, at[2]..at[2] + size + 1]).fill(1.0);
        }
        let segment = |map: ArrayView3<f32>| components(mask_above(map, 0.5).view(), Connectivity::TwentySix);
        let mut stored = Array3::<u32>::zeros(map.dim());
        let count = instances_in_blocks(&map.view(), block, [6; 3], segment, &mut stored).unwrap();
        let whole = segment(map.view()).unwrap();
        prop_assert_eq!(count, whole.count());
        prop_assert_eq!(whole.ids(), stored);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_method_finds_nuclei_in_blocks_as_in_the_whole_volume(
        jitter in prop::collection::vec([0usize..3, 0usize..3, 0usize..3], 36),
        block in [9usize..30, 9usize..30, 9usize..25],
        method in prop_oneof![
            Just(Method::Peaks),
            Just(Method::VoronoiOtsu),
            Just(Method::Watershed(WatershedSeeds::Shape)),
            Just(Method::Watershed(WatershedSeeds::Cores { threshold: 0.9, min_voxels: 3 })),
        ],
    ) {
        // Balls of diameter 8 on a jittered lattice of 11, most apart and some touching.
        let centres: Vec<[f32; 3]> = jitter
            .iter()
            .enumerate()
            .map(|(number, jitter)| {
                let cell = [number / 18, number / 9 % 2, number % 9];
                [0, 1, 2].map(|axis| (5 + 11 * cell[axis] + jitter[axis]) as f32)
            })
            .collect();
        let map = Array3::from_shape_fn((23, 23, 100), |(z, y, x)| {
            let place = [z as f32, y as f32, x as f32];
            let distance = |centre: &[f32; 3]| (0..3).map(|a| (centre[a] - place[a]).powi(2)).sum::<f32>().sqrt();
            let nearest = centres.iter().map(distance).fold(f32::INFINITY, f32::min);
            1.0 / (1.0 + (2.0 * (nearest - 4.0)).exp())
        });
        let options = InstanceOptions {
            method,
            threshold: Threshold::Fixed(0.5),
            diameter: Some(8.0),
            ..InstanceOptions::default()
        };
        let segment = |map: ArrayView3<f32>| instances(map, Spacing::VOXELS, &options);
        let whole = segment(map.view()).unwrap();
        let mut stored = Array3::<u32>::zeros(map.dim());
        let count = instances_in_blocks(&map.view(), block, [20; 3], segment, &mut stored).unwrap();
        prop_assert_eq!(count, whole.count());
        prop_assert_eq!(whole.ids(), stored);
    }
}

#[test]
fn blocks_give_the_same_on_any_number_of_threads() {
    let map = Array3::from_shape_fn((40, 60, 70), |(z, y, x)| {
        let wave = |place: usize, length: f32| (place as f32 / length).sin();
        wave(z, 2.0) * wave(y, 2.5) * wave(x, 3.0)
    });
    let options = InstanceOptions {
        method: Method::VoronoiOtsu,
        threshold: Threshold::Fixed(0.3),
        diameter: Some(6.0),
        ..InstanceOptions::default()
    };
    let everything = || {
        let (mut parts, mut objects) = (Array3::zeros(map.dim()), Array3::zeros(map.dim()));
        let view = map.view();
        components_in_blocks(&view, 0.3, Connectivity::Six, [17, 25, 33], &mut parts).unwrap();
        let segment = |map: ArrayView3<f32>| instances(map, Spacing::VOXELS, &options);
        instances_in_blocks(&view, [17, 25, 33], [12; 3], segment, &mut objects).unwrap();
        let table = regions_in_blocks(&objects, Some(&view), [8, 60, 70], Spacing::VOXELS).unwrap();
        assert!(table.len() > 100, "{}", table.len());
        (parts, objects, table)
    };
    let on =
        |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(everything);
    let one = on(1);
    for threads in [2, 7] {
        assert!(on(threads) == one, "{threads} threads");
    }
}

#[test]
fn blocks_without_voxels_and_failing_storage_are_errors() {
    struct Broken;
    impl MapSource for Broken {
        fn shape(&self) -> [usize; 3] {
            [4, 4, 4]
        }
        fn read(&self, _: [usize; 3], _: ArrayViewMut3<f32>) -> Result<(), Error> {
            Err(Error::Storage { message: "the disk is gone".into() })
        }
    }
    let mut store = Array3::<u32>::zeros((4, 4, 4));
    let mut found = |block| components_in_blocks(&Broken, 0.5, Connectivity::Six, block, &mut store);
    assert!(matches!(found([2, 0, 2]), Err(Error::Argument { .. })));
    assert!(found([2, 2, 2]).unwrap_err().to_string().contains("the disk is gone"));
    let mut ids = Array3::<u32>::zeros((1, 2, 2));
    store.write([1, 1, 1], ndarray::arr3(&[[[5, 6], [7, 8]]]).view()).unwrap();
    store.read([1, 2, 1], ids.view_mut().slice_move(ndarray::s![.., 0..1, ..])).unwrap();
    assert_eq!(ids, ndarray::arr3(&[[[7, 8], [0, 0]]]));
}

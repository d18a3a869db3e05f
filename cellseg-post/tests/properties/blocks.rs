use cellseg_post::{
    Connectivity, Error, LabelStore, MapSource, components, components_in_blocks, instances_in_blocks,
    mask_above,
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
        let count = instances_in_blocks(&map.view(), block, 6, segment, &mut stored).unwrap();
        let whole = segment(map.view()).unwrap();
        prop_assert_eq!(count, whole.count());
        prop_assert_eq!(whole.ids(), stored);
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

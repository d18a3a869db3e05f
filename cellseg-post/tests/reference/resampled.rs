use approx::assert_abs_diff_eq;
use cellseg_post::{Error, Spacing, resample, resample_labels, resampled_shape};
use ndarray::{Array3, arr3, s};

use super::fixture;

fn spacing(z: f64, y: f64, x: f64) -> Spacing {
    Spacing::new(z, y, x).unwrap()
}

#[test]
fn finer_and_coarser_images_are_scikit_images() {
    let map: Array3<f32> = fixture("map");
    let finer = resample(map.view(), spacing(2.0, 1.0, 3.0), spacing(1.0, 1.0, 1.5)).unwrap();
    let part = map.slice(s![.., .., ..20]);
    let coarser = resample(part, spacing(1.0, 1.0, 1.0), spacing(2.0, 1.0, 2.0)).unwrap();
    for (ours, name) in [(finer, "resampled_finer"), (coarser, "resampled_coarser")] {
        let expected: Array3<f32> = fixture(name);
        assert_eq!(ours.dim(), expected.dim(), "{name}");
        for (ours, expected) in ours.iter().zip(&expected) {
            assert_abs_diff_eq!(ours, expected, epsilon = 1e-6);
        }
    }
}

#[test]
fn labels_keep_their_ids_and_volumes_their_extent() {
    let ids = arr3(&[[[1, 1, 7, 7]], [[0, 0, u32::MAX, 9]]]);
    let doubled = resample_labels(ids.view(), Spacing::VOXELS, spacing(0.5, 1.0, 0.5)).unwrap();
    let expected = Array3::from_shape_fn((4, 1, 8), |(z, _, x)| ids[[z / 2, 0, x / 2]]);
    assert_eq!(doubled, expected);
    let back = resample_labels(doubled.view(), spacing(0.5, 1.0, 0.5), Spacing::VOXELS).unwrap();
    assert_eq!(back, ids);
    assert_eq!(resampled_shape([10, 3, 1], spacing(2.0, 1.0, 1.0), spacing(1.0, 2.0, 9.0)), Ok([20, 2, 1]));
}

#[test]
fn spacings_in_the_wrong_unit_and_empty_volumes_are_refused() {
    let shape = [2000, 2000, 2000];
    let error = resampled_shape(shape, Spacing::VOXELS, spacing(1e-3, 1e-3, 1e-3)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let empty = Array3::<f32>::zeros((3, 0, 3));
    assert_eq!(
        resample(empty.view(), Spacing::VOXELS, Spacing::VOXELS),
        Err(Error::Empty { shape: [3, 0, 3] })
    );
}

use approx::assert_abs_diff_eq;
use cellseg_post::{
    Labels, MaximaRule, Spacing, difference_of_gaussians, distance_transform, gaussian,
    laplacian_of_gaussian, local_maxima, median, squared_distance_transform,
};
use ndarray::Array3;

use super::fixture;

#[test]
fn gaussian_is_scipys_for_unequal_sigmas_and_for_kernels_longer_than_the_volume() {
    let map: Array3<f32> = fixture("map");
    for (name, sigma) in [("gaussian_unequal", [0.6, 0.0, 2.3]), ("gaussian_wide", [7.0; 3])] {
        let expected: Array3<f32> = fixture(name);
        let ours = gaussian(map.view(), sigma).unwrap();
        for (ours, expected) in ours.iter().zip(&expected) {
            assert_abs_diff_eq!(ours, expected, epsilon = 5e-7);
        }
    }
}

#[test]
fn distances_are_scipys_at_unequal_spacing() {
    let mask: Array3<bool> = fixture("edt_mask");
    let expected: Array3<f32> = fixture("edt");
    let spacing = Spacing::new(2.5, 1.0, 0.7).unwrap();
    let distance = distance_transform(mask.view(), spacing);
    let squared = squared_distance_transform(mask.view(), spacing);
    for ((ours, squared), expected) in distance.iter().zip(&squared).zip(&expected) {
        assert_abs_diff_eq!(ours, expected, epsilon = 2e-6 * expected);
        assert_abs_diff_eq!(*squared, expected * expected, epsilon = 4e-6 * expected * expected);
    }
}

#[test]
fn plateau_maxima_are_scikit_images() {
    let steps: Array3<f32> = fixture("steps");
    let expected: Array3<bool> = fixture("local_maxima");
    assert!(expected.iter().any(|&maximum| maximum));
    assert_eq!(local_maxima(steps.view(), MaximaRule::Plateau).unwrap(), expected);
}

#[test]
fn laplacian_and_median_are_scipys() {
    let map: Array3<f32> = fixture("map");
    let expected: Array3<f32> = fixture("laplacian");
    let ours = laplacian_of_gaussian(map.view(), [1.0, 1.5, 2.0]).unwrap();
    for (ours, expected) in ours.iter().zip(&expected) {
        assert_abs_diff_eq!(ours, expected, epsilon = 1e-5);
    }
    assert_eq!(median(map.view(), [1, 1, 2]).unwrap(), fixture::<f32, ndarray::Ix3>("median"));
    let difference = difference_of_gaussians(map.view(), [1.0; 3], [2.0; 3]).unwrap();
    let expected = gaussian(map.view(), [1.0; 3]).unwrap() - gaussian(map.view(), [2.0; 3]).unwrap();
    assert_eq!(difference, expected);
}

#[test]
fn objects_at_the_border_are_cleared_as_scikit_image_clears_them() {
    let ids: Array3<u32> = fixture("regions_ids");
    let expected: Array3<bool> = fixture("cleared");
    assert!(expected.iter().any(|&inside| inside));
    assert_eq!(Labels::from_ids(ids.view()).clear_border().ids().mapv(|id| id != 0), expected);
}

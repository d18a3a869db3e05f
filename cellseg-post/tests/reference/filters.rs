use approx::assert_abs_diff_eq;
use cellseg_post::{
    MaximaRule, Spacing, distance_transform, gaussian, local_maxima, squared_distance_transform,
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

use approx::assert_relative_eq;
use cellseg_post::{
    Connectivity, OtsuRule, histogram, hysteresis, li, multi_otsu, otsu, percentiles, triangle,
};
use ndarray::{Array1, Array3};

use super::fixture;

#[test]
fn histogram_counts_and_edges_are_those_of_numpy() {
    let map: Array3<f32> = fixture("map");
    let histogram = histogram(map.view(), 256).unwrap();
    assert_eq!(histogram.counts, fixture::<u64, ndarray::Ix1>("histogram_counts").to_vec());
    assert_eq!(histogram.edges, fixture::<f32, ndarray::Ix1>("histogram_edges").to_vec());
}

#[test]
fn otsu_is_that_of_scikit_image() {
    let map: Array3<f32> = fixture("map");
    let expected: Array1<f32> = fixture("otsu");
    assert_eq!(otsu(map.view(), OtsuRule::Skimage).unwrap(), expected[0]);
}

#[test]
fn clesperantos_otsu_lies_within_a_bin_of_scikit_images() {
    let map: Array3<f32> = fixture("map");
    let ours = otsu(map.view(), OtsuRule::Clesperanto).unwrap();
    let skimage = otsu(map.view(), OtsuRule::Skimage).unwrap();
    assert!((ours - skimage).abs() <= 1.0 / 255.0, "{ours} against {skimage}");
    // Its bins are centred on multiples of range / 255.
    assert_relative_eq!((ours * 255.0).round() / 255.0, ours, epsilon = 1e-6);
}

#[test]
fn percentiles_are_those_of_numpy() {
    let map: Array3<f32> = fixture("map");
    let q: Array1<f64> = fixture("percentile_q");
    let expected: Array1<f64> = fixture("percentiles");
    let ours = percentiles(map.view(), q.as_slice().unwrap()).unwrap();
    for (ours, expected) in ours.iter().zip(&expected) {
        assert_relative_eq!(ours, expected, max_relative = 1e-15);
    }
}

#[test]
fn multi_otsu_li_and_triangle_are_those_of_scikit_image() {
    let map: Array3<f32> = fixture("map");
    let ours: Vec<f32> = (2..5).flat_map(|classes| multi_otsu(map.view(), classes).unwrap()).collect();
    for (ours, expected) in ours.iter().zip(fixture::<f32, ndarray::Ix1>("multi_otsu")) {
        assert_relative_eq!(*ours, expected, max_relative = 1e-6);
    }
    let coarse = map.mapv(|value| (value * 40.0).round_ties_even());
    for (image, expected) in [map.view(), coarse.view()].into_iter().zip(fixture::<f32, ndarray::Ix1>("li")) {
        assert_relative_eq!(li(image).unwrap(), expected, max_relative = 1e-5);
    }
    let both = [triangle(map.view()).unwrap(), triangle(map.mapv(|value| 1.0 - value).view()).unwrap()];
    assert_eq!(both.to_vec(), fixture::<f32, ndarray::Ix1>("triangle").to_vec());
}

#[test]
fn hysteresis_is_that_of_scikit_image() {
    let map: Array3<f32> = fixture("map");
    let expected: Array3<bool> = fixture("hysteresis");
    assert!(expected.iter().any(|&inside| inside) && expected != map.mapv(|value| value > 0.3));
    assert_eq!(hysteresis(map.view(), 0.3, 0.6, Connectivity::Six).unwrap(), expected);
}

use cellseg_post::{DenseCrf, Error, Spacing, dense_crf, dense_crf_foreground};
use ndarray::{Array3, Array4, s};

/// A bright half and a dark half, and a map that says so less and less surely.
fn halves() -> (Array3<f32>, Array3<f32>) {
    let image = Array3::from_shape_fn((12, 20, 24), |(z, _, x)| {
        if x < 12 { 100.0 + (z % 3) as f32 } else { 200.0 - (z % 2) as f32 }
    });
    let map = Array3::from_shape_fn((12, 20, 24), |(z, y, x)| {
        let noise = ((z * 31 + y * 17 + x * 13) % 23) as f32 / 23.0;
        if x < 12 { 0.6 * noise } else { 0.4 + 0.6 * noise }
    });
    (map, image)
}

#[test]
fn the_map_follows_the_edge_of_the_image() {
    let (map, image) = halves();
    let refined =
        dense_crf_foreground(map.view(), image.view(), Spacing::VOXELS, &DenseCrf::default()).unwrap();
    assert!(map.slice(s![.., .., ..12]).iter().any(|&p| p > 0.5));
    assert!(refined.slice(s![.., .., ..12]).iter().all(|&p| p < 0.5));
    assert!(refined.slice(s![.., .., 12..]).iter().all(|&p| p > 0.5));
}

#[test]
fn no_rounds_or_no_weights_leave_the_map_as_it_is() {
    let (map, image) = halves();
    let nothing = [
        DenseCrf { iterations: 0, ..DenseCrf::default() },
        DenseCrf { appearance_weight: 0.0, smoothness_weight: 0.0, ..DenseCrf::default() },
    ];
    for settings in nothing {
        let refined = dense_crf_foreground(map.view(), image.view(), Spacing::VOXELS, &settings).unwrap();
        for (refined, given) in refined.iter().zip(&map) {
            assert!((refined - given.clamp(1e-5, 1.0 - 1e-5)).abs() < 2e-6, "{refined} {given}");
        }
    }
}

#[test]
fn only_lengths_in_voxels_matter() {
    let (map, image) = halves();
    let settings = DenseCrf { appearance_sigma: 4.0, ..DenseCrf::default() };
    let once =
        dense_crf_foreground(map.view(), image.view(), Spacing::new(2.0, 1.0, 1.0).unwrap(), &settings);
    let twice = DenseCrf { appearance_sigma: 8.0, smoothness_sigma: 2.0, ..settings };
    let spacing = Spacing::new(4.0, 2.0, 2.0).unwrap();
    assert_eq!(once.unwrap(), dense_crf_foreground(map.view(), image.view(), spacing, &twice).unwrap());
}

#[test]
fn the_scale_of_the_image_does_not_matter_to_the_default() {
    let (map, image) = halves();
    let refine = |image: Array3<f32>| {
        dense_crf_foreground(map.view(), image.view(), Spacing::VOXELS, &DenseCrf::default()).unwrap()
    };
    for (a, b) in refine(image.clone()).iter().zip(&refine(image.mapv(|value| 64.0 * value - 1000.0))) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
}

#[test]
fn transposed_volumes_give_transposed_maps() {
    let (map, image) = halves();
    let (z, y, x) = (2.0, 1.0, 0.5);
    let settings = DenseCrf { appearance_sigma: 3.0, ..DenseCrf::default() };
    let refined = dense_crf_foreground(map.view(), image.view(), Spacing::new(z, y, x).unwrap(), &settings);
    let turned = dense_crf_foreground(
        map.view().permuted_axes([2, 0, 1]),
        image.view().permuted_axes([2, 0, 1]),
        Spacing::new(x, z, y).unwrap(),
        &settings,
    );
    let turned = turned.unwrap();
    for (a, b) in refined.unwrap().view().permuted_axes([2, 0, 1]).iter().zip(&turned) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn what_the_field_cannot_use_is_refused_and_named() {
    let (map, image) = halves();
    let defaults = DenseCrf::default;
    let refine = |map: &Array3<f32>, image: &Array3<f32>, settings: DenseCrf| {
        dense_crf_foreground(map.view(), image.view(), Spacing::VOXELS, &settings).unwrap_err()
    };
    let short = image.slice(s![.., .., ..5]).to_owned();
    assert!(matches!(refine(&map, &short, defaults()), Error::ShapeMismatch { .. }));
    let with = |volume: &Array3<f32>, value: f32| {
        let mut wrong = volume.clone();
        wrong[[1, 2, 3]] = value;
        wrong
    };
    let nan = Error::NonFinite { position: [1, 2, 3], value: f32::INFINITY };
    assert_eq!(refine(&with(&map, f32::INFINITY), &image, defaults()), nan);
    assert_eq!(refine(&map, &with(&image, f32::INFINITY), defaults()), nan);
    let settings = [
        ("a probability is 1.5", with(&map, 1.5), defaults()),
        ("appearance_sigma is 0", map.clone(), DenseCrf { appearance_sigma: 0.0, ..defaults() }),
        ("smoothness_sigma is NaN", map.clone(), DenseCrf { smoothness_sigma: f64::NAN, ..defaults() }),
        ("intensity_sigma is -1", map.clone(), DenseCrf { intensity_sigma: Some(-1.0), ..defaults() }),
        ("appearance_weight is -1", map.clone(), DenseCrf { appearance_weight: -1.0, ..defaults() }),
        ("intensity_sigma is so small", map.clone(), DenseCrf { intensity_sigma: Some(1e-5), ..defaults() }),
        (
            "need a grid of",
            map.clone(),
            DenseCrf { appearance_sigma: 0.05, intensity_sigma: Some(1.0), ..defaults() },
        ),
    ];
    for (message, map, settings) in settings {
        let error = refine(&map, &image, settings).to_string();
        assert!(error.contains(message), "{error}");
    }
    let one = map.clone().insert_axis(ndarray::Axis(0));
    let error = dense_crf(one.view(), image.view(), Spacing::VOXELS, &defaults()).unwrap_err().to_string();
    assert!(error.contains("number of classes") && error.contains("dense_crf_foreground"), "{error}");
    let empty = Array4::zeros((2, 0, 3, 3));
    let nothing = Array3::zeros((0, 3, 3));
    let error = dense_crf(empty.view(), nothing.view(), Spacing::VOXELS, &defaults());
    assert!(matches!(error, Err(Error::Empty { .. })));
}

use cellseg_post::{
    Connectivity, Element, Error, Flood, Spacing, close, dilate, erode, grey_dilate, grey_erode, hysteresis,
    laplacian_of_gaussian, li, mask_above_local, median, multi_otsu, open, reconstruct_by_dilation, triangle,
    watershed_with, white_top_hat,
};
use ndarray::{Array3, Zip, s};

#[test]
fn a_ball_grows_and_shrinks_by_micrometres_whatever_the_voxels() {
    let spacing = Spacing::new(2.0, 1.0, 0.5).unwrap();
    let mut point = Array3::from_elem((9, 17, 33), false);
    point[[4, 8, 16]] = true;
    let ball = dilate(point.view(), 4.0, spacing).unwrap();
    for ((z, y, x), &inside) in ball.indexed_iter() {
        let [z, y, x] = [2.0 * (z as f64 - 4.0), y as f64 - 8.0, 0.5 * (x as f64 - 16.0)];
        assert_eq!(inside, z * z + y * y + x * x <= 16.0);
    }
    let shrunk = erode(ball.view(), 3.0, spacing).unwrap();
    assert!(shrunk[[4, 8, 16]]);
    assert!(Zip::from(&shrunk).and(&ball).all(|&small, &large| !small || large));
    assert_eq!(dilate(point.view(), 0.0, spacing).unwrap(), point);
    assert_eq!(erode(ball.view(), 0.0, spacing).unwrap(), ball);
}

#[test]
fn opening_removes_what_is_thin_and_closing_fills_what_is_narrow() {
    let mut mask = Array3::from_elem((15, 15, 30), false);
    mask.slice_mut(s![3..12, 3..12, 3..12]).fill(true);
    mask.slice_mut(s![7, 7, 12..20]).fill(true);
    let opened = open(mask.view(), 1.5, Spacing::VOXELS).unwrap();
    assert!(opened[[7, 7, 7]] && !opened[[7, 7, 17]]);
    mask[[7, 7, 7]] = false;
    let closed = close(mask.view(), 1.5, Spacing::VOXELS).unwrap();
    assert!(closed[[7, 7, 7]] && !closed[[0, 0, 0]]);
    assert!(Zip::from(&closed).and(&mask).all(|&after, &before| after || !before), "closing loses nothing");
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        let errors = [open, close, dilate, erode].map(|step| step(mask.view(), wrong, Spacing::VOXELS));
        assert!(errors.iter().all(|error| matches!(error, Err(Error::Argument { .. }))));
    }
}

#[test]
fn grey_morphology_refuses_what_has_no_order_and_no_size() {
    let mut image = Array3::from_elem((3, 4, 5), 1.0f32);
    let boxes = grey_dilate(image.view(), Element::Box([1025, 0, 0])).unwrap_err();
    assert!(boxes.to_string().contains("[1025, 0, 0]"), "{boxes}");
    for radius in [-1.0, f64::NAN, f64::INFINITY] {
        let element = Element::Ball { radius, spacing: Spacing::VOXELS };
        let error = white_top_hat(image.view(), element).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error}");
    }
    let above = image.mapv(|value| value + 1.0);
    let error = reconstruct_by_dilation(above.view(), image.view(), Connectivity::Six).unwrap_err();
    assert!(error.to_string().contains("2 at (z, y, x) = [0, 0, 0], where the image is 1"), "{error}");
    image[[0, 1, 2]] = f32::NAN;
    let error = grey_erode(image.view(), Element::Box([1; 3])).unwrap_err();
    assert!(matches!(error, Error::NonFinite { position: [0, 1, 2], .. }));
    let empty = Array3::<f32>::zeros((0, 4, 5));
    assert_eq!(grey_erode(empty.view(), Element::Box([1; 3])).unwrap(), empty);
}

#[test]
fn a_local_threshold_finds_dim_objects_on_a_bright_side() {
    let map = Array3::from_shape_fn((8, 40, 60), |(z, y, x)| {
        x as f32 + if z / 3 == 1 && y % 10 == 4 && x % 10 == 5 { 20.0 } else { 0.0 }
    });
    let mask = mask_above_local(map.view(), [2.0, 4.0, 4.0], 5.0).unwrap();
    assert!(mask[[4, 14, 5]] && mask[[4, 14, 55]] && !mask[[4, 10, 58]]);
    assert_eq!(mask.iter().filter(|&&inside| inside).count(), 3 * 4 * 6);
}

#[test]
fn settings_out_of_range_and_values_that_are_not_finite_are_named() {
    let map = Array3::from_shape_fn((3, 4, 5), |(z, y, x)| (z + y + x) as f32);
    let errors = [
        hysteresis(map.view(), 2.0, 1.0, Connectivity::Six).map(drop).unwrap_err(),
        hysteresis(map.view(), f32::NAN, 1.0, Connectivity::Six).map(drop).unwrap_err(),
        mask_above_local(map.view(), [1.0; 3], f32::NAN).map(drop).unwrap_err(),
        median(map.view(), [usize::MAX, 1, 1]).map(drop).unwrap_err(),
        median(map.view(), [20, 20, 20]).map(drop).unwrap_err(),
        multi_otsu(map.view(), 1).map(drop).unwrap_err(),
        multi_otsu(map.view(), 300).map(drop).unwrap_err(),
        laplacian_of_gaussian(map.view(), [1.0, 0.0, 1.0]).map(drop).unwrap_err(),
        watershed_with(
            map.view(),
            map.mapv(|_| 1).view(),
            map.mapv(|_| true).view(),
            &Flood { compactness: -1.0, ..Flood::default() },
        )
        .map(drop)
        .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Argument { .. }) && error.to_string().contains("expected"), "{error}");
    }
    let mut broken = map.clone();
    broken[[1, 2, 3]] = f32::NAN;
    for error in [
        li(broken.view()).unwrap_err(),
        triangle(broken.view()).unwrap_err(),
        multi_otsu(broken.view(), 3).unwrap_err(),
        median(broken.view(), [1; 3]).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NonFinite { position: [1, 2, 3], .. }));
    }
    let flat = map.mapv(|_| 2.0);
    for error in [li(flat.view()), triangle(flat.view()), multi_otsu(flat.view(), 2).map(|_| 0.0)] {
        assert_eq!(error, Err(Error::Constant { value: 2.0 }));
    }
}

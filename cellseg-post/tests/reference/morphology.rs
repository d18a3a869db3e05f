use approx::assert_abs_diff_eq;
use cellseg_post::{
    Connectivity, Element, Spacing, black_top_hat, grey_dilate, grey_erode, reconstruct_by_dilation,
    reconstruct_by_erosion, white_top_hat,
};
use ndarray::Array3;

use super::fixture;

fn ball() -> Element {
    Element::Ball { radius: 2.5, spacing: Spacing::new(2.0, 1.0, 0.5).unwrap() }
}

#[test]
fn boxes_and_balls_dilate_and_erode_as_scipys() {
    let map: Array3<f32> = fixture("map");
    let dilated = grey_dilate(map.view(), Element::Box([1, 0, 3])).unwrap();
    assert_eq!(dilated, fixture::<f32, _>("grey_dilated_box"));
    assert_eq!(grey_erode(map.view(), ball()).unwrap(), fixture::<f32, _>("grey_eroded_ball"));
}

#[test]
fn top_hats_are_scipys() {
    let map: Array3<f32> = fixture("map");
    let white = white_top_hat(map.view(), Element::Box([1, 2, 2])).unwrap();
    let black = black_top_hat(map.view(), ball()).unwrap();
    for (ours, name) in [(white, "grey_white_hat"), (black, "grey_black_hat")] {
        assert_eq!(ours, fixture::<f32, _>(name), "{name}");
    }
}

#[test]
fn reconstructions_are_scikit_images() {
    let map: Array3<f32> = fixture("map");
    let lowered = map.mapv(|value| (value - 0.15).max(0.0));
    let raised = map.mapv(|value| value + 0.15);
    let below = reconstruct_by_dilation(lowered.view(), map.view(), Connectivity::Six).unwrap();
    let above = reconstruct_by_erosion(raised.view(), map.view(), Connectivity::TwentySix).unwrap();
    for (ours, name) in [(below, "grey_reconstructed"), (above, "grey_reconstructed_by_erosion")] {
        for (ours, expected) in ours.iter().zip(&fixture::<f32, ndarray::Ix3>(name)) {
            assert_abs_diff_eq!(ours, expected, epsilon = 1e-6);
        }
    }
}

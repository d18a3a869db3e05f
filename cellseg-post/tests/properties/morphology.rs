use cellseg_post::{
    Connectivity, Element, dilate, erode, grey_close, grey_dilate, grey_erode, grey_open,
    reconstruct_by_dilation,
};
use ndarray::Array3;
use proptest::prelude::*;

use super::{mask, spacing, squared_distance, volume};

/// The highest value of all voxels that `near` allows.
fn highest(image: &Array3<f32>, near: impl Fn([usize; 3], [usize; 3]) -> bool) -> Array3<f32> {
    Array3::from_shape_fn(image.dim(), |(z, y, x)| {
        let around = image.indexed_iter().filter(|((a, b, c), _)| near([z, y, x], [*a, *b, *c]));
        around.map(|(_, value)| *value).fold(f32::NEG_INFINITY, f32::max)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_box_takes_the_extreme_of_all_voxels_in_it(
        image in volume((-9i32..9).prop_map(|value| value as f32), 7),
        radius in [0usize..9, 0usize..4, 0usize..9],
    ) {
        let near = |a: [usize; 3], b: [usize; 3]| (0..3).all(|axis| a[axis].abs_diff(b[axis]) <= radius[axis]);
        let expected = highest(&image, near);
        prop_assert_eq!(&grey_dilate(image.view(), Element::Box(radius)).unwrap(), &expected);
        let lowest = highest(&image.mapv(|value| -value), near).mapv(|value| -value);
        prop_assert_eq!(grey_erode(image.view(), Element::Box(radius)).unwrap(), lowest);
    }

    #[test]
    fn a_ball_takes_the_extreme_of_all_voxels_in_it(
        image in volume((-9i32..9).prop_map(|value| value as f32), 7),
        spacing in spacing(),
        radius in 0.0f64..5.0,
    ) {
        let element = Element::Ball { radius, spacing };
        let near = |[a, b, c]: [usize; 3], [d, e, f]: [usize; 3]| {
            squared_distance((a, b, c), (d, e, f), spacing) <= radius * radius * (1.0 + 1e-9)
        };
        prop_assert_eq!(grey_dilate(image.view(), element).unwrap(), highest(&image, near));
    }

    #[test]
    fn a_ball_does_to_masks_what_distances_do(mask in mask(0.7, 9), spacing in spacing(), radius in 0.0f64..5.0) {
        let element = Element::Ball { radius, spacing };
        prop_assert_eq!(
            grey_dilate(mask.view(), element).unwrap(),
            dilate(mask.view(), radius, spacing).unwrap()
        );
        prop_assert_eq!(
            grey_erode(mask.view(), element).unwrap(),
            erode(mask.view(), radius, spacing).unwrap()
        );
    }

    #[test]
    fn opening_lowers_closing_raises_and_both_change_nothing_twice(
        image in volume((-9i32..9).prop_map(|value| value as f32), 8),
        radius in [0usize..3, 0usize..3, 0usize..3],
    ) {
        let element = Element::Box(radius);
        let opened = grey_open(image.view(), element).unwrap();
        let closed = grey_close(image.view(), element).unwrap();
        prop_assert!(opened.iter().zip(&image).all(|(opened, value)| opened <= value));
        prop_assert!(closed.iter().zip(&image).all(|(closed, value)| closed >= value));
        prop_assert_eq!(&grey_open(opened.view(), element).unwrap(), &opened);
        prop_assert_eq!(&grey_close(closed.view(), element).unwrap(), &closed);
    }

    #[test]
    fn reconstruction_is_the_limit_of_growing_below_the_image(
        image in volume((0i32..6).prop_map(|value| value as f32), 8),
        lower in volume((0i32..6).prop_map(|value| value as f32), 8),
    ) {
        let lower = Array3::from_shape_fn(image.dim(), |at| lower.iter().nth(at.0 + at.1 + at.2).copied().unwrap_or(1.0));
        let marker = &image - &lower;
        let ours = reconstruct_by_dilation(marker.view(), image.view(), Connectivity::TwentySix).unwrap();
        let mut grown = marker;
        loop {
            let mut next = grey_dilate(grown.view(), Element::Box([1; 3])).unwrap();
            next.zip_mut_with(&image, |level, &ceiling| *level = level.min(ceiling));
            if next == grown {
                break;
            }
            grown = next;
        }
        prop_assert_eq!(ours, grown);
    }
}

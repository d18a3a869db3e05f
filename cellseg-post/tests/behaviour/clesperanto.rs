use cellseg_post::{Error, MaximaRule, voronoi_otsu_as_clesperanto};
use ndarray::{Array3, arr3};

#[test]
fn labels_are_those_of_clics_own_test() {
    // Input, labels and both sigmas of CLIc's test of `voronoi_otsu_labeling`: one plane of 7 rows.
    let image = arr3(&[[
        [0.0f32, 0.0, 1.0, 1.0, 0.0, 0.0],
        [0.0, 1.0, 8.0, 9.0, 1.0, 0.0],
        [0.0, 1.0, 7.0, 6.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 8.0, 7.0, 1.0],
        [0.0, 0.0, 1.0, 1.0, 1.0, 0.0],
    ]]);
    let expected = arr3(&[[
        [0, 0, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 1, 2, 2, 0],
        [0, 0, 0, 2, 2, 0],
        [0, 0, 2, 2, 2, 0],
        [0, 0, 0, 2, 2, 0],
    ]]);
    let labels = voronoi_otsu_as_clesperanto(image.view(), 1.0, 1.0, MaximaRule::Strict).unwrap();
    assert_eq!(labels.ids(), expected);
}

#[test]
fn what_has_no_seed_of_its_own_is_lost_as_in_the_original() {
    let mut image = Array3::zeros((8, 20, 20));
    image.slice_mut(ndarray::s![2..6, 2..8, 2..8]).fill(1.0f32);
    image.slice_mut(ndarray::s![2..6, 2..8, 12..18]).fill(1.0);
    image[[4, 5, 5]] = 2.0;
    let labels = voronoi_otsu_as_clesperanto(image.view(), 0.65, 0.65, MaximaRule::Strict).unwrap();
    assert_eq!(labels.count(), 1);
    assert_eq!((labels.ids()[[4, 5, 5]], labels.ids()[[4, 5, 15]]), (1, 0));
    let error = voronoi_otsu_as_clesperanto(image.view(), -1.0, 0.65, MaximaRule::Strict).unwrap_err();
    assert!(matches!(error, Error::Argument { .. }), "{error}");
}

use cellseg_post::{
    Connectivity, Criterion, Error, InstanceOptions, MaximaRule, Method, OtsuRule, Overlaps, Peak, Spacing,
    Threshold, WatershedSeeds, components, dice, distance_transform, foreground_iou, gaussian, histogram,
    instances, keep_apart, local_maxima, mask_above, match_slices, nearest_seed, otsu, percentiles,
    persistent_peaks, region_table, regions, robust_otsu, seed_volume, split_touching, typical_diameter,
    voronoi, watershed,
};
use ndarray::{Array3, arr3};

fn ramp(shape: (usize, usize, usize)) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(z, y, x)| (z * 100 + y * 10 + x) as f32)
}

#[test]
fn spacing_is_finite_and_above_zero() {
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for sides in [[wrong, 1.0, 1.0], [1.0, wrong, 1.0], [1.0, 1.0, wrong]] {
            let error = Spacing::new(sides[0], sides[1], sides[2]).unwrap_err().to_string();
            assert!(error.contains(&wrong.to_string()) && error.contains("above 0"), "{error}");
        }
    }
    assert_eq!(Spacing::new(2.0, 0.5, 0.25).unwrap().voxel_volume(), 0.25);
    assert_eq!(Spacing::default(), Spacing::VOXELS);
}

#[test]
fn nan_and_infinity_are_named_with_their_place() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut map = ramp((3, 4, 5));
        map[[1, 2, 3]] = value;
        map[[2, 2, 3]] = value;
        let everywhere = map.mapv(|_| true);
        let seeds = map.mapv(|_| 1u32);
        let view = map.view();
        let errors = [
            otsu(view, OtsuRule::Skimage).unwrap_err(),
            robust_otsu(view).unwrap_err(),
            histogram(view, 4).unwrap_err(),
            percentiles(view, &[50.0]).unwrap_err(),
            local_maxima(view, MaximaRule::Strict).unwrap_err(),
            persistent_peaks(view, everywhere.view(), 0.0, Connectivity::Six).unwrap_err(),
            watershed(view, seeds.view(), everywhere.view(), Connectivity::Six).unwrap_err(),
            regions(seeds.view(), Some(view), Spacing::VOXELS).unwrap_err(),
            instances(view, Spacing::VOXELS, &InstanceOptions::default()).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::NonFinite { position: [1, 2, 3], .. }), "{error}");
            assert!(error.to_string().contains("[1, 2, 3]"), "{error}");
        }
    }
}

#[test]
fn a_constant_volume_has_no_threshold_but_a_fixed_one_works() {
    let flat = Array3::from_elem((4, 5, 6), 0.25f32);
    for rule in [OtsuRule::Skimage, OtsuRule::Clesperanto] {
        assert_eq!(otsu(flat.view(), rule), Err(Error::Constant { value: 0.25 }));
    }
    assert_eq!(robust_otsu(flat.view()), Err(Error::Constant { value: 0.25 }));
    assert_eq!(percentiles(flat.view(), &[0.0, 37.0, 100.0]).unwrap(), [0.25; 3]);
    let methods = [
        Method::Peaks,
        Method::VoronoiOtsu,
        Method::Watershed(WatershedSeeds::Shape),
        Method::Watershed(WatershedSeeds::Cores { threshold: 0.2, min_voxels: 3 }),
        Method::Components,
    ];
    for method in methods {
        let with = |threshold| InstanceOptions { method, threshold, ..Default::default() };
        let count = |threshold| {
            instances(flat.view(), Spacing::VOXELS, &with(threshold)).map(|labels| labels.count())
        };
        assert!(matches!(count(Threshold::default()), Err(Error::Constant { .. })));
        assert_eq!(count(Threshold::Fixed(0.3)), Ok(0), "{method:?}: nothing is foreground");
        assert_eq!(count(Threshold::Fixed(0.2)), Ok(1), "{method:?}: all of it is one object");
    }
}

#[test]
fn volumes_without_voxels_are_refused_where_a_value_is_needed_and_empty_elsewhere() {
    let none = Array3::<f32>::zeros((0, 4, 4));
    let no_ids = Array3::<u32>::zeros((0, 4, 4));
    let no_mask = none.mapv(|_| true);
    let empty = Error::Empty { shape: [0, 4, 4] };
    assert_eq!(otsu(none.view(), OtsuRule::Skimage), Err(empty.clone()));
    assert_eq!(robust_otsu(none.view()), Err(empty.clone()));
    assert_eq!(percentiles(none.view(), &[50.0]), Err(empty.clone()));
    assert_eq!(histogram(none.view(), 3), Err(empty.clone()));
    assert_eq!(instances(none.view(), Spacing::VOXELS, &InstanceOptions::default()), Err(empty.clone()));
    assert_eq!(Overlaps::count(no_ids.view(), no_ids.view()), Err(empty.clone()));
    assert_eq!(match_slices(no_ids.view(), no_ids.view(), &[0.5], Criterion::Iou), Err(empty));

    assert_eq!(components(no_mask.view(), Connectivity::Six).unwrap().count(), 0);
    assert_eq!(gaussian(none.view(), [1.0; 3]).unwrap(), none);
    assert_eq!(distance_transform(no_mask.view(), Spacing::VOXELS), none);
    assert_eq!(nearest_seed(no_ids.view(), Spacing::VOXELS).unwrap(), no_ids);
    assert_eq!(voronoi(no_ids.view(), no_mask.view(), Spacing::VOXELS).unwrap().count(), 0);
    assert_eq!(local_maxima(none.view(), MaximaRule::Plateau).unwrap(), no_mask);
    assert_eq!(watershed(none.view(), no_ids.view(), no_mask.view(), Connectivity::Six).unwrap(), no_ids);
    assert!(persistent_peaks(none.view(), no_mask.view(), 0.0, Connectivity::Six).unwrap().is_empty());
    assert!(regions(no_ids.view(), None, Spacing::VOXELS).unwrap().is_empty());
    assert!(region_table(&[]).rows.is_empty());
    assert_eq!(typical_diameter(no_mask.view(), Spacing::VOXELS), None);
}

#[test]
fn shapes_that_differ_are_named() {
    let (map, ids) = (ramp((3, 4, 5)), Array3::<u32>::zeros((3, 4, 6)));
    let (mask, other) = (map.mapv(|_| true), Array3::from_elem((3, 4, 6), true));
    let errors = [
        watershed(map.view(), ids.view(), mask.view(), Connectivity::Six).unwrap_err(),
        watershed(map.view(), map.mapv(|_| 1).view(), other.view(), Connectivity::Six).unwrap_err(),
        persistent_peaks(map.view(), other.view(), 0.0, Connectivity::Six).unwrap_err(),
        voronoi(ids.view(), mask.view(), Spacing::VOXELS).unwrap_err(),
        split_touching(map.view(), other.view(), Spacing::VOXELS, 3.0).unwrap_err(),
        regions(ids.view(), Some(map.view()), Spacing::VOXELS).unwrap_err(),
        Overlaps::count(ids.view(), map.mapv(|_| 1).view()).unwrap_err(),
        match_slices(ids.view(), map.mapv(|_| 1).view(), &[0.5], Criterion::Iou).unwrap_err(),
        dice(mask.view(), other.view(), 0.0).unwrap_err(),
        foreground_iou(mask.view(), other.view()).unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{text}");
        assert!(text.contains("[3, 4, 5]") && text.contains("[3, 4, 6]"), "{text}");
    }
}

#[test]
fn settings_out_of_range_are_named_with_what_was_expected() {
    let map = ramp((3, 4, 5));
    let everywhere = map.mapv(|_| true);
    let with = |options: InstanceOptions| instances(map.view(), Spacing::VOXELS, &options).unwrap_err();
    let default = InstanceOptions::default;
    let overlaps = Overlaps::count(map.mapv(|_| 1).view(), map.mapv(|_| 1).view()).unwrap();
    let peak = Peak { position: [3, 0, 0], height: 1.0, persistence: 1.0 };
    let errors = [
        with(InstanceOptions { diameter: Some(0.0), ..default() }),
        with(InstanceOptions { diameter: Some(f64::NAN), ..default() }),
        with(InstanceOptions { outline_sigma: Some(-1.0), ..default() }),
        with(InstanceOptions { outline_sigma: Some(1e9), ..default() }),
        with(InstanceOptions { spot_sigma: Some(f64::INFINITY), ..default() }),
        with(InstanceOptions { min_volume: Some(-2.0), ..default() }),
        with(InstanceOptions { max_volume: Some(f64::NAN), ..default() }),
        with(InstanceOptions { threshold: Threshold::Fixed(f32::NAN), ..default() }),
        gaussian(map.view(), [0.0, -0.1, 0.0]).unwrap_err(),
        gaussian(map.view(), [f64::NAN, 1.0, 1.0]).unwrap_err(),
        histogram(map.view(), 0).unwrap_err(),
        percentiles(map.view(), &[50.0, 100.5]).unwrap_err(),
        percentiles(map.view(), &[f64::NAN]).unwrap_err(),
        persistent_peaks(map.view(), everywhere.view(), -1.0, Connectivity::Six).unwrap_err(),
        persistent_peaks(map.view(), everywhere.view(), f32::NAN, Connectivity::Six).unwrap_err(),
        keep_apart(&[peak], -1.0, Spacing::VOXELS).unwrap_err(),
        seed_volume(&[peak], [3, 3, 3]).unwrap_err(),
        split_touching(map.view(), everywhere.view(), Spacing::VOXELS, -3.0).unwrap_err(),
        overlaps.matching(&[0.5, f64::NAN], Criterion::Iou).unwrap_err(),
        dice(everywhere.view(), everywhere.view(), -1.0).unwrap_err(),
        otsu(arr3(&[[[f32::MIN, f32::MAX]]]).view(), OtsuRule::Skimage).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Argument { .. }) && error.to_string().contains("expected"), "{error}");
    }
}

#[test]
fn nothing_but_nan_is_a_fixed_threshold_that_cannot_be_compared() {
    let map = arr3(&[[[0.0, f32::NAN, 2.0, f32::INFINITY]]]);
    assert_eq!(mask_above(map.view(), 1.0), arr3(&[[[false, false, true, true]]]));
    assert_eq!(Threshold::Fixed(f32::NEG_INFINITY).value(map.view()), Ok(f32::NEG_INFINITY));
}

#[test]
fn one_voxel_and_all_foreground_are_ordinary_volumes() {
    let one = arr3(&[[[true]]]);
    assert_eq!(components(one.view(), Connectivity::TwentySix).unwrap().count(), 1);
    assert_eq!(distance_transform(one.view(), Spacing::VOXELS)[[0, 0, 0]], f32::INFINITY);
    let full = Array3::from_elem((5, 6, 7), true);
    assert!(distance_transform(full.view(), Spacing::VOXELS).iter().all(|d| d.is_infinite()));
    assert_eq!(typical_diameter(full.view(), Spacing::new(1.0, 0.5, 1.0).unwrap()), Some(3.0));
    let labels = split_touching(full.mapv(|_| 1.0).view(), full.view(), Spacing::VOXELS, 4.0);
    assert_eq!(labels.unwrap().count(), 1);
}

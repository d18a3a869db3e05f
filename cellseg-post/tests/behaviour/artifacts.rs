use cellseg_post::{
    Connectivity, Error, Labels, MaximaRule, Measure, Spacing, blob_response, blob_seeds, components,
    laplacian_of_gaussian, local_maxima, remove_artifacts,
};
use ndarray::{Array3, s};

const SPACING: [f64; 3] = [2.0, 1.0, 1.0];

fn spacing() -> Spacing {
    Spacing::new(SPACING[0], SPACING[1], SPACING[2]).unwrap()
}

/// Fills the ball around `centre` (z, y, x) in micrometres.
fn ball(volume: &mut Array3<f32>, centre: [f64; 3], radius: f64, value: f32) {
    for ((z, y, x), voxel) in volume.indexed_iter_mut() {
        let place = [z as f64 * SPACING[0], y as f64 * SPACING[1], x as f64 * SPACING[2]];
        let squared: f64 = (0..3).map(|axis| (place[axis] - centre[axis]).powi(2)).sum();
        if squared <= radius * radius {
            *voxel = value;
        }
    }
}

/// Twenty nuclei of radius 5 to 6, and a large one, a bright one, a speck and a rod.
fn tissue() -> (Labels, Array3<f32>) {
    let mut image = Array3::zeros((20, 130, 100));
    for number in 0..20usize {
        let centre = [18.0, 12.0 + 20.0 * (number / 5) as f64, 12.0 + 18.0 * (number % 5) as f64];
        ball(&mut image, centre, 5.0 + number as f64 / 20.0, 100.0 + number as f32);
    }
    ball(&mut image, [18.0, 105.0, 20.0], 14.0, 110.0);
    ball(&mut image, [18.0, 100.0, 45.0], 5.5, 900.0);
    ball(&mut image, [18.0, 100.0, 60.0], 1.0, 108.0);
    image.slice_mut(s![9..11, 115..118, 40..90]).fill(109.0);
    let mask = image.mapv(|value| value > 0.0);
    (components(mask.view(), Connectivity::TwentySix).unwrap(), image)
}

#[test]
fn what_is_unlike_all_others_goes_and_the_reason_is_told() {
    let (labels, image) = tissue();
    assert_eq!(labels.count(), 24);
    let at = |z: usize, y: usize, x: usize| labels.ids()[[z, y, x]];
    let expected = [
        (at(9, 105, 20), vec![Measure::Volume]),
        (at(9, 100, 45), vec![Measure::Intensity]),
        (at(9, 100, 60), vec![Measure::Volume]),
        (at(9, 116, 60), vec![Measure::Sphericity]),
    ];
    let (kept, removed) = remove_artifacts(labels.clone(), Some(image.view()), spacing(), 5.0).unwrap();
    assert_eq!(kept.count(), 20);
    assert_eq!(removed.len(), 4);
    for (id, traits) in expected {
        let object = removed.iter().find(|object| object.id == id).unwrap();
        assert_eq!(object.oddities.iter().map(|oddity| oddity.of).collect::<Vec<_>>(), traits, "{object:?}");
        assert!(kept.ids().iter().zip(labels.ids()).all(|(kept, given)| *given != id || *kept == 0));
    }
    let bright = removed.iter().find(|object| object.id == at(9, 100, 45)).unwrap();
    let text = bright.oddities[0].to_string();
    assert!(text.starts_with("mean intensity 900.0000, +") && text.contains("typical 1"), "{text}");
}

#[test]
fn without_an_image_intensity_is_not_judged_and_few_objects_are_left_alone() {
    let (labels, _) = tissue();
    let (kept, _) = remove_artifacts(labels.clone(), None, spacing(), 5.0).unwrap();
    assert_eq!(kept.count(), 21);
    let few = labels.clone().retain(|id, _| id <= 5 || id > 20);
    assert_eq!(remove_artifacts(few.clone(), None, spacing(), 5.0).unwrap(), (few, Vec::new()));
    let (all, removed) = remove_artifacts(labels.clone(), None, spacing(), f64::INFINITY).unwrap();
    assert_eq!((all, removed.len()), (labels.clone(), 0));
    for wrong in [0.0, -1.0, f64::NAN] {
        let error = remove_artifacts(labels.clone(), None, spacing(), wrong).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error}");
    }
}

#[test]
fn objects_that_are_all_alike_stay() {
    let mut image = Array3::zeros((8, 40, 100));
    for number in 0..12 {
        let (y, x) = (4 + 18 * (number / 6), 4 + 15 * (number % 6));
        image.slice_mut(s![2..6, y..y + 8, x..x + 8]).fill(50.0f32);
    }
    let labels = components(image.mapv(|value| value > 0.0).view(), Connectivity::Six).unwrap();
    let (kept, removed) = remove_artifacts(labels.clone(), Some(image.view()), Spacing::VOXELS, 3.0).unwrap();
    assert_eq!((kept, removed), (labels, Vec::new()));
}

#[test]
fn a_ball_answers_best_to_its_own_diameter_at_unequal_voxels() {
    let mut image = Array3::zeros((25, 50, 50));
    ball(&mut image, [24.0, 25.0, 25.0], 6.0, 1.0);
    let answer = |diameter: f64| blob_response(image.view(), spacing(), &[diameter]).unwrap()[[12, 25, 25]];
    let best = answer(12.0);
    for other in [6.0, 9.0, 16.0, 24.0] {
        assert!(answer(other) < 0.95 * best, "{other} um: {} of {best}", answer(other));
    }
    let both = blob_response(image.view(), spacing(), &[6.0, 12.0]).unwrap();
    assert!(both[[12, 25, 25]] == best && both[[0, 0, 0]] < 1e-3);
}

#[test]
fn with_cubic_voxels_the_answer_is_scipys_laplacian_of_gaussian() {
    let (_, image) = tissue();
    let sigma = 2.5;
    let ours = blob_response(image.view(), Spacing::VOXELS, &[2.0 * sigma * 3f64.sqrt()]).unwrap();
    let scipys = laplacian_of_gaussian(image.view(), [sigma; 3]).unwrap();
    for (ours, scipys) in ours.iter().zip(&scipys) {
        assert!((ours + 6.25 * scipys).abs() < 2e-3, "{ours} {scipys}");
    }
}

#[test]
fn blob_seeds_are_the_centres_of_touching_balls() {
    let mut image = Array3::zeros((25, 50, 60));
    let centres = [[24.0, 25.0, 20.0], [24.0, 25.0, 31.0], [24.0, 36.0, 26.0]];
    centres.iter().for_each(|&centre| ball(&mut image, centre, 6.0, 1.0));
    let mask = image.mapv(|value| value > 0.0);
    let seeds = blob_seeds(image.view(), mask.view(), spacing(), &[12.0], 0.05).unwrap();
    assert_eq!(seeds.len(), 3);
    for [z, y, x] in centres {
        let near = |p: [usize; 3]| {
            (p[0] as f64 * 2.0 - z).abs() <= 2.0
                && (p[1] as f64 - y).abs() <= 2.0
                && (p[2] as f64 - x).abs() <= 2.0
        };
        assert!(seeds.iter().any(|seed| near(seed.position)), "{seeds:?}");
    }
    // The plain maxima of a flat image say nothing.
    assert!(local_maxima(image.view(), MaximaRule::Strict).unwrap().iter().all(|&maximum| !maximum));
    for wrong in [&[][..], &[0.0], &[f64::NAN], &[5.0, -1.0]] {
        let error = blob_response(image.view(), spacing(), wrong).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error}");
    }
}

//! The dense CRF beside pydensecrf and beside the exact sums over all pairs of voxels.

use cellseg_post::{DenseCrf, Spacing, dense_crf, dense_crf_foreground};
use ndarray::{Array1, Array3, Array4, Axis};

use super::fixture;

const SPACING: [f64; 3] = [2.0, 1.0, 1.0];

fn settings() -> DenseCrf {
    DenseCrf {
        appearance_sigma: 6.0,
        intensity_sigma: Some(13.0),
        appearance_weight: 4.0,
        smoothness_sigma: 1.2,
        smoothness_weight: 2.0,
        iterations: 5,
    }
}

fn spacing() -> Spacing {
    let [z, y, x] = SPACING;
    Spacing::new(z, y, x).unwrap()
}

fn image() -> Array3<f32> {
    fixture::<u8, _>("crf_image").mapv(f32::from)
}

fn foreground() -> Array3<f32> {
    fixture::<u8, _>("crf_two").mapv(|share| f32::from(share) / 255.0)
}

/// The exact mean field: every sum over all voxels, in double precision.
fn exact(map: &Array3<f32>, image: &Array3<f32>, s: &DenseCrf) -> Array1<f64> {
    let places: Vec<[f64; 3]> = map
        .indexed_iter()
        .map(|((z, y, x), _)| [z as f64 * SPACING[0], y as f64 * SPACING[1], x as f64 * SPACING[2]])
        .collect();
    let brightness: Vec<f64> = image.iter().map(|&value| f64::from(value)).collect();
    let n = places.len();
    let mut kernels = [vec![0.0; n * n], vec![0.0; n * n]];
    for i in 0..n {
        for j in 0..n {
            let squared: f64 = (0..3).map(|axis| (places[i][axis] - places[j][axis]).powi(2)).sum();
            let difference = (brightness[i] - brightness[j]) / s.intensity_sigma.unwrap();
            kernels[0][i * n + j] = (-0.5 * squared / s.smoothness_sigma.powi(2)).exp();
            let squared = squared / s.appearance_sigma.powi(2) + difference * difference;
            kernels[1][i * n + j] = (-0.5 * squared).exp();
        }
    }
    let weights = [f64::from(s.smoothness_weight), f64::from(s.appearance_weight)];
    let norms = kernels.each_ref().map(|kernel| {
        kernel.chunks_exact(n).map(|row| 1.0 / row.iter().sum::<f64>().sqrt()).collect::<Vec<_>>()
    });
    let unary: Array1<f64> =
        map.iter().map(|&p| (f64::from(p).max(1e-5) / (1.0 - f64::from(p)).max(1e-5)).ln()).collect();
    let mut odds = unary.clone();
    for _ in 0..s.iterations {
        let difference = odds.mapv(|odds| (odds / 2.0).tanh());
        odds = unary.clone();
        for ((kernel, norm), weight) in kernels.iter().zip(&norms).zip(weights) {
            let given: Vec<f64> = difference.iter().zip(norm).map(|(d, norm)| d * norm).collect();
            for (i, row) in kernel.chunks_exact(n).enumerate() {
                let sum: f64 = row.iter().zip(&given).map(|(k, given)| k * given).sum();
                odds[i] += weight * norm[i] * sum;
            }
        }
    }
    odds.mapv(|odds| 1.0 / (1.0 + (-odds).exp()))
}

/// The share of voxels on the same side of one half, and the mean difference.
fn agreement(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut same, mut difference, mut count) = (0.0, 0.0, 0.0);
    for (a, b) in a.zip(b) {
        same += f64::from(u8::from((a > 0.5) == (b > 0.5)));
        difference += (a - b).abs();
        count += 1.0;
    }
    (same / count, difference / count)
}

#[test]
fn two_classes_are_pydensecrfs_on_more_than_998_of_1000_voxels() {
    let refined = dense_crf_foreground(foreground().view(), image().view(), spacing(), &settings()).unwrap();
    let expected: Array3<u16> = fixture("crf_two_refined");
    let values = |map: &Array3<f32>| map.iter().map(|&p| f64::from(p)).collect::<Vec<_>>();
    let expected = expected.iter().map(|&share| f64::from(share) / 65_535.0);
    let (same, difference) = agreement(values(&refined).into_iter(), expected);
    assert!(same > 0.998 && difference < 5e-3, "{same} {difference}");
    let (changed, _) = agreement(values(&refined).into_iter(), values(&foreground()).into_iter());
    assert!(changed < 0.9, "the field must have had something to do: {changed}");
}

#[test]
fn three_classes_are_pydensecrfs_on_more_than_998_of_1000_voxels() {
    let probabilities: Array4<u8> = fixture("crf_three");
    let probabilities = probabilities.mapv(|share| f32::from(share) / 255.0);
    let expected: Array4<u16> = fixture("crf_three_refined");
    let refined = dense_crf(probabilities.view(), image().view(), spacing(), &settings()).unwrap();
    let best = |values: Vec<f32>| {
        values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class).unwrap()
    };
    let same = refined
        .lanes(Axis(0))
        .into_iter()
        .zip(expected.lanes(Axis(0)))
        .filter(|(ours, theirs)| best(ours.to_vec()) == best(theirs.mapv(f32::from).to_vec()))
        .count();
    let share = same as f64 / image().len() as f64;
    assert!(share > 0.998, "{share}");
    for sum in refined.sum_axis(Axis(0)) {
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}

#[test]
fn the_grid_is_nearer_to_the_sums_over_all_pairs_than_pydensecrfs_lattice() {
    let (map, image) = (foreground(), image());
    let refined = dense_crf_foreground(map.view(), image.view(), spacing(), &settings()).unwrap();
    let expected = exact(&map, &image, &settings());
    let theirs: Array3<u16> = fixture("crf_two_refined");
    let theirs = theirs.iter().map(|&share| f64::from(share) / 65_535.0);
    let (_, their_error) = agreement(theirs, expected.iter().copied());
    let (same, error) = agreement(refined.iter().map(|&p| f64::from(p)), expected.iter().copied());
    assert!(same > 0.999 && error < 0.4 * their_error, "{same} {error} {their_error}");
}

#[test]
fn foreground_is_the_second_of_two_classes() {
    let (map, image) = (foreground(), image());
    let refined = dense_crf_foreground(map.view(), image.view(), spacing(), &settings()).unwrap();
    let both = ndarray::stack(Axis(0), &[map.mapv(|p| 1.0 - p).view(), map.view()]).unwrap();
    let both = dense_crf(both.view(), image.view(), spacing(), &settings()).unwrap();
    for (one, two) in refined.iter().zip(both.index_axis(Axis(0), 1)) {
        assert!((one - two).abs() < 1e-4, "{one} {two}");
    }
}

//! The formulas as they stand, in double precision, over all pairs of voxels.

use super::super::{Form, SoftNCuts, cases::Case};

/// The loss of probabilities and an image given in the order of their shapes.
pub(super) fn loss(case: &Case, settings: &SoftNCuts, p: &[f64], image: &[f64]) -> f64 {
    let (voxels, k) = (case.size.iter().product::<usize>(), case.classes);
    let mut loss = k as f64;
    for item in 0..case.batch {
        let p = &p[item * voxels * k..][..voxels * k];
        let image = &image[item * voxels * case.channels..][..voxels * case.channels];
        for class in 0..k {
            let p: Vec<f64> = p[class..].iter().step_by(k).copied().collect();
            let quotient = match settings.form {
                Form::Approximate => approximate(case, settings, &p, image).abs(),
                Form::Exact => exact(case, settings, &p, image),
            };
            loss -= quotient / case.batch as f64;
        }
    }
    loss
}

/// The squared distance of two voxels, where the window of one reaches the other.
fn squared_distance(case: &Case, radius: usize, i: usize, j: usize) -> Option<f64> {
    let [_, h, w] = case.size;
    let place = |v: usize| [v / (h * w), v / w % h, v % w];
    let steps: Vec<usize> = place(i).iter().zip(place(j)).map(|(a, b)| a.abs_diff(b)).collect();
    steps.iter().all(|s| *s <= radius).then(|| steps.iter().map(|s| (s * s) as f64).sum())
}

fn squared_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn approximate(case: &Case, settings: &SoftNCuts, p: &[f64], image: &[f64]) -> f64 {
    let c = case.channels;
    let voxel = |i: usize| &image[i * c..][..c];
    let mass = p.iter().sum::<f64>() + 1e-5 * p.len() as f64;
    let mean: Vec<f64> =
        (0..c).map(|ch| p.iter().enumerate().map(|(i, p)| p * voxel(i)[ch]).sum::<f64>() / mass).collect();
    let weight: Vec<f64> = (0..p.len())
        .map(|i| (-(squared_difference(voxel(i), &mean) / settings.sigma_intensity).powi(2)).exp())
        .collect();
    let (mut within, mut total) = (0.0, 0.0);
    for i in 0..p.len() {
        for j in 0..p.len() {
            if let Some(d) = squared_distance(case, settings.radius, i, j) {
                let near = (-0.5 * d / settings.sigma_space.powi(2)).exp();
                within += p[i] * near * p[j] * weight[j];
                total += p[i] * near * weight[j];
            }
        }
    }
    within / (total + 1e-6)
}

fn exact(case: &Case, settings: &SoftNCuts, p: &[f64], image: &[f64]) -> f64 {
    let c = case.channels;
    let (mut within, mut total) = (0.0, 0.0);
    for i in 0..p.len() {
        for j in 0..p.len() {
            if let Some(d) = squared_distance(case, settings.radius, i, j) {
                let difference = squared_difference(&image[i * c..][..c], &image[j * c..][..c]);
                let exponent =
                    difference / settings.sigma_intensity.powi(2) + d / settings.sigma_space.powi(2);
                within += (-exponent).exp() * p[i] * p[j];
                total += (-exponent).exp() * p[i];
            }
        }
    }
    within / (total + 1e-6)
}

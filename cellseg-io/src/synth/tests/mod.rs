//! Facts about whole volumes.

mod geometry;
mod light;
mod options;
mod reproducible;

use ndarray::{Array3, s};

use super::{Synth, SynthOptions, generate};

/// A small volume of the default's making.
fn small(seed: u64) -> SynthOptions {
    SynthOptions { seed, shape: [32, 64, 64], nuclei: 16, ..Default::default() }
}

/// No nuclei, no loss and an even background: what is left is the camera.
fn flat(background: f64) -> SynthOptions {
    SynthOptions { nuclei: 0, background, unevenness: 0.0, light_at_bottom: 1.0, ..small(2) }
}

fn make(options: &SynthOptions) -> Synth {
    generate(options).unwrap_or_else(|error| panic!("{error}"))
}

/// For each label, whether it has a face in common with another.
fn touching(labels: &Array3<u32>) -> Vec<bool> {
    let mut touches = vec![false; labels.iter().copied().max().unwrap_or(0) as usize];
    let mut meet = |&a: &u32, &b: &u32| {
        if a != b && a > 0 && b > 0 {
            touches[a as usize - 1] = true;
            touches[b as usize - 1] = true;
        }
    };
    ndarray::Zip::from(labels.slice(s![1.., .., ..])).and(labels.slice(s![..-1, .., ..])).for_each(&mut meet);
    ndarray::Zip::from(labels.slice(s![.., 1.., ..])).and(labels.slice(s![.., ..-1, ..])).for_each(&mut meet);
    ndarray::Zip::from(labels.slice(s![.., .., 1..])).and(labels.slice(s![.., .., ..-1])).for_each(&mut meet);
    touches
}

/// For each label its voxels.
fn voxels(labels: &Array3<u32>) -> Vec<Vec<[usize; 3]>> {
    let mut voxels = vec![Vec::new(); labels.iter().copied().max().unwrap_or(0) as usize];
    for ((z, y, x), &label) in labels.indexed_iter() {
        if label > 0 {
            voxels[label as usize - 1].push([z, y, x]);
        }
    }
    voxels
}

fn mean_and_variance(values: impl Iterator<Item = f32> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / n;
    (mean, values.map(|v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
}

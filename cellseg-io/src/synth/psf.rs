//! The point spread function: an anisotropic Gaussian, applied as three 1-D passes in place.

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayViewMut2, Axis};

/// Blurs a `(z, y, x)` volume in place with a Gaussian of `sigma` voxels an axis, cut off at four sigma; the
/// outermost voxels are repeated beyond the border.
///
/// Besides the volume it takes one plane of scratch memory a thread.
pub(super) fn blur(volume: &mut Array3<f32>, sigma: [f64; 3]) {
    let [z, y, x] = sigma.map(half_kernel);
    if z.len() > 1 {
        volume.axis_iter_mut(Axis(1)).into_par_iter().for_each(|plane| blur_down_columns(plane, &z));
    }
    volume.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut slice| {
        blur_down_columns(slice.view_mut(), &y);
        blur_along_rows(slice, &x);
    });
}

/// The weights of the Gaussian at 0, 1, ... voxels from its centre; the whole kernel sums to one.
fn half_kernel(sigma: f64) -> Vec<f32> {
    let radius = (4.0 * sigma).ceil() as usize;
    let weight = |i: usize| {
        let distance = i as f64 / sigma;
        libm::exp(-0.5 * distance * distance)
    };
    // The centre is not computed, for without blur it would be 0 / 0.
    let weights: Vec<f64> = std::iter::once(1.0).chain((1..=radius).map(weight)).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter().map(|w| (w / sum) as f32).collect()
}

fn blur_down_columns(mut plane: ArrayViewMut2<f32>, half_kernel: &[f32]) {
    if half_kernel.len() == 1 {
        return;
    }
    let source = plane.to_owned();
    let last = source.nrows() - 1;
    for (i, mut row) in plane.rows_mut().into_iter().enumerate() {
        row.zip_mut_with(&source.row(i), |out, value| *out = half_kernel[0] * value);
        for (k, &weight) in half_kernel.iter().enumerate().skip(1) {
            let (before, after) = (source.row(i.saturating_sub(k)), source.row((i + k).min(last)));
            ndarray::Zip::from(&mut row)
                .and(before)
                .and(after)
                .for_each(|out, b, a| *out += weight * (b + a));
        }
    }
}

fn blur_along_rows(mut plane: ArrayViewMut2<f32>, half_kernel: &[f32]) {
    if half_kernel.len() == 1 {
        return;
    }
    let radius = half_kernel.len() - 1;
    let width = plane.ncols();
    let mut padded = vec![0.0; width + 2 * radius];
    for mut row in plane.rows_mut() {
        for (i, value) in padded.iter_mut().enumerate() {
            *value = row[i.saturating_sub(radius).min(width - 1)];
        }
        for (x, out) in row.iter_mut().enumerate() {
            let centre = x + radius;
            *out = half_kernel[0] * padded[centre];
            for (k, weight) in half_kernel.iter().enumerate().skip(1) {
                *out += weight * (padded[centre - k] + padded[centre + k]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn point_becomes_the_gaussian_of_each_axis() {
        let sigma = [1.0, 2.0, 0.7];
        let mut volume = Array3::zeros((17, 25, 15));
        volume[[8, 12, 7]] = 1.0f32;
        blur(&mut volume, sigma);
        let normal = |distance: f64, sigma: f64| (-0.5 * (distance / sigma).powi(2)).exp();
        let norm: f64 =
            sigma.iter().map(|s| (-40..=40).map(|i| normal(f64::from(i), *s)).sum::<f64>()).product();
        for ((z, y, x), &value) in volume.indexed_iter() {
            let expected = normal(z as f64 - 8.0, sigma[0])
                * normal(y as f64 - 12.0, sigma[1])
                * normal(x as f64 - 7.0, sigma[2])
                / norm;
            assert!((f64::from(value) - expected).abs() < 2e-5, "at {z} {y} {x}: {value} vs {expected}");
        }
    }

    #[test]
    fn constant_volume_stays_constant_and_zero_sigma_changes_nothing() {
        let mut volume = Array3::from_elem((3, 5, 4), 2.5f32);
        blur(&mut volume, [3.0, 1.0, 9.0]);
        assert!(volume.iter().all(|v| (v - 2.5).abs() < 1e-5));
        let ramp = Array3::from_shape_fn((3, 4, 5), |(z, y, x)| (z * 20 + y * 5 + x) as f32);
        let mut same = ramp.clone();
        blur(&mut same, [0.0; 3]);
        assert_eq!(ramp, same);
    }
}

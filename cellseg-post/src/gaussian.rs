//! The separable Gaussian filter.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use crate::Error;
use crate::grid::{Grid, raster};
use crate::lanes::{LANES, StridedAxis, for_each_block};

/// Kernels end at this many standard deviations, as in `scipy.ndimage.gaussian_filter`.
pub const TRUNCATE: f64 = 4.0;

/// The longest half kernel that is allowed, in voxels.
const MAX_RADIUS: f64 = 65_536.0;

/// Blurs a volume with a Gaussian of standard deviation `sigma` (z, y, x) in voxels.
///
/// As `scipy.ndimage.gaussian_filter` with its defaults: the kernel ends at [`TRUNCATE`] sigma and the volume is
/// mirrored at its borders (`d c b a | a b c d | d c b a`). An axis of sigma 0 is left as it is. Sums are f32.
///
/// # Errors
/// [`Error::Argument`] if a sigma is negative, not finite or beyond 16,000 voxels.
pub fn gaussian(image: ArrayView3<f32>, sigma: [f64; 3]) -> Result<Array3<f32>, Error> {
    let kernels = sigma.map(half_kernel);
    let [kernel_z, kernel_y, kernel_x] = kernels;
    let (kernel_z, kernel_y, kernel_x) = (kernel_z?, kernel_y?, kernel_x?);
    let grid = Grid::of(&image);
    let mut blurred = Array3::from_shape_vec(grid.shape(), raster(&image).into_owned()).expect("same shape");
    if grid.len() == 0 {
        return Ok(blurred);
    }
    blur_rows(&mut blurred, grid, &kernel_x);
    for (axis, kernel) in [(StridedAxis::Y, &kernel_y), (StridedAxis::Z, &kernel_z)] {
        if kernel.len() > 1 {
            for_each_block(&mut blurred, axis, Vec::new, |padded, block, _| {
                blur_block(padded, block, kernel)
            });
        }
    }
    Ok(blurred)
}

/// The weights of offsets 0, 1, ... radius; those of negative offsets are the same.
fn half_kernel(sigma: f64) -> Result<Vec<f32>, Error> {
    let radius = (TRUNCATE * sigma + 0.5).floor();
    if !(sigma >= 0.0 && radius <= MAX_RADIUS) {
        return Err(Error::Argument {
            name: "the Gaussian's sigma in voxels",
            given: sigma.to_string(),
            expected: "a finite number from 0 to 16000",
        });
    }
    if sigma == 0.0 {
        return Ok(vec![1.0]);
    }
    let weights: Vec<f64> =
        (0..=radius as usize).map(|offset| (-0.5 * (offset as f64 / sigma).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    Ok(weights.iter().map(|weight| (weight / total) as f32).collect())
}

/// The index in `0..len` that the mirrored axis shows at `index`.
fn mirrored(index: isize, len: usize) -> usize {
    let index = index.rem_euclid(2 * len as isize) as usize;
    if index < len { index } else { 2 * len - 1 - index }
}

fn blur_rows(volume: &mut Array3<f32>, grid: Grid, kernel: &[f32]) {
    let radius = kernel.len() - 1;
    if radius == 0 {
        return;
    }
    let voxels = volume.as_slice_mut().expect("the volume was made in raster order");
    voxels.par_chunks_exact_mut(grid.nx).with_min_len(64).for_each_init(
        || vec![0.0; grid.nx + 2 * radius],
        |padded, row| {
            for (index, value) in padded.iter_mut().enumerate() {
                *value = row[mirrored(index as isize - radius as isize, grid.nx)];
            }
            weighted_sum(padded, row, kernel, 1);
        },
    );
}

fn blur_block(padded: &mut Vec<f32>, block: &mut [f32], kernel: &[f32]) {
    let (radius, length) = (kernel.len() - 1, block.len() / LANES);
    padded.clear();
    for index in 0..length + 2 * radius {
        let row = mirrored(index as isize - radius as isize, length);
        padded.extend_from_slice(&block[row * LANES..(row + 1) * LANES]);
    }
    for (step, row) in block.chunks_exact_mut(LANES).enumerate() {
        weighted_sum(&padded[step * LANES..(step + 1 + 2 * radius) * LANES], row, kernel, LANES);
    }
}

/// `out[i] = sum over k of kernel[|k|] * padded[i + (radius + k) * stride]`.
#[inline]
fn weighted_sum(padded: &[f32], out: &mut [f32], kernel: &[f32], stride: usize) {
    let (radius, width) = (kernel.len() - 1, out.len());
    let centre = &padded[radius * stride..][..width];
    out.iter_mut().zip(centre).for_each(|(sum, value)| *sum = kernel[0] * value);
    for (offset, &weight) in kernel.iter().enumerate().skip(1) {
        let before = &padded[(radius - offset) * stride..][..width];
        let after = &padded[(radius + offset) * stride..][..width];
        for ((sum, a), b) in out.iter_mut().zip(before).zip(after) {
            *sum += weight * (a + b);
        }
    }
}

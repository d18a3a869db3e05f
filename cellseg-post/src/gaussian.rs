//! The separable Gaussian filter.
//!
//! Rows along x are blurred one by one. Along y and z a row of the result is a weighted sum of whole rows, which lie side
//! by side in memory: a ring of the last `2 radius + 1` rows stays in the cache, so that each pass reads and writes every
//! voxel once, without gathering strided lines. x and y are blurred while a plane is in the cache.

use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;

use crate::Error;
use crate::grid::{Grid, raster};
use crate::memory::zeros;
use crate::wide::wide;

/// Kernels end at this many standard deviations, as in `scipy.ndimage.gaussian_filter`.
pub const TRUNCATE: f64 = 4.0;

/// The longest half kernel that is allowed, in voxels.
const MAX_RADIUS: f64 = 65_536.0;

/// What lies beyond the borders of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// The volume itself, mirrored: `d c b a | a b c d | d c b a`.
    Mirror,
    /// The nearest voxel of the volume: `a a a a | a b c d | d d d d`.
    Edge,
    /// Zeros.
    Zero,
}

impl Beyond {
    /// The index in `0..len` that the axis shows at `index`; `None` for a zero.
    fn index(self, index: isize, len: usize) -> Option<usize> {
        match self {
            Self::Mirror => {
                let index = index.rem_euclid(2 * len as isize) as usize;
                Some(if index < len { index } else { 2 * len - 1 - index })
            }
            Self::Edge => Some(index.clamp(0, len as isize - 1) as usize),
            Self::Zero => (0..len as isize).contains(&index).then_some(index as usize),
        }
    }
}

/// Blurs a volume with a Gaussian of standard deviation `sigma` (z, y, x) in voxels.
///
/// As `scipy.ndimage.gaussian_filter` with its defaults: the kernel ends at [`TRUNCATE`] sigma and the volume is
/// mirrored at its borders (`d c b a | a b c d | d c b a`). An axis of sigma 0 is left as it is. Sums are f32.
///
/// # Errors
/// [`Error::Argument`] if a sigma is negative, not finite or beyond 16,000 voxels.
pub fn gaussian(image: ArrayView3<f32>, sigma: [f64; 3]) -> Result<Array3<f32>, Error> {
    gaussian_within(image, sigma, Beyond::Mirror)
}

/// As [`gaussian`], with a choice of what lies beyond the borders.
pub(crate) fn gaussian_within(
    image: ArrayView3<f32>,
    sigma: [f64; 3],
    beyond: Beyond,
) -> Result<Array3<f32>, Error> {
    let [kernel_z, kernel_y, kernel_x] = sigma.map(half_kernel);
    Ok(filtered(image, &[kernel_z?, kernel_y?, kernel_x?], beyond))
}

/// The difference of two Gaussians, `narrow` less `wide` sigma (z, y, x) in voxels: bright for spots of a size between.
///
/// As `skimage.filters.difference_of_gaussians` with `mode="reflect"`.
///
/// # Errors
/// Those of [`gaussian`].
pub fn difference_of_gaussians(
    image: ArrayView3<f32>,
    narrow: [f64; 3],
    wide: [f64; 3],
) -> Result<Array3<f32>, Error> {
    let mut difference = gaussian(image, narrow)?;
    difference -= &gaussian(image, wide)?;
    Ok(difference)
}

/// The Laplacian of the volume blurred by a Gaussian of sigma (z, y, x) in voxels: dark at spots of its size.
///
/// As `scipy.ndimage.gaussian_laplace`. Per voxel, not per micrometre.
///
/// # Errors
/// Those of [`gaussian`]; [`Error::Argument`] also if a sigma is 0.
pub fn laplacian_of_gaussian(image: ArrayView3<f32>, sigma: [f64; 3]) -> Result<Array3<f32>, Error> {
    if let Some(zero) = sigma.iter().find(|sigma| **sigma == 0.0) {
        return Err(Error::Argument {
            name: "the Laplacian's sigma in voxels",
            given: zero.to_string(),
            expected: "a finite number above 0",
        });
    }
    laplacian(image, sigma, |sigma| 1.0 / (sigma * sigma))
}

/// The sum over the axes of `sigma^2` times the second derivative of the volume blurred by a Gaussian of sigma (z, y, x)
/// in voxels: for a sigma of one physical length, the scale-normalised Laplacian whatever the voxels.
pub(crate) fn normalised_laplacian(image: ArrayView3<f32>, sigma: [f64; 3]) -> Result<Array3<f32>, Error> {
    laplacian(image, sigma, |_| 1.0)
}

/// The sum over the axes of `weight(sigma) sigma^2` times the second derivative.
fn laplacian(
    image: ArrayView3<f32>,
    sigma: [f64; 3],
    weight: impl Fn(f64) -> f64,
) -> Result<Array3<f32>, Error> {
    let [z, y, x] = sigma.map(half_kernel);
    let blurs = [z?, y?, x?];
    let mut sum = zeros(Grid::of(&image));
    for axis in 0..3 {
        let mut kernels = blurs.clone();
        let (square, factor) = (sigma[axis] * sigma[axis], weight(sigma[axis]));
        for (offset, weight) in kernels[axis].iter_mut().enumerate() {
            *weight = (f64::from(*weight) * ((offset * offset) as f64 / square - 1.0) * factor) as f32;
        }
        sum += &filtered(image, &kernels, Beyond::Mirror);
    }
    Ok(sum)
}

/// The volume convolved along each axis with a symmetric kernel, given by its centre and one half.
fn filtered(
    image: ArrayView3<f32>,
    [kernel_z, kernel_y, kernel_x]: &[Vec<f32>; 3],
    beyond: Beyond,
) -> Array3<f32> {
    let grid = Grid::of(&image);
    let mut blurred = zeros(grid);
    if grid.len() == 0 {
        return blurred;
    }
    let source = raster(&image);
    let planes = blurred.as_slice_mut().expect("zeros are made in raster order");
    planes.par_chunks_exact_mut(grid.plane()).zip(source.par_chunks_exact(grid.plane())).for_each_init(
        || (Ring::new(grid.ny, grid.nx, kernel_y, beyond), vec![0.0; grid.nx + 2 * (kernel_x.len() - 1)]),
        |(ring, padded), (plane, source)| {
            let rows = source.chunks_exact(grid.nx);
            if kernel_y.len() == 1 {
                for (to, from) in plane.chunks_exact_mut(grid.nx).zip(rows) {
                    blur_row(from, padded, kernel_x, beyond, to);
                }
                return;
            }
            ring.clear();
            let mut results = plane.chunks_exact_mut(grid.nx);
            for from in rows {
                ring.push(|row| blur_row(from, padded, kernel_x, beyond, row));
                ring.ready(&mut results);
            }
        },
    );
    if kernel_z.len() > 1 {
        let columns: Vec<_> = blurred.axis_iter_mut(Axis(1)).collect();
        columns.into_par_iter().for_each_init(
            || Ring::new(grid.nz, grid.nx, kernel_z, beyond),
            |ring, mut column| {
                ring.clear();
                let mut rows: Vec<&mut [f32]> =
                    column.rows_mut().into_iter().filter_map(|row| row.into_slice()).collect();
                let mut done = 0;
                for z in 0..grid.nz {
                    ring.push(|row| row.copy_from_slice(rows[z]));
                    let mut results = rows[done..].iter_mut().map(|row| &mut **row);
                    done += ring.ready(&mut results);
                }
            },
        );
    }
    blurred
}

/// [`gaussian`] as clesperanto's `gaussian_blur` does it: kernels have `8 sigma` weights, one more if that is even, and
/// beyond the border lies the nearest voxel.
pub(crate) fn clesperanto_gaussian(image: ArrayView3<f32>, sigma: f64) -> Result<Array3<f32>, Error> {
    let kernel = kernel_of_radius(sigma, (4.0 * sigma).floor())?;
    Ok(filtered(image, &[kernel.clone(), kernel.clone(), kernel], Beyond::Edge))
}

/// The weights of offsets 0, 1, ... radius; those of negative offsets are the same.
pub(crate) fn half_kernel(sigma: f64) -> Result<Vec<f32>, Error> {
    kernel_of_radius(sigma, (TRUNCATE * sigma + 0.5).floor())
}

fn kernel_of_radius(sigma: f64, radius: f64) -> Result<Vec<f32>, Error> {
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

/// Blurs one row along itself; `padded` has room for the row and a radius on both sides.
fn blur_row(row: &[f32], padded: &mut [f32], kernel: &[f32], beyond: Beyond, result: &mut [f32]) {
    let (radius, len) = (kernel.len() - 1, row.len());
    if radius == 0 {
        result.copy_from_slice(row);
        return;
    }
    padded[radius..radius + len].copy_from_slice(row);
    for step in 1..=radius {
        let value = |index: isize| beyond.index(index, len).map_or(0.0, |index| row[index]);
        padded[radius - step] = value(-(step as isize));
        padded[radius + len + step - 1] = value((len + step - 1) as isize);
    }
    blur_padded(padded, kernel, result);
}

/// How many neighbouring sums are kept in registers.
const BLOCK: usize = 64;

wide! {
    /// `result[i] = sum over k of kernel[|k|] padded[i + radius + k]`.
    fn blur_padded(padded: &[f32], kernel: &[f32], result: &mut [f32]) {
        let radius = kernel.len() - 1;
        let len = result.len();
        let (blocks, rest) = result.as_chunks_mut::<BLOCK>();
        let rest_at = len - rest.len();
        for (block, sums) in blocks.iter_mut().enumerate() {
            let at = BLOCK * block + radius;
            *sums = weighted(kernel, |offset| {
                (lanes(&padded[at - offset..]), lanes(&padded[at + offset..]))
            });
        }
        for (sum, at) in rest.iter_mut().zip(rest_at + radius..) {
            *sum = kernel[0] * padded[at];
            for (offset, weight) in kernel.iter().enumerate().skip(1) {
                *sum += weight * (padded[at - offset] + padded[at + offset]);
            }
        }
    }
}

#[inline(always)]
fn lanes(values: &[f32]) -> &[f32; BLOCK] {
    values.first_chunk().expect("blocks end inside the row")
}

/// The weighted sum of the pairs of blocks at each offset; the pair of offset 0 is one block twice.
#[inline(always)]
fn weighted<'a>(
    kernel: &[f32],
    pair: impl Fn(usize) -> (&'a [f32; BLOCK], &'a [f32; BLOCK]),
) -> [f32; BLOCK] {
    let (centre, _) = pair(0);
    let mut sums = [0.0; BLOCK];
    for lane in 0..BLOCK {
        sums[lane] = kernel[0] * centre[lane];
    }
    for (offset, &weight) in kernel.iter().enumerate().skip(1) {
        let (before, after) = pair(offset);
        for lane in 0..BLOCK {
            sums[lane] += weight * (before[lane] + after[lane]);
        }
    }
    sums
}

/// The latest rows of a plane that are needed for the next row of the result.
struct Ring<'a> {
    kernel: &'a [f32],
    beyond: Beyond,
    /// What is seen beyond the first and the last row with [`Beyond::Zero`].
    zeros: Vec<f32>,
    /// How many rows the plane has.
    rows: usize,
    width: usize,
    /// Row `n` lies at place `n % capacity`.
    values: Vec<f32>,
    capacity: usize,
    pushed: usize,
    done: usize,
}

impl<'a> Ring<'a> {
    fn new(rows: usize, width: usize, kernel: &'a [f32], beyond: Beyond) -> Self {
        let capacity = rows.min(2 * kernel.len() - 1);
        let (values, zeros) = (vec![0.0; capacity * width], vec![0.0; width]);
        Self { kernel, beyond, zeros, rows, width, values, capacity, pushed: 0, done: 0 }
    }

    fn clear(&mut self) {
        (self.pushed, self.done) = (0, 0);
    }

    /// Adds the next row, which `fill` writes.
    fn push(&mut self, fill: impl FnOnce(&mut [f32])) {
        let place = self.pushed % self.capacity * self.width;
        fill(&mut self.values[place..place + self.width]);
        self.pushed += 1;
    }

    /// Writes all rows of the result for which the rows pushed so far suffice; returns how many.
    fn ready<'r>(&mut self, results: &mut impl Iterator<Item = &'r mut [f32]>) -> usize {
        let before = self.done;
        let radius = self.kernel.len() - 1;
        while self.done < self.rows
            && (self.pushed == self.rows || self.done + radius < self.pushed)
            && let Some(result) = results.next()
        {
            let centre = self.done as isize;
            let row = |offset: isize| match self.beyond.index(centre + offset, self.rows) {
                Some(row) => {
                    let place = row % self.capacity * self.width;
                    &self.values[place..place + self.width]
                }
                None => &self.zeros,
            };
            let pairs: Vec<_> = (0..=radius as isize).map(|offset| (row(-offset), row(offset))).collect();
            blur_rows(&pairs, self.kernel, result);
            self.done += 1;
        }
        self.done - before
    }
}

wide! {
    /// `result[x] = sum over k of kernel[k] (before[k][x] + after[k][x])`, the row itself at k = 0 counted once.
    fn blur_rows(pairs: &[(&[f32], &[f32])], kernel: &[f32], result: &mut [f32]) {
        let len = result.len();
        let (blocks, rest) = result.as_chunks_mut::<BLOCK>();
        let rest_at = len - rest.len();
        for (block, sums) in blocks.iter_mut().enumerate() {
            let at = BLOCK * block;
            *sums = weighted(kernel, |offset| {
                let (before, after) = pairs[offset];
                (lanes(&before[at..]), lanes(&after[at..]))
            });
        }
        for (sum, x) in rest.iter_mut().zip(rest_at..) {
            *sum = kernel[0] * pairs[0].0[x];
            for (weight, (before, after)) in kernel.iter().zip(pairs).skip(1) {
                *sum += weight * (before[x] + after[x]);
            }
        }
    }
}

//! Mean-field inference.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use super::grid::BilateralGrid;
use super::{DenseCrf, PART};
use crate::gaussian::{Beyond, gaussian_within, half_kernel};
use crate::grid::{Grid, all_finite, raster};
use crate::memory::zeros;
use crate::wide::wide;
use crate::{Error, Spacing};

/// Added to the sums of the appearance kernel before they divide, as pydensecrf does.
const LEAST_SUM: f32 = 1e-20;

/// The two kernels over one image.
pub(super) struct Field<'a> {
    settings: &'a DenseCrf,
    grid: Grid,
    smoothness_sigma: [f64; 3],
    /// `1 / sqrt(K 1)` of the smoothness kernel, which is the product of one factor for each axis.
    smoothness_norm: [Vec<f32>; 3],
    appearance: BilateralGrid<'a>,
    /// `1 / sqrt(K 1)` of the appearance kernel over that of the smoothness kernel.
    appearance_norm: Array3<f32>,
}

impl<'a> Field<'a> {
    pub(super) fn new(
        image: ArrayView3<'a, f32>,
        spacing: Spacing,
        settings: &'a DenseCrf,
    ) -> Result<Self, Error> {
        settings.check()?;
        let grid = Grid::of(&image);
        all_finite(grid, &raster(&image))?;
        let smoothness_sigma = spacing.to_voxels(settings.smoothness_sigma);
        let mut smoothness_norm = [const { Vec::new() }; 3];
        for axis in 0..3 {
            smoothness_norm[axis] = norm_along(smoothness_sigma[axis], grid.shape()[axis])?;
        }
        let sigma = spacing.to_voxels(settings.appearance_sigma);
        let appearance = BilateralGrid::new(image, sigma, settings.intensity_sigma(image)?)?;
        let mut ones = zeros(grid);
        voxels(&mut ones).par_iter_mut().with_min_len(PART).for_each(|one| *one = 1.0);
        let mut sums = zeros(grid);
        appearance.add_filtered(&ones, &ones, [0.0, 1.0], &mut sums)?;
        each_voxel(grid, &mut sums, &smoothness_norm, |sum, smoothness| {
            *sum = 1.0 / ((*sum + LEAST_SUM).sqrt() * smoothness);
        });
        let appearance_norm = sums;
        Ok(Self { settings, grid, smoothness_sigma, smoothness_norm, appearance, appearance_norm })
    }

    /// The log-odds of each class but the last against the last, from those of the map alone.
    pub(super) fn infer(&self, unary: Vec<Array3<f32>>) -> Result<Vec<Array3<f32>>, Error> {
        let mut odds: Vec<Array3<f32>> = unary.iter().map(|map| copied(self.grid, map)).collect();
        for _ in 0..self.settings.iterations {
            let mut maps: Vec<&mut [f32]> = odds.iter_mut().map(voxels).collect();
            probability_differences(&mut maps);
            let heard = odds.into_iter().zip(&unary).map(|(difference, unary)| {
                let mut message = self.message(difference)?;
                let unary = unary.as_slice().expect("maps are made in raster order");
                let rows = unary.par_chunks_exact(self.grid.nx);
                voxels(&mut message).par_chunks_exact_mut(self.grid.nx).zip(rows).for_each(
                    |(odds, unary)| {
                        odds.iter_mut().zip(unary).for_each(|(odds, unary)| *odds += unary);
                    },
                );
                Ok(message)
            });
            odds = heard.collect::<Result<_, Error>>()?;
        }
        Ok(odds)
    }

    /// What all voxels say to each, given how probable the class is to them less the last class.
    fn message(&self, mut difference: Array3<f32>) -> Result<Array3<f32>, Error> {
        let DenseCrf { smoothness_weight, appearance_weight, .. } = *self.settings;
        // The norm of the smoothness kernel on both sides serves both: that of appearance has it divided out.
        self.scale(&mut difference);
        let mut message = if smoothness_weight > 0.0 {
            gaussian_within(difference.view(), self.smoothness_sigma, Beyond::Zero)?
        } else {
            zeros(self.grid)
        };
        let weights = [smoothness_weight, appearance_weight];
        self.appearance.add_filtered(&difference, &self.appearance_norm, weights, &mut message)?;
        self.scale(&mut message);
        Ok(message)
    }

    /// Multiplies by the norm of the smoothness kernel.
    fn scale(&self, map: &mut Array3<f32>) {
        each_voxel(self.grid, map, &self.smoothness_norm, |value, norm| *value *= norm);
    }
}

/// Calls `change` with each value and the product of the three axes' factors there.
fn each_voxel(
    grid: Grid,
    map: &mut Array3<f32>,
    [nz, ny, nx]: &[Vec<f32>; 3],
    change: impl Fn(&mut f32, f32) + Sync,
) {
    voxels(map).par_chunks_exact_mut(grid.nx).enumerate().for_each(|(row, values)| {
        let factor = nz[row / grid.ny] * ny[row % grid.ny];
        values.iter_mut().zip(nx).for_each(|(value, nx)| change(value, factor * nx));
    });
}

/// A copy of a map. All threads take part: most of the time goes into the first touch of the new memory.
fn copied(grid: Grid, map: &Array3<f32>) -> Array3<f32> {
    let mut copy = zeros(grid);
    let from = map.as_slice().expect("maps are made in raster order");
    let parts = voxels(&mut copy).par_chunks_mut(PART).zip(from.par_chunks(PART));
    parts.for_each(|(to, from)| to.copy_from_slice(from));
    copy
}

fn voxels(map: &mut Array3<f32>) -> &mut [f32] {
    map.as_slice_mut().expect("maps are made in raster order")
}

/// `1 / sqrt` of the sum of the kernel's weights that lie inside an axis of `len` voxels, for each of them.
fn norm_along(sigma: f64, len: usize) -> Result<Vec<f32>, Error> {
    let kernel = half_kernel(sigma)?;
    // All weights up to an offset, on one side.
    let mut sums: Vec<f64> = Vec::with_capacity(kernel.len());
    for &weight in &kernel[1..] {
        sums.push(sums.last().copied().unwrap_or_default() + f64::from(weight));
    }
    let up_to = |offset: usize| match offset.min(sums.len()) {
        0 => 0.0,
        offset => sums[offset - 1],
    };
    let inside = |at: usize| f64::from(kernel[0]) + up_to(at) + up_to(len - 1 - at);
    Ok((0..len).map(|at| (1.0 / inside(at).sqrt()) as f32).collect())
}

/// Voxels that are worked on together.
const LANES: usize = 64;

/// Turns log-odds against the last class into probabilities less that of the last class.
fn probability_differences(maps: &mut [&mut [f32]]) {
    each_part(maps, |parts| softmax(parts, 1.0));
}

/// Turns log-odds of all classes, of which those of the last are 0, into probabilities.
pub(super) fn probabilities(maps: &mut [&mut [f32]]) {
    each_part(maps, |parts| {
        let (last, others) = parts.split_last_mut().expect("at least two classes");
        softmax(others, 0.0);
        last.fill(1.0);
        for other in others {
            last.iter_mut().zip(other.iter()).for_each(|(last, other)| *last -= other);
        }
        last.iter_mut().for_each(|last| *last = last.max(0.0));
    });
}

/// Calls `work` with the same part of all maps, for all parts.
fn each_part(maps: &mut [&mut [f32]], work: impl Fn(&mut [&mut [f32]]) + Sync) {
    let len = maps.first().map_or(0, |map| map.len());
    let mut parts: Vec<Vec<&mut [f32]>> = (0..len.div_ceil(PART)).map(|_| Vec::new()).collect();
    for map in maps {
        parts.iter_mut().zip(map.chunks_mut(PART)).for_each(|(parts, part)| parts.push(part));
    }
    parts.into_par_iter().for_each(|mut parts| work(&mut parts));
}

wide! {
    /// `(e^x - last) / (sum of all e^x + 1)` of each map; the 1 and `last` stand for the last class, whose log-odds are 0.
    fn softmax(maps: &mut [&mut [f32]], last: f32) {
        let len = maps.first().map_or(0, |map| map.len());
        for start in (0..len).step_by(LANES) {
            let lanes = LANES.min(len - start);
            let mut most = [0.0f32; LANES];
            for map in maps.iter() {
                let values = &map[start..start + lanes];
                most.iter_mut().zip(values).for_each(|(most, value)| *most = if *value > *most { *value } else { *most });
            }
            let of_last = most.map(|most| exp(-most));
            let mut sums = of_last;
            for map in maps.iter_mut() {
                let values = &mut map[start..start + lanes];
                for ((value, most), sum) in values.iter_mut().zip(&most).zip(&mut sums) {
                    *value = exp(*value - most);
                    *sum += *value;
                }
            }
            for map in maps.iter_mut() {
                let values = &mut map[start..start + lanes];
                for ((value, of_last), sum) in values.iter_mut().zip(&of_last).zip(&sums) {
                    *value = (*value - last * of_last) / sum;
                }
            }
        }
    }
}

/// e^x for x up to 0, with a relative error below 2e-7; below e^-87 it is e^-87.
///
/// The polynomial is that of Cephes' `expf`. The library's function does not become vector instructions.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    // ln 2 in two parts, of which the first has few digits, so that its product is exact.
    let rest = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut series = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        series = series * rest + coefficient;
    }
    let power = series * rest * rest + rest + 1.0;
    power * f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_that_of_double_precision() {
        for step in 0..87_000 {
            let x = -(step as f32) / 1000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2e-7, "{x}: {}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1000.0), exp(-87.0));
    }

    #[test]
    fn norms_are_those_of_a_blur_of_ones() {
        for (sigma, len) in [(1.0, 20), (2.5, 7), (0.0, 3), (0.3, 1)] {
            let ones = Array3::ones((1, 1, len));
            let sums = gaussian_within(ones.view(), [0.0, 0.0, sigma], Beyond::Zero).unwrap();
            let norms = norm_along(sigma, len).unwrap();
            for (norm, sum) in norms.iter().zip(&sums) {
                assert!((norm - 1.0 / sum.sqrt()).abs() < 1e-6, "sigma {sigma}: {norm}, {sum}");
            }
        }
    }

    #[test]
    fn probabilities_of_three_classes_are_a_softmax_whose_last_logit_is_0() {
        let logits = [[0.5f32, -200.0, 3.0], [1.5, 100.0, 3.0]];
        let mut maps = [logits[0].to_vec(), logits[1].to_vec(), vec![f32::NAN; 3]];
        let mut views: Vec<&mut [f32]> = maps.iter_mut().map(Vec::as_mut_slice).collect();
        probabilities(&mut views);
        for voxel in 0..3 {
            let powers = [logits[0][voxel], logits[1][voxel], 0.0].map(|x| f64::from(x).exp());
            let sum: f64 = powers.iter().sum();
            for class in 0..3 {
                let expected = powers[class] / sum;
                assert!((f64::from(maps[class][voxel]) - expected).abs() < 1e-6, "{class} {voxel}");
            }
        }
    }
}

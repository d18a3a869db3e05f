//! Objects as peaks of brightness, each with an outline at a share of its own brightness.
//!
//! One threshold for a whole volume cuts dim objects down to their cores or joins bright ones by their halos. Here it only
//! tells background from foreground: objects are looked for further down, and each one keeps what is bright enough for it.
//!
//! Found twice: the first objects tell the size that all lengths of the second time are shares of. The distance to the
//! background, which tells it the first time, is too small where the threshold is high above dim outlines (embryos: 10 um
//! for 16) and too large where objects touch (16 for 14).
//!
//! The constants are shares, of the diameter or of brightness, and not sharp: with any one of them 20 % more or less the mean
//! F1 at IoU 0.5 over seven real volumes, 0.793, stays at 0.76 or above (`benches/README.md`). The most telling one is the blur
//! before peaks are sought, which also has a say in the diameter: 20 % less of it gives 0.74.

use std::f64::consts::PI;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use super::size::median_by_cross_section;
use super::{Foreground, InstanceOptions, outlines};
use crate::grid::{Grid, raster};
use crate::{
    Connectivity, Error, Labels, Spacing, gaussian, mask_above, percentiles, persistent_peaks, seed_volume,
    watershed,
};

/// How far from the background's median to the threshold found objects may reach.
const REACH: f64 = 0.5;

/// The Gaussian's sigma before peaks are sought, as a share of the objects' diameter.
const SPOT_SIGMA: f64 = 0.15;

/// A peak stands out of the way to a higher one by this share of its height over the background; what stands out less is
/// noise, or the texture of one nucleus.
const PROMINENCE: f64 = 0.03;

/// The Gaussian's sigma before objects are outlined, as a share of their diameter, and the least it is in voxels of the
/// finest side.
const OUTLINE_SIGMA: f64 = 0.08;
const LEAST_OUTLINE_SIGMA: f64 = 0.5;

/// The radius of the ball that must fit in every part of an object, as a share of the diameter.
const BALL: f64 = 0.16;

/// From this share of the variance on that foreground and background explain, the map is clear: one threshold suits all.
///
/// Seven raw volumes have 0.49 to 0.74, maps of probabilities 0.8 and more.
pub(super) const CLEAR: f64 = 0.78;

/// An image whose objects are its peaks.
pub(super) struct Peaks<'a> {
    image: ArrayView3<'a, f32>,
    foreground: &'a Foreground,
    spacing: Spacing,
    options: &'a InstanceOptions,
    /// The median of what is not foreground.
    background: f64,
    /// Where objects end at the latest.
    low: f32,
}

impl<'a> Peaks<'a> {
    pub(super) fn new(
        image: ArrayView3<'a, f32>,
        foreground: &'a Foreground,
        spacing: Spacing,
        options: &'a InstanceOptions,
    ) -> Result<Self, Error> {
        let background = background(foreground)?;
        let low = (background + REACH * (f64::from(foreground.threshold) - background)) as f32;
        Ok(Self { image, foreground, spacing, options, background, low })
    }

    /// The typical diameter in micrometres of the objects that are found when `guess` is taken for it.
    pub(super) fn typical_diameter(&self, guess: f64) -> Result<f64, Error> {
        let objects = Labels::from_ids(self.found(self.foreground.map.view(), guess)?.view());
        let mut sizes = objects.sizes().split_off(1);
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let ball = |voxels: u64| (voxels as f64 * self.spacing.voxel_volume() * 6.0 / PI).cbrt();
        Ok(median_by_cross_section(sizes.into_iter().map(ball)).unwrap_or(guess))
    }

    /// The objects, the typical one of which has this diameter in micrometres.
    pub(super) fn objects(&self, diameter: f64) -> Result<Labels, Error> {
        let ids = match self.options.outline_sigma {
            Some(_) => self.found(self.foreground.map.view(), diameter)?,
            None => {
                let sigma = (OUTLINE_SIGMA * diameter).max(LEAST_OUTLINE_SIGMA * self.spacing.finest());
                self.found(gaussian(self.image, self.spacing.to_voxels(sigma))?.view(), diameter)?
            }
        };
        let ids = outlines::round_off(ids, BALL * diameter, self.spacing)?;
        Ok(Labels::from_ids(ids.view()))
    }

    /// The ids of what `map` shows of the peaks, not rounded off.
    fn found(&self, map: ArrayView3<f32>, diameter: f64) -> Result<Array3<u32>, Error> {
        let sigma = self.options.spot_sigma.unwrap_or(SPOT_SIGMA * diameter);
        let spots = gaussian(self.image, self.spacing.to_voxels(sigma))?;
        let (mut ids, count) = self.flood(spots, &mask_above(map, self.low))?;
        let around = self.spacing.to_voxels(outlines::AROUND * diameter);
        let mask = self.foreground.mask.view();
        outlines::end_objects(&mut ids, count, map, mask, self.background, around)?;
        Ok(ids)
    }

    /// Floods the mask from the peaks of `spots` that stand out down; returns their number as well.
    fn flood(&self, spots: Array3<f32>, mask: &Array3<bool>) -> Result<(Array3<u32>, u32), Error> {
        let mut peaks = persistent_peaks(spots.view(), mask.view(), 0.0, Connectivity::TwentySix)?;
        peaks.retain(|peak| {
            f64::from(peak.persistence) >= PROMINENCE * (f64::from(peak.height) - self.background)
        });
        let seeds = seed_volume(&peaks, Grid::of(&spots.view()).shape())?;
        let depth = spots.mapv_into(|value| -value);
        let ids = watershed(depth.view(), seeds.view(), mask.view(), Connectivity::TwentySix)?;
        Ok((ids, peaks.len() as u32))
    }
}

/// The share of the variance of the map that lies between foreground and background, 0 to 1.
pub(super) fn separability(foreground: &Foreground) -> f64 {
    const PART: usize = 1 << 16;
    let (map, mask) = (foreground.map.view(), foreground.mask.view());
    let (values, inside) = (raster(&map), raster(&mask));
    let origin = f64::from(foreground.threshold);
    // Sums of 1, the value and its square, and of 1 and the value inside, part by part in their order.
    let parts: Vec<[f64; 5]> = values
        .par_chunks(PART)
        .zip(inside.par_chunks(PART))
        .map(|(values, inside)| {
            values.iter().zip(inside).fold([0.0; 5], |[n, sum, squares, n_in, sum_in], (&value, &inside)| {
                let value = f64::from(value) - origin;
                let share = f64::from(u8::from(inside));
                [n + 1.0, sum + value, squares + value * value, n_in + share, sum_in + share * value]
            })
        })
        .collect();
    let [n, sum, squares, n_in, sum_in] = parts
        .into_iter()
        .fold([0.0; 5], |total, part| std::array::from_fn(|which| total[which] + part[which]));
    let n_out = n - n_in;
    let apart = sum_in / n_in - (sum - sum_in) / n_out;
    let variance = squares / n - (sum / n).powi(2);
    // A map of one class has nothing between classes.
    if n_in * n_out == 0.0 || variance <= 0.0 {
        0.0
    } else {
        n_in * n_out / (n * n) * apart * apart / variance
    }
}

/// The median of the voxels that are not foreground.
fn background(foreground: &Foreground) -> Result<f64, Error> {
    let grid = Grid::of(&foreground.map.view());
    let below = raster(&foreground.mask.view()).iter().filter(|inside| !**inside).count();
    // They are the darkest voxels, so their median is a percentile of all.
    let rank = below.saturating_sub(1) as f64 / 2.0;
    let percentile = 100.0 * rank / (grid.len() - 1).max(1) as f64;
    Ok(percentiles(foreground.map.view(), &[percentile])?[0])
}

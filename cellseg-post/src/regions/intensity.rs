//! Sums over the values of an image inside each object.
//!
//! They are f64 sums in a fixed order: slabs of the volume one after another, whichever thread made them.

use std::ops::Range;

use super::Intensity;
use crate::runs::Run;

/// The sums over the values of an image inside one object.
#[derive(Debug, Clone, Default)]
pub(super) struct IntensitySums {
    /// The first value, subtracted from all others so that large offsets do not eat the deviation's digits.
    origin: Option<f64>,
    above: f64,
    above_squared: f64,
    min: f32,
    max: f32,
    /// Sums of value times z, y, x.
    weighted: [f64; 3],
}

/// Voxels of a run that are summed together.
const LANES: usize = 8;

impl IntensitySums {
    /// Adds the voxels `run` of row (z, y), whose values are those of `row`.
    ///
    /// Places behind the run are taken to have the first value of the object, which changes no sum.
    #[inline(always)]
    pub(super) fn add_run(&mut self, [z, y]: [usize; 2], row: &[f32], (start, end): Run) {
        let (start, end) = (start as usize, end as usize);
        let origin = *self.origin.get_or_insert_with(|| {
            (self.min, self.max) = (row[start], row[start]);
            f64::from(row[start])
        });
        let (mut above, mut squares, mut along) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let (mut low, mut high) = ([self.min; LANES], [self.max; LANES]);
        for at in (start..end).step_by(LANES) {
            let values = lanes(row, at..end, origin as f32);
            for lane in 0..LANES {
                let value = values[lane];
                let over = f64::from(value) - origin;
                above[lane] += over;
                squares[lane] += over * over;
                along[lane] += over * (at + lane) as f64;
                low[lane] = if value < low[lane] { value } else { low[lane] };
                high[lane] = if value > high[lane] { value } else { high[lane] };
            }
        }
        let (above, n) = (sum(above), (end - start) as f64);
        let total = above + origin * n;
        self.above += above;
        self.above_squared += sum(squares);
        self.min = low.into_iter().fold(self.min, f32::min);
        self.max = high.into_iter().fold(self.max, f32::max);
        self.weighted[0] += total * z as f64;
        self.weighted[1] += total * y as f64;
        // The mean of the places of the run is that of its ends.
        self.weighted[2] += sum(along) + origin * n * ((start + end - 1) as f64 / 2.0);
    }

    /// Adds the sums of another part of the object, of `voxels` voxels.
    pub(super) fn merge(&mut self, other: &Self, voxels: u64) {
        let (Some(mine), Some(others)) = (self.origin, other.origin) else {
            if self.origin.is_none() {
                *self = other.clone();
            }
            return;
        };
        let shift = others - mine;
        self.above += other.above + voxels as f64 * shift;
        self.above_squared += other.above_squared + 2.0 * shift * other.above + voxels as f64 * shift * shift;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.weighted.iter_mut().zip(other.weighted).for_each(|(sum, part)| *sum += part);
    }

    /// Counts places from another origin; the object has `voxels` voxels.
    pub(super) fn move_by(&mut self, origin: [usize; 3], voxels: u64) {
        let total = self.above + self.origin.unwrap_or_default() * voxels as f64;
        for (weighted, start) in self.weighted.iter_mut().zip(origin) {
            *weighted += total * start as f64;
        }
    }

    pub(super) fn describe(&self, voxels: u64, sides: [f64; 3]) -> Intensity {
        let n = voxels as f64;
        let mean_above = self.above / n;
        let mean = self.origin.unwrap_or_default() + mean_above;
        let sum = mean * n;
        Intensity {
            sum,
            mean,
            min: self.min,
            max: self.max,
            std: (self.above_squared / n - mean_above * mean_above).max(0.0).sqrt(),
            weighted_centroid: (sum != 0.0)
                .then(|| std::array::from_fn(|axis| self.weighted[axis] / sum * sides[axis])),
        }
    }
}

/// The values of the places from the first of `run` on, `beyond` behind its end.
#[inline(always)]
fn lanes(row: &[f32], run: Range<usize>, beyond: f32) -> [f32; LANES] {
    match row[run.start..].first_chunk::<LANES>() {
        Some(values) => std::array::from_fn(|lane| if lane < run.len() { values[lane] } else { beyond }),
        None => {
            let mut values = [beyond; LANES];
            let len = run.len();
            values[..len].copy_from_slice(&row[run]);
            values
        }
    }
}

/// The sum of all lanes, always in the same order.
#[inline(always)]
fn sum(lanes: [f64; LANES]) -> f64 {
    let four: [f64; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

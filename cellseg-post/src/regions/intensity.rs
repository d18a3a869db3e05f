//! Sums over the values of an image inside each object.
//!
//! They are f64 sums in a fixed order: slabs of the volume one after another, whichever thread made them.

use super::Intensity;

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

impl IntensitySums {
    /// Adds the values of the voxels of row (z, y) from x = `start` on.
    pub(super) fn add_run(&mut self, z: usize, y: usize, start: usize, values: &[f32]) {
        let origin = *self.origin.get_or_insert_with(|| {
            (self.min, self.max) = (values[0], values[0]);
            f64::from(values[0])
        });
        let mut total = 0.0;
        for (x, &value) in (start..).zip(values) {
            let above = f64::from(value) - origin;
            self.above += above;
            self.above_squared += above * above;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            total += f64::from(value);
            self.weighted[2] += f64::from(value) * x as f64;
        }
        self.weighted[0] += total * z as f64;
        self.weighted[1] += total * y as f64;
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

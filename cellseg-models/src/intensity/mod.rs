//! Intensities as a network takes them: numbers from 0 to 100.
//!
//! What a camera counts depends on the instrument, the stain and the depth. A [`Normalisation`] is fitted to a whole
//! volume once, and the [`Intensity`] that comes of it maps any window of the volume, so that all windows of a volume
//! agree about what is bright, and no normalised copy of the volume is needed.

mod local_contrast;

use crate::{Error, Result};
use local_contrast::LocalContrast;
use ndarray::{ArrayView3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The largest number that a network is given.
pub const FULL_SCALE: f32 = 100.0;

/// Percentiles are taken from at most about this many voxels, on a regular lattice.
const PERCENTILE_VOXELS: usize = 1 << 21;

/// How intensities are mapped to 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Normalisation {
    /// The darkest voxel to 0, the brightest to 100, as CellSeg3D does. One hot pixel spoils it.
    MinMax,
    /// The `low`-th percentile to 0 and the `high`-th to 100; what lies beyond is clipped.
    Percentile {
        /// Percent of the voxels that are darker than 0.
        low: f64,
        /// Percent of the voxels that are darker than 100.
        high: f64,
    },
    /// The local mean is subtracted, the rest divided by the local standard deviation, and percentiles of that are
    /// mapped to 0 and 100: takes away uneven background and loss of light with depth.
    LocalContrast {
        /// Standard deviation of the Gaussian neighbourhood, in the unit of the voxel spacing: somewhat more than a
        /// cell's diameter.
        sigma: f64,
        /// Percent of the voxels that are darker than 0.
        low: f64,
        /// Percent of the voxels that are darker than 100.
        high: f64,
    },
}

impl Normalisation {
    /// Percentiles 1 to 99.5 of the whole volume.
    pub const PERCENTILE: Self = Normalisation::Percentile { low: 1.0, high: 99.5 };

    /// Local contrast over 20 units, percentiles 1 to 99.8.
    ///
    /// Over 12 units or to the percentile 98 the noise between sparse nuclei became foreground.
    pub const LOCAL_CONTRAST: Self = Normalisation::LocalContrast { sigma: 20.0, low: 1.0, high: 99.8 };

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] where one is out of range.
    pub fn validate(&self) -> Result<()> {
        if let Normalisation::LocalContrast { sigma, .. } = self
            && !(sigma.is_finite() && *sigma > 0.0)
        {
            return Err(Error::setting("normalisation.sigma", sigma, "a positive length"));
        }
        match *self {
            Normalisation::Percentile { low, high } | Normalisation::LocalContrast { low, high, .. }
                if !(0.0 <= low && low < high && high <= 100.0) =>
            {
                Err(Error::setting("normalisation", self, "percentiles with 0 <= low < high <= 100"))
            }
            _ => Ok(()),
        }
    }
}

impl Default for Normalisation {
    fn default() -> Self {
        Self::LOCAL_CONTRAST
    }
}

/// The map from one volume's intensities to 0 to 100.
#[derive(Debug, Clone)]
pub struct Intensity {
    local: Option<LocalContrast>,
    offset: f32,
    gain: f32,
}

impl Intensity {
    /// The map for `volume`, `(z, y, x)`, whose voxels are `spacing` apart. `name` is what errors call the volume.
    ///
    /// # Errors
    /// [`Error::Volume`] where there is no voxel, a voxel is not a finite number, or all voxels are equal;
    /// [`Error::Setting`] where the normalisation is out of range.
    pub fn fit(
        name: &str,
        volume: ArrayView3<'_, f32>,
        spacing: [f64; 3],
        normalisation: &Normalisation,
    ) -> Result<Self> {
        normalisation.validate()?;
        check_spacing(spacing)?;
        let [darkest, brightest] = check(name, volume)?;
        let (local, low, high) = match *normalisation {
            Normalisation::MinMax => return Ok(Self::between(None, darkest, brightest)),
            Normalisation::Percentile { low, high } => (None, low, high),
            Normalisation::LocalContrast { sigma, low, high } => {
                (Some(LocalContrast::fit(volume, spacing.map(|s| sigma / s))), low, high)
            }
        };
        let contrast = Intensity { local, offset: 0.0, gain: 1.0 };
        let mut sample = contrast.lattice(volume);
        let [a, b] = [low, high].map(|p| percentile(&mut sample, p));
        if a < b {
            return Ok(Self::between(contrast.local, a, b));
        }
        // Nearly all voxels are equal, as in a volume with a few beads: the range is all that is left.
        let ends = sample.iter().fold([f32::MAX, f32::MIN], |[a, b], &x| [a.min(x), b.max(x)]);
        if ends[0] < ends[1] {
            return Ok(Self::between(contrast.local, ends[0], ends[1]));
        }
        Ok(Self::between(None, darkest, brightest))
    }

    fn between(local: Option<LocalContrast>, low: f32, high: f32) -> Self {
        // The range of two finite numbers may not be finite.
        let gain = f64::from(FULL_SCALE) / (f64::from(high) - f64::from(low));
        Intensity { local, offset: low, gain: gain as f32 }
    }

    /// The box of `volume` that starts at `origin`, which may lie outside, normalised, into `out` in the order z, y, x.
    /// Outside the volume its mirror image is read.
    pub fn read(
        &self,
        volume: ArrayView3<'_, f32>,
        origin: [isize; 3],
        extents: [usize; 3],
        out: &mut [f32],
    ) {
        read(volume, origin, extents, out, |at, columns, row| {
            if let Some(local) = &self.local {
                local.apply(at, columns, row);
            }
            for o in row {
                *o = ((*o - self.offset) * self.gain).clamp(0.0, FULL_SCALE);
            }
        });
    }

    /// Contrasts of about [`PERCENTILE_VOXELS`] voxels of the volume.
    fn lattice(&self, volume: ArrayView3<'_, f32>) -> Vec<f32> {
        let (d, h, w) = volume.dim();
        let step = |n: usize| (n as f64 / PERCENTILE_VOXELS as f64).cbrt().ceil().max(1.0) as usize;
        let step = step(volume.len());
        let columns: Vec<usize> = (0..w).step_by(step).collect();
        let lines: Vec<[usize; 2]> =
            (0..d).step_by(step).flat_map(|z| (0..h).step_by(step).map(move |y| [z, y])).collect();
        let mut out = vec![0.0; lines.len() * columns.len()];
        out.par_chunks_mut(columns.len()).zip(lines).for_each(|(row, [z, y])| {
            for (o, &x) in row.iter_mut().zip(&columns) {
                *o = volume[[z, y, x]];
            }
            if let Some(local) = &self.local {
                local.apply([z, y], &columns, row);
            }
        });
        out
    }
}

/// The box of `volume` that starts at `origin` as it is, its mirror image outside.
pub(crate) fn copy<T: Copy + Send + Sync>(
    volume: ArrayView3<'_, T>,
    origin: [isize; 3],
    extents: [usize; 3],
    out: &mut [T],
) {
    read(volume, origin, extents, out, |_, _, _| {});
}

/// Reads a box row by row. `map` is given the voxels' `[z, y]`, their `x`, and their values, to be replaced.
fn read<T: Copy + Send + Sync>(
    volume: ArrayView3<'_, T>,
    origin: [isize; 3],
    extents: [usize; 3],
    out: &mut [T],
    map: impl Fn([usize; 2], &[usize], &mut [T]) + Sync,
) {
    let along = |axis: usize| {
        let n = volume.len_of(Axis(axis));
        (0..extents[axis]).map(|i| mirror(origin[axis] + i as isize, n)).collect::<Vec<_>>()
    };
    let [slices, rows, columns] = [0, 1, 2].map(along);
    let slice = (extents[1] * extents[2]).max(1);
    out.par_chunks_mut(slice).zip(slices).for_each(|(out, z)| {
        for (row, &y) in out.chunks_mut(extents[2]).zip(&rows) {
            for (o, &x) in row.iter_mut().zip(&columns) {
                *o = volume[[z, y, x]];
            }
            map([z, y], &columns, row);
        }
    });
}

/// The index within `0..n` that `i` falls on when the volume is continued by its mirror image: `.. 1 0 | 0 1 .. n-1 | n-1 ..`.
fn mirror(i: isize, n: usize) -> usize {
    let period = 2 * n as isize;
    let i = i.rem_euclid(period) as usize;
    i.min(2 * n - 1 - i)
}

/// The `p`-th percentile, interpolated between the two nearest ranks.
fn percentile(xs: &mut [f32], p: f64) -> f32 {
    let rank = p / 100.0 * (xs.len() - 1) as f64;
    let below = rank.floor() as usize;
    let (_, &mut a, above) = xs.select_nth_unstable_by(below, f32::total_cmp);
    let b = above.iter().copied().fold(f32::INFINITY, f32::min);
    if b.is_finite() { a + (rank - below as f64) as f32 * (b - a) } else { a }
}

/// The darkest and the brightest voxel of a volume that has both.
fn check(name: &str, volume: ArrayView3<'_, f32>) -> Result<[f32; 2]> {
    if volume.is_empty() {
        return Err(Error::volume(name, format!("{:?} voxels; there must be at least one", volume.shape())));
    }
    let mut ends = [f32::INFINITY, f32::NEG_INFINITY];
    for (at, &v) in volume.indexed_iter() {
        if !v.is_finite() {
            let bad = volume.iter().filter(|v| !v.is_finite()).count();
            let why = format!(
                "{bad} of {} voxels are not finite numbers, the first at (z, y, x) = {at:?}; replace them, for \
                 example with the volume's median",
                volume.len()
            );
            return Err(Error::volume(name, why));
        }
        ends = [ends[0].min(v), ends[1].max(v)];
    }
    if ends[0] == ends[1] {
        let why = format!("all voxels are {}; there is nothing to be seen in it", ends[0]);
        return Err(Error::volume(name, why));
    }
    Ok(ends)
}

/// Voxel spacing must be positive lengths.
pub(crate) fn check_spacing(spacing: [f64; 3]) -> Result<()> {
    if spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Ok(());
    }
    Err(Error::setting("spacing", spacing, "three positive lengths (z, y, x)"))
}

#[cfg(test)]
mod tests;

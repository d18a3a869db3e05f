//! Thresholds: from the values of a volume, or fixed.

mod classic;
mod histogram;
mod masks;
mod otsu;
mod percentile;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::grid::{Grid, raster};
use crate::memory::zeros;
use crate::wide::wide;

pub use classic::{li, multi_otsu, triangle};
pub use histogram::{Histogram, histogram};
pub use masks::{hysteresis, mask_above_local};
pub use otsu::{OtsuRule, otsu, robust_otsu};
pub use percentile::percentiles;

/// How the foreground of a map is told from its background.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// The value that separates the map's own values best, the brightest ones weighing less ([`robust_otsu`]).
    #[default]
    RobustOtsu,
    /// The value that separates the map's own values best ([`otsu`]).
    Otsu(OtsuRule),
    /// A value chosen beforehand.
    Fixed(f32),
}

impl Threshold {
    /// The threshold's value for `map`.
    ///
    /// # Errors
    /// Those of [`otsu`] for the values found; [`Error::Argument`] if a fixed threshold is NaN.
    pub fn value(self, map: ArrayView3<f32>) -> Result<f32, Error> {
        match self {
            Self::RobustOtsu => robust_otsu(map),
            Self::Otsu(rule) => otsu(map, rule),
            Self::Fixed(value) if value.is_nan() => Err(Error::Argument {
                name: "the fixed threshold",
                given: value.to_string(),
                expected: "a number",
            }),
            Self::Fixed(value) => Ok(value),
        }
    }
}

/// The voxels (z, y, x) whose value is above `threshold`; NaN never is.
pub fn mask_above(map: ArrayView3<f32>, threshold: f32) -> Array3<bool> {
    let mut mask = zeros(Grid::of(&map));
    let voxels = mask.as_slice_mut().expect("zeros are made in raster order");
    let values = raster(&map);
    let parts = voxels.par_chunks_mut(PART).zip(values.par_chunks(PART));
    parts.for_each(|(inside, values)| compare(values, threshold, inside));
    mask
}

/// How many voxels are compared at once.
const PART: usize = 1 << 16;

wide! {
    fn compare(values: &[f32], threshold: f32, above: &mut [bool]) {
        for (above, &value) in above.iter_mut().zip(values) {
            *above = value > threshold;
        }
    }
}

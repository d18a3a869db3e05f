//! How far two outlines are apart.

use ndarray::{Array3, ArrayView3, Zip};

use crate::grid::same_shape;
use crate::{Error, Spacing, distance_transform};

/// The distances in micrometres between the surfaces of two masks.
///
/// A surface is made of the mask's voxels that have a neighbour over a face outside the mask or the volume; distances are
/// taken between voxel centres.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceDistances {
    /// From each voxel of the true surface to the predicted one, rising.
    to_prediction: Vec<f32>,
    /// From each voxel of the predicted surface to the true one, rising.
    to_truth: Vec<f32>,
}

impl SurfaceDistances {
    /// Measures two masks (z, y, x).
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`].
    pub fn between(
        truth: ArrayView3<bool>,
        prediction: ArrayView3<bool>,
        spacing: Spacing,
    ) -> Result<Self, Error> {
        same_shape(("the truth", &truth), ("the prediction", &prediction))?;
        let (truth, prediction) = (surface(truth), surface(prediction));
        Ok(Self {
            to_prediction: distances(&truth, &prediction, spacing),
            to_truth: distances(&prediction, &truth, spacing),
        })
    }

    /// The larger of the two percentiles (0 to 100) of the distances from each surface to the other: 100 for the Hausdorff
    /// distance, 95 for the robust one of most papers, as MONAI's `compute_hausdorff_distance`.
    ///
    /// Infinite if one mask is empty; `None` if both are, or if the percentile is not from 0 to 100.
    pub fn hausdorff(&self, percentile: f64) -> Option<f32> {
        if !(0.0..=100.0).contains(&percentile) || self.is_empty() {
            return None;
        }
        let of = |distances: &[f32]| {
            let (Some(last), Some(_)) = (distances.len().checked_sub(1), distances.first()) else {
                return f32::INFINITY;
            };
            let rank = percentile / 100.0 * last as f64;
            let (low, high) = (distances[rank.floor() as usize], distances[rank.ceil() as usize]);
            if low == high { low } else { low + (high - low) * rank.fract() as f32 }
        };
        Some(of(&self.to_prediction).max(of(&self.to_truth)))
    }

    /// The mean of all distances from both surfaces (average symmetric surface distance); `None` if both masks are empty.
    pub fn mean(&self) -> Option<f64> {
        let count = self.to_prediction.len() + self.to_truth.len();
        let total: f64 =
            self.to_prediction.iter().chain(&self.to_truth).map(|&distance| f64::from(distance)).sum();
        (count > 0).then(|| total / count as f64)
    }

    /// The share of both surfaces that lies within `tolerance` micrometres of the other one (surface Dice, counted in
    /// voxels; Nikolov et al. 2021 weigh them by area); `None` if both masks are empty.
    pub fn dice(&self, tolerance: f64) -> Option<f64> {
        let count = self.to_prediction.len() + self.to_truth.len();
        let within =
            |distances: &[f32]| distances.partition_point(|&distance| f64::from(distance) <= tolerance);
        (count > 0).then(|| (within(&self.to_prediction) + within(&self.to_truth)) as f64 / count as f64)
    }

    fn is_empty(&self) -> bool {
        self.to_prediction.is_empty() && self.to_truth.is_empty()
    }
}

/// The voxels of a mask with a neighbour over a face that is outside.
fn surface(mask: ArrayView3<bool>) -> Array3<bool> {
    Array3::from_shape_fn(mask.dim(), |(z, y, x)| {
        let inside = |at: Option<[usize; 3]>| at.and_then(|at| mask.get(at)).copied().unwrap_or(false);
        let before = |index: usize| index.checked_sub(1);
        mask[[z, y, x]]
            && !(inside(before(z).map(|z| [z, y, x]))
                && inside(Some([z + 1, y, x]))
                && inside(before(y).map(|y| [z, y, x]))
                && inside(Some([z, y + 1, x]))
                && inside(before(x).map(|x| [z, y, x]))
                && inside(Some([z, y, x + 1])))
    })
}

/// The distances of the voxels of one surface to the nearest of another, rising.
fn distances(from: &Array3<bool>, to: &Array3<bool>, spacing: Spacing) -> Vec<f32> {
    let distance = distance_transform(to.mapv(|inside| !inside).view(), spacing);
    let mut found = Zip::from(from).and(&distance).fold(Vec::new(), |mut found, &inside, &distance| {
        found.extend(inside.then_some(distance));
        found
    });
    found.sort_unstable_by(f32::total_cmp);
    found
}

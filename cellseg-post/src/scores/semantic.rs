//! Scores of foreground masks.

use ndarray::{ArrayView3, Zip};

use crate::Error;
use crate::grid::same_shape;

/// Dice's coefficient of two masks (z, y, x): `(2 |a and b| + smooth) / (|a| + |b| + smooth)`.
///
/// CellSeg3D uses `smooth` 1. With `smooth` 0, two empty masks give NaN.
///
/// # Errors
/// [`Error::ShapeMismatch`], or [`Error::Argument`] if `smooth` is negative or not finite.
pub fn dice(truth: ArrayView3<bool>, prediction: ArrayView3<bool>, smooth: f64) -> Result<f64, Error> {
    if !(smooth.is_finite() && smooth >= 0.0) {
        return Err(Error::Argument {
            name: "the Dice coefficient's smooth",
            given: smooth.to_string(),
            expected: "a finite number of at least 0",
        });
    }
    let [both, either] = both_and_either(truth, prediction)?;
    // |a| + |b| counts what both share twice.
    Ok((2.0 * both + smooth) / (both + either + smooth))
}

/// Intersection over union of two masks (z, y, x): `|a and b| / |a or b|`; NaN if both are empty.
///
/// # Errors
/// [`Error::ShapeMismatch`].
pub fn foreground_iou(truth: ArrayView3<bool>, prediction: ArrayView3<bool>) -> Result<f64, Error> {
    let [both, either] = both_and_either(truth, prediction)?;
    Ok(both / either)
}

/// How many voxels are in both masks, and how many in at least one.
fn both_and_either(truth: ArrayView3<bool>, prediction: ArrayView3<bool>) -> Result<[f64; 2], Error> {
    same_shape(("the truth", &truth), ("the prediction", &prediction))?;
    let (both, either) = Zip::from(truth)
        .and(prediction)
        .fold((0u64, 0u64), |(both, either), &a, &b| (both + u64::from(a && b), either + u64::from(a || b)));
    Ok([both as f64, either as f64])
}

//! Morphology of masks with a ball, by distances.
//!
//! A voxel is in the dilation by a ball of radius r if the mask is at most r away, and in the erosion if the outside is
//! further than r away: two distance transforms do what a structuring element of thousands of voxels would, at the voxels'
//! true proportions, in a time that does not depend on r.

use ndarray::{Array3, ArrayView3};

use crate::{Error, Spacing, squared_distance_transform};

/// The voxels (z, y, x) within `radius` micrometres of a voxel of the mask.
///
/// # Errors
/// [`Error::Argument`] if the radius is negative or not finite.
pub fn dilate(mask: ArrayView3<bool>, radius: f64, spacing: Spacing) -> Result<Array3<bool>, Error> {
    let reach = reach(radius)?;
    let outside = mask.mapv(|inside| !inside);
    Ok(squared_distance_transform(outside.view(), spacing).mapv(|squared| squared <= reach))
}

/// The voxels (z, y, x) of the mask that are further than `radius` micrometres from all voxels outside it.
///
/// The outside of the volume counts for nothing, so what touches the border is not worn off there.
///
/// # Errors
/// [`Error::Argument`] if the radius is negative or not finite.
pub fn erode(mask: ArrayView3<bool>, radius: f64, spacing: Spacing) -> Result<Array3<bool>, Error> {
    let reach = reach(radius)?;
    Ok(squared_distance_transform(mask, spacing).mapv(|squared| squared > reach))
}

/// An erosion and then a dilation: what no ball of `radius` micrometres fits into goes.
///
/// # Errors
/// [`Error::Argument`] if the radius is negative or not finite.
pub fn open(mask: ArrayView3<bool>, radius: f64, spacing: Spacing) -> Result<Array3<bool>, Error> {
    dilate(erode(mask, radius, spacing)?.view(), radius, spacing)
}

/// A dilation and then an erosion: gaps that no ball of `radius` micrometres fits into are filled.
///
/// # Errors
/// [`Error::Argument`] if the radius is negative or not finite.
pub fn close(mask: ArrayView3<bool>, radius: f64, spacing: Spacing) -> Result<Array3<bool>, Error> {
    erode(dilate(mask, radius, spacing)?.view(), radius, spacing)
}

/// The square of a radius, a hair larger: distances are rounded to f32.
fn reach(radius: f64) -> Result<f32, Error> {
    if radius.is_finite() && radius >= 0.0 {
        Ok((radius * radius * (1.0 + 1e-6)) as f32)
    } else {
        Err(Error::Argument {
            name: "the ball's radius in micrometres",
            given: radius.to_string(),
            expected: "a finite number of at least 0",
        })
    }
}

//! Seeds of round objects of known size, by the Laplacian of Gaussians.

use ndarray::{Array3, ArrayView3};

use super::peaks::{Peak, persistent_peaks};
use crate::gaussian::normalised_laplacian;
use crate::{Connectivity, Error, Spacing};

/// How much each voxel (z, y, x) looks like the centre of a bright ball of one of the `diameters` in micrometres.
///
/// The scale-normalised Laplacian of Gaussians (Lindeberg 1998), negated so that bright balls give high values, the highest
/// of all diameters. A ball of radius r answers best to the sigma `r / sqrt 3`, in physical units: unequal voxels need no
/// resampling. In units of the image.
///
/// # Errors
/// [`Error::Argument`] if there is no diameter or one is not a finite number above 0 or beyond 16,000 voxels.
pub fn blob_response(
    image: ArrayView3<f32>,
    spacing: Spacing,
    diameters: &[f64],
) -> Result<Array3<f32>, Error> {
    let mut best: Option<Array3<f32>> = None;
    for &diameter in diameters {
        if !(diameter.is_finite() && diameter > 0.0) {
            return Err(no_diameter(diameter.to_string()));
        }
        let sigma = diameter / 2.0 / 3f64.sqrt();
        let laplacian = normalised_laplacian(image, spacing.to_voxels(sigma))?;
        match &mut best {
            None => best = Some(laplacian.mapv_into(|value| -value)),
            Some(best) => best.zip_mut_with(&laplacian, |best, value| *best = best.max(-value)),
        }
    }
    best.ok_or_else(|| no_diameter("no diameter".into()))
}

/// The centres of bright balls of about one of the `diameters` in micrometres: peaks of [`blob_response`] inside `mask`
/// that stand out by at least `contrast`, the best first.
///
/// # Errors
/// Those of [`blob_response`] and [`persistent_peaks`].
pub fn blob_seeds(
    image: ArrayView3<f32>,
    mask: ArrayView3<bool>,
    spacing: Spacing,
    diameters: &[f64],
    contrast: f32,
) -> Result<Vec<Peak>, Error> {
    let response = blob_response(image, spacing, diameters)?;
    persistent_peaks(response.view(), mask, contrast, Connectivity::TwentySix)
}

fn no_diameter(given: String) -> Error {
    Error::Argument {
        name: "the diameters in micrometres",
        given,
        expected: "at least one, each a finite number above 0",
    }
}

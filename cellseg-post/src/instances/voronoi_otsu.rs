//! Voronoi-Otsu labelling.

use ndarray::ArrayView3;

use crate::components::Bodies;
use crate::grid::{Grid, raster};
use crate::memory::zeros_in;
use crate::voronoi::divide_among_maxima;
use crate::{Connectivity, Error, Labels, MaximaRule, Spacing, Threshold, gaussian, local_maxima};

/// The settings of [`voronoi_otsu`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoronoiOtsu {
    /// The Gaussian's sigma in micrometres before maxima are sought; larger gives fewer objects.
    pub spot_sigma: f64,
    /// The Gaussian's sigma in micrometres before the threshold.
    pub outline_sigma: f64,
    /// What is foreground.
    pub threshold: Threshold,
    /// What counts as a maximum.
    pub maxima: MaximaRule,
}

/// Labels bright objects: one for each maximum of the blurred image inside its Otsu mask.
///
/// Every voxel of the mask goes to the nearest maximum of its own 26-connected component ([`crate::voronoi`]); a component
/// without a maximum becomes one object. Sigmas are micrometres and blur each axis by its own number of voxels, so with
/// [`Spacing::VOXELS`] they are voxels. CellSeg3D uses 0.65 voxels for both.
///
/// Give it the soft map. A thresholded one has plateaus instead of maxima: with [`MaximaRule::Strict`] most objects then
/// have no maximum of their own and touching ones merge. A warning is logged for a map of two values.
///
/// # Errors
/// Those of [`gaussian`], [`Threshold::value`], [`local_maxima`] and [`crate::voronoi`].
pub fn voronoi_otsu(
    image: ArrayView3<f32>,
    spacing: Spacing,
    settings: &VoronoiOtsu,
) -> Result<Labels, Error> {
    let outline = gaussian(image, spacing.to_voxels(settings.outline_sigma))?;
    let grid = Grid::of(&image).fits_u32()?;
    let threshold = settings.threshold.value(outline.view())?;
    let bodies = Bodies::above(grid, &raster(&outline.view()), threshold, Connectivity::TwentySix)?;
    let spots = if settings.spot_sigma == settings.outline_sigma {
        outline
    } else {
        drop(outline);
        gaussian(image, spacing.to_voxels(settings.spot_sigma))?
    };
    warn_of_binary(image, settings.spot_sigma);
    let maxima = local_maxima(spots.view(), settings.maxima)?;
    divide_among_maxima(maxima, &bodies, spacing, zeros_in(spots))
}

/// Divides `mask` among the maxima of the image blurred by `spot_sigma` micrometres.
pub(super) fn divide(
    image: ArrayView3<f32>,
    mask: ArrayView3<bool>,
    spacing: Spacing,
    spot_sigma: f64,
    maxima: MaximaRule,
) -> Result<Labels, Error> {
    warn_of_binary(image, spot_sigma);
    let spots = gaussian(image, spacing.to_voxels(spot_sigma))?;
    let maxima = local_maxima(spots.view(), maxima)?;
    let grid = Grid::of(&mask).fits_u32()?;
    let bodies = Bodies::of_mask(grid, &raster(&mask), Connectivity::TwentySix)?;
    divide_among_maxima(maxima, &bodies, spacing, zeros_in(spots))
}

fn warn_of_binary(image: ArrayView3<f32>, spot_sigma: f64) {
    if is_binary(image) {
        tracing::warn!(
            "the map has only two values: where objects lie is then decided by the blur of \
             {spot_sigma} um alone; give the soft map instead of a thresholded one"
        );
    }
}

/// Whether the image has exactly two different values.
fn is_binary(image: ArrayView3<f32>) -> bool {
    let mut values = image.iter();
    let Some(&first) = values.next() else { return false };
    let Some(&second) = values.find(|value| **value != first) else { return false };
    values.all(|&value| value == first || value == second)
}

//! Voronoi-Otsu labelling.

use ndarray::{ArrayView3, Zip};

use crate::{
    Connectivity, Error, Labels, MaximaRule, Spacing, Threshold, components, gaussian, local_maxima,
    mask_above, voronoi,
};

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
/// Every voxel of the mask goes to the nearest maximum of its own 26-connected component ([`voronoi`]); a component
/// without a maximum becomes one object. Sigmas are micrometres and blur each axis by its own number of voxels, so with
/// [`Spacing::VOXELS`] they are voxels. CellSeg3D uses 0.65 voxels for both.
///
/// Give it the soft map. A thresholded one has plateaus instead of maxima: with [`MaximaRule::Strict`] most objects then
/// have no maximum of their own and touching ones merge. A warning is logged for a map of two values.
///
/// # Errors
/// Those of [`gaussian`], [`Threshold::value`], [`local_maxima`] and [`voronoi`].
pub fn voronoi_otsu(
    image: ArrayView3<f32>,
    spacing: Spacing,
    settings: &VoronoiOtsu,
) -> Result<Labels, Error> {
    let outline = gaussian(image, spacing.to_voxels(settings.outline_sigma))?;
    let mask = mask_above(outline.view(), settings.threshold.value(outline.view())?);
    divide(image, mask.view(), spacing, settings.spot_sigma, settings.maxima)
}

/// Divides `mask` among the maxima of the image blurred by `spot_sigma` micrometres.
pub(super) fn divide(
    image: ArrayView3<f32>,
    mask: ArrayView3<bool>,
    spacing: Spacing,
    spot_sigma: f64,
    maxima: MaximaRule,
) -> Result<Labels, Error> {
    if is_binary(image) {
        tracing::warn!(
            "the map given to Voronoi-Otsu has only two values: where objects lie is then decided by the blur of \
             {spot_sigma} um alone; give the soft map instead of a thresholded one"
        );
    }
    let spots = gaussian(image, spacing.to_voxels(spot_sigma))?;
    let mut maxima = local_maxima(spots.view(), maxima)?;
    drop(spots);
    Zip::from(&mut maxima).and(mask).for_each(|maximum, &inside| *maximum &= inside);
    let seeds = components(maxima.view(), Connectivity::TwentySix)?;
    voronoi(seeds.ids(), mask, spacing)
}

/// Whether the image has exactly two different values.
fn is_binary(image: ArrayView3<f32>) -> bool {
    let mut values = image.iter();
    let Some(&first) = values.next() else { return false };
    let Some(&second) = values.find(|value| **value != first) else { return false };
    values.all(|&value| value == first || value == second)
}

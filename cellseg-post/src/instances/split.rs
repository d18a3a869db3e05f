//! Splitting touching objects by shape and brightness.

use ndarray::{Array1, Array3, ArrayView3, Zip};

use crate::grid::same_shape;
use crate::{
    Connectivity, Error, Labels, Spacing, distance_transform, gaussian, percentiles, persistent_peaks,
    seed_volume, watershed,
};

/// Sigma of the blur of the height map, as a share of the diameter: what is finer does not make a core.
///
/// Of 0.1 to 0.25 it had the best mean F1 at IoU 0.5 over seven real and five synthetic volumes of nuclei, together with
/// a brightness that counts as much as no brightness at all (`height`).
const SMOOTHING: f64 = 0.175;

/// Divides a mask (z, y, x) into objects of about `diameter` micrometres, whether they touch or not.
///
/// A voxel's height is its distance to the background, less where `map` is dim, blurred at the scale of the objects.
/// Each peak of that height is an object; a watershed draws the borders. Every component of the mask has at least one
/// peak, so no foreground is lost.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::NonFinite`], [`Error::TooLarge`] for 2^32 - 1 voxels and more, or
/// [`Error::Argument`] if the diameter is not a finite number above 0.
pub fn split_touching(
    map: ArrayView3<f32>,
    mask: ArrayView3<bool>,
    spacing: Spacing,
    diameter: f64,
) -> Result<Labels, Error> {
    same_shape(("the map", &map), ("the mask", &mask))?;
    if !(diameter.is_finite() && diameter > 0.0) {
        return Err(Error::Argument {
            name: "the objects' diameter in micrometres",
            given: diameter.to_string(),
            expected: "a finite number above 0",
        });
    }
    let height = gaussian(height(map, mask, spacing)?.view(), spacing.to_voxels(SMOOTHING * diameter))?;
    let peaks = persistent_peaks(height.view(), mask, 0.0, Connectivity::TwentySix)?;
    let (nz, ny, nx) = mask.dim();
    let seeds = seed_volume(&peaks, [nz, ny, nx])?;
    let depth = height.mapv_into(|value| -value);
    let ids = watershed(depth.view(), seeds.view(), mask, Connectivity::TwentySix)?;
    Ok(Labels::from_ids(ids.view()))
}

/// The distance to the background times a brightness from one half (dimmest voxel of the mask) to 1 (brightest).
fn height(map: ArrayView3<f32>, mask: ArrayView3<bool>, spacing: Spacing) -> Result<Array3<f32>, Error> {
    let mut height = distance_transform(mask, spacing);
    if height.iter().any(|distance| distance.is_infinite()) {
        // No background: only brightness can tell objects apart.
        height.fill(1.0);
    }
    let inside: Array1<f32> = Zip::from(map)
        .and(mask)
        .fold(Vec::new(), |mut values, &value, &inside| {
            values.extend(inside.then_some(value));
            values
        })
        .into();
    if inside.is_empty() {
        return Ok(height);
    }
    let count = inside.len();
    let inside = inside.into_shape_with_order((1, 1, count)).expect("the same number of values");
    // Not the brightest voxel, which may be a lone outlier.
    let range = percentiles(inside.view(), &[0.0, 99.0])?;
    let (dim, bright) = (range[0] as f32, range[1] as f32);
    if bright > dim {
        Zip::from(&mut height).and(map).for_each(|height, &value| {
            *height *= 0.5 + 0.5 * ((value - dim) / (bright - dim)).clamp(0.0, 1.0);
        });
    }
    Ok(height)
}

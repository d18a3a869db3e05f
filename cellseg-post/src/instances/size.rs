//! How large objects are, before they are told apart.

use ndarray::ArrayView3;

use crate::{Connectivity, Spacing, distance_transform, persistent_peaks};

/// The typical diameter in micrometres of the objects in a mask (z, y, x), touching or not; `None` if it is empty.
///
/// Each peak of the distance to the background is the radius of a largest ball that fits there. Half the diameter is the
/// median of these radii, weighted by the balls' cross-sections: without a weight specks of noise would decide, and with
/// their volumes one large artifact would. If there is no background at all, it is the shortest side of the volume.
pub fn typical_diameter(mask: ArrayView3<bool>, spacing: Spacing) -> Option<f64> {
    if !mask.iter().any(|&inside| inside) {
        return None;
    }
    if mask.iter().all(|&inside| inside) {
        let (nz, ny, nx) = mask.dim();
        let sides = spacing.to_array();
        return [nz, ny, nx].iter().zip(sides).map(|(&n, side)| n as f64 * side).reduce(f64::min);
    }
    let distance = distance_transform(mask, spacing);
    let peaks = persistent_peaks(distance.view(), mask, 0.0, Connectivity::TwentySix).ok()?;
    // Peaks come the highest first.
    median_by_cross_section(peaks.iter().map(|peak| 2.0 * f64::from(peak.height)))
}

/// The median of diameters, which come the largest first, weighted by their squares; `None` if there are none.
pub(super) fn median_by_cross_section(mut diameters: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let half = diameters.clone().map(|diameter| diameter * diameter).sum::<f64>() / 2.0;
    let mut so_far = 0.0;
    diameters.find(|diameter| {
        so_far += diameter * diameter;
        so_far >= half
    })
}

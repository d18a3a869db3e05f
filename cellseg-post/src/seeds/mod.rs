//! Where objects begin: local maxima, peaks that stand out, and cores above a threshold.

mod blobs;
mod by_height;
mod local_maxima;
mod peaks;

use ndarray::ArrayView3;

pub use blobs::{blob_response, blob_seeds};
pub use local_maxima::{MaximaRule, local_maxima};
pub use peaks::{Peak, keep_apart, persistent_peaks, seed_volume};

use crate::{Connectivity, Error, Labels, components, mask_above};

/// Seeds as CellSeg3D finds them: 26-connected components above `threshold` of at least `min_voxels` voxels.
///
/// # Errors
/// Those of [`components`].
pub fn threshold_seeds(map: ArrayView3<f32>, threshold: f32, min_voxels: u64) -> Result<Labels, Error> {
    let cores = components(mask_above(map, threshold).view(), Connectivity::TwentySix)?;
    Ok(cores.filter_voxels(min_voxels..))
}

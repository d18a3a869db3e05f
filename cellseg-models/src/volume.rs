//! A volume that a network is to look at.

use crate::{Result, intensity};
use ndarray::{ArrayView3, Axis};

/// A borrowed volume with its voxel spacing.
#[derive(Debug, Clone, Copy)]
pub struct VolumeView<'a> {
    /// What errors call it.
    pub name: &'a str,
    /// Intensities `(z, y, x)`.
    pub voxels: ArrayView3<'a, f32>,
    /// Distance of neighbouring voxels `(z, y, x)`; any unit, the same for everything.
    pub spacing: [f64; 3],
}

impl<'a> VolumeView<'a> {
    /// A volume of cubic voxels, one unit an edge.
    pub fn isotropic(name: &'a str, voxels: ArrayView3<'a, f32>) -> Self {
        VolumeView { name, voxels, spacing: [1.0; 3] }
    }

    /// Voxels `(z, y, x)`.
    pub fn extents(&self) -> [usize; 3] {
        std::array::from_fn(|i| self.voxels.len_of(Axis(i)))
    }

    /// How this volume's intensities are mapped to 0 to 100.
    ///
    /// # Errors
    /// Those of [`intensity::Intensity::fit`].
    pub fn fit(&self, normalisation: &intensity::Normalisation) -> Result<intensity::Intensity> {
        intensity::Intensity::fit(self.name, self.voxels, self.spacing, normalisation)
    }
}

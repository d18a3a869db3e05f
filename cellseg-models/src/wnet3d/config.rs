//! The size of a WNet3D.

use crate::{Result, limits};
use serde::{Deserialize, Serialize};

/// The groups of every group normalisation.
pub(crate) const GROUPS: usize = 4;

/// How large a WNet3D is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WNet3dConfig {
    /// Channels at full resolution, a multiple of 4; each of the three coarser levels has twice as many as the one
    /// above. 64 in the paper.
    pub width: usize,
    /// Classes that the voxels are sorted into, at least 2.
    pub classes: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the reconstruction.
    pub out_channels: usize,
    /// Share of the activations that are zeroed in training, 0 to below 1. 0.65 in the paper.
    pub dropout: f64,
}

impl WNet3dConfig {
    /// The network of the paper: 64-128-256-512 channels, 50.5 million parameters.
    pub fn paper() -> Self {
        WNet3dConfig { width: 64, dropout: 0.65, ..Self::small() }
    }

    /// A network for CPUs: 16-32-64-128 channels, 3.2 million parameters, a sixteenth of the arithmetic. A small
    /// network has little to spare, so the dropout is low.
    pub fn small() -> Self {
        WNet3dConfig { width: 16, classes: 2, in_channels: 1, out_channels: 1, dropout: 0.1 }
    }

    /// Checks that a network of this size can be built.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] names the first field out of range.
    pub fn validate(&self) -> Result<()> {
        limits::width(self.width, GROUPS)?;
        limits::channels("classes", self.classes, 2)?;
        limits::channels("in_channels", self.in_channels, 1)?;
        limits::channels("out_channels", self.out_channels, 1)?;
        limits::dropout(self.dropout)
    }
}

impl Default for WNet3dConfig {
    fn default() -> Self {
        Self::small()
    }
}

//! The size of a SegResNet.

use crate::{Result, limits};
use serde::{Deserialize, Serialize};

/// The groups of every group normalisation.
pub(super) const GROUPS: usize = 8;

/// How large a SegResNet is. The default is that of CellSeg3D: 1.2 million parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegResNetConfig {
    /// Channels at full resolution, a multiple of 8; each of the three coarser levels has twice as many as the one above.
    /// 8 in CellSeg3D.
    pub width: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Classes, any number of which a voxel may be of: channels of the output.
    pub classes: usize,
    /// Share of the first convolution's channels that are zeroed in training, 0 to below 1. 0.3 in CellSeg3D.
    pub dropout: f64,
}

impl SegResNetConfig {
    /// Checks that a network of this size can be built.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] names the first field out of range.
    pub fn validate(&self) -> Result<()> {
        limits::width(self.width, GROUPS)?;
        limits::channels("in_channels", self.in_channels, 1)?;
        limits::channels("classes", self.classes, 1)?;
        limits::dropout(self.dropout)
    }
}

impl Default for SegResNetConfig {
    fn default() -> Self {
        SegResNetConfig { width: 8, in_channels: 1, classes: 1, dropout: 0.3 }
    }
}

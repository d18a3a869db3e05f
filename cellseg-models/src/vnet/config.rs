//! The size of a VNet.

use crate::{Error, Result, limits};
use serde::{Deserialize, Serialize};

/// How large a VNet is. The default is that of CellSeg3D: 45.6 million parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VNetConfig {
    /// Channels at full resolution, a multiple of 2; each of the four coarser levels has twice as many as the one above.
    /// 16 in CellSeg3D.
    pub width: usize,
    /// Channels of the image, a divisor of the width: the image is added to the first convolution, over and over.
    pub in_channels: usize,
    /// Classes, any number of which a voxel may be of: channels of the output.
    pub classes: usize,
    /// Share of the channels that are zeroed in training, 0 to below 1. 0.5 in CellSeg3D.
    pub dropout: f64,
}

impl VNetConfig {
    /// Checks that a network of this size can be built.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first field out of range.
    pub fn validate(&self) -> Result<()> {
        limits::width(self.width, 2)?;
        limits::channels("in_channels", self.in_channels, 1)?;
        if !self.width.is_multiple_of(self.in_channels) {
            return Err(Error::setting(
                "in_channels",
                self.in_channels,
                format!("a divisor of {}", self.width),
            ));
        }
        limits::channels("classes", self.classes, 1)?;
        limits::dropout(self.dropout)
    }
}

impl Default for VNetConfig {
    fn default() -> Self {
        VNetConfig { width: 16, in_channels: 1, classes: 1, dropout: 0.5 }
    }
}

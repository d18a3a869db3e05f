//! The size of a TRAILMAP network.

use crate::{Result, limits};
use serde::{Deserialize, Serialize};

/// How large a TRAILMAP network is. The default is that of CellSeg3D: 16.3 million parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrailmapConfig {
    /// Channels at full resolution, an even number; each of the three coarser levels has twice as many as the one above.
    /// 64 in CellSeg3D.
    pub width: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Classes, any number of which a voxel may be of: channels of the output.
    pub classes: usize,
}

impl TrailmapConfig {
    /// Checks that a network of this size can be built.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] names the first field out of range.
    pub fn validate(&self) -> Result<()> {
        limits::width(self.width, 2)?;
        limits::channels("in_channels", self.in_channels, 1)?;
        limits::channels("classes", self.classes, 1)
    }
}

impl Default for TrailmapConfig {
    fn default() -> Self {
        TrailmapConfig { width: 64, in_channels: 1, classes: 1 }
    }
}

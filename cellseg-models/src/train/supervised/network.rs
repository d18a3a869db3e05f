//! New networks by their settings.

use crate::{Network, Result, WNet3d, WNet3dConfig};
use serde::{Deserialize, Serialize};

/// Which network is trained with labels, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum NetworkConfig {
    /// The encoder of WNet3D alone: a U-Net of four levels with two classes. Weights of a WNet3D that was trained without labels
    /// fit it.
    #[serde(rename = "unet")]
    UNet {
        /// Channels at full resolution, a multiple of 4.
        width: usize,
        /// Share of the activations that are zeroed in training.
        dropout: f64,
    },
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let WNet3dConfig { width, dropout, .. } = WNet3dConfig::small();
        NetworkConfig::UNet { width, dropout }
    }
}

impl NetworkConfig {
    /// A network with random weights, the same for the same seed.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] for a size out of range, or memory that could not be had.
    pub fn build(&self, seed: u64) -> Result<Box<dyn Network>> {
        match *self {
            NetworkConfig::UNet { width, dropout } => {
                let config = WNet3dConfig { width, dropout, classes: 2, ..WNet3dConfig::small() };
                Ok(Box::new(WNet3d::encoder_only(&config, seed)?))
            }
        }
    }
}

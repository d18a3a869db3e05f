//! A SegResNet from its weights.

use super::{SegResNet, SegResNetConfig};
use crate::{
    Result,
    weights::{self, State},
};

pub(crate) const NAME: &str = "SegResNet";

/// What the names of the autoencoder's tensors start with: MONAI's `SegResNetVAE`, which CellSeg3D's weights are of, has
/// them beside those of segmentation, which do not depend on them.
const AUTOENCODER: [&str; 6] =
    ["vae_down.", "vae_fc1.", "vae_fc2.", "vae_fc3.", "vae_fc_up_sample.", "vae_conv_final."];

impl SegResNet {
    /// The network that these weights are of: its width and channels are read from their shapes. Tensors of the
    /// autoencoder are left out.
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) names the first tensor that does not fit.
    pub fn from_state(state: &State) -> Result<Self> {
        let kernel = |name| weights::kernel(state, name, NAME, || Self::new(&SegResNetConfig::default(), 0));
        let first = kernel("convInit.conv.weight")?;
        let config = SegResNetConfig {
            width: first[0],
            in_channels: first[1],
            classes: kernel("conv_final.2.conv.weight")?[0],
            ..SegResNetConfig::default()
        };
        let mut net = Self::new(&config, 0)?;
        net.load(state)?;
        Ok(net)
    }

    /// Replaces all weights, or none where they do not fit. Tensors of the autoencoder are left out.
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) names the first tensor that does not fit.
    pub fn load(&mut self, state: &State) -> Result<()> {
        let architecture = format!("{NAME} of width {}", self.config.width);
        let of_autoencoder = |name: &str| AUTOENCODER.iter().any(|start| name.starts_with(start));
        let own = state.iter().filter(|(name, _)| !of_autoencoder(name));
        weights::load(self, &architecture, &own.map(|(n, a)| (n.clone(), a.clone())).collect())
    }

    /// All weights, in PyTorch's layout.
    ///
    /// # Errors
    /// Weights that cannot be copied to host memory.
    pub fn state(&self) -> Result<State> {
        weights::state(self)
    }
}

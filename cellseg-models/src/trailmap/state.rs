//! A TRAILMAP network from its weights.

use super::{Trailmap, TrailmapConfig};
use crate::{
    Result,
    weights::{self, State},
};

pub(crate) const NAME: &str = "TRAILMAP_MS";

impl Trailmap {
    /// The network that these weights are of: its width and channels are read from their shapes.
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) names the first tensor that does not fit.
    pub fn from_state(state: &State) -> Result<Self> {
        let kernel = |name| weights::kernel(state, name, NAME, || Self::new(&TrailmapConfig::default(), 0));
        let config = TrailmapConfig {
            width: kernel("encoders.0.basic_module.SingleConv2.conv.weight")?[0],
            in_channels: kernel("encoders.0.basic_module.SingleConv1.conv.weight")?[1],
            classes: kernel("final_conv.weight")?[0],
        };
        let mut net = Self::new(&config, 0)?;
        net.load(state)?;
        Ok(net)
    }

    /// Replaces all weights and statistics, or none where they do not fit.
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) names the first tensor that does not fit.
    pub fn load(&mut self, state: &State) -> Result<()> {
        let architecture = format!("{NAME} of width {}", self.config.width);
        weights::load(self, &architecture, state)
    }

    /// All weights and statistics, in PyTorch's layout.
    ///
    /// # Errors
    /// Weights that cannot be copied to host memory.
    pub fn state(&self) -> Result<State> {
        weights::state(self)
    }
}

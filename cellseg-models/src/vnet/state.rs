//! A VNet from its weights.

use super::{VNet, VNetConfig};
use crate::{
    Result,
    weights::{self, State},
};

pub(crate) const NAME: &str = "VNet";

impl VNet {
    /// The network that these weights are of: its width and channels are read from their shapes.
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) names the first tensor that does not fit.
    pub fn from_state(state: &State) -> Result<Self> {
        let kernel = |name| weights::kernel(state, name, NAME, || Self::new(&VNetConfig::default(), 0));
        let first = kernel("in_tr.conv_block.conv.weight")?;
        let config = VNetConfig {
            width: first[0],
            in_channels: first[1],
            classes: kernel("out_tr.conv2.weight")?[0],
            ..VNetConfig::default()
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

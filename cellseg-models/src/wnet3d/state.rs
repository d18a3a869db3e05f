//! A WNet3D from its weights.

use super::{WNet3d, WNet3dConfig};
use crate::{
    Result,
    weights::{self, State},
};

pub(super) const NAME: &str = "WNet3D";

impl WNet3d {
    /// The network that these weights are of: its width, classes and channels are read from their shapes. Without any
    /// `decoder.*` tensor the network has no decoder. The names of an encoder alone may lack `encoder.` before them.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] names the first tensor that does not fit.
    pub fn from_state(state: &State) -> Result<Self> {
        if state.keys().any(|n| n.starts_with("in_b.")) {
            let named = state.iter().map(|(n, a)| (format!("encoder.{n}"), a.clone())).collect();
            return Self::from_state(&named);
        }
        let decoder = state.keys().any(|n| n.starts_with("decoder."));
        let dims = |name| weights::kernel(state, name, NAME, || Self::new(&WNet3dConfig::default(), 0));
        let first = dims("encoder.in_b.module.0.weight")?;
        let config = WNet3dConfig {
            width: first[0],
            in_channels: first[1],
            classes: dims("encoder.out_b.module.8.weight")?[0],
            out_channels: if decoder { dims("decoder.out_b.module.8.weight")?[0] } else { 1 },
            ..WNet3dConfig::default()
        };
        let mut net = if decoder { Self::new(&config, 0)? } else { Self::encoder_only(&config, 0)? };
        net.load(state)?;
        Ok(net)
    }

    /// Replaces all weights, or none where they do not fit.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] names the first tensor that does not fit.
    pub fn load(&mut self, state: &State) -> Result<()> {
        let architecture = format!("{NAME} of width {}", self.config.width);
        weights::load(self, &architecture, state)
    }

    /// All weights, in PyTorch's layout.
    ///
    /// # Errors
    /// Weights that cannot be copied to host memory.
    pub fn state(&self) -> Result<State> {
        weights::state(self)
    }

    /// The share of activations that training zeroes, which weights do not tell.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] outside 0 to below 1.
    pub fn with_dropout(mut self, dropout: f64) -> Result<Self> {
        self.config.dropout = dropout;
        self.config.validate()?;
        self.encoder.set_dropout(dropout);
        if let Some(decoder) = &mut self.decoder {
            decoder.set_dropout(dropout);
        }
        Ok(self)
    }
}

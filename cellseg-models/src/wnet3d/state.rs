//! A WNet3D from its weights.

use super::{WNet3d, WNet3dConfig};
use crate::{
    Error, Result,
    weights::{self, Mismatch, State},
};

pub(super) const NAME: &str = "WNet3D";

impl WNet3d {
    /// The network that these weights are of: its width, classes and channels are read from their shapes. Without any
    /// `decoder.*` tensor the network has no decoder. The names of an encoder alone may lack `encoder.` before them.
    ///
    /// # Errors
    /// [`Error::Weights`] names the first tensor that does not fit.
    pub fn from_state(state: &State) -> Result<Self> {
        if state.keys().any(|n| n.starts_with("in_b.")) {
            let named = state.iter().map(|(n, a)| (format!("encoder.{n}"), a.clone())).collect();
            return Self::from_state(&named);
        }
        let decoder = state.keys().any(|n| n.starts_with("decoder."));
        let dims = |name: &str| match state.get(name) {
            Some(a) if a.ndim() == 5 => Ok(a.shape()),
            Some(a) => Err(unfit(state, Some((name, a.shape())))),
            None => Err(unfit(state, None)),
        };
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
    /// [`Error::Weights`] names the first tensor that does not fit.
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
    /// [`Error::Setting`] outside 0 to below 1.
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

/// Weights that do not even tell the network's size.
fn unfit(state: &State, shape: Option<(&str, &[usize])>) -> Error {
    // Compared with the default network, for want of a size.
    let expected = WNet3d::new(&WNet3dConfig::default(), 0).and_then(|net| net.state());
    let names = expected.unwrap_or_default();
    Error::Weights(Box::new(Mismatch {
        architecture: NAME.to_owned(),
        shape: shape.map(|(name, found)| {
            (name.to_owned(), found.to_vec(), names.get(name).map(|a| a.shape().to_vec()).unwrap_or_default())
        }),
        missing: names.keys().filter(|n| !state.contains_key(*n)).cloned().collect(),
        unexpected: state.keys().filter(|n| !names.contains_key(*n)).cloned().collect(),
        looks_like: weights::recognise(state),
    }))
}

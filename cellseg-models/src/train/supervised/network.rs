//! New networks by their settings.

use crate::{
    Error, Network, Result, SegResNet, SegResNetConfig, SwinUnetr, SwinUnetrConfig, Trailmap, TrailmapConfig,
    VNet, VNetConfig, WNet3d, WNet3dConfig,
    weights::{self, State},
};
use serde::{Deserialize, Serialize};

/// Which network is trained with labels, and how large it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// SwinUNETR with one class.
    SwinUnetr(SwinUnetrConfig),
    /// SegResNet with one class.
    #[serde(rename = "segresnet")]
    SegResNet(SegResNetConfig),
    /// VNet with one class.
    #[serde(rename = "vnet")]
    VNet(VNetConfig),
    /// TRAILMAP with one class.
    Trailmap(TrailmapConfig),
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let WNet3dConfig { width, dropout, .. } = WNet3dConfig::small();
        NetworkConfig::UNet { width, dropout }
    }
}

impl NetworkConfig {
    /// The network with these weights.
    ///
    /// # Errors
    /// Those of [`NetworkConfig::build`], and [`crate::Error::Weights`] with the first tensor that does not fit.
    pub fn with_weights(&self, state: &State) -> Result<Box<dyn Network>> {
        let mut network = self.build(0)?;
        let architecture = network.architecture();
        weights::load(&mut *network, architecture, state)?;
        Ok(network)
    }

    /// A network with random weights, the same for the same seed.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] for a size out of range, or memory that could not be had.
    pub fn build(&self, seed: u64) -> Result<Box<dyn Network>> {
        Ok(match *self {
            NetworkConfig::UNet { width, dropout } => {
                let config = WNet3dConfig { width, dropout, classes: 2, ..WNet3dConfig::small() };
                WNet3d::encoder_only(&config, seed)?.into()
            }
            NetworkConfig::SwinUnetr(ref config) => SwinUnetr::new(config, seed)?.into(),
            NetworkConfig::SegResNet(ref config) => SegResNet::new(config, seed)?.into(),
            NetworkConfig::VNet(ref config) => VNet::new(config, seed)?.into(),
            NetworkConfig::Trailmap(ref config) => Trailmap::new(config, seed)?.into(),
        })
    }

    /// Checks that `network` is the one that is built by these settings, with whatever weights: from them it is made again.
    pub(super) fn check(&self, network: &dyn Network) -> Result<()> {
        let built = self.build(0)?;
        if built.architecture() != network.architecture() {
            return Err(Error::setting("network", built.architecture(), network.architecture()));
        }
        let differs = |what: String| {
            Error::setting(
                "network",
                format!("{self:?}"),
                format!("those of the network that is trained: {what}"),
            )
        };
        if built.settings() != network.settings() {
            return Err(differs(format!("it has {:?}", network.settings())));
        }
        let [expected, found] = [&*built, network].map(tensors);
        let longer = expected.len().max(found.len());
        match (0..longer).map(|i| (expected.get(i), found.get(i))).find(|(a, b)| a != b) {
            None => Ok(()),
            Some((_, Some((name, dims)))) => Err(differs(format!("its `{name}` is {dims:?}"))),
            Some((wanted, None)) => {
                Err(differs(format!("it has no `{}`", wanted.map_or("", |(name, _)| name.as_str()))))
            }
        }
    }
}

/// The names and shapes of all weights and statistics.
fn tensors(network: &dyn Network) -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    network.each("", &mut |name, p| tensors.push((name, p.pytorch_dims())));
    tensors
}

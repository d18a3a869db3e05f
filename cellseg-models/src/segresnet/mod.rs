//! SegResNet: an asymmetric U-Net of residual blocks, most of them on the way down.
//!
//! The network is that of Myronenko ("3D MRI brain tumor segmentation using autoencoder regularization", BrainLes 2018) as
//! MONAI builds it and CellSeg3D configures it: residual blocks 1-2-2-4 on the way down and 1-1-1 on the way up,
//! convolutions of stride 2 down, trilinear interpolation up, skips that are added. Parameter names are those of its state
//! dict, 83 tensors.
//!
//! The original has a second way up, a variational autoencoder that paints the image again: it regularises training in the
//! paper, but CellSeg3D throws its loss away, and inference never runs it. It is not built here.

mod block;
mod config;
mod network;
mod state;

pub use config::SegResNetConfig;
pub(crate) use state::NAME;

use crate::{
    Compute, PassMode, Result,
    compute::widened,
    layers::{Conv3d, GroupNorm, channel_dropout, module},
    limits,
    pass::Pass,
};
use block::{DownLayer, UpLayer, UpSample, normalised};
use cellseg_core::{Rng, Tensor};
use cellseg_kernels::pointwise::add;
use config::GROUPS;

/// Extents of an input are multiples of this: they are halved three times.
pub const EXTENT_MULTIPLE: usize = 8;

/// Residual blocks of the levels on the way down.
const BLOCKS_DOWN: [usize; 4] = [1, 2, 2, 4];

/// A SegResNet.
#[derive(Debug, Clone)]
pub struct SegResNet {
    config: SegResNetConfig,
    compute: Compute,
    conv_init: Conv3d,
    down_layers: Vec<DownLayer>,
    up_layers: Vec<UpLayer>,
    up_samples: Vec<UpSample>,
    norm_final: GroupNorm,
    conv_final: Conv3d,
}

module!(SegResNet {
    "convInit.conv" => conv_init,
    "down_layers" => down_layers,
    "up_layers" => up_layers,
    "up_samples" => up_samples,
    "conv_final.0" => norm_final,
    "conv_final.2.conv" => conv_final,
});

impl SegResNet {
    /// A network with random weights: the same for the same seed.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where `config` is out of range, or memory that could not be had.
    pub fn new(config: &SegResNetConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let mut rng = Rng::new(seed).stream(0);
        let rng = &mut rng;
        let conv_init = Conv3d::without_bias(config.in_channels, config.width, 3, rng)?;
        let mut down_layers = Vec::new();
        for (level, blocks) in BLOCKS_DOWN.into_iter().enumerate() {
            down_layers.push(DownLayer::new(level > 0, config.width << level, blocks, rng)?);
        }
        let (mut up_layers, mut up_samples) = (Vec::new(), Vec::new());
        for level in (0..BLOCKS_DOWN.len() - 1).rev() {
            up_layers.push(UpLayer::new(config.width << level, rng)?);
            up_samples.push(UpSample::new(config.width << level, rng)?);
        }
        Ok(SegResNet {
            conv_init,
            down_layers,
            up_layers,
            up_samples,
            norm_final: GroupNorm::new(GROUPS, config.width)?,
            conv_final: Conv3d::new(config.width, config.classes, 1, rng)?,
            config: config.clone(),
            compute: Compute::F32,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &SegResNetConfig {
        &self.config
    }

    /// The share of channels that training zeroes, which weights do not tell.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) outside 0 to below 1.
    pub fn with_dropout(mut self, dropout: f64) -> Result<Self> {
        self.config.dropout = dropout;
        self.config.validate()?;
        Ok(self)
    }

    /// `[n, d, h, w, in_channels]` to `[n, d, h, w, classes]`, without an activation at the end.
    fn forward(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        limits::extents(state::NAME, image.shape(), EXTENT_MULTIPLE)?;
        let pass = Pass::of_block(mode, self.config.dropout, 0);
        let x = self.conv_init.forward(&image.cast(self.compute.dtype())?)?;
        let mut x = channel_dropout(&x, pass.dropout(0))?;
        let mut levels = Vec::new();
        for layer in &self.down_layers {
            let layer = layer.clone();
            x = pass.run(&x, move |x, _| layer.forward(x))?;
            levels.push(x.clone());
        }
        let ups = self.up_samples.iter().zip(&self.up_layers);
        for ((sample, layer), level) in ups.zip(levels.into_iter().rev().skip(1)) {
            x = add(sample.forward(&x)?, &level)?;
            let layer = layer.clone();
            x = pass.run(&x, move |x, _| layer.forward(x))?;
        }
        Ok(widened(self.conv_final.forward(&normalised(&self.norm_final, x)?)?)?)
    }
}

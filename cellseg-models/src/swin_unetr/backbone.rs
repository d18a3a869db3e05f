//! The Swin Transformer: tokens of five resolutions from an image.

use super::{
    block::{Stage, dropped},
    config::{Merging, SwinUnetrConfig},
    residual::ResidualBlock,
};
use crate::{
    Result,
    layers::{Conv3d, module, plain_layer_norm},
    pass::Pass,
};
use cellseg_core::{Device, Result as CoreResult, Rng, Tensor};

/// Voxels of a token along each axis.
const PATCH: usize = 2;

/// The hierarchy of tokens, each resolution half of the one before.
#[derive(Debug, Clone)]
pub(super) struct SwinTransformer {
    patch_embed: Conv3d,
    layers1: Stage,
    layers2: Stage,
    layers3: Stage,
    layers4: Stage,
    layers1c: Option<ResidualBlock>,
    layers2c: Option<ResidualBlock>,
    layers3c: Option<ResidualBlock>,
    layers4c: Option<ResidualBlock>,
}

module!(SwinTransformer {
    "patch_embed.proj" => patch_embed,
    "layers1.0" => layers1,
    "layers2.0" => layers2,
    "layers3.0" => layers3,
    "layers4.0" => layers4,
    "layers1c.0.layer" => layers1c,
    "layers2c.0.layer" => layers2c,
    "layers3c.0.layer" => layers3c,
    "layers4c.0.layer" => layers4c,
});

impl SwinTransformer {
    pub(super) fn new(config: &SwinUnetrConfig, rng: &mut Rng) -> Result<Self> {
        let residual = |i: usize, rng: &mut Rng| {
            let channels = config.feature_size << i;
            config.residual_stages.then(|| ResidualBlock::new(channels, channels, rng)).transpose()
        };
        Ok(SwinTransformer {
            patch_embed: Conv3d::new(config.in_channels, config.feature_size, PATCH, rng)?.with_stride(PATCH),
            layers1: Stage::new(config, 0, rng)?,
            layers2: Stage::new(config, 1, rng)?,
            layers3: Stage::new(config, 2, rng)?,
            layers4: Stage::new(config, 3, rng)?,
            layers1c: residual(0, rng)?,
            layers2c: residual(1, rng)?,
            layers3c: residual(2, rng)?,
            layers4c: residual(3, rng)?,
        })
    }

    pub(super) fn device(&self) -> Device {
        self.patch_embed.device()
    }

    pub(super) fn set_merging(&mut self, merging: Merging) {
        for stage in [&mut self.layers1, &mut self.layers2, &mut self.layers3, &mut self.layers4] {
            stage.set_merging(merging);
        }
    }

    /// The tokens of a half, a quarter, .. of the resolution of `x`, each normalised over its channels; `pass` makes the
    /// pass of each block.
    pub(super) fn forward(&self, x: &Tensor, pass: &mut dyn FnMut() -> Pass) -> CoreResult<[Tensor; 5]> {
        let x0 = dropped(self.patch_embed.forward(x)?, pass().dropout(0))?;
        let x1 = self.layers1.forward(&x0, self.layers1c.as_ref(), pass)?;
        let x2 = self.layers2.forward(&x1, self.layers2c.as_ref(), pass)?;
        let x3 = self.layers3.forward(&x2, self.layers3c.as_ref(), pass)?;
        let x4 = self.layers4.forward(&x3, self.layers4c.as_ref(), pass)?;
        Ok([
            plain_layer_norm(&x0)?,
            plain_layer_norm(&x1)?,
            plain_layer_norm(&x2)?,
            plain_layer_norm(&x3)?,
            plain_layer_norm(&x4)?,
        ])
    }
}

//! SwinUNETR: a transformer with attention within windows that looks at a volume at five resolutions, and a U-Net of
//! convolutions that makes classes of what it has seen.
//!
//! The network is that of MONAI (Hatamizadeh et al., "Swin UNETR", BrainLes 2021; with residual blocks before the stages
//! that of He et al., "SwinUNETR-V2", MICCAI 2023), the largest of CellSeg3D's supervised networks. Parameter names are those
//! of MONAI's state dict, in which one buffer for each block of attention follows from the window and is no parameter here.

mod backbone;
mod block;
mod config;
mod network;
mod residual;
mod state;

pub use config::{Merging, SwinUnetrConfig};
pub(crate) use state::NAME;

use crate::{
    Compute, PassMode, Result,
    compute::widened,
    layers::{Conv3d, module},
    limits,
    pass::Pass,
    weights,
};
use backbone::SwinTransformer;
use cellseg_core::{Device, Result as CoreResult, Rng, Tensor};
use residual::{ResidualBlock, UpBlock};

/// Extents of an input are multiples of this: the coarsest tokens are of 2^5 voxels along each axis.
pub const EXTENT_MULTIPLE: usize = 32;

/// A SwinUNETR.
#[derive(Debug, Clone)]
pub struct SwinUnetr {
    config: SwinUnetrConfig,
    compute: Compute,
    swin_vit: SwinTransformer,
    encoder1: ResidualBlock,
    encoder2: ResidualBlock,
    encoder3: ResidualBlock,
    encoder4: ResidualBlock,
    encoder10: ResidualBlock,
    decoder5: UpBlock,
    decoder4: UpBlock,
    decoder3: UpBlock,
    decoder2: UpBlock,
    decoder1: UpBlock,
    out: Conv3d,
}

module!(SwinUnetr {
    "swinViT" => swin_vit,
    "encoder1.layer" => encoder1,
    "encoder2.layer" => encoder2,
    "encoder3.layer" => encoder3,
    "encoder4.layer" => encoder4,
    "encoder10.layer" => encoder10,
    "decoder5" => decoder5,
    "decoder4" => decoder4,
    "decoder3" => decoder3,
    "decoder2" => decoder2,
    "decoder1" => decoder1,
    "out.conv.conv" => out,
});

impl SwinUnetr {
    /// A network with random weights: the same for the same seed.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where `config` is out of range, or memory that could not be had.
    pub fn new(config: &SwinUnetrConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let (rng, width) = (&mut Rng::new(seed).stream(0), config.feature_size);
        Ok(SwinUnetr {
            config: config.clone(),
            compute: Compute::F32,
            swin_vit: SwinTransformer::new(config, rng)?,
            encoder1: ResidualBlock::new(config.in_channels, width, rng)?,
            encoder2: ResidualBlock::new(width, width, rng)?,
            encoder3: ResidualBlock::new(2 * width, 2 * width, rng)?,
            encoder4: ResidualBlock::new(4 * width, 4 * width, rng)?,
            encoder10: ResidualBlock::new(16 * width, 16 * width, rng)?,
            decoder5: UpBlock::new(16 * width, 8 * width, rng)?,
            decoder4: UpBlock::new(8 * width, 4 * width, rng)?,
            decoder3: UpBlock::new(4 * width, 2 * width, rng)?,
            decoder2: UpBlock::new(2 * width, width, rng)?,
            decoder1: UpBlock::new(width, width, rng)?,
            out: Conv3d::new(width, config.classes, 1, rng)?,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &SwinUnetrConfig {
        &self.config
    }

    /// The same network with activations of another type. Weights keep theirs, and layers convert them where they use
    /// them; inputs and outputs of the network are `f32` in any case.
    pub fn with_compute(self, compute: Compute) -> Self {
        SwinUnetr { compute, ..self }
    }

    /// Moves the weights to a device. Inputs must lie where the weights do.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn to(mut self, device: &Device) -> Result<Self> {
        weights::change(&mut self, |w| w.to(device))?;
        Ok(self)
    }

    /// The output before the sigmoid: `[n, d, h, w, in_channels]` to `[n, d, h, w, classes]`.
    ///
    /// # Errors
    /// Extents that are no multiples of [`EXTENT_MULTIPLE`], another number of channels, memory.
    pub fn logits(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        Ok(widened(self.forward(&image.cast(self.compute.dtype())?, mode)?)?)
    }

    fn forward(&self, x: &Tensor, mode: &PassMode) -> CoreResult<Tensor> {
        limits::extents(state::NAME, x.shape(), EXTENT_MULTIPLE)?;
        let mut blocks = 0;
        let mut pass = || {
            blocks += 1;
            Pass::of_block(mode, self.config.dropout, blocks)
        };
        let [x0, x1, x2, x3, x4] = self.swin_vit.forward(x, &mut pass)?;
        let y = self.encoder10.forward(&x4, pass())?;
        let y = self.decoder5.forward(&y, &x3, pass())?;
        let y = self.decoder4.forward(&y, &self.encoder4.forward(&x2, pass())?, pass())?;
        let y = self.decoder3.forward(&y, &self.encoder3.forward(&x1, pass())?, pass())?;
        let y = self.decoder2.forward(&y, &self.encoder2.forward(&x0, pass())?, pass())?;
        let y = self.decoder1.forward(&y, &self.encoder1.forward(x, pass())?, pass())?;
        self.out.forward(&y)
    }
}

//! What a SegResNet is made of.

use super::config::GROUPS;
use crate::{
    Result,
    layers::{Conv3d, GroupNorm, module},
};
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{
    norm::Norm,
    pointwise::{Activation, add},
    resample::{Interpolation, resize},
};

/// A residual block: twice group normalisation, ReLU and convolution, and what came in added.
#[derive(Debug, Clone)]
pub(super) struct ResBlock {
    norm1: GroupNorm,
    norm2: GroupNorm,
    conv1: Conv3d,
    conv2: Conv3d,
}

module!(ResBlock { "norm1" => norm1, "norm2" => norm2, "conv1.conv" => conv1, "conv2.conv" => conv2 });

impl ResBlock {
    fn new(channels: usize, rng: &mut Rng) -> Result<Self> {
        Ok(ResBlock {
            norm1: GroupNorm::new(GROUPS, channels)?,
            norm2: GroupNorm::new(GROUPS, channels)?,
            conv1: Conv3d::without_bias(channels, channels, 3, rng)?,
            conv2: Conv3d::without_bias(channels, channels, 3, rng)?,
        })
    }

    fn forward(&self, x: &Tensor) -> CoreResult<Tensor> {
        let y = self.conv1.forward(&normalised(&self.norm1, x.clone())?)?;
        let y = self.conv2.forward(&normalised(&self.norm2, y)?)?;
        add(y, x)
    }
}

/// ReLU of the group normalisation of `x`.
pub(super) fn normalised(norm: &GroupNorm, x: Tensor) -> CoreResult<Tensor> {
    norm.forward(x, &Norm { activation: Activation::Relu, ..norm.settings() })
}

/// A level of the way down: a convolution of stride 2 that doubles the channels, which the first level lacks, and some
/// residual blocks.
#[derive(Debug, Clone)]
pub(super) struct DownLayer {
    halving: Option<Conv3d>,
    /// None at place 0, which is that of the convolution.
    blocks: Vec<Option<ResBlock>>,
}

module!(DownLayer { "0.conv" => halving, "" => blocks });

impl DownLayer {
    pub(super) fn new(halves: bool, channels: usize, blocks: usize, rng: &mut Rng) -> Result<Self> {
        let halving = halves.then(|| Conv3d::without_bias(channels / 2, channels, 3, rng)).transpose()?;
        let mut row = vec![None];
        for _ in 0..blocks {
            row.push(Some(ResBlock::new(channels, rng)?));
        }
        Ok(DownLayer { halving: halving.map(|conv| conv.with_stride(2)), blocks: row })
    }

    pub(super) fn forward(&self, x: &Tensor) -> CoreResult<Tensor> {
        let halved = self.halving.as_ref().map(|conv| conv.forward(x)).transpose()?;
        self.blocks
            .iter()
            .flatten()
            .try_fold(halved.unwrap_or_else(|| x.clone()), |x, block| block.forward(&x))
    }
}

/// What brings a level up to the one above: a convolution of 1^3 that halves the channels, and interpolation.
#[derive(Debug, Clone)]
pub(super) struct UpSample {
    conv: Conv3d,
}

module!(UpSample { "0.conv" => conv });

impl UpSample {
    pub(super) fn new(channels: usize, rng: &mut Rng) -> Result<Self> {
        Ok(UpSample { conv: Conv3d::without_bias(2 * channels, channels, 1, rng)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> CoreResult<Tensor> {
        let x = self.conv.forward(x)?;
        let [_, d, h, w, _] = x.shape().volumes("SegResNet")?;
        resize(&x, [d, h, w].map(|e| 2 * e), Interpolation::Trilinear { align_corners: false })
    }
}

/// A level of the way up: a residual block.
#[derive(Debug, Clone)]
pub(super) struct UpLayer {
    block: ResBlock,
}

module!(UpLayer { "0" => block });

impl UpLayer {
    pub(super) fn new(channels: usize, rng: &mut Rng) -> Result<Self> {
        Ok(UpLayer { block: ResBlock::new(channels, rng)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> CoreResult<Tensor> {
        self.block.forward(x)
    }
}

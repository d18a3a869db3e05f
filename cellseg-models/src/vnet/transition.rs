//! The steps from one level to the next.
//!
//! Each of them learns a residual: what its convolutions of 5^3 put out is added to what went into them.

use super::convolution::{Convolution, ELU, rectified};
use crate::{
    Result,
    layers::{BatchNorm, Conv3d, ConvTranspose3d, channel_dropout, module},
    pass::Pass,
};
use cellseg_core::{Device, Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{
    concat::concat,
    pointwise::{activate, add, broadcast_to},
};

/// From the image to the first level.
#[derive(Debug, Clone)]
pub(super) struct InputTransition {
    convolution: Convolution,
    channels: usize,
}

module!(InputTransition { "" => convolution });

impl InputTransition {
    pub(super) fn new(cin: usize, channels: usize, rng: &mut Rng) -> Result<Self> {
        Ok(InputTransition { convolution: Convolution::new(cin, channels, rng)?, channels })
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        self.convolution.forward(x, Some(&repeated(x, self.channels)?), pass)
    }
}

/// The channels of `x` over and over until there are `channels` of them.
fn repeated(x: &Tensor, channels: usize) -> CoreResult<Tensor> {
    let [n, d, h, w, c] = x.shape().volumes("VNet")?;
    let rows = n * d * h * w;
    broadcast_to(&x.reshape(&[rows, 1, c])?, &[rows, channels / c, c])?.reshape(&[n, d, h, w, channels])
}

/// To a level of half the extents and twice the channels.
#[derive(Debug, Clone)]
pub(super) struct DownTransition {
    down_conv: Conv3d,
    bn1: BatchNorm,
    ops: Vec<Convolution>,
    drops: bool,
}

module!(DownTransition { "down_conv" => down_conv, "bn1" => bn1, "ops" => ops });

impl DownTransition {
    /// From `cin` channels, with `depth` convolutions; `drops` says whether there is dropout before them.
    pub(super) fn new(cin: usize, depth: usize, drops: bool, rng: &mut Rng) -> Result<Self> {
        let cout = 2 * cin;
        Ok(DownTransition {
            down_conv: Conv3d::new(cin, cout, 2, rng)?.with_stride(2),
            bn1: BatchNorm::new(cout)?,
            ops: (0..depth).map(|_| Convolution::new(cout, cout, rng)).collect::<Result<_>>()?,
            drops,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        let down = rectified(&self.bn1, self.down_conv.forward(x)?, None, pass)?;
        let dropped = channel_dropout(&down, pass.dropout(0).filter(|_| self.drops))?;
        residual(&self.ops, dropped, &down, pass)
    }
}

/// To a level of twice the extents, joined with what the way down put out there.
#[derive(Debug, Clone)]
pub(super) struct UpTransition {
    up_conv: ConvTranspose3d,
    bn1: BatchNorm,
    ops: Vec<Convolution>,
    drops: bool,
}

module!(UpTransition { "up_conv" => up_conv, "bn1" => bn1, "ops" => ops });

impl UpTransition {
    /// From `cin` channels to `cout`, half of which come from below, with `depth` convolutions; `drops` says whether what
    /// comes from below has dropout as well as what comes from the way down.
    pub(super) fn new([cin, cout]: [usize; 2], depth: usize, drops: bool, rng: &mut Rng) -> Result<Self> {
        Ok(UpTransition {
            up_conv: ConvTranspose3d::new(cin, cout / 2, rng)?,
            bn1: BatchNorm::new(cout / 2)?,
            ops: (0..depth).map(|_| Convolution::without_bias(cout, cout, rng)).collect::<Result<_>>()?,
            drops,
        })
    }

    /// What comes from below at this level's extents, and then what the way down put out there.
    pub(super) fn joined(&self, below: &Tensor, level: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        let below = channel_dropout(below, pass.dropout(0).filter(|_| self.drops))?;
        let level = channel_dropout(level, pass.dropout(1))?;
        let up = rectified(&self.bn1, self.up_conv.forward(&below)?, None, pass)?;
        concat([up, level])
    }

    /// The rest, from [`UpTransition::joined`] on.
    pub(super) fn forward(&self, joined: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        residual(&self.ops, joined.clone(), joined, pass)
    }
}

/// ELU of `x` through the convolutions plus `of`.
fn residual(ops: &[Convolution], x: Tensor, of: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
    let y = ops.iter().try_fold(x, |x, convolution| convolution.forward(&x, None, pass))?;
    activate(add(y, of)?, ELU)
}

/// From the first level to the classes.
#[derive(Debug, Clone)]
pub(super) struct OutputTransition {
    convolution: Convolution,
    conv2: Conv3d,
}

module!(OutputTransition { "" => convolution, "conv2" => conv2 });

impl OutputTransition {
    pub(super) fn new(cin: usize, classes: usize, rng: &mut Rng) -> Result<Self> {
        Ok(OutputTransition {
            convolution: Convolution::new(cin, classes, rng)?,
            conv2: Conv3d::new(classes, classes, 1, rng)?,
        })
    }

    pub(super) fn device(&self) -> Device {
        self.conv2.device()
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        self.conv2.forward(&self.convolution.forward(x, None, pass)?)
    }
}

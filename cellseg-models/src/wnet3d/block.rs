//! The three kinds of blocks that a U-Net is made of.
//!
//! All of them are twice: convolution, ReLU, dropout, group normalisation. The normalisation comes last, so that what a
//! block puts out may be negative. All but the convolution is one operation, which keeps the convolution's output for the
//! gradient and overwrites it in inference. (A ReLU within the convolution would keep its output a second time.) Where the
//! original splits a convolution into one of 3^3 and one of 1^3 voxels there is nothing in between.

use super::config::GROUPS;
use crate::{
    Result,
    layers::{Conv3d, GroupNorm, module},
    pass::Pass,
};
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{
    norm::{Norm, Order},
    pointwise::Activation,
};

/// ReLU, dropout and then the normalisation of the output `x` of a block's `place`-th convolution.
fn normalised(norm: &GroupNorm, x: Tensor, pass: &Pass, place: u64) -> CoreResult<Tensor> {
    let (activation, order) = (Activation::Relu, Order::NormLast);
    norm.forward(x, &Norm { activation, order, dropout: pass.dropout(place), ..norm.settings() })
}

/// The first block: `in -> width`, convolutions of 3^3.
#[derive(Debug, Clone)]
pub(super) struct InBlock {
    conv_0: Conv3d,
    norm_3: GroupNorm,
    conv_4: Conv3d,
    norm_7: GroupNorm,
}

module!(InBlock { "module.0" => conv_0, "module.3" => norm_3, "module.4" => conv_4, "module.7" => norm_7 });

impl InBlock {
    pub(super) fn new(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        Ok(InBlock {
            conv_0: Conv3d::new(cin, cout, 3, rng)?,
            norm_3: GroupNorm::new(GROUPS, cout)?,
            conv_4: Conv3d::new(cout, cout, 3, rng)?,
            norm_7: GroupNorm::new(GROUPS, cout)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        let x = normalised(&self.norm_3, self.conv_0.forward(x)?, pass, 0)?;
        normalised(&self.norm_7, self.conv_4.forward(&x)?, pass, 1)
    }
}

/// A block of the inner levels: `in -> out`, each convolution split into 3^3 and 1^3.
#[derive(Debug, Clone)]
pub(super) struct Block {
    conv_0: Conv3d,
    conv_1: Conv3d,
    norm_4: GroupNorm,
    conv_5: Conv3d,
    conv_6: Conv3d,
    norm_9: GroupNorm,
}

module!(Block {
    "module.0" => conv_0,
    "module.1" => conv_1,
    "module.4" => norm_4,
    "module.5" => conv_5,
    "module.6" => conv_6,
    "module.9" => norm_9,
});

impl Block {
    pub(super) fn new(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        Ok(Block {
            conv_0: Conv3d::new(cin, cin, 3, rng)?,
            conv_1: Conv3d::new(cin, cout, 1, rng)?,
            norm_4: GroupNorm::new(GROUPS, cout)?,
            conv_5: Conv3d::new(cout, cout, 3, rng)?,
            conv_6: Conv3d::new(cout, cout, 1, rng)?,
            norm_9: GroupNorm::new(GROUPS, cout)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        let x = self.conv_1.forward(&self.conv_0.forward(x)?)?;
        let x = normalised(&self.norm_4, x, pass, 0)?;
        let x = self.conv_6.forward(&self.conv_5.forward(&x)?)?;
        normalised(&self.norm_9, x, pass, 1)
    }
}

/// The last block: an [`InBlock`] and a convolution of 1^3 to the output's channels.
#[derive(Debug, Clone)]
pub(super) struct OutBlock {
    body: InBlock,
    conv_8: Conv3d,
}

module!(OutBlock { "" => body, "module.8" => conv_8 });

impl OutBlock {
    pub(super) fn new(cin: usize, width: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        Ok(OutBlock { body: InBlock::new(cin, width, rng)?, conv_8: Conv3d::new(width, cout, 1, rng)? })
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        self.conv_8.forward(&self.body.forward(x, pass)?)
    }
}

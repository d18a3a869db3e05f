//! The convolution that a VNet repeats.

use crate::{
    Result,
    layers::{BatchNorm, Conv3d, module},
    pass::Pass,
};
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{norm::Norm, pointwise::Activation};

/// `x` where positive, else `exp(x) - 1`: the function between all layers.
pub(super) const ELU: Activation = Activation::Elu(1.0);

/// A convolution of 5^3, batch normalisation and ELU.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    conv: Conv3d,
    norm: BatchNorm,
}

module!(Convolution { "conv_block.conv" => conv, "conv_block.adn.N" => norm });

impl Convolution {
    pub(super) fn new(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        Ok(Convolution { conv: Conv3d::new(cin, cout, 5, rng)?, norm: BatchNorm::new(cout)? })
    }

    /// The same without a bias.
    pub(super) fn without_bias(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        Ok(Convolution { conv: Conv3d::without_bias(cin, cout, 5, rng)?, norm: BatchNorm::new(cout)? })
    }

    /// With `residual`, if there is one, added before the ELU.
    pub(super) fn forward(&self, x: &Tensor, residual: Option<&Tensor>, pass: &Pass) -> CoreResult<Tensor> {
        rectified(&self.norm, self.conv.forward(x)?, residual, pass)
    }
}

/// ELU of the batch normalisation of `x` plus the residual.
pub(super) fn rectified(
    norm: &BatchNorm,
    x: Tensor,
    residual: Option<&Tensor>,
    pass: &Pass,
) -> CoreResult<Tensor> {
    norm.forward(x, residual, &Norm { activation: ELU, ..norm.settings() }, pass.gathering())
}

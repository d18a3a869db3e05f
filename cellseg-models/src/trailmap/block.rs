//! The one kind of block that a TRAILMAP network is made of.

use crate::{
    Result,
    layers::{BatchNorm, Conv3d, module},
    pass::Pass,
};
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{
    norm::{Norm, Order},
    pointwise::Activation,
};

/// Twice: convolution, ReLU, batch normalisation.
#[derive(Debug, Clone)]
pub(super) struct DoubleConv {
    first: SingleConv,
    second: SingleConv,
}

module!(DoubleConv { "basic_module.SingleConv1" => first, "basic_module.SingleConv2" => second });

impl DoubleConv {
    /// From `cin` to `cout` channels, with `between` of them between the two convolutions.
    pub(super) fn new([cin, between, cout]: [usize; 3], rng: &mut Rng) -> Result<Self> {
        Ok(DoubleConv {
            first: SingleConv::new(cin, between, rng)?,
            second: SingleConv::new(between, cout, rng)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        self.second.forward(&self.first.forward(x, pass)?, pass)
    }
}

/// A convolution of 3^3, ReLU and batch normalisation in this order, so that what comes out may be negative.
#[derive(Debug, Clone)]
struct SingleConv {
    conv: Conv3d,
    batchnorm: BatchNorm,
}

module!(SingleConv { "conv" => conv, "batchnorm" => batchnorm });

impl SingleConv {
    fn new(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        Ok(SingleConv { conv: Conv3d::without_bias(cin, cout, 3, rng)?, batchnorm: BatchNorm::new(cout)? })
    }

    fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        let settings =
            Norm { activation: Activation::Relu, order: Order::NormLast, ..self.batchnorm.settings() };
        self.batchnorm.forward(self.conv.forward(x)?, None, &settings, pass.gathering())
    }
}

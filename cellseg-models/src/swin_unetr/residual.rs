//! Residual blocks of convolutions, MONAI's `UnetResBlock`, and what is built of them.

use crate::{
    Result,
    layers::{Conv3d, ConvTranspose3d, instance_norm, module},
    pass::Pass,
};
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{concat::concat, pointwise::Activation};

/// The slope of the leaky ReLU for negative numbers.
const SLOPE: f32 = 0.01;

/// Twice a convolution of 3^3 voxels, instance normalisation and a leaky ReLU, with the block's input added before the last
/// one: through a convolution of one voxel and a normalisation where the number of channels differs.
#[derive(Debug, Clone)]
pub(super) struct ResidualBlock {
    conv1: Conv3d,
    conv2: Conv3d,
    conv3: Option<Conv3d>,
}

module!(ResidualBlock { "conv1.conv" => conv1, "conv2.conv" => conv2, "conv3.conv" => conv3 });

impl ResidualBlock {
    pub(super) fn new(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        Ok(ResidualBlock {
            conv1: Conv3d::without_bias(cin, cout, 3, rng)?,
            conv2: Conv3d::without_bias(cout, cout, 3, rng)?,
            conv3: (cin != cout).then(|| Conv3d::without_bias(cin, cout, 1, rng)).transpose()?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, pass: Pass) -> CoreResult<Tensor> {
        let block = self.clone();
        pass.run(x, move |x, _| block.run(x))
    }

    fn run(&self, x: &Tensor) -> CoreResult<Tensor> {
        let activation = Activation::LeakyRelu(SLOPE);
        let y = instance_norm(self.conv1.forward(x)?, None, activation)?;
        let y = self.conv2.forward(&y)?;
        match &self.conv3 {
            Some(conv3) => {
                let residual = instance_norm(conv3.forward(x)?, None, Activation::None)?;
                instance_norm(y, Some(&residual), activation)
            }
            None => instance_norm(y, Some(x), activation),
        }
    }
}

/// Doubles the extents, and merges what the encoder had at these: MONAI's `UnetrUpBlock`.
#[derive(Debug, Clone)]
pub(super) struct UpBlock {
    transp_conv: ConvTranspose3d,
    conv_block: ResidualBlock,
}

module!(UpBlock { "transp_conv.conv" => transp_conv, "conv_block" => conv_block });

impl UpBlock {
    pub(super) fn new(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        Ok(UpBlock {
            transp_conv: ConvTranspose3d::without_bias(cin, cout, rng)?,
            conv_block: ResidualBlock::new(2 * cout, cout, rng)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, skip: &Tensor, pass: Pass) -> CoreResult<Tensor> {
        let up = self.transp_conv.forward(x)?;
        self.conv_block.forward(&concat([&up, skip])?, pass)
    }
}

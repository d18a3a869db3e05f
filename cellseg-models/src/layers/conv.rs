//! Convolutions.

use super::{Layout, Parameter, module};
use crate::Result;
use cellseg_core::{Device, Rng, Tensor};
use cellseg_kernels::{
    conv_transpose3d::{self, conv_transpose3d},
    conv3d::{self, conv3d},
};

/// A dense 3D convolution with a cubic kernel, whose zero padding keeps the extents where the kernel is odd and the stride
/// 1.
#[derive(Debug, Clone)]
pub struct Conv3d {
    weight: Parameter,
    bias: Option<Parameter>,
    stride: usize,
}

module!(Conv3d { "weight" => weight, "bias" => bias });

impl Conv3d {
    /// A convolution from `cin` to `cout` channels with a kernel of `k^3` voxels, bias and stride 1, initialised as PyTorch
    /// does: weights and bias uniform within `1 / sqrt(fan_in)` (He et al., 2015, with a = sqrt 5).
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn new(cin: usize, cout: usize, k: usize, rng: &mut Rng) -> Result<Self> {
        let unbiased = Self::without_bias(cin, cout, k, rng)?;
        let bias = Parameter::uniform(bound(cin, k), &[cout], Layout::Plain, rng)?;
        Ok(Conv3d { bias: Some(bias), ..unbiased })
    }

    /// The same without a bias: where a normalisation follows, which would take it off again.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn without_bias(cin: usize, cout: usize, k: usize, rng: &mut Rng) -> Result<Self> {
        let weight = Parameter::uniform(bound(cin, k), &[k, k, k, cin, cout], Layout::Conv, rng)?;
        Ok(Conv3d { weight, bias: None, stride: 1 })
    }

    /// The same with outputs `stride` voxels apart.
    pub fn with_stride(self, stride: usize) -> Self {
        Conv3d { stride, ..self }
    }

    /// The device that holds the weights.
    pub(crate) fn device(&self) -> Device {
        self.weight.tensor().device()
    }

    /// `x`, `[n, d, h, w, cin]`, convolved: `[n, d', h', w', cout]`, where `d'` is `d / stride`, rounded up for odd kernels
    /// and down for even ones.
    ///
    /// # Errors
    /// Those of [`conv3d()`].
    pub fn forward(&self, x: &Tensor) -> cellseg_core::Result<Tensor> {
        let k = self.weight.tensor().shape().dims()[0];
        let weight = self.weight.in_type_of(x)?;
        let bias = self.bias.as_ref().map(|bias| bias.in_type_of(x)).transpose()?;
        let (stride, padding) = ([self.stride; 3], [(k - 1) / 2; 3]);
        conv3d(x, &weight, bias.as_deref(), &conv3d::Conv3d { stride, padding, ..Default::default() })
    }
}

/// `1 / sqrt(fan_in)`.
fn bound(cin: usize, k: usize) -> f64 {
    1.0 / ((cin * k * k * k) as f64).sqrt()
}

/// A transposed convolution with kernel and stride 2: doubles the extents.
#[derive(Debug, Clone)]
pub struct ConvTranspose3d {
    weight: Parameter,
    bias: Option<Parameter>,
}

module!(ConvTranspose3d { "weight" => weight, "bias" => bias });

impl ConvTranspose3d {
    /// A transposed convolution with bias from `cin` to `cout` channels, initialised as PyTorch does. (PyTorch takes `cout * 8`
    /// for the fan-in of a transposed convolution.)
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn new(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        let bound = 1.0 / ((cout * 8) as f64).sqrt();
        let unbiased = Self::without_bias(cin, cout, rng)?;
        Ok(ConvTranspose3d {
            bias: Some(Parameter::uniform(bound, &[cout], Layout::Plain, rng)?),
            ..unbiased
        })
    }

    /// The same without a bias.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn without_bias(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        let bound = 1.0 / ((cout * 8) as f64).sqrt();
        let weight = Parameter::uniform(bound, &[2, 2, 2, cin, cout], Layout::ConvTranspose, rng)?;
        Ok(ConvTranspose3d { weight, bias: None })
    }

    /// The device that holds the weights.
    pub(crate) fn device(&self) -> Device {
        self.weight.tensor().device()
    }

    /// `x`, `[n, d, h, w, cin]`, on a grid twice as fine: `[n, 2d, 2h, 2w, cout]`.
    ///
    /// # Errors
    /// Those of [`conv_transpose3d()`].
    pub fn forward(&self, x: &Tensor) -> cellseg_core::Result<Tensor> {
        let settings = conv_transpose3d::ConvTranspose3d::upsampling(2);
        let weight = self.weight.in_type_of(x)?;
        let bias = self.bias.as_ref().map(|bias| bias.in_type_of(x)).transpose()?;
        conv_transpose3d(x, &weight, bias.as_deref(), &settings)
    }
}

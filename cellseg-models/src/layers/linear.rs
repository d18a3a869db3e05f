//! Linear layers.

use super::{Layout, Parameter, module};
use crate::Result;
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use cellseg_kernels::conv3d::{Conv3d, conv3d};

/// The same linear map of the channels of each voxel or token: a convolution with a kernel of one voxel.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
}

module!(Linear { "weight" => weight, "bias" => bias });

impl Linear {
    /// A map from `cin` to `cout` channels with bias, initialised as PyTorch does: weights and bias uniform within
    /// `1 / sqrt(cin)`.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn new(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        let unbiased = Self::without_bias(cin, cout, rng)?;
        let bias = Parameter::uniform(1.0 / (cin as f64).sqrt(), &[cout], Layout::Plain, rng)?;
        Ok(Linear { bias: Some(bias), ..unbiased })
    }

    /// The same without a bias.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn without_bias(cin: usize, cout: usize, rng: &mut Rng) -> Result<Self> {
        let bound = 1.0 / (cin as f64).sqrt();
        let weight = Parameter::uniform(bound, &[1, 1, 1, cin, cout], Layout::Linear, rng)?;
        Ok(Linear { weight, bias: None })
    }

    /// `x`, `[.., cin]`, mapped: `[.., cout]`.
    ///
    /// # Errors
    /// Those of [`conv3d()`].
    pub fn forward(&self, x: &Tensor) -> CoreResult<Tensor> {
        let weight = self.weight.in_type_of(x)?;
        let bias = self.bias.as_ref().map(|bias| bias.in_type_of(x)).transpose()?;
        let shape = x.shape();
        let (rows, cin) = (shape.count() / shape.channels().max(1), shape.channels());
        let y = conv3d(&x.reshape(&[1, 1, 1, rows, cin])?, &weight, bias.as_deref(), &Conv3d::default())?;
        let mut dims = shape.dims().to_vec();
        dims.pop();
        dims.push(y.shape().channels());
        y.reshape(&dims)
    }
}

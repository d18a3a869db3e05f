//! Layer normalisation.

use super::{Parameter, module};
use crate::Result;
use cellseg_core::{Result as CoreResult, Tensor};
use cellseg_kernels::norm::layer_norm;

/// What PyTorch adds to the variance.
const EPS: f64 = 1e-5;

/// Layer normalisation with a gain and an offset for each channel (Ba, Kiros and Hinton, 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
}

module!(LayerNorm { "weight" => weight, "bias" => bias });

impl LayerNorm {
    /// A normalisation of `channels` channels, gain 1 and offset 0.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn new(channels: usize) -> Result<Self> {
        Ok(LayerNorm { weight: Parameter::full(1.0, &[channels])?, bias: Parameter::full(0.0, &[channels])? })
    }

    /// `x`, `[n, .., c]`, normalised over the channels of each voxel.
    ///
    /// # Errors
    /// Those of [`layer_norm`].
    pub fn forward(&self, x: &Tensor) -> CoreResult<Tensor> {
        let (weight, bias) = (self.weight.in_type_of(x)?, self.bias.in_type_of(x)?);
        layer_norm(x, &weight, &bias, EPS)
    }
}

/// Layer normalisation alone, with neither gain nor offset.
///
/// # Errors
/// Those of [`layer_norm`].
pub(crate) fn plain_layer_norm(x: &Tensor) -> CoreResult<Tensor> {
    let [gain, offset] = super::instance_norm::unit_affine(x)?;
    layer_norm(x, &gain, &offset, EPS)
}

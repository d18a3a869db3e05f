//! Group normalisation.

use super::{Parameter, module};
use crate::Result;
use cellseg_core::Tensor;
use cellseg_kernels::norm::group_norm;

/// What PyTorch adds to the variance.
const EPS: f64 = 1e-5;

/// Group normalisation with a gain and an offset for each channel (Wu & He, 2018).
#[derive(Debug, Clone)]
pub struct GroupNorm {
    weight: Parameter,
    bias: Parameter,
    groups: usize,
}

module!(GroupNorm { "weight" => weight, "bias" => bias });

impl GroupNorm {
    /// A normalisation of `groups` groups of channels, gain 1 and offset 0.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn new(groups: usize, channels: usize) -> Result<Self> {
        Ok(GroupNorm {
            weight: Parameter::full(1.0, &[channels])?,
            bias: Parameter::full(0.0, &[channels])?,
            groups,
        })
    }

    /// `x`, `[n, d, h, w, c]`, normalised over the voxels and channels of each group.
    ///
    /// # Errors
    /// Those of [`group_norm`].
    pub fn forward(&self, x: &Tensor) -> cellseg_core::Result<Tensor> {
        group_norm(x, self.weight.tensor(), self.bias.tensor(), self.groups, EPS)
    }
}

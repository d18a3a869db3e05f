//! Group normalisation.

use super::{Parameter, module};
use crate::Result;
use cellseg_core::Tensor;
use cellseg_kernels::norm::{Norm, norm};

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

    /// The settings of a normalisation alone, to which an activation and dropout may be added.
    pub fn settings(&self) -> Norm {
        Norm::groups(self.groups)
    }

    /// `x`, `[n, d, h, w, c]`, normalised over the voxels and channels of each group, with what `settings` say beside.
    ///
    /// # Errors
    /// Those of [`norm`].
    pub fn forward(&self, x: Tensor, settings: &Norm) -> cellseg_core::Result<Tensor> {
        let (weight, bias) = (self.weight.in_type_of(&x)?, self.bias.in_type_of(&x)?);
        norm(x, &weight, &bias, None, settings)
    }
}

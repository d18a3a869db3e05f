//! The type of the numbers between layers.

use cellseg_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

/// The type of the numbers between a network's layers: of activations, and of the weights as layers use them.
///
/// Weights themselves, the optimiser's moments, statistics, softmax and losses are `f32` whatever this is (Micikevicius et
/// al., "Mixed precision training", ICLR 2018). A type of 16 bits halves the memory of activations, and is meant to be
/// faster on a GPU. A CPU stores such numbers and computes in `f32` all the same: slower there, and only good to see what a
/// GPU will give.
///
/// This is not how sums are put together: see [`cellseg_kernels::conv3d::Precision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// Single precision: 24 bits of significand.
    #[default]
    F32,
    /// The upper half of single precision: 8 bits of significand, the range of `f32`.
    BF16,
    /// IEEE half precision: 11 bits of significand, numbers up to 65504. Training scales the loss so that small gradients do
    /// not vanish.
    F16,
}

impl Compute {
    /// The type of tensors.
    pub fn dtype(self) -> DType {
        match self {
            Compute::F32 => DType::F32,
            Compute::BF16 => DType::BF16,
            Compute::F16 => DType::F16,
        }
    }
}

/// `x`, in single precision where it is in half: what softmax, losses and the outside take.
pub(crate) fn widened(x: Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.cast(DType::F32),
        _ => Ok(x),
    }
}

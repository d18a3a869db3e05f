//! How far a network's output is from labels: losses of supervised training.
//!
//! Logits and targets are `[n, d, h, w, c]`; targets are 0 or 1, in each channel its class. Formulas, smoothing constants and
//! means are those of MONAI 1.6, so that a loss here is the number that a published recipe speaks of. With one channel a loss
//! is that of foreground against the rest; with several, a softmax chooses among classes, of which channel 0 is the
//! background.
//!
//! Each loss is composed of operations that run where the logits lie, on all voxels at once, and ends in a tensor without
//! axes.

mod overlap;

pub use overlap::{Overlap, dice, generalized_dice, tversky};

use crate::{Error, OutputActivation, Result};
use cellseg_core::{Error as CoreError, Tensor};
use cellseg_kernels::{loss::bce_with_logits, pointwise, reduce, softmax};
use serde::{Deserialize, Serialize};

/// The probabilities of `logits`, `[n, d, h, w, c]`.
fn probabilities(logits: &Tensor, activation: OutputActivation) -> Result<Tensor> {
    if activation == OutputActivation::Softmax && logits.shape().channels() == 1 {
        let why = "one channel has the probability 1 in every voxel; use the sigmoid, or a network with two channels";
        return Err(CoreError::argument("softmax", why).into());
    }
    activation.of(logits.clone())
}

/// What a network is asked to minimise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SegmentationLoss {
    /// [`dice`].
    Dice,
    /// [`generalized_dice`].
    GeneralizedDice,
    /// [`dice`], and `cross_entropy` times [`cross_entropy`].
    DiceCe {
        /// Weight of the cross entropy; CellSeg3D has 0.5.
        cross_entropy: f64,
    },
    /// [`tversky`].
    Tversky {
        /// Weight of the voxels that are found wrongly.
        alpha: f64,
        /// Weight of the voxels that are missed.
        beta: f64,
    },
}

impl Default for SegmentationLoss {
    fn default() -> Self {
        SegmentationLoss::DiceCe { cross_entropy: 1.0 }
    }
}

impl SegmentationLoss {
    /// The loss of `logits` against `target`, both `[n, d, h, w, c]`: a tensor without axes.
    ///
    /// # Errors
    /// Shapes that differ, a softmax of one channel.
    pub fn of(&self, logits: &Tensor, target: &Tensor, overlap: &Overlap) -> Result<Tensor> {
        match *self {
            SegmentationLoss::Dice => dice(logits, target, overlap),
            SegmentationLoss::GeneralizedDice => generalized_dice(logits, target, overlap),
            SegmentationLoss::DiceCe { cross_entropy: weight } => {
                let entropy = pointwise::scale(cross_entropy(logits, target)?, weight)?;
                Ok(pointwise::add(dice(logits, target, overlap)?, entropy)?)
            }
            SegmentationLoss::Tversky { alpha, beta } => tversky(logits, target, [alpha, beta], overlap),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<()> {
        let weights: &[(&'static str, f64)] = match *self {
            SegmentationLoss::Dice | SegmentationLoss::GeneralizedDice => &[],
            SegmentationLoss::DiceCe { cross_entropy } => &[("loss.cross_entropy", cross_entropy)],
            SegmentationLoss::Tversky { alpha, beta } => &[("loss.alpha", alpha), ("loss.beta", beta)],
        };
        match weights.iter().find(|(_, x)| !(x.is_finite() && *x >= 0.0)) {
            Some((field, x)) => Err(Error::setting(field, x, "0 or a positive number")),
            None => Ok(()),
        }
    }
}

/// The mean cross entropy over all voxels: with several channels that of their softmax, `-sum_c t_c ln p_c`; with one channel
/// that of its sigmoid, `-t ln p - (1 - t) ln (1 - p)`.
///
/// # Errors
/// Shapes that differ.
pub fn cross_entropy(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let [n, d, h, w, c] = logits.shape().volumes("cross_entropy")?;
    if c == 1 {
        return Ok(bce_with_logits(logits, target)?);
    }
    let of_truth = pointwise::mul(softmax::log_softmax(logits)?, target)?;
    Ok(pointwise::scale(reduce::sum(&of_truth)?, -1.0 / (n * d * h * w) as f64)?)
}

//! Losses that compare the overlap of prediction and truth with their sizes.
//!
//! All of them are functions of three sums for each volume and class, over its voxels: of `p t`, of `p` and of `t`, with the
//! probability `p` and the truth `t`. A small class counts as much as a large one, which a mean over voxels does not give.

use super::probabilities;
use crate::{OutputActivation, Result};
use cellseg_core::{DType, Device, Shape, Tensor};
use cellseg_kernels::{pointwise, reduce};

/// Over what overlaps are taken. The default is MONAI's, with a sigmoid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// How logits become probabilities.
    pub activation: OutputActivation,
    /// Whether the first of several channels, the background, counts too.
    pub background: bool,
    /// Whether the volumes of a batch are one, and not each judged by itself.
    pub batch: bool,
    /// What is added to the numerator.
    pub smooth_numerator: f64,
    /// What is added to the denominator. As large as what is added to the numerator, and an empty class that is not found
    /// anywhere has no loss.
    pub smooth_denominator: f64,
}

impl Default for Overlap {
    fn default() -> Self {
        Overlap {
            activation: OutputActivation::Sigmoid,
            background: true,
            batch: false,
            smooth_numerator: 1e-5,
            smooth_denominator: 1e-5,
        }
    }
}

/// The Dice loss (Milletari et al., "V-Net", 3DV 2016), `1 - (2 sum p t + s) / (sum p + sum t + s)`, as a mean over volumes and
/// classes: MONAI's `DiceLoss`.
///
/// # Errors
/// Shapes that differ, a softmax of one channel.
pub fn dice(logits: &Tensor, target: &Tensor, overlap: &Overlap) -> Result<Tensor> {
    let Sums { both, prediction, truth } = Sums::of(logits, target, overlap)?;
    let losses = overlap.loss_of(pointwise::scale(both, 2.0)?, pointwise::add(prediction, truth)?)?;
    overlap.mean(&losses)
}

/// The generalised Dice loss (Sudre et al., DLMIA 2017): the Dice loss of all classes together, each weighted with the inverse
/// square of its true size, as a mean over volumes. A class that is not there has the largest weight of those that are.
/// MONAI's `GeneralizedDiceLoss`.
///
/// # Errors
/// Shapes that differ, a softmax of one channel.
pub fn generalized_dice(logits: &Tensor, target: &Tensor, overlap: &Overlap) -> Result<Tensor> {
    let Sums { both, prediction, truth } = Sums::of(logits, target, overlap)?;
    let weights = overlap.weights_by_size(&truth)?;
    let over_classes =
        |x: Tensor| -> Result<Tensor> { Ok(reduce::sum_axes(&pointwise::mul(x, &weights)?, &[1], false)?) };
    let both = over_classes(pointwise::scale(both, 2.0)?)?;
    let sizes = over_classes(pointwise::add(prediction, truth)?)?;
    Ok(reduce::mean(&overlap.loss_of(both, sizes)?)?)
}

/// The Tversky loss (Salehi, Erdogmus & Gholipour, MLMI 2017), `1 - (sum p t + s) / (sum p t + alpha sum p (1 - t) + beta
/// sum (1 - p) t + s)`, as a mean over volumes and classes: MONAI's `TverskyLoss`. A `beta` above `alpha` asks for fewer missed
/// voxels at the price of more wrong ones; with 0.5 and 0.5 it is the Dice loss but for the smoothing.
///
/// # Errors
/// Shapes that differ, a softmax of one channel.
pub fn tversky(
    logits: &Tensor,
    target: &Tensor,
    [alpha, beta]: [f64; 2],
    overlap: &Overlap,
) -> Result<Tensor> {
    let Sums { both, prediction, truth } = Sums::of(logits, target, overlap)?;
    let wrong = pointwise::scale(pointwise::sub(prediction, &both)?, alpha)?;
    let missed = pointwise::scale(pointwise::sub(truth, &both)?, beta)?;
    let all = pointwise::add(pointwise::add(wrong, missed)?, &both)?;
    overlap.mean(&overlap.loss_of(both, all)?)
}

/// Sums over voxels, `[n, c]`; `[1, c]` where a batch is one volume.
struct Sums {
    /// Of the probability times the truth.
    both: Tensor,
    prediction: Tensor,
    truth: Tensor,
}

impl Sums {
    fn of(logits: &Tensor, target: &Tensor, overlap: &Overlap) -> Result<Self> {
        let [n, .., c] = logits.shape().volumes("a loss of overlap")?;
        let volumes = if overlap.batch { 1 } else { n };
        let axes = if overlap.batch { &[0, 1, 2, 3][..] } else { &[1, 2, 3] };
        let over_voxels =
            |x: &Tensor| -> Result<Tensor> { Ok(reduce::sum_axes(x, axes, false)?.reshape(&[volumes, c])?) };
        let p = probabilities(logits, overlap.activation)?;
        Ok(Sums {
            both: over_voxels(&pointwise::mul(&p, target)?)?,
            prediction: over_voxels(&p)?,
            truth: over_voxels(target)?,
        })
    }
}

impl Overlap {
    /// `1 - (part + s) / (whole + s)`.
    fn loss_of(&self, part: Tensor, whole: Tensor) -> Result<Tensor> {
        let part = pointwise::add_scalar(part, self.smooth_numerator)?;
        let whole = pointwise::add_scalar(whole, self.smooth_denominator)?;
        Ok(pointwise::add_scalar(pointwise::scale(pointwise::div(part, whole)?, -1.0)?, 1.0)?)
    }

    /// Whether a class counts.
    fn counts(&self, class: usize, classes: usize) -> bool {
        self.background || classes == 1 || class > 0
    }

    /// The mean of `losses`, `[n, c]`, over volumes and the classes that count.
    fn mean(&self, losses: &Tensor) -> Result<Tensor> {
        let [n, c] = volumes_and_classes(losses.shape());
        let counted = n * (0..c).filter(|&class| self.counts(class, c)).count();
        let shares: Vec<f64> =
            (0..n * c).map(|i| if self.counts(i % c, c) { 1.0 / counted as f64 } else { 0.0 }).collect();
        Ok(reduce::sum(&pointwise::mul(losses, like(losses, &shares)?)?)?)
    }

    /// For each volume and class `1 / truth^2`, the largest of these where a class is not there, and 0 where it does not count.
    fn weights_by_size(&self, truth: &Tensor) -> Result<Tensor> {
        let [_, c] = volumes_and_classes(truth.shape());
        let sizes = truth.detached().to(&Device::Cpu)?.cast(DType::F64)?;
        let mut weights = sizes.to_vec::<f64>()?;
        for volume in weights.chunks_mut(c) {
            let inverse = |s: f64| if s > 0.0 { 1.0 / (s * s) } else { 0.0 };
            let of_counted =
                |(class, s): (usize, &f64)| if self.counts(class, c) { inverse(*s) } else { 0.0 };
            let largest = volume.iter().enumerate().map(of_counted).fold(0.0, f64::max);
            for (class, s) in volume.iter_mut().enumerate() {
                *s = match (self.counts(class, c), *s > 0.0) {
                    (false, _) => 0.0,
                    (true, true) => inverse(*s),
                    (true, false) => largest,
                };
            }
        }
        like(truth, &weights)
    }
}

fn volumes_and_classes(sums: Shape) -> [usize; 2] {
    [sums.dims()[0], sums.channels()]
}

/// Numbers in the shape and type of a tensor, where it lies.
fn like(x: &Tensor, numbers: &[f64]) -> Result<Tensor> {
    Ok(Tensor::from_slice(numbers, x.shape().dims())?.cast(x.dtype())?.to(&x.device())?)
}

//! Batch normalisation: an instance normalisation of all samples as one.

use super::{
    group::{GroupNorm, Statistics},
    run_norm,
    settings::Norm,
};
use crate::{
    concat::{channels, concat},
    pointwise::{add, add_scalar, div, scale, sqrt, square},
};
use cellseg_core::{Device, Error, Result, Tensor};
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

const NAME: &str = "batch_norm";

/// The statistics of a batch normalisation that training gathers and inference uses, for each channel, `[c]` both, in the
/// type that is computed in: `f32`, or `f64` for inputs of that type. On the device of the inputs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Running means.
    pub mean: Tensor,
    /// Running variances, unbiased.
    pub variance: Tensor,
}

impl Running {
    /// Means of zero and variances of one, on the CPU.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(channels: usize) -> Result<Self> {
        Ok(Running { mean: Tensor::full(0f32, &[channels])?, variance: Tensor::full(1f32, &[channels])? })
    }

    /// The same on another device.
    ///
    /// # Errors
    /// Those of [`Tensor::to`].
    pub fn to(&self, device: &Device) -> Result<Self> {
        Ok(Running { mean: self.mean.to(device)?, variance: self.variance.to(device)? })
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        let channels = [x.shape().channels()];
        let (mean, variance) = (self.mean.shape(), self.variance.shape());
        if mean.dims() == channels && variance.dims() == channels {
            return Ok(());
        }
        let why = format!(
            "running means {mean:?} and variances {variance:?}: {channels:?} is expected, the channels"
        );
        Err(Error::argument(NAME, why))
    }

    /// Means and reciprocal standard deviations, `[1, 2, c]`.
    fn statistics(&self, eps: f64) -> Result<Tensor> {
        let variance = add_scalar(self.variance.detached(), eps)?;
        // 1 / sqrt(v) = sqrt(v) / v
        let factors = div(sqrt(&variance)?, &variance)?;
        let mean = self.mean.detached();
        concat([&mean, &factors])?.reshape(&[1, 2, mean.shape().count()])
    }

    /// Moves towards the statistics `[1, 2, c]` of a batch with `count` numbers of each channel.
    fn follow(&mut self, batch: &Tensor, count: usize, eps: f64, momentum: f64) -> Result<()> {
        let c = self.mean.shape().count();
        let batch = batch.reshape(&[2 * c])?;
        let (mean, factors) = (channels(&batch, 0, c)?, channels(&batch, c, c)?);
        // The standard deviation, with eps: 1 / f = f / f^2.
        let deviation = div(&factors, &square(&factors)?)?;
        let variance = add_scalar(square(deviation)?, -eps)?;
        let unbiased = momentum * count as f64 / (count - 1) as f64;
        let towards = |old: &Tensor, new: Tensor, share: f64| {
            add(scale(old.detached(), 1.0 - momentum)?, scale(new, share)?)
        };
        let moved = (towards(&self.mean, mean, momentum)?, towards(&self.variance, variance, unbiased)?);
        (self.mean, self.variance) = moved;
        Ok(())
    }
}

/// Batch normalisation of `[n, .., c]` with running statistics, as in inference, with the activation, dropout and residual
/// of [`norm`](super::norm) (Ioffe and Szegedy, "Batch normalization", ICML 2015). What [`Norm::groups`] says plays no part.
///
/// # Errors
/// As for [`norm`](super::norm); running statistics of other shapes, types or devices.
pub fn batch_norm<'a>(
    x: impl Into<Cow<'a, Tensor>>,
    gamma: &Tensor,
    beta: &Tensor,
    residual: Option<&Tensor>,
    running: &Running,
    settings: &Norm,
) -> Result<Tensor> {
    let x = x.into();
    running.check(&x)?;
    let statistics = Statistics::Given(running.statistics(settings.eps)?);
    as_one_sample(x, gamma, beta, residual, settings, statistics)
}

/// The same with the statistics of the batch itself, as in training; the running ones move towards them by `momentum`,
/// which is 0.1 in PyTorch's layers.
///
/// # Errors
/// As for [`batch_norm`]; fewer than two numbers of a channel, a momentum outside `[0, 1]`.
pub fn batch_norm_training<'a>(
    x: impl Into<Cow<'a, Tensor>>,
    gamma: &Tensor,
    beta: &Tensor,
    residual: Option<&Tensor>,
    running: &mut Running,
    momentum: f64,
    settings: &Norm,
) -> Result<Tensor> {
    let x = x.into();
    running.check(&x)?;
    if !(0.0..=1.0).contains(&momentum) {
        return Err(Error::argument(NAME, format!("momentum is {momentum}; it must lie in [0, 1]")));
    }
    let (shape, told) = (x.shape(), Arc::new(OnceLock::new()));
    let count = shape.count() / shape.channels().max(1);
    if count < 2 {
        let why = format!("{shape:?} has {count} numbers of a channel; training needs two for a variance");
        return Err(Error::argument(NAME, why));
    }
    let y = as_one_sample(x, gamma, beta, residual, settings, Statistics::Told(told.clone()))?;
    if let Some(batch) = told.get() {
        running.follow(batch, count, settings.eps, momentum)?;
    }
    Ok(y)
}

fn as_one_sample(
    x: Cow<'_, Tensor>,
    gamma: &Tensor,
    beta: &Tensor,
    residual: Option<&Tensor>,
    settings: &Norm,
    statistics: Statistics,
) -> Result<Tensor> {
    let shape = x.shape();
    if shape.rank() < 2 || shape.channels() == 0 {
        return Err(Error::argument(
            NAME,
            format!("{shape:?}: a batch with channels is expected, [n, .., c]"),
        ));
    }
    if let Some(other) = residual.map(Tensor::shape).filter(|residual| *residual != shape) {
        let why = format!("a residual {other:?}: {shape:?} is expected, the input's shape");
        return Err(Error::argument(NAME, why));
    }
    let groups = shape.channels();
    let op = GroupNorm { norm: Norm { groups, ..*settings }, statistics };
    let one = [1, shape.count() / groups, groups];
    let residual = residual.map(|residual| residual.reshape(&one)).transpose()?;
    let flat = x.reshape(&one)?;
    // Where the input was given away, `flat` is the only one left to hold its numbers.
    drop(x);
    run_norm(op, flat.into(), gamma, beta, residual.as_ref())?.reshape(shape.dims())
}

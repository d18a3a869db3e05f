//! Normalisation: numbers that belong together get mean zero and variance one, then a scale and a shift per channel.
//!
//! | function | what belongs together |
//! |---|---|
//! | [`group_norm`] | of one sample, all voxels of some neighbouring channels (Wu and He, ECCV 2018) |
//! | [`instance_norm`] | of one sample, all voxels of one channel (Ulyanov, Vedaldi and Lempitsky, 2016) |
//! | [`layer_norm`] | of one voxel, all channels (Ba, Kiros and Hinton, 2016) |
//! | [`batch_norm`], [`batch_norm_training`] | all voxels of one channel, of all samples (Ioffe and Szegedy, ICML 2015) |
//! | [`norm`] | as in [`group_norm`], with an activation, dropout and a residual in the same passes |
//!
//! `y = (x - mean) / sqrt(variance + eps) * gamma + beta`, with the variance that divides by the count, as in PyTorch.

mod batch;
#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cuda;
mod gradient;
mod group;
mod layer;
mod pieces;
mod rows;
mod settings;
mod statistics;
#[cfg(test)]
mod tests;

pub use batch::{Running, batch_norm, batch_norm_training};
pub use layer::layer_norm;
pub use settings::{Norm, Order};

use cellseg_core::{Error, Real, Result, Shape, Tensor, apply};
use group::{GroupNorm, Statistics};
use std::borrow::Cow;

/// Group normalisation of `[n, .., c]` with `groups` groups of neighbouring channels, and a scale `gamma` and a shift
/// `beta` for each channel, `[c]` both (Wu and He, "Group normalization", ECCV 2018).
///
/// # Errors
/// As for [`norm`].
pub fn group_norm<'a>(
    x: impl Into<Cow<'a, Tensor>>,
    gamma: &Tensor,
    beta: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    norm(x, gamma, beta, None, &Norm { eps, ..Norm::groups(groups) })
}

/// Instance normalisation of `[n, .., c]`: each channel of each sample on its own, with a scale `gamma` and a shift
/// `beta` for each channel, `[c]` both (Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016).
///
/// # Errors
/// As for [`norm`].
pub fn instance_norm<'a>(
    x: impl Into<Cow<'a, Tensor>>,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let x = x.into();
    let channels = x.shape().channels();
    group_norm(x, gamma, beta, channels, eps)
}

/// Group normalisation of `x` `[n, .., c]` with an activation, dropout and a residual of the same shape, in the order
/// that [`Norm::order`] says; `gamma` and `beta` are the scale and the shift for each channel, `[c]` both.
///
/// Two passes over memory forward and two backward, whatever is asked for. For the gradient the input and the statistics
/// are kept, and one bit per number where there is dropout, so a convolution before it need not keep its output; the rest
/// is computed again. Numbers are those of the operations one by one, and so are the masks, which are those of
/// [`dropout`](crate::dropout::dropout). In inference an input that is given away is overwritten.
///
/// ```
/// use cellseg_core::Tensor;
/// use cellseg_kernels::{dropout::Dropout, norm::{Norm, Order, norm}, pointwise::Activation};
/// let x = Tensor::full(1.0f32, &[1, 4, 4, 4, 8])?;
/// let (gamma, beta) = (Tensor::full(1.0f32, &[8])?, Tensor::full(0.5f32, &[8])?);
/// let settings = Norm {
///     activation: Activation::Relu,
///     dropout: Some(Dropout { p: 0.65, key: 7 }),
///     order: Order::NormLast,
///     ..Norm::groups(4)
/// };
/// let y = norm(&x, &gamma, &beta, None, &settings)?;
/// assert_eq!(y.shape(), x.shape());
/// # Ok::<(), cellseg_core::Error>(())
/// ```
///
/// # Errors
/// Channels that the groups do not divide, other shapes of scale, shift or residual; an `eps` that is negative or not
/// finite, a probability outside `[0, 1)`, a setting of the activation that is out of range; see [`apply`].
pub fn norm<'a>(
    x: impl Into<Cow<'a, Tensor>>,
    gamma: &Tensor,
    beta: &Tensor,
    residual: Option<&Tensor>,
    settings: &Norm,
) -> Result<Tensor> {
    let op = GroupNorm { norm: *settings, statistics: Statistics::Own };
    run_norm(op, x.into(), gamma, beta, residual)
}

fn run_norm(
    op: GroupNorm,
    x: Cow<'_, Tensor>,
    gamma: &Tensor,
    beta: &Tensor,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    match residual {
        Some(residual) => apply(op, [x, gamma.into(), beta.into(), residual.into()]),
        None => apply(op, [x, gamma.into(), beta.into()]),
    }
}

/// Checks the number of channels and the shapes of the scale, the shift and the residual, and returns the shape of the
/// input.
fn check(op: &'static str, shapes: &[Shape], eps: f64) -> Result<Shape> {
    let (x, gamma, beta) = (shapes[0], shapes[1], shapes[2]);
    let channels = x.channels();
    if x.rank() < 2 || channels == 0 {
        return Err(Error::argument(op, format!("{x:?}: a batch with channels is expected, [n, .., c]")));
    }
    if gamma.dims() != [channels] || beta.dims() != [channels] {
        return Err(Error::argument(
            op,
            format!("scale {gamma:?} and shift {beta:?}: [{channels}] is expected, the channels of {x:?}"),
        ));
    }
    if !(eps >= 0.0 && eps.is_finite()) {
        return Err(Error::argument(op, format!("eps is {eps}; it must be finite and not negative")));
    }
    match shapes.get(3).filter(|residual| **residual != x) {
        Some(residual) => {
            Err(Error::argument(op, format!("a residual {residual:?}: {x:?} is expected, the input's shape")))
        }
        None => Ok(x),
    }
}

/// Sums over all voxels, rounded to the type of the computation.
fn per_channel<T: Real>(sums: &[f64]) -> Result<Tensor> {
    Tensor::build(&[sums.len()], |out: &mut [T]| {
        out.iter_mut().zip(sums).for_each(|(o, x)| *o = T::of(*x));
        Ok(())
    })
}

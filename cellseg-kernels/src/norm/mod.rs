//! Normalisation: numbers that belong together get mean zero and variance one, then a scale and a shift per channel.
//!
//! | function | what belongs together |
//! |---|---|
//! | [`group_norm`] | of one sample, all voxels of some neighbouring channels (Wu and He, ECCV 2018) |
//! | [`instance_norm`] | of one sample, all voxels of one channel (Ulyanov, Vedaldi and Lempitsky, 2016) |
//! | [`layer_norm`] | of one voxel, all channels (Ba, Kiros and Hinton, 2016) |
//!
//! `y = (x - mean) / sqrt(variance + eps) * gamma + beta`, with the variance that divides by the count, as in PyTorch.

#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod columns;
mod group;
mod layer;
#[cfg(test)]
mod tests;

pub use group::{group_norm, instance_norm};
pub use layer::layer_norm;

use cellseg_core::{DType, Error, Kernel, Real, Result, Shape, Tensor, run};

/// Checks the number of channels and the shapes of the scale and the shift.
fn check(op: &'static str, [x, gamma, beta]: [Shape; 3], eps: f64) -> Result<()> {
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
    Ok(())
}

/// What `kernel` computes from the gradient of a normalisation's output and its input `x`: the gradients of the input, and
/// of the scale and the shift in the type that these are stored in.
fn gradients_of(
    kernel: &impl Kernel<2, Aux = [Tensor; 2]>,
    x: Tensor,
    dtype: DType,
    grad: Tensor,
    wanted: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let (of_x, [of_gamma, of_beta]) = run(kernel, [grad.into(), x.into()])?;
    Ok([
        wanted[0].then_some(of_x),
        wanted[1].then(|| of_gamma.cast(dtype)).transpose()?,
        wanted[2].then(|| of_beta.cast(dtype)).transpose()?,
    ])
}

/// Sums over all voxels, rounded to the type of the computation.
fn per_channel<T: Real>(sums: &[f64]) -> Result<Tensor> {
    Tensor::build(&[sums.len()], |out: &mut [T]| {
        out.iter_mut().zip(sums).for_each(|(o, x)| *o = T::of(*x));
        Ok(())
    })
}

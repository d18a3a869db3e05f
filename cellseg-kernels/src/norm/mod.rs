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

use cellseg_core::{Error, Result, Shape};

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

//! Instance normalisation.

use cellseg_core::{Result, Tensor};
use cellseg_kernels::{
    norm::{Norm, norm},
    pointwise::Activation,
};

/// Instance normalisation of `x`, `[n, d, h, w, c]`, with neither gain nor offset, as PyTorch's `InstanceNorm3d` is unless
/// told otherwise; then `residual` is added and `activation` applied.
///
/// # Errors
/// Those of [`norm`].
pub(crate) fn instance_norm(x: Tensor, residual: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
    let [gain, offset] = unit_affine(&x)?;
    let settings = Norm { activation, ..Norm::groups(x.shape().channels()) };
    norm(x, &gain, &offset, residual, &settings)
}

/// Gain 1 and offset 0 for each channel of `x`.
pub(super) fn unit_affine(x: &Tensor) -> Result<[Tensor; 2]> {
    let constant = |value: f32| -> Result<Tensor> {
        Tensor::full(value, &[x.shape().channels()])?.to(&x.device())?.cast(x.dtype())
    };
    Ok([constant(1.0)?, constant(0.0)?])
}

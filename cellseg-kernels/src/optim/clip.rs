//! Limits on gradients.

use super::{NAME, cuda, not_negative, writable};
use crate::pointwise::chunks::{self, each};
use crate::walk::on_gpu;
use cellseg_core::{
    DType, Device, Error, Real, Result, Tensor,
    cuda::{Cuda, CudaBuffer},
};
use std::sync::Arc;

/// Scales gradients so that the Euclidean norm of all of them together is at most `limit`, and returns the norm that they
/// had. Where that is not finite the gradients stay as they are: the step is better left out.
///
/// The scale is `limit / (norm + 1e-6)` where that is below one, as in PyTorch. The norm is accumulated in double
/// precision, in the order of the tensors, and is the same bits for any number of threads; on a GPU it is accumulated in
/// single precision, and waited for.
///
/// # Errors
/// A limit that is negative or not finite; [`Error::DType`] for gradients that are neither `f32` nor `f64`, which is for
/// the CPU only; [`Error::Device`] for those that do not lie on one device.
pub fn clip_norm<'a>(gradients: impl IntoIterator<Item = &'a mut Tensor>, limit: f64) -> Result<f64> {
    not_negative("the limit", limit)?;
    let mut gradients: Vec<_> = gradients.into_iter().collect();
    let device = one_gpu(&gradients)?;
    let mut sum = 0.0;
    if let Some(device) = &device {
        let buffers = gradients.iter().map(|g| on_gpu(NAME, g)).collect::<Result<Vec<_>>>()?;
        sum = cuda::squares(device, &buffers)?;
    }
    for g in gradients.iter().filter(|_| device.is_none()) {
        sum += match g.dtype() {
            DType::F32 => squares(g.as_slice::<f32>()?),
            DType::F64 => squares(g.as_slice::<f64>()?),
            found => return Err(neither(found)),
        };
    }
    let norm = sum.sqrt();
    let factor = limit / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        if let Some(device) = &device {
            cuda::scale(device, &mut all_writable(&mut gradients)?, factor)?;
            return Ok(norm);
        }
        for g in gradients {
            match g.dtype() {
                DType::F64 => scale(g.as_mut_slice::<f64>()?, factor),
                _ => scale(g.as_mut_slice::<f32>()?, factor),
            }
        }
    }
    Ok(norm)
}

/// Moves each number of the gradients into `[-limit, limit]`; what is not a number stays so.
///
/// # Errors
/// As for [`clip_norm`].
pub fn clip_value<'a>(gradients: impl IntoIterator<Item = &'a mut Tensor>, limit: f64) -> Result<()> {
    not_negative("the limit", limit)?;
    let mut gradients: Vec<_> = gradients.into_iter().collect();
    if let Some(device) = one_gpu(&gradients)? {
        return cuda::clamp(&device, &mut all_writable(&mut gradients)?, limit);
    }
    for g in gradients {
        match g.dtype() {
            DType::F32 => clamp(g.as_mut_slice::<f32>()?, limit as f32),
            DType::F64 => clamp(g.as_mut_slice::<f64>()?, limit),
            found => return Err(neither(found)),
        }
    }
    Ok(())
}

/// The GPU that all gradients lie on in `f32`, or none where they are on the CPU.
fn one_gpu(gradients: &[&mut Tensor]) -> Result<Option<Arc<Cuda>>> {
    let Some(Device::Cuda(device)) = gradients.first().map(|g| g.device()) else { return Ok(None) };
    for g in gradients {
        if g.device() != Device::Cuda(device.clone()) {
            return Err(Error::Device(format!("{NAME}: gradients lie on different devices; use Tensor::to")));
        }
        if g.dtype() != DType::F32 {
            return Err(Error::DType { op: NAME, found: g.dtype(), expected: "F32 on a GPU" });
        }
    }
    Ok(Some(device))
}

fn all_writable<'a>(gradients: &'a mut [&mut Tensor]) -> Result<Vec<&'a mut CudaBuffer>> {
    gradients.iter_mut().map(|g| writable(g)).collect()
}

fn squares<T: Real>(xs: &[T]) -> f64 {
    // In double precision, where the squares neither overflow nor vanish.
    chunks::sum(xs.len(), |range| {
        let (rows, rest) = xs[range].as_chunks::<8>();
        let mut parts = [0.0; 8];
        for row in rows {
            parts.iter_mut().zip(row).for_each(|(p, x)| *p += x.wide() * x.wide());
        }
        parts.into_iter().chain(rest.iter().map(|x| x.wide() * x.wide())).sum()
    })
}

fn scale<T: Real>(xs: &mut [T], factor: f64) {
    let factor = T::of(factor);
    each(xs, 1, |_, xs| xs.iter_mut().for_each(|x| *x *= factor));
}

fn clamp<T: Real>(xs: &mut [T], limit: T) {
    each(xs, 1, |_, xs| {
        for x in xs {
            let below = if *x > limit { limit } else { *x };
            *x = if below < -limit { -limit } else { below };
        }
    });
}

fn neither(found: DType) -> Error {
    Error::DType { op: NAME, found, expected: "F32 or F64" }
}

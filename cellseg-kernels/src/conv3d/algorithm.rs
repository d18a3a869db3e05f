//! The choice among the algorithms.

use super::{
    direct::{self, Epilogue, Problem, Weights},
    precision::Precision,
    weight_gradient,
    winograd::{self, Transformed},
};
use crate::simd::Isa;
use cellseg_core::{DType, Device, Real, Result, Tensor};
use std::{any::Any, sync::Arc};

/// How sums into voxels are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Direct,
    /// With tiles of so many outputs per axis.
    Winograd([usize; 3]),
}

impl Algorithm {
    /// The fastest algorithm that a precision allows: a function of the problem alone: neither the machine's
    /// threads nor its instructions decide whether and how Winograd's algorithm is used.
    fn of(problem: &Problem, precision: Precision) -> Self {
        match winograd::fastest(problem) {
            Some(m) if precision == Precision::Fast => Algorithm::Winograd(m),
            _ => Algorithm::Direct,
        }
    }
}

/// Transformed weights for later use: a [`Transformed`] of the tensors' type.
pub(super) type Kept = Arc<dyn Any + Send + Sync>;

/// The transformed weights for sums with the kernel `w`, kept with its numbers, where the fastest algorithm uses any.
pub(super) fn kept(
    problem: &Problem,
    precision: Precision,
    w: &Tensor,
    transposed: bool,
) -> Result<Option<Kept>> {
    match (w.device(), w.dtype()) {
        (Device::Cpu, DType::F32) => transformed::<f32>(problem, precision, w, transposed),
        (Device::Cpu, DType::F64) => transformed::<f64>(problem, precision, w, transposed),
        _ => Ok(None),
    }
}

fn transformed<T: Real>(
    problem: &Problem,
    precision: Precision,
    w: &Tensor,
    transposed: bool,
) -> Result<Option<Kept>> {
    let Algorithm::Winograd(m) = Algorithm::of(problem, precision) else { return Ok(None) };
    let (isa, data) = (Isa::best(), w.as_slice()?);
    let build = || Transformed::<T>::new(isa, problem, Weights { data, transposed }, m);
    Ok(Some(w.derived(|kept: &Transformed<T>| kept.is_of(isa, problem, transposed, m), build)?))
}

/// `out = sum over links of x * weights`, plus bias, through the activation, by the fastest algorithm that `precision`
/// allows. `kept` are those weights transformed before, if they were.
pub(super) fn sum<T: Real>(
    problem: &Problem,
    precision: Precision,
    x: &[T],
    weights: Weights<'_, T>,
    kept: Option<&Kept>,
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) -> Result<()> {
    let isa = Isa::best();
    match Algorithm::of(problem, precision) {
        Algorithm::Direct => direct::sum(isa, problem, x, weights, epilogue, out),
        Algorithm::Winograd(m) => match kept.and_then(|kept| kept.downcast_ref::<Transformed<T>>()) {
            Some(kept) => winograd::sum(isa, problem, x, kept, epilogue, out),
            None => {
                let transformed = Transformed::new(isa, problem, weights, m)?;
                winograd::sum(isa, problem, x, &transformed, epilogue, out)
            }
        },
    }
}

/// `out[kd, kh, kw, fine channel, coarse channel] = sum over links of x * g`, by the fastest algorithm that `precision`
/// allows.
pub(super) fn weight_gradient<T: Real>(
    problem: &weight_gradient::Problem,
    precision: Precision,
    x: &[T],
    g: &[T],
    out: &mut [T],
) -> Result<()> {
    let isa = Isa::best();
    match winograd::fastest_weight_gradient(problem) {
        Some(m) if precision == Precision::Fast => winograd::weight_gradient(isa, problem, m, x, g, out),
        _ => weight_gradient::weight_gradient(isa, problem, x, g, out),
    }
}

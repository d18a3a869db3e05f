//! The choice among the algorithms.

use super::{
    direct::{self, Epilogue, Problem, Weights},
    precision::Precision,
    weight_gradient,
    winograd::{self, Transformed},
};
use crate::simd::Isa;
use cellseg_core::{Real, Result};

/// How sums into voxels are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Direct,
    /// With tiles of so many outputs per axis.
    Winograd([usize; 3]),
}

impl Algorithm {
    /// The fastest algorithm that a precision allows: a function of the problem alone, so that neither the machine's
    /// threads nor its instructions change how sums are put together.
    pub(super) fn of(problem: &Problem, precision: Precision) -> Self {
        match winograd::fastest(problem) {
            Some(m) if precision == Precision::Fast => Algorithm::Winograd(m),
            _ => Algorithm::Direct,
        }
    }
}

/// `out = sum over links of x * weights`, plus bias, through the activation, by the fastest algorithm that `precision`
/// allows. `kept` are transformed weights, where there are some from before.
pub(super) fn sum<T: Real>(
    problem: &Problem,
    precision: Precision,
    x: &[T],
    weights: Weights<'_, T>,
    kept: Option<&Transformed<T>>,
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) -> Result<()> {
    let isa = Isa::best();
    match Algorithm::of(problem, precision) {
        Algorithm::Direct => direct::sum(isa, problem, x, weights, epilogue, out),
        Algorithm::Winograd(m) => match kept {
            Some(kept) => winograd::sum(isa, problem, x, kept, epilogue, out)?,
            None => {
                let transformed = Transformed::new(isa, problem, weights, m)?;
                winograd::sum(isa, problem, x, &transformed, epilogue, out)?;
            }
        },
    }
    Ok(())
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
        _ => {
            weight_gradient::weight_gradient(isa, problem, x, g, out);
            Ok(())
        }
    }
}

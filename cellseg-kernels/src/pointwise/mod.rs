//! Operations on each number on its own, and on pairs of numbers in the same place.
//!
//! Where an input is given away (`relu(x)`, not `relu(&x)`) and its numbers are needed by nobody else, the output takes
//! its place in memory.

mod activation;
mod arithmetic;
mod broadcast;
#[cfg(any(test, feature = "testing"))]
pub mod cases;
#[cfg(test)]
pub(crate) mod checks;
pub(crate) mod chunks;
pub(crate) mod cuda;
mod each;
pub(crate) mod exponential;
mod functions;
#[cfg(test)]
mod isa_tests;
pub(crate) mod lanes;
#[cfg(test)]
mod tests;
mod wide;

pub use activation::Activation;
pub(crate) use broadcast::Broadcast;
pub(crate) use each::same;
pub(crate) use wide::wide;

use activation::specialise;
use arithmetic::{Add, Div, Linear, Mul, Sub};
use cellseg_core::{Result, Shape, Tensor, apply};
use each::Each;
use functions::{Abs, Elu, Exp, Gelu, Identity, LeakyRelu, Ln, Relu, Sigmoid, Sqrt, Square};
use std::borrow::Cow;

/// An [`Activation`] of each number.
///
/// # Errors
/// A setting that is negative or not finite; see [`apply`].
pub fn activate<'a>(x: impl Into<Cow<'a, Tensor>>, activation: Activation) -> Result<Tensor> {
    let x = x.into();
    if activation == Activation::None {
        return Ok(x.into_owned());
    }
    specialise!(activation, f => apply(Each(f), [x]))
}

/// `max(x, 0)`.
///
/// # Errors
/// See [`apply`].
pub fn relu<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Each(Relu), [x.into()])
}

/// `x` where positive, else `slope * x`.
///
/// # Errors
/// A slope that is negative or not finite; see [`apply`].
pub fn leaky_relu<'a>(x: impl Into<Cow<'a, Tensor>>, slope: f32) -> Result<Tensor> {
    apply(Each(LeakyRelu(slope)), [x.into()])
}

/// `x` where positive, else `alpha * (exp(x) - 1)` (Clevert, Unterthiner and Hochreiter, ICLR 2016).
///
/// # Errors
/// An `alpha` that is negative or not finite; see [`apply`].
pub fn elu<'a>(x: impl Into<Cow<'a, Tensor>>, alpha: f32) -> Result<Tensor> {
    apply(Each(Elu(alpha)), [x.into()])
}

/// `x * P(X <= x)` for a normally distributed `X`, by the error function (Hendrycks and Gimpel, 2016).
///
/// # Errors
/// See [`apply`].
pub fn gelu<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Each(Gelu), [x.into()])
}

/// `1 / (1 + exp(-x))`.
///
/// # Errors
/// See [`apply`].
pub fn sigmoid<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Each(Sigmoid), [x.into()])
}

/// `exp(x)`.
///
/// # Errors
/// See [`apply`].
pub fn exp<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Each(Exp), [x.into()])
}

/// The natural logarithm.
///
/// # Errors
/// See [`apply`].
pub fn ln<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Each(Ln), [x.into()])
}

/// The square root.
///
/// # Errors
/// See [`apply`].
pub fn sqrt<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Each(Sqrt), [x.into()])
}

/// `x * x`.
///
/// # Errors
/// See [`apply`].
pub fn square<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Each(Square), [x.into()])
}

/// `|x|`, with gradient zero at zero.
///
/// # Errors
/// See [`apply`].
pub fn abs<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Each(Abs), [x.into()])
}

/// `a - b` for tensors of one shape.
///
/// # Errors
/// Shapes that differ; see [`apply`].
pub fn sub<'a>(a: impl Into<Cow<'a, Tensor>>, b: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Sub, [a.into(), b.into()])
}

/// `a * b`, number by number, for tensors of one shape.
///
/// # Errors
/// Shapes that differ; see [`apply`].
pub fn mul<'a>(a: impl Into<Cow<'a, Tensor>>, b: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Mul, [a.into(), b.into()])
}

/// `a / b`, number by number, for tensors of one shape.
///
/// # Errors
/// Shapes that differ; see [`apply`].
pub fn div<'a>(a: impl Into<Cow<'a, Tensor>>, b: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Div, [a.into(), b.into()])
}

/// `a + b` for tensors of one shape; either may be given away.
///
/// # Errors
/// Shapes that differ; see [`apply`].
pub fn add<'a>(a: impl Into<Cow<'a, Tensor>>, b: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    match (a.into(), b.into()) {
        (a @ Cow::Borrowed(_), b @ Cow::Owned(_)) => apply(Add, [b, a]),
        (a, b) => apply(Add, [a, b]),
    }
}

/// `factor * x`.
///
/// # Errors
/// See [`apply`].
pub fn scale<'a>(x: impl Into<Cow<'a, Tensor>>, factor: f64) -> Result<Tensor> {
    apply(Linear { factor, shift: 0.0 }, [x.into()])
}

/// `x + shift`.
///
/// # Errors
/// See [`apply`].
pub fn add_scalar<'a>(x: impl Into<Cow<'a, Tensor>>, shift: f64) -> Result<Tensor> {
    apply(Linear { factor: 1.0, shift }, [x.into()])
}

/// `x` repeated along its axes of extent one to the shape `dims`; the gradient is the sum over the repetitions.
///
/// # Errors
/// Another number of axes, or an axis whose extent is neither one nor that of `dims`; see [`apply`].
pub fn broadcast_to(x: &Tensor, dims: &[usize]) -> Result<Tensor> {
    apply(Broadcast { from: x.shape(), to: Shape::new(dims)?, factor: 1.0 }, [x.into()])
}

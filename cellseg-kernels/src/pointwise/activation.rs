//! The activation functions, one number at a time: what convolutions and norms fuse, and what [`activate`] runs.
//!
//! [`activate`]: super::activate

use super::exponential::{erf, exp, exp_m1};
use cellseg_core::{Error, Real, Result};

/// A function that is applied to each number on its own between the layers of a network.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Activation {
    /// `x`.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `slope * x`, with `slope >= 0`.
    LeakyRelu(f32),
    /// `x` where positive, else `alpha * (exp(x) - 1)`, with `alpha >= 0` (Clevert, Unterthiner and Hochreiter, ICLR 2016).
    Elu(f32),
    /// `x * P(X <= x)` for a normally distributed `X`, by the error function (Hendrycks and Gimpel, 2016).
    Gelu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// Checks the setting.
    ///
    /// # Errors
    /// [`Error::Argument`] of the operation `op` where it is negative or not finite: the gradient is found from the
    /// output, which tells the sign of the input only for settings from zero up.
    pub fn check(self, op: &'static str) -> Result<()> {
        match self {
            Activation::LeakyRelu(a) | Activation::Elu(a) if !(a >= 0.0 && a.is_finite()) => {
                Err(Error::argument(op, format!("{self:?}: the setting must be finite and not negative")))
            }
            _ => Ok(()),
        }
    }

    /// The function's value. Infinities and what is not a number come out as in PyTorch.
    #[inline(always)]
    pub fn apply<T: Real>(self, x: T) -> T {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Activation::None => x,
            // Written so that a comparison with what is not a number keeps it.
            Activation::Relu => {
                if x <= zero {
                    zero
                } else {
                    x
                }
            }
            Activation::LeakyRelu(slope) => {
                if x > zero {
                    x
                } else {
                    x * T::of(f64::from(slope))
                }
            }
            Activation::Elu(alpha) => {
                let below = T::of(f64::from(alpha)) * exp_m1(x);
                if x > zero { x } else { below }
            }
            Activation::Gelu => x * normal_probability(x),
            Activation::Sigmoid => {
                // The exponential of a negative number cannot overflow.
                let e = exp(-x.abs());
                (if x < zero { e } else { one }) / (one + e)
            }
        }
    }

    /// [`Activation::apply`] to every number, with one look at which function it is.
    #[inline(always)]
    pub fn apply_all<T: Real>(self, xs: &mut [T]) {
        match self {
            Activation::None => {}
            Activation::Relu => xs.iter_mut().for_each(|x| *x = Activation::Relu.apply(*x)),
            Activation::LeakyRelu(a) => xs.iter_mut().for_each(|x| *x = Activation::LeakyRelu(a).apply(*x)),
            Activation::Elu(a) => xs.iter_mut().for_each(|x| *x = Activation::Elu(a).apply(*x)),
            Activation::Gelu => xs.iter_mut().for_each(|x| *x = Activation::Gelu.apply(*x)),
            Activation::Sigmoid => xs.iter_mut().for_each(|x| *x = Activation::Sigmoid.apply(*x)),
        }
    }

    /// Whether [`Activation::slope`] is computed from the function's value, so that the input need not be kept for the
    /// gradient; else it is computed from the input.
    pub const fn slope_is_from_output(self) -> bool {
        !matches!(self, Activation::Gelu)
    }

    /// The derivative, computed from the function's value `at`, or from its input where
    /// [`Activation::slope_is_from_output`] is false.
    #[inline(always)]
    pub fn slope<T: Real>(self, at: T) -> T {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Activation::None => one,
            Activation::Relu => {
                if at <= zero {
                    zero
                } else {
                    one
                }
            }
            Activation::LeakyRelu(slope) => {
                if at > zero {
                    one
                } else {
                    T::of(f64::from(slope))
                }
            }
            Activation::Elu(alpha) => {
                if at > zero {
                    one
                } else {
                    at + T::of(f64::from(alpha))
                }
            }
            Activation::Gelu => normal_probability(at) + at * normal_density(at),
            Activation::Sigmoid => at * (one - at),
        }
    }
}

/// `P(X <= x)` for a normally distributed `X`.
#[inline(always)]
fn normal_probability<T: Real>(x: T) -> T {
    let half = T::of(0.5);
    half + half * erf(x * T::of(std::f64::consts::FRAC_1_SQRT_2))
}

/// The density of the normal distribution at `x`.
#[inline(always)]
fn normal_density<T: Real>(x: T) -> T {
    const AT_ZERO: f64 = 0.398_942_280_401_432_7;
    T::of(AT_ZERO) * exp(x * x * T::of(-0.5))
}

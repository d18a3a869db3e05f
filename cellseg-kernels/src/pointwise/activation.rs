//! The activation functions as a value: what convolutions and norms fuse, and what [`activate`](super::activate) runs.

use super::functions::{Elu, Function, Gelu, Identity, LeakyRelu, Relu, Sigmoid};
use cellseg_core::{Real, Result};

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

/// Runs `$body` with `$f` standing for the function that an [`Activation`] names. Each function gets its own copy of
/// the body, so that loops in it do not ask again which function it is.
macro_rules! specialise {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            Activation::None => {
                let $f = Identity;
                $body
            }
            Activation::Relu => {
                let $f = Relu;
                $body
            }
            Activation::LeakyRelu(slope) => {
                let $f = LeakyRelu(slope);
                $body
            }
            Activation::Elu(alpha) => {
                let $f = Elu(alpha);
                $body
            }
            Activation::Gelu => {
                let $f = Gelu;
                $body
            }
            Activation::Sigmoid => {
                let $f = Sigmoid;
                $body
            }
        }
    };
}

pub(super) use specialise;

impl Activation {
    /// Checks the setting.
    ///
    /// # Errors
    /// [`Error::Argument`](cellseg_core::Error::Argument) where it is negative or not finite: the gradient is found from the output, which tells the
    /// sign of the input only for settings from zero up.
    pub fn check(self) -> Result<()> {
        specialise!(self, f => f.check())
    }

    /// The number that device code gives to the function.
    pub(crate) fn kind(self) -> i32 {
        specialise!(self, f => kind_of(f))
    }

    /// The same as the value of the define `ACTIVATION` of a kernel.
    pub(crate) fn kind_name(self) -> &'static str {
        specialise!(self, f => kind_name_of(f))
    }

    /// The setting that device code takes, zero where there is none.
    pub(crate) fn setting(self) -> f32 {
        specialise!(self, f => f.setting())
    }

    /// The function's value. Infinities and what is not a number come out as in PyTorch.
    #[inline(always)]
    pub fn apply<T: Real>(self, x: T) -> T {
        specialise!(self, f => f.value(x))
    }

    /// Replaces every number by the function's value.
    #[inline(always)]
    pub fn apply_all<T: Real>(self, xs: &mut [T]) {
        specialise!(self, f => xs.iter_mut().for_each(|x| *x = f.value(*x)));
    }

    /// Whether [`Activation::gradient`] is computed from the function's value, so that the input need not be kept; else
    /// it is computed from the input.
    pub const fn gradient_is_from_output(self) -> bool {
        specialise!(self, f => from_output(f))
    }

    /// The gradient of the input from the gradient `g` of the output. `at` is the function's value, or its input where
    /// [`Activation::gradient_is_from_output`] is false.
    #[inline(always)]
    pub fn gradient<T: Real>(self, g: T, at: T) -> T {
        specialise!(self, f => f.gradient(g, at))
    }

    /// Replaces every gradient of an output by that of the input, `at` being as in [`Activation::gradient`].
    #[inline(always)]
    pub fn gradient_all<T: Real>(self, gs: &mut [T], at: &[T]) {
        specialise!(self, f => gs.iter_mut().zip(at).for_each(|(g, at)| *g = f.gradient(*g, *at)));
    }

    /// The same from the function's input `x`, whichever of the two [`Activation::gradient_all`] takes.
    #[inline(always)]
    pub(crate) fn gradient_from_input<T: Real>(self, gs: &mut [T], x: &[T]) {
        specialise!(self, f => gs.iter_mut().zip(x).for_each(|(g, x)| *g = f.gradient(*g, at(f, *x))));
    }
}

/// What the gradient at the input `x` is computed from.
#[inline(always)]
fn at<F: Function, T: Real>(f: F, x: T) -> T {
    if F::FROM_OUTPUT { f.value(x) } else { x }
}

fn kind_of<F: Function>(_: F) -> i32 {
    F::KIND
}

fn kind_name_of<F: Function>(_: F) -> &'static str {
    F::KIND_NAME
}

const fn from_output<F: Function>(_: F) -> bool {
    F::FROM_OUTPUT
}

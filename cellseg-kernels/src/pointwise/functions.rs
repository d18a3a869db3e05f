//! The table of functions of one number, each with its gradient.

use super::exponential::{erf, exp, exp_m1};
use cellseg_core::{Error, Real, Result};

/// A function of one number.
pub(crate) trait Function: Copy + Send + Sync + 'static {
    /// The name that errors give.
    const NAME: &'static str;

    /// The number that device code gives to the function, in `activation.cuh` and `each.cu`.
    const KIND: i32;

    /// The same as the value of a define.
    const KIND_NAME: &'static str;

    /// Whether the gradient is computed from the function's value, so that the input need not be kept; else it is
    /// computed from the input.
    const FROM_OUTPUT: bool;

    /// The setting, zero where there is none.
    fn setting(self) -> f32 {
        0.0
    }

    /// Checks the setting, if there is one.
    fn check(self) -> Result<()> {
        Ok(())
    }

    /// The function's value.
    fn value<T: Real>(self, x: T) -> T;

    /// The gradient of the input from the gradient `g` of the output; `at` is the function's value or its input, see
    /// [`Function::FROM_OUTPUT`].
    fn gradient<T: Real>(self, g: T, at: T) -> T;
}

/// Writes a row of the table: the type, its setting, name and number, where the gradient is computed from, value, gradient.
/// Comparisons are written so that what is not a number comes out of them as it does in PyTorch.
macro_rules! function {
    ($(#[$doc:meta])* $f:ident $(($s:ident))?, $name:literal, KIND = $kind:literal, FROM_OUTPUT = $from:literal,
     |$x:ident: $t:ident| $value:expr, |$g:ident, $at:ident| $gradient:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $f $((pub(crate) function!(@f32 $s)))?;

        impl Function for $f {
            const NAME: &'static str = $name;
            const KIND: i32 = $kind;
            const KIND_NAME: &'static str = stringify!($kind);
            const FROM_OUTPUT: bool = $from;

            $(fn setting(self) -> f32 {
                let $s = self.0;
                $s
            }

            fn check(self) -> Result<()> {
                let $s = self.0;
                if $s >= 0.0 && $s.is_finite() {
                    return Ok(());
                }
                // The gradient comes from the output, which tells the sign of the input only for such settings.
                let name = stringify!($s);
                Err(Error::argument($name, format!("{name} is {}; it must be finite and not negative", $s)))
            })?

            #[inline(always)]
            fn value<$t: Real>(self, $x: $t) -> $t {
                $(let $s = $t::of(f64::from(self.0));)?
                $value
            }

            #[inline(always)]
            fn gradient<$t: Real>(self, $g: $t, $at: $t) -> $t {
                $(let $s = $t::of(f64::from(self.0));)?
                $gradient
            }
        }
    };
    (@f32 $s:ident) => { f32 };
}

function! {
    /// `x`.
    Identity, "identity", KIND = 0, FROM_OUTPUT = true, |x: T| x, |g, _at| g
}
function! {
    /// `max(x, 0)`.
    Relu, "relu", KIND = 1, FROM_OUTPUT = true,
    |x: T| if x <= T::zero() { T::zero() } else { x },
    |g, y| if y <= T::zero() { T::zero() } else { g }
}
function! {
    /// `x` where positive, else `slope * x`.
    LeakyRelu(slope), "leaky_relu", KIND = 2, FROM_OUTPUT = true,
    |x: T| if x > T::zero() { x } else { x * slope },
    |g, y| if y > T::zero() { g } else { g * slope }
}
function! {
    /// `x` where positive, else `alpha * (exp(x) - 1)`.
    Elu(alpha), "elu", KIND = 3, FROM_OUTPUT = true,
    |x: T| {
        // A sum rather than a choice, whose branch would keep the loop from becoming vector code.
        let (above, below) = if x > T::zero() { (x, T::zero()) } else { (T::zero(), x) };
        above + alpha * exp_m1(below)
    },
    |g, y| if y > T::zero() { g } else { g * (y + alpha) }
}
function! {
    /// `x * P(X <= x)` for a normally distributed `X`.
    Gelu, "gelu", KIND = 4, FROM_OUTPUT = false,
    |x: T| x * normal_probability(x),
    |g, x| g * (normal_probability(x) + x * normal_density(x))
}
function! {
    /// `1 / (1 + exp(-x))`, by the exponential of a negative number, which cannot overflow.
    Sigmoid, "sigmoid", KIND = 5, FROM_OUTPUT = true,
    |x: T| {
        let e = exp(-x.abs());
        (if x < T::zero() { e } else { T::one() }) / (T::one() + e)
    },
    |g, y| g * y * (T::one() - y)
}
function! {
    /// `exp(x)`.
    Exp, "exp", KIND = 6, FROM_OUTPUT = true, |x: T| exp(x), |g, y| g * y
}
function! {
    /// The natural logarithm.
    Ln, "ln", KIND = 7, FROM_OUTPUT = false, |x: T| x.ln(), |g, x| g / x
}
function! {
    /// The square root.
    Sqrt, "sqrt", KIND = 8, FROM_OUTPUT = true, |x: T| x.sqrt(), |g, y| g / (y + y)
}
function! {
    /// `x * x`.
    Square, "square", KIND = 9, FROM_OUTPUT = false, |x: T| x * x, |g, x| g * (x + x)
}
function! {
    /// `|x|`, with gradient zero at zero.
    Abs, "abs", KIND = 10, FROM_OUTPUT = false,
    |x: T| x.abs(),
    |g, x| if x > T::zero() { g } else if x < T::zero() { -g } else { g * T::zero() }
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

//! The transforms of one axis.
//!
//! A tile of `m` outputs of a kernel of three taps reads `m + 2` inputs. Seen as polynomials, the inputs are evaluated at
//! `m + 2` points (one of them at infinity), multiplied with the kernel's values there, and the outputs put together from the
//! products: Toom and Cook's scheme, whose transposed form is Winograd's `F(m, 3)` (Lavin & Gray, "Fast algorithms for
//! convolutional neural networks", 2016). In three dimensions the transforms are applied along one axis after another.
//!
//! Points come in pairs of both signs, whose sums share their even and odd halves. For `m = 4` the pairs are 5/8 and 3/2
//! and not the usual 1 and 2: all constants are exact in single precision, and the relative error of a convolution of
//! 64 channels falls from 5.8e-6 to 1.7e-6. (Barabasz et al., "Error analysis and improving the accuracy of Winograd
//! convolution for deep neural networks", 2020, say why it depends on the points; a search over multiples of 1/16
//! found these.)

use crate::simd::Lanes;
use cellseg_core::Element;

/// Points of the largest tile on one axis.
pub(super) const MOST: usize = 6;

/// A linear map of a line of numbers, in every lane.
pub(super) trait Map {
    /// Numbers of a line before.
    const IN: usize;
    /// Numbers of a line after.
    const OUT: usize;
    /// Maps the first `IN` of `x` to the first `OUT` of the result.
    fn map<L: Lanes>(x: [L; MOST]) -> [L; MOST];
}

/// A transform for both sizes of tiles.
pub(super) trait Transform {
    type Two: Map;
    type Four: Map;
}

/// A transform of tiles of `M` outputs.
pub(super) struct Of<T, const M: usize>(std::marker::PhantomData<T>);

macro_rules! transform {
    ($(#[$doc:meta])* $name:ident: $two:ident $two_in:literal -> $two_out:literal, $four:ident $four_in:literal -> $four_out:literal) => {
        $(#[$doc])*
        pub(super) struct $name;
        impl Transform for $name {
            type Two = Of<$name, 2>;
            type Four = Of<$name, 4>;
        }
        impl Map for Of<$name, 2> {
            const IN: usize = $two_in;
            const OUT: usize = $two_out;
            #[inline(always)]
            fn map<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
                $two(x)
            }
        }
        impl Map for Of<$name, 4> {
            const IN: usize = $four_in;
            const OUT: usize = $four_out;
            #[inline(always)]
            fn map<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
                $four(x)
            }
        }
    };
}

transform! {
    /// Inputs to their values at the points.
    Inputs: inputs_two 4 -> 4, inputs_four 6 -> 6
}
transform! {
    /// Products at the points to outputs.
    Outputs: outputs_two 4 -> 2, outputs_four 6 -> 4
}
transform! {
    /// Taps to their values at the points.
    Taps: taps_two 3 -> 4, taps_four 3 -> 6
}
transform! {
    /// Gradients of outputs to gradients of products.
    OutputGradients: output_gradients_two 2 -> 4, output_gradients_four 4 -> 6
}
transform! {
    /// Gradients of values at the points to gradients of taps.
    TapGradients: tap_gradients_two 4 -> 3, tap_gradients_four 6 -> 3
}

/// The points besides zero and infinity are `A`, `-A`, `B`, `-B`.
const A: f64 = 0.625;
const B: f64 = 1.5;
const A2: f64 = A * A;
const B2: f64 = B * B;
/// What the value of a point is divided by: the product of its distances to the other points.
const AT_ZERO: f64 = A2 * B2;
const AT_A: f64 = 2.0 * A2 * (A2 - B2);
const AT_B: f64 = 2.0 * B2 * (B2 - A2);

#[inline(always)]
fn of<L: Lanes>(x: f64) -> L {
    L::splat(L::Elem::of(x))
}

/// `x * factor + addend`.
#[inline(always)]
fn scaled<L: Lanes>(x: L, factor: f64, addend: L) -> L {
    x.mul_add(of(factor), addend)
}

/// The sum and the difference.
#[inline(always)]
fn pair<L: Lanes>(even: L, odd: L) -> [L; 2] {
    [even + odd, even - odd]
}

#[inline(always)]
fn padded<L: Lanes, const N: usize>(x: [L; N]) -> [L; MOST] {
    let mut out = [of(0.0); MOST];
    out[..N].copy_from_slice(&x);
    out
}

#[inline(always)]
fn inputs_two<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    padded([x[0] - x[2], x[2] + x[1], x[2] - x[1], x[3] - x[1]])
}

#[inline(always)]
fn inputs_four<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let (even_a, odd_a) = (scaled(x[2], -B2, x[4]), scaled(x[1], -B2, x[3]));
    let (even_b, odd_b) = (scaled(x[2], -A2, x[4]), scaled(x[1], -A2, x[3]));
    padded([
        scaled(x[0], AT_ZERO, scaled(x[2], -(A2 + B2), x[4])),
        scaled(odd_a, A, even_a),
        scaled(odd_a, -A, even_a),
        scaled(odd_b, B, even_b),
        scaled(odd_b, -B, even_b),
        scaled(x[1], AT_ZERO, scaled(x[3], -(A2 + B2), x[5])),
    ])
}

#[inline(always)]
fn outputs_two<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let [even, odd] = pair(x[1], x[2]);
    padded([x[0] + even, odd + x[3]])
}

#[inline(always)]
fn outputs_four<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let ([even_a, odd_a], [even_b, odd_b]) = (pair(x[1], x[2]), pair(x[3], x[4]));
    padded([
        x[0] + even_a + even_b,
        scaled(odd_b, B, odd_a * of(A)),
        scaled(even_b, B2, even_a * of(A2)),
        scaled(odd_b, B2 * B, scaled(odd_a, A2 * A, x[5])),
    ])
}

#[inline(always)]
fn taps_two<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let [plus, minus] = pair((x[0] + x[2]) * of(0.5), x[1] * of(0.5));
    padded([x[0], plus, minus, x[2]])
}

/// The values at `p` and `-p`, divided by `scale`.
#[inline(always)]
fn taps_at<L: Lanes>(x: [L; MOST], p: f64, scale: f64) -> [L; 2] {
    pair(scaled(x[2], p * p / scale, x[0] * of(1.0 / scale)), x[1] * of(p / scale))
}

#[inline(always)]
fn taps_four<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let ([plus_a, minus_a], [plus_b, minus_b]) = (taps_at(x, A, AT_A), taps_at(x, B, AT_B));
    padded([x[0] * of(1.0 / AT_ZERO), plus_a, minus_a, plus_b, minus_b, x[2]])
}

#[inline(always)]
fn output_gradients_two<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let [plus, minus] = pair(x[0], x[1]);
    padded([x[0], plus, minus, x[1]])
}

/// The gradients of the products at `p` and `-p`.
#[inline(always)]
fn output_gradients_at<L: Lanes>(x: [L; MOST], p: f64) -> [L; 2] {
    pair(scaled(x[2], p * p, x[0]), scaled(x[3], p * p * p, x[1] * of(p)))
}

#[inline(always)]
fn output_gradients_four<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let ([plus_a, minus_a], [plus_b, minus_b]) = (output_gradients_at(x, A), output_gradients_at(x, B));
    padded([x[0], plus_a, minus_a, plus_b, minus_b, x[3]])
}

#[inline(always)]
fn tap_gradients_two<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let [even, odd] = pair(x[1], x[2]);
    padded([scaled(even, 0.5, x[0]), odd * of(0.5), scaled(even, 0.5, x[3])])
}

#[inline(always)]
fn tap_gradients_four<L: Lanes>(x: [L; MOST]) -> [L; MOST] {
    let ([even_a, odd_a], [even_b, odd_b]) = (pair(x[1], x[2]), pair(x[3], x[4]));
    padded([
        scaled(x[0], 1.0 / AT_ZERO, scaled(even_a, 1.0 / AT_A, even_b * of(1.0 / AT_B))),
        scaled(odd_a, A / AT_A, odd_b * of(B / AT_B)),
        scaled(even_a, A2 / AT_A, scaled(even_b, B2 / AT_B, x[5])),
    ])
}

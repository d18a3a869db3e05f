//! Convolution of volumes, and its gradients.
//!
//! `y[o, b] = activation(bias[b] + sum over k, a of x[o * stride + k - padding, a] * w[k, a, b])`, where `o` and `k` run
//! over depth, height and width, and voxels outside the volume are zero. This is the cross-correlation that neural
//! networks call convolution.
//!
//! | module | what |
//! |---|---|
//! | `geometry` | which voxels are linked by which tap |
//! | `direct`, `packed`, `padded`, `row`, `tile`, `narrow`, `per_tap` | sums into voxels: the convolution and its data gradient |
//! | `winograd` | the same sums with fewer multiplications, for kernels of three taps per axis |
//! | `algorithm` | which of them computes what |
//! | `weight_gradient`, `strips`, `strip` | sums into taps |
//! | `bias_gradient` | sums over voxels |
//! | `cuda` | all three kinds of sums on a GPU |
//! | `links` | all of them as operations on tensors, shared with the transposed convolution |

mod algorithm;
mod bias_gradient;
#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cuda;
mod direct;
pub(crate) mod geometry;
pub(crate) mod links;
mod narrow;
mod op;
mod packed;
mod padded;
mod per_tap;
mod precision;
#[cfg(test)]
pub(crate) mod reference;
mod row;
mod strip;
mod strips;
#[cfg(test)]
mod tests;
mod tile;
mod weight_gradient;
mod winograd;

pub use precision::Precision;

use crate::pointwise::{Activation, activate};
use cellseg_core::{Result, Tensor, apply};

/// The settings of a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv3d {
    /// Voxels between neighbouring outputs, per axis of depth, height, width.
    pub stride: [usize; 3],
    /// Zeros before the first and after the last voxel, per axis.
    pub padding: [usize; 3],
    /// What the sums go through.
    pub activation: Activation,
    /// What may be traded for speed.
    pub precision: Precision,
}

impl Default for Conv3d {
    /// Stride 1, no padding, no activation, the default precision.
    fn default() -> Self {
        Conv3d {
            stride: [1; 3],
            padding: [0; 3],
            activation: Activation::None,
            precision: Precision::default(),
        }
    }
}

impl Conv3d {
    /// Stride 1 with the padding that keeps the extents under a cubic kernel of `kernel` taps, an odd number.
    pub fn same(kernel: usize) -> Self {
        Conv3d { padding: [kernel / 2; 3], ..Self::default() }
    }
}

/// The convolution of `x` `[n, d, h, w, in]` with the kernel `w` `[kd, kh, kw, in, out]`, plus `bias` `[out]`.
///
/// The output is `[n, d', h', w', out]` with `d' = (d + 2 * padding - kd) / stride + 1`, rounded down, and so on.
///
/// ```
/// use cellseg_core::Tensor;
/// use cellseg_kernels::conv3d::{Conv3d, conv3d};
/// let x = Tensor::full(1.0f32, &[1, 4, 4, 4, 2])?;
/// let w = Tensor::full(0.5f32, &[3, 3, 3, 2, 8])?;
/// let y = conv3d(&x, &w, None, &Conv3d::same(3))?;
/// assert_eq!(y.shape().dims(), [1, 4, 4, 4, 8]);
/// assert_eq!(y.to_vec::<f32>()?[0], 8.0); // a corner: 2 x 2 x 2 voxels of two channels
/// # Ok::<(), cellseg_core::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not fit together, a stride of zero, and a kernel larger than the padded volume; a setting of the
/// activation that is out of range; memory.
pub fn conv3d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, settings: &Conv3d) -> Result<Tensor> {
    // A function whose gradient is not found from its value would need the sums kept as well as the output: it is an
    // operation of its own, which keeps them alone.
    let fused = settings.activation.gradient_is_from_output();
    let activation = if fused { settings.activation } else { Activation::None };
    let op = op::Forward::new(Conv3d { activation, ..*settings }, x, w)?;
    let y = match bias {
        Some(bias) => apply(op, [x.into(), w.into(), bias.into()]),
        None => apply(op, [x.into(), w.into()]),
    }?;
    if fused { Ok(y) } else { activate(y, settings.activation) }
}

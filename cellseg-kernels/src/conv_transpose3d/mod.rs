//! Transposed convolution of volumes, which makes them larger, and its gradients.
//!
//! `y[i, b] = bias[b] + sum over o, k, a with i = o * stride + k - padding of x[o, a] * w[k, a, b]`: the sums of the data
//! gradient of a convolution. It links the same voxels as the convolution from `y` to `x`, so its sums are that
//! convolution's, with `x` on the coarse voxels and `y` on the fine ones (see [`crate::conv3d`]).

#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod op;
#[cfg(test)]
mod tests;

use crate::conv3d::Precision;
use cellseg_core::{Result, Tensor, apply};

/// The settings of a transposed convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose3d {
    /// Voxels of the output between neighbouring voxels of the input, per axis of depth, height, width.
    pub stride: [usize; 3],
    /// Voxels that are cut off both ends of the output, per axis.
    pub padding: [usize; 3],
    /// What may be traded for speed.
    pub precision: Precision,
}

impl Default for ConvTranspose3d {
    /// Stride 1, nothing cut off, the default precision.
    fn default() -> Self {
        ConvTranspose3d { stride: [1; 3], padding: [0; 3], precision: Precision::default() }
    }
}

impl ConvTranspose3d {
    /// Stride `factor` on all axes, nothing cut off: with a cubic kernel of `factor` taps, every voxel becomes a cube of
    /// `factor` voxels a side.
    pub fn upsampling(factor: usize) -> Self {
        ConvTranspose3d { stride: [factor; 3], ..Self::default() }
    }
}

/// The transposed convolution of `x` `[n, d, h, w, in]` with the kernel `w` `[kd, kh, kw, in, out]`, plus `bias` `[out]`.
///
/// The output is `[n, d', h', w', out]` with `d' = (d - 1) * stride + kd - 2 * padding`, and so on.
///
/// ```
/// use cellseg_core::Tensor;
/// use cellseg_kernels::conv_transpose3d::{ConvTranspose3d, conv_transpose3d};
/// let x = Tensor::full(1.0f32, &[1, 4, 4, 4, 2])?;
/// let w = Tensor::full(0.5f32, &[2, 2, 2, 2, 3])?;
/// let y = conv_transpose3d(&x, &w, None, &ConvTranspose3d::upsampling(2))?;
/// assert_eq!(y.shape().dims(), [1, 8, 8, 8, 3]);
/// assert_eq!(y.to_vec::<f32>()?[0], 1.0);
/// # Ok::<(), cellseg_core::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not fit together, a stride of zero, and padding that cuts everything off; memory.
pub fn conv_transpose3d(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    settings: &ConvTranspose3d,
) -> Result<Tensor> {
    let op = op::Forward(*settings);
    match bias {
        Some(bias) => apply(op, [x.into(), w.into(), bias.into()]),
        None => apply(op, [x.into(), w.into()]),
    }
}

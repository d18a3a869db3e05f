//! Attention within windows of a volume, as in Swin Transformers (Liu et al., ICCV 2021), of three dimensions.
//!
//! `o[i] = sum over j of softmax_j(scale * q[i] . k[j] + bias[i, j] + mask[i, j]) * v[j]` for each head of each window,
//! with a bias for each difference of the tokens' coordinates, read from a learned table, and a mask that keeps apart
//! what a cyclic shift has brought together.
//!
//! Scores exist for the rows of one register tile at a time, some kilobytes in the first-level cache. For the gradient
//! the output is kept and one number per row, the logarithm of its sum of exponentials; probabilities are computed again.
//!
//! On a GPU the same is done by tensor cores, in `f32` with three products of half the digits for one, to the precision of
//! `f32`; `CELLSEG_PRECISION=strict` has the products of the definition alone.
//!
//! | module | what |
//! |---|---|
//! | `windows`, `partition` | volumes to windows and back, with shift, padding and mask |
//! | `bias` | the table's numbers for each pair of tokens, and their gradient |
//! | `layout` | how queries, keys and values are packed |
//! | `tile` | the register tiles |
//! | `forward`, `backward` | one head of one window |
//! | `op` | all of them as an operation on tensors |
//! | `cuda` | the same on a GPU: flash style on tensor cores, or plain |

mod backward;
mod bias;
#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cuda;
mod forward;
mod layout;
mod op;
mod partition;
#[cfg(test)]
mod tests;
mod tile;
mod windows;

pub use bias::relative_position_index;
pub use partition::{partition, reverse};
pub use windows::{Regions, Windows};

use cellseg_core::{Result, Tensor, apply};
use op::Attention;
use std::sync::Arc;

/// The settings of an attention within windows.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowAttention {
    /// Heads, each of which attends on its own.
    pub heads: usize,
    /// The extents `(d, h, w)` of the window that the bias table was made for. Windows of fewer tokens take the biases of
    /// its first ones, as in MONAI.
    pub window: [usize; 3],
    /// What products of queries and keys are multiplied by; `1 / sqrt(dim)` where absent.
    pub scale: Option<f64>,
    /// The regions that do not attend to each other: 100 is taken from the score of tokens from different ones.
    pub regions: Option<Arc<Regions>>,
}

/// Attention of each window of `qkv` `[windows, tokens, 3 * heads * dim]`, which holds queries, keys and values of all
/// heads as one linear layer gives them: `[windows, tokens, heads * dim]`.
///
/// `table` `[(2d - 1)(2h - 1)(2w - 1), heads]` holds the biases; see [`relative_position_index`] for its rows.
///
/// ```
/// use cellseg_core::Tensor;
/// use cellseg_kernels::window_attention::{WindowAttention, window_attention};
/// let qkv = Tensor::full(0.5f32, &[2, 27, 3 * 4 * 16])?; // two windows of 3^3 tokens, four heads of 16 numbers
/// let table = Tensor::full(0.0f32, &[5 * 5 * 5, 4])?;
/// let settings = WindowAttention { heads: 4, window: [3; 3], scale: None, regions: None };
/// let y = window_attention(&qkv, Some(&table), &settings)?;
/// assert_eq!(y.shape().dims(), [2, 27, 4 * 16]);
/// # Ok::<(), cellseg_core::Error>(())
/// ```
///
/// # Errors
/// Shapes or regions that do not fit together, a scale that is not finite; see [`apply`].
pub fn window_attention(qkv: &Tensor, table: Option<&Tensor>, settings: &WindowAttention) -> Result<Tensor> {
    let op = Attention(settings.clone());
    match table {
        Some(table) => apply(op, [qkv.into(), table.into()]),
        None => apply(op, [qkv.into()]),
    }
}

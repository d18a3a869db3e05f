//! Attention within windows.

use super::{Linear, Parameter, module};
use crate::Result;
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use cellseg_kernels::window_attention::{
    WindowAttention as Attention, Windows, partition, reverse, window_attention,
};
use std::sync::Arc;

/// The standard deviation of first biases.
const BIAS_DEVIATION: f64 = 0.02;

/// Attention of several heads within windows, with a learned bias for each difference of two tokens' coordinates (Liu et
/// al., "Swin Transformer", ICCV 2021), and a linear layer before and after it.
#[derive(Debug, Clone)]
pub struct WindowAttention {
    relative_position_bias_table: Parameter,
    qkv: Linear,
    proj: Linear,
    window: [usize; 3],
    heads: usize,
}

module!(WindowAttention {
    "relative_position_bias_table" => relative_position_bias_table,
    "qkv" => qkv,
    "proj" => proj,
});

impl WindowAttention {
    /// Attention of `heads` heads, which divide `channels`, in windows of `window` voxels `(d, h, w)`. Biases are drawn from
    /// a normal distribution of standard deviation 0.02.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn new(channels: usize, heads: usize, window: [usize; 3], rng: &mut Rng) -> Result<Self> {
        let rows = window.iter().map(|w| 2 * w - 1).product();
        Ok(WindowAttention {
            relative_position_bias_table: Parameter::normal(BIAS_DEVIATION, &[rows, heads], rng)?,
            qkv: Linear::new(channels, 3 * channels, rng)?,
            proj: Linear::new(channels, channels, rng)?,
            window,
            heads,
        })
    }

    /// The extents `(d, h, w)` of a window.
    pub fn window(&self) -> [usize; 3] {
        self.window
    }

    /// `x`, `[n, d, h, w, c]`, in which each voxel attends to those of its window, `windows` being those of the volume.
    /// Padding takes part with the bias of the first linear layer, as in MONAI.
    ///
    /// # Errors
    /// Those of [`window_attention`].
    pub fn forward(&self, x: &Tensor, windows: &Windows) -> CoreResult<Tensor> {
        let settings = Attention {
            heads: self.heads,
            window: self.window,
            scale: None,
            regions: windows.regions().map(Arc::new),
        };
        let qkv = self.qkv.forward(&partition(x, windows)?)?;
        let table = self.relative_position_bias_table.in_type_of(x)?;
        let attended = self.proj.forward(&window_attention(&qkv, Some(&table), &settings)?)?;
        reverse(&attended, windows)
    }
}

//! Blocks of attention, and the stages that are made of them.

use super::{
    config::{Merging, SwinUnetrConfig},
    residual::ResidualBlock,
    state::NAME,
};
use crate::{
    Result,
    layers::{LayerNorm, Linear, WindowAttention, module},
    pass::Pass,
};
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{
    concat::pick_blocks,
    dropout::{Dropout, dropout},
    pointwise::{add, gelu},
    window_attention::{Windows, partition},
};

/// How many times as many channels a token has between the two linear layers that follow its attention.
const EXPANSION: usize = 4;

/// Attention within windows and two linear layers, each after a layer normalisation and added to what it was computed from.
#[derive(Debug, Clone)]
struct SwinBlock {
    norm1: LayerNorm,
    attn: WindowAttention,
    norm2: LayerNorm,
    linear1: Linear,
    linear2: Linear,
    /// Whether windows lie half a window away from those of the block before.
    is_shifted: bool,
}

module!(SwinBlock {
    "norm1" => norm1,
    "attn" => attn,
    "norm2" => norm2,
    "mlp.linear1" => linear1,
    "mlp.linear2" => linear2,
});

impl SwinBlock {
    fn new(
        channels: usize,
        heads: usize,
        window: [usize; 3],
        is_shifted: bool,
        rng: &mut Rng,
    ) -> Result<Self> {
        Ok(SwinBlock {
            norm1: LayerNorm::new(channels)?,
            attn: WindowAttention::new(channels, heads, window, rng)?,
            norm2: LayerNorm::new(channels)?,
            linear1: Linear::new(channels, EXPANSION * channels, rng)?,
            linear2: Linear::new(EXPANSION * channels, channels, rng)?,
            is_shifted,
        })
    }

    fn forward(&self, x: &Tensor, pass: &Pass) -> CoreResult<Tensor> {
        let [_, d, h, w, _] = x.shape().volumes(NAME)?;
        let window = self.attn.window();
        let shift = if self.is_shifted { window.map(|w| w / 2) } else { [0; 3] };
        let windows = Windows::new([d, h, w], window, shift)?;
        let attended = self.attn.forward(&self.norm1.forward(x)?, &windows)?;
        let x = add(dropped(attended, pass.dropout(0))?, x)?;
        let hidden = gelu(self.linear1.forward(&self.norm2.forward(&x)?)?)?;
        let y = self.linear2.forward(&dropped(hidden, pass.dropout(1))?)?;
        add(dropped(y, pass.dropout(2))?, &x)
    }
}

pub(super) fn dropped(x: Tensor, settings: Option<Dropout>) -> CoreResult<Tensor> {
    match settings {
        Some(Dropout { p, key }) => dropout(x, p, key),
        None => Ok(x),
    }
}

/// Makes one token of twice the channels of each 2 x 2 x 2 neighbours.
#[derive(Debug, Clone)]
struct PatchMerging {
    reduction: Linear,
    norm: LayerNorm,
    merging: Merging,
}

module!(PatchMerging { "reduction" => reduction, "norm" => norm });

impl PatchMerging {
    fn forward(&self, x: &Tensor) -> CoreResult<Tensor> {
        let [n, d, h, w, c] = x.shape().volumes(NAME)?;
        // Windows of two voxels along each axis hold the tokens in the order of memory, and zeros beyond odd extents.
        let windows = Windows::new([d, h, w], [2; 3], [0; 3])?;
        let [d, h, w] = windows.grid();
        let tokens = partition(x, &windows)?.reshape(&[n, d, h, w, 8 * c])?;
        let tokens = match self.merging {
            Merging::V2 => tokens,
            merging => pick_blocks(&tokens, c, &merging.order())?,
        };
        self.reduction.forward(&self.norm.forward(&tokens)?)
    }
}

/// One resolution: maybe a residual block, then blocks of attention whose windows are shifted in every second one, then
/// tokens are merged.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    blocks: Vec<SwinBlock>,
    downsample: PatchMerging,
}

module!(Stage { "blocks" => blocks, "downsample" => downsample });

impl Stage {
    /// The stage number `i`.
    pub(super) fn new(config: &SwinUnetrConfig, i: usize, rng: &mut Rng) -> Result<Self> {
        let channels = config.feature_size << i;
        let block = |b| (config.heads[i], config.window, b % 2 == 1);
        let blocks = (0..config.depths[i])
            .map(block)
            .map(|(heads, window, is_shifted)| SwinBlock::new(channels, heads, window, is_shifted, rng));
        Ok(Stage {
            blocks: blocks.collect::<Result<_>>()?,
            downsample: PatchMerging {
                reduction: Linear::without_bias(8 * channels, 2 * channels, rng)?,
                norm: LayerNorm::new(8 * channels)?,
                merging: config.merging,
            },
        })
    }

    pub(super) fn set_merging(&mut self, merging: Merging) {
        self.downsample.merging = merging;
    }

    /// `[n, d, h, w, c]` to `[n, d / 2, h / 2, w / 2, 2c]`; `pass` makes the pass of each block.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        residual: Option<&ResidualBlock>,
        pass: &mut dyn FnMut() -> Pass,
    ) -> CoreResult<Tensor> {
        let mut x = match residual {
            Some(residual) => residual.forward(x, pass())?,
            None => x.clone(),
        };
        for block in &self.blocks {
            let block = block.clone();
            x = pass().run(&x, move |x, pass| block.forward(x, pass))?;
        }
        self.downsample.forward(&x)
    }
}

//! One of the two U-Nets.

use super::block::{Block, InBlock, OutBlock};
use crate::{
    PassMode, Result,
    layers::{ConvTranspose3d, module},
    limits,
    pass::Pass,
};
use cellseg_core::{Device, Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{concat::concat, pool::max_pool3d};

/// Extents of an input are multiples of this: there are three poolings by 2.
pub const EXTENT_MULTIPLE: usize = 8;

/// How many blocks a U-Net has, each with dropout masks of its own.
const BLOCKS: u64 = 7;

/// A 3D U-Net of four levels: pooling by maximum on the way down, transposed convolutions on the way up, and each
/// level's output concatenated before what comes up from below.
#[derive(Debug, Clone)]
pub struct UNet {
    in_b: InBlock,
    conv1: Block,
    conv2: Block,
    bot: Block,
    deconv2: Block,
    deconv3: Block,
    out_b: OutBlock,
    conv_trans2: ConvTranspose3d,
    conv_trans3: ConvTranspose3d,
    conv_trans_out: ConvTranspose3d,
    dropout: f64,
    first_block: u64,
}

module!(UNet {
    "in_b" => in_b,
    "conv1" => conv1,
    "conv2" => conv2,
    "bot" => bot,
    "deconv2" => deconv2,
    "deconv3" => deconv3,
    "out_b" => out_b,
    "conv_trans2" => conv_trans2,
    "conv_trans3" => conv_trans3,
    "conv_trans_out" => conv_trans_out,
});

impl UNet {
    /// `place` is 0 for the first U-Net of a network and 1 for the second.
    pub(super) fn new(
        [cin, width, cout]: [usize; 3],
        dropout: f64,
        place: u64,
        rng: &mut Rng,
    ) -> Result<Self> {
        let [a, b, c, d] = [width, 2 * width, 4 * width, 8 * width];
        Ok(UNet {
            in_b: InBlock::new(cin, a, rng)?,
            conv1: Block::new(a, b, rng)?,
            conv2: Block::new(b, c, rng)?,
            bot: Block::new(c, d, rng)?,
            deconv2: Block::new(d, c, rng)?,
            deconv3: Block::new(c, b, rng)?,
            out_b: OutBlock::new(b, a, cout, rng)?,
            conv_trans2: ConvTranspose3d::new(d, c, rng)?,
            conv_trans3: ConvTranspose3d::new(c, b, rng)?,
            conv_trans_out: ConvTranspose3d::new(b, a, rng)?,
            dropout,
            first_block: place * BLOCKS,
        })
    }

    /// The device that holds the weights.
    pub(super) fn device(&self) -> Device {
        self.conv_trans2.device()
    }

    pub(super) fn set_dropout(&mut self, dropout: f64) {
        self.dropout = dropout;
    }

    /// `x`, `[n, d, h, w, cin]`, to `[n, d, h, w, cout]`, without an activation at the end.
    ///
    /// # Errors
    /// Extents that are no multiples of [`EXTENT_MULTIPLE`], and those of the operations.
    pub fn forward(&self, x: &Tensor, mode: &PassMode) -> CoreResult<Tensor> {
        limits::extents("WNet3d", x.shape(), EXTENT_MULTIPLE)?;
        let pass = |block| Pass::of_block(mode, self.dropout, self.first_block + block);
        let inner = |block: &Block, place, x: &Tensor| {
            let block = block.clone();
            pass(place).run(x, move |x, pass| block.forward(x, pass))
        };
        let (first, last) = (self.in_b.clone(), self.out_b.clone());
        let x0 = pass(0).run(x, move |x, pass| first.forward(x, pass))?;
        let x1 = inner(&self.conv1, 1, &halve(&x0)?)?;
        let x2 = inner(&self.conv2, 2, &halve(&x1)?)?;
        let x3 = inner(&self.bot, 3, &halve(&x2)?)?;
        let y = inner(&self.deconv2, 4, &concat([&x2, &self.conv_trans2.forward(&x3)?])?)?;
        let y = inner(&self.deconv3, 5, &concat([&x1, &self.conv_trans3.forward(&y)?])?)?;
        let y = concat([&x0, &self.conv_trans_out.forward(&y)?])?;
        pass(6).run(&y, move |y, pass| last.forward(y, pass))
    }
}

fn halve(x: &Tensor) -> CoreResult<Tensor> {
    max_pool3d(x, [2; 3])
}

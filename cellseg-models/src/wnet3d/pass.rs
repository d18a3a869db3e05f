//! How one forward pass is run.

use crate::{PassMode, layers::GroupNorm};
use cellseg_core::{Result, Rng, Tensor, checkpoint};
use cellseg_kernels::{
    dropout::Dropout,
    norm::{Norm, Order},
    pointwise::Activation,
};

/// One block's part of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    rate: f64,
    key: Option<u64>,
    checkpoint: bool,
}

impl Pass {
    /// `block` numbers the blocks of a network, so that each has masks of its own.
    pub(super) fn of_block(mode: &PassMode, rate: f64, block: u64) -> Self {
        let key = mode.dropout_key.filter(|_| rate > 0.0).map(|k| Rng::new(k).stream(block).next_u64());
        Pass { rate, key, checkpoint: mode.checkpoint }
    }

    /// ReLU, dropout and then the normalisation of the output `x` of the block's `place`-th convolution.
    pub(super) fn normalise(&self, norm: &GroupNorm, x: Tensor, place: u64) -> Result<Tensor> {
        let dropout = self.key.map(|key| Dropout { p: self.rate, key: key.wrapping_add(place) });
        let order = Order::NormLast;
        norm.forward(x, &Norm { activation: Activation::Relu, dropout, order, ..norm.settings() })
    }

    /// `block(x)`, of which only `x` is kept if the pass says so.
    pub(super) fn run<F>(self, x: &Tensor, block: F) -> Result<Tensor>
    where
        F: Fn(&Tensor, &Pass) -> Result<Tensor> + Send + 'static,
    {
        if self.checkpoint { checkpoint(x, move |x| block(x, &self)) } else { block(x, &self) }
    }
}

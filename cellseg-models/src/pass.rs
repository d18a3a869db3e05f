//! One block's part of a forward pass.

use crate::{PassMode, layers::Gathering};
use cellseg_core::{Result, Rng, Tensor, checkpoint};
use cellseg_kernels::dropout::Dropout;

/// One block's part of a pass.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    rate: f64,
    key: Option<u64>,
    checkpoint: bool,
    gathering: Option<Gathering>,
}

impl Pass {
    /// `block` numbers the blocks of a network, so that each has masks of its own.
    pub(crate) fn of_block(mode: &PassMode, rate: f64, block: u64) -> Self {
        let key = mode.dropout_key.filter(|_| rate > 0.0).map(|k| Rng::new(k).stream(block).next_u64());
        Pass { rate, key, checkpoint: mode.checkpoint, gathering: None }
    }

    /// The same with batch normalisations that gather statistics, where there is a gathering.
    pub(crate) fn with_gathering(self, gathering: Option<&Gathering>) -> Self {
        Pass { gathering: gathering.cloned(), ..self }
    }

    /// Where batch normalisations put the statistics of the batch.
    pub(crate) fn gathering(&self) -> Option<&Gathering> {
        self.gathering.as_ref()
    }

    /// The dropout at a place of the block, where there is any.
    pub(crate) fn dropout(&self, place: u64) -> Option<Dropout> {
        self.key.map(|key| Dropout { p: self.rate, key: key.wrapping_add(place) })
    }

    /// `block(x)`, of which only `x` is kept if the pass says so.
    ///
    /// A block that uses `x` twice, where something else uses it, too, gets it under a name of its own: so the block's part of
    /// the gradient is summed up first whether `x` is kept or all, and the bits are the same.
    pub(crate) fn run<F>(&self, x: &Tensor, block: F) -> Result<Tensor>
    where
        F: Fn(&Tensor, &Pass) -> Result<Tensor> + Send + 'static,
    {
        if !self.checkpoint {
            return block(&x.reshape(x.shape().dims())?, self);
        }
        let pass = self.clone();
        checkpoint(x, move |x| block(x, &pass))
    }
}

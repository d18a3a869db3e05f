//! Batch normalisation.
//!
//! A forward pass reads a network and changes nothing, so that blocks can run again for a gradient. What a training pass
//! finds is therefore gathered beside the network, under the name of the value that it replaces, and moved into it when the
//! pass is over: running statistics move once for each pass, however often a block runs.

use super::{Module, Parameter, module};
use crate::Result;
use cellseg_core::{Id, Result as CoreResult, Tensor};
use cellseg_kernels::{
    norm::{Norm, Running, batch_norm, batch_norm_training},
    pointwise::add_scalar,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How far running statistics move towards those of a batch: PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation with a gain and an offset for each channel (Ioffe & Szegedy, 2015), and the statistics of the
/// batches that it was trained with.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    weight: Parameter,
    bias: Parameter,
    running_mean: Parameter,
    running_var: Parameter,
    num_batches_tracked: Parameter,
}

module!(BatchNorm {
    "weight" => weight,
    "bias" => bias,
    "running_mean" => running_mean,
    "running_var" => running_var,
    "num_batches_tracked" => num_batches_tracked,
});

impl BatchNorm {
    /// A normalisation of gain 1 and offset 0 that has seen no batch.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn new(channels: usize) -> Result<Self> {
        Ok(BatchNorm {
            weight: Parameter::full(1.0, &[channels])?,
            bias: Parameter::full(0.0, &[channels])?,
            running_mean: Parameter::statistic(0.0, &[channels])?,
            running_var: Parameter::statistic(1.0, &[channels])?,
            num_batches_tracked: Parameter::statistic(0.0, &[])?,
        })
    }

    /// The settings of a normalisation alone, to which an activation and dropout may be added.
    pub fn settings(&self) -> Norm {
        // A batch normalisation has a group for each channel whatever is said here.
        Norm::groups(1)
    }

    /// `x`, `[n, d, h, w, c]`, normalised by the running statistics or, where there is a `gathering`, by its own, with the
    /// residual, the activation and the dropout that `settings` say.
    ///
    /// # Errors
    /// Those of [`batch_norm`] and [`batch_norm_training`].
    pub(crate) fn forward(
        &self,
        x: Tensor,
        residual: Option<&Tensor>,
        settings: &Norm,
        gathering: Option<&Gathering>,
    ) -> CoreResult<Tensor> {
        let (weight, bias) = (self.weight.in_type_of(&x)?, self.bias.in_type_of(&x)?);
        let mean = self.running_mean.tensor().clone();
        let mut running = Running { mean, variance: self.running_var.tensor().clone() };
        let Some(gathering) = gathering else {
            return batch_norm(x, &weight, &bias, residual, &running, settings);
        };
        let y = batch_norm_training(x, &weight, &bias, residual, &mut running, MOMENTUM, settings)?;
        let batches = add_scalar(self.num_batches_tracked.tensor(), 1.0)?;
        gathering.put(&self.running_mean, running.mean);
        gathering.put(&self.running_var, running.variance);
        gathering.put(&self.num_batches_tracked, batches);
        Ok(y)
    }
}

/// Where the statistics of a network are to move after a training pass. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathering(Arc<Mutex<HashMap<Id, Tensor>>>);

impl Gathering {
    fn put(&self, statistic: &Parameter, value: Tensor) {
        self.found().insert(statistic.tensor().id(), value);
    }

    /// What a training pass of `network` gives, after which the network's statistics move.
    pub(crate) fn training_pass<N: Module>(
        network: &mut N,
        pass: impl FnOnce(&N, &Self) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let gathering = Self::default();
        let y = pass(network, &gathering)?;
        gathering.apply(network);
        Ok(y)
    }

    /// Moves the statistics of the network that the pass ran through.
    fn apply(self, network: &mut impl Module) {
        let mut found = self.found();
        network.each_mut("", &mut |_, p| {
            if let Some(value) = found.remove(&p.tensor().id()) {
                p.set(value);
            }
        });
    }

    fn found(&self) -> std::sync::MutexGuard<'_, HashMap<Id, Tensor>> {
        // An insertion cannot be left half done, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What a training minimises, and what it is judged by.

use super::course::Course;
use crate::{Network, PassMode, Result};
use cellseg_core::{Rng, Tape, Tensor};
use serde::{Serialize, de::DeserializeOwned};

/// What one kind of training differs in from another. The steps, the optimiser, the best weights, checkpoints and observers are
/// those of [`super::trainer::Trainer`] for all kinds.
pub(super) trait Objective {
    /// What is trained.
    type Network: Network + ?Sized;
    /// The settings, which a checkpoint holds.
    type Config: Serialize + DeserializeOwned + PartialEq;
    /// What a step looks at.
    type Batch;
    /// What a checkpoint calls itself.
    const FORMAT: &'static str;

    fn config(&self) -> &Self::Config;

    fn course(&self) -> Course;

    /// The voxels `(z, y, x)` of each volume that is trained on.
    fn volumes(&self) -> Vec<[usize; 3]>;

    /// Whether there are labelled volumes to validate on.
    fn validates(&self) -> bool;

    /// What a step looks at, which depends on the random numbers only.
    fn draw(&self, rng: &mut Rng) -> Result<Self::Batch>;

    /// The loss of a step, counted from 0, recorded on `tape`. Statistics that the network gathers move on.
    fn loss(
        &self,
        network: &mut Self::Network,
        batch: &Self::Batch,
        tape: &Tape,
        mode: &PassMode,
        step: u64,
    ) -> Result<Loss>;

    /// The mean Dice score of the foreground over the labelled volumes, if there are any.
    fn dice(&self, network: &Self::Network) -> Result<Option<f64>>;
}

/// The loss of one step.
pub(super) struct Loss {
    /// What it is made of, unweighted.
    pub(super) terms: Vec<(&'static str, Tensor)>,
    pub(super) total: Tensor,
}

//! Training with labels: what is minimised, and how it is begun.

mod config;
mod foreground;
mod network;
mod patches;
mod split;

pub use config::SupervisedConfig;
pub use network::NetworkConfig;
pub use split::{Split, hold_out};

use super::{
    Checkpoint, LabelledVolume, Observer, Trained,
    course::Course,
    objective::{Loss, Objective},
    trainer::Trainer,
    validation::mean_dice,
};
use crate::{Error, Network, PassMode, Result, infer::Inference, losses::Overlap};
use cellseg_core::{Rng, Tape};
use patches::{Batch, LabelledPatches};

/// Trains a network on labelled volumes, from the weights that it has and where it lies. Labels are semantic or of instances:
/// 0 is background, and every other number foreground. The network with the best Dice score on `validation` is the result;
/// where it is empty a part of `volumes` is kept back for it, as [`SupervisedConfig::hold_out`] says.
///
/// The network has one channel, foreground by a sigmoid, or two, background and foreground by a softmax. A network that was
/// trained before, without labels or with others, is a good start; [`NetworkConfig::build`] makes a new one.
///
/// # Errors
/// [`crate::Error::Setting`] for settings out of range or of another network, [`crate::Error::Volume`] for a volume with
/// nothing in it, or whose labels measure otherwise or name no foreground or no background, or where none to validate on
/// holds foreground, [`crate::Error::Diverged`] where a loss stops being a
/// number, [`crate::Error::Store`] where the observer cannot store a checkpoint.
pub fn train_supervised<'a>(
    network: Box<dyn Network>,
    volumes: &[LabelledVolume<'a>],
    validation: &[LabelledVolume<'a>],
    config: &SupervisedConfig,
    observer: &mut dyn Observer,
) -> Result<Trained<Box<dyn Network>>> {
    let objective = Supervised::new(&*network, volumes, validation, config)?;
    Trainer::new(objective, network).run(observer)
}

/// Goes on from a checkpoint of [`train_supervised`], with its settings, on the same volumes. `network` is of the same
/// architecture; its weights are replaced by those of the checkpoint, and it trains where it lies.
///
/// # Errors
/// Those of [`train_supervised`], [`crate::Error::Checkpoint`] where the checkpoint is incomplete or of other volumes, and
/// [`crate::Error::Weights`] where its arrays do not fit the network of its settings.
pub fn resume_supervised<'a>(
    network: Box<dyn Network>,
    checkpoint: &Checkpoint,
    volumes: &[LabelledVolume<'a>],
    validation: &[LabelledVolume<'a>],
    observer: &mut dyn Observer,
) -> Result<Trained<Box<dyn Network>>> {
    let objective = Supervised::new(&*network, volumes, validation, &checkpoint.supervised_config()?)?;
    Trainer::resume(objective, network, checkpoint)?.run(observer)
}

/// Foreground and background as labels have them.
pub(super) struct Supervised<'a> {
    config: SupervisedConfig,
    patches: LabelledPatches<'a>,
    validation: Vec<LabelledVolume<'a>>,
}

impl<'a> Supervised<'a> {
    fn new(
        network: &dyn Network,
        volumes: &[LabelledVolume<'a>],
        validation: &[LabelledVolume<'a>],
        config: &SupervisedConfig,
    ) -> Result<Self> {
        config.validate_for(network)?;
        config.network.check(network)?;
        validation.iter().try_for_each(LabelledVolume::check)?;
        let (volumes, validation) = if validation.is_empty() && config.hold_out > 0.0 {
            hold_out(volumes, config.hold_out)?
        } else {
            (volumes.to_vec(), validation.to_vec())
        };
        let patches = LabelledPatches::new(&volumes, config, network.class_count())?;
        if let Some(first) =
            validation.first().filter(|_| !validation.iter().any(LabelledVolume::has_foreground))
        {
            let why = "no labelled volume for validation holds foreground; a network that finds nothing would be the \
                       best: give one that does, or set hold_out to 0 and give none";
            return Err(Error::volume(first.volume.name, why));
        }
        Ok(Supervised { patches, validation, config: config.clone() })
    }
}

impl Objective for Supervised<'_> {
    type Network = dyn Network;
    type Config = SupervisedConfig;
    type Batch = Batch;
    const FORMAT: &'static str = "cellseg supervised training checkpoint 1";

    fn config(&self) -> &SupervisedConfig {
        &self.config
    }

    fn course(&self) -> Course {
        self.config.course()
    }

    fn volumes(&self) -> Vec<[usize; 3]> {
        self.patches.extents()
    }

    fn validates(&self) -> bool {
        !self.validation.is_empty()
    }

    fn draw(&self, rng: &mut Rng) -> Result<Batch> {
        self.patches.draw(&self.config, rng)
    }

    fn loss(
        &self,
        network: &mut (dyn Network + 'static),
        batch: &Batch,
        tape: &Tape,
        mode: &PassMode,
        _: u64,
    ) -> Result<Loss> {
        let device = network.device();
        let logits = network.training_logits(&batch.image.to(&device)?.on(tape), mode)?;
        let overlap = Overlap { activation: network.activation(), ..Overlap::default() };
        let total = self.config.loss.of(&logits, &batch.target.to(&device)?, &overlap)?;
        Ok(Loss { terms: Vec::new(), total })
    }

    fn dice(&self, network: &dyn Network) -> Result<Option<f64>> {
        let settings = Inference { compute: self.config.compute, ..self.config.inference() };
        mean_dice(network, &self.validation, &settings)
    }
}

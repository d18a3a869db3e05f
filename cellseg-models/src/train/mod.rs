//! Training, without labels and with them.
//!
//! **Without labels** ([`train`]) the encoder's classes are judged by SoftNCuts: voxels that are alike and near each other
//! should be in one class. The decoder's painting is judged against the image: the classes must say what is where. Nothing
//! else is asked, and no label is needed; where labelled volumes are at hand they only choose the best step.
//!
//! **With labels** ([`train_supervised`]) any [`crate::Network`] learns to tell foreground from background, from patches that
//! meet foreground often enough, changed at random ([`crate::augment`]) so that few labels teach more, by a loss of
//! [`crate::losses`].
//!
//! The steps are the same for both, and so is what they promise. Every random number is a function of the seed and the step,
//! every sum has a fixed order: the same seed gives the same network bit by bit, for any number of threads, and training that
//! goes on from a [`Checkpoint`] on the same device gives the network that it would have given without the interruption.
//!
//! With a `compute` of half precision activations have that type; weights, moments, the softmax and all losses stay `f32`,
//! and with `f16` the loss is scaled so that gradients do not vanish.
//!
//! Departures from the original, and why: validation does not switch dropout off for the rest of training; sigma and
//! radius of SoftNCuts are those of the settings; gradients are not multiplied by the loss; the Dice score is that of the
//! foreground class; the checkpoint holds the optimiser. With labels: instance labels become foreground in validation, too,
//! and intensities are normalised as inference normalises them, by the whole volume.

mod checkpoint;
mod config;
mod course;
mod loss_scale;
mod objective;
mod observer;
mod optimiser;
mod patches;
mod self_supervised;
mod supervised;
mod trainer;
mod validation;

pub use checkpoint::Checkpoint;
pub use config::{Balance, NCuts, NCutsForm, Reconstruction, TrainConfig};
pub use observer::{Observer, StepReport, ValidationReport};
pub use supervised::{NetworkConfig, Split, SupervisedConfig, hold_out, resume_supervised, train_supervised};
pub use trainer::{End, Trained};
pub use validation::{LabelledVolume, dice};

use crate::{Result, VolumeView, WNet3d};
use cellseg_core::{Device, DeviceChoice};
use self_supervised::SelfSupervised;
use trainer::Trainer;

/// Trains a WNet3D on `volumes`, without labels. `validation` may be empty. The device is the one that `CELLSEG_DEVICE` names, or the
/// fastest where that is not set: see [`train_on`].
///
/// # Errors
/// [`crate::Error::Setting`] for settings out of range, [`crate::Error::Volume`] for a volume with nothing in it,
/// [`crate::Error::Diverged`] where a loss stops being a number, [`crate::Error::Store`] where the observer cannot store a
/// checkpoint.
pub fn train(
    volumes: &[VolumeView<'_>],
    validation: &[LabelledVolume<'_>],
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    train_on(&DeviceChoice::from_env()?.open()?, volumes, validation, config, observer)
}

/// [`train`] on a device of one's choice, which then holds the trained network.
///
/// # Errors
/// Those of [`train`].
pub fn train_on(
    device: &Device,
    volumes: &[VolumeView<'_>],
    validation: &[LabelledVolume<'_>],
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    let objective = SelfSupervised::new(volumes, validation, config)?;
    let network = WNet3d::new(&config.network, config.seed)?.to(device)?;
    Ok(Trainer::new(objective, Box::new(network)).run(observer)?.unboxed())
}

/// Goes on from a checkpoint of [`train`], with its settings, on the same volumes. The device need not be that of the checkpoint, and is
/// chosen as by [`train`].
///
/// # Errors
/// Those of [`train`], and [`crate::Error::Checkpoint`] where the checkpoint is incomplete or of other volumes.
pub fn resume(
    checkpoint: &Checkpoint,
    volumes: &[VolumeView<'_>],
    validation: &[LabelledVolume<'_>],
    observer: &mut dyn Observer,
) -> Result<Trained> {
    resume_on(&DeviceChoice::from_env()?.open()?, checkpoint, volumes, validation, observer)
}

/// [`resume`] on a device of one's choice.
///
/// # Errors
/// Those of [`resume`].
pub fn resume_on(
    device: &Device,
    checkpoint: &Checkpoint,
    volumes: &[VolumeView<'_>],
    validation: &[LabelledVolume<'_>],
    observer: &mut dyn Observer,
) -> Result<Trained> {
    let config = checkpoint.config()?;
    let objective = SelfSupervised::new(volumes, validation, &config)?;
    let network = WNet3d::new(&config.network, config.seed)?.to(device)?;
    Ok(Trainer::resume(objective, Box::new(network), checkpoint)?.run(observer)?.unboxed())
}

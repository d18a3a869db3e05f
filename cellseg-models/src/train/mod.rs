//! Training without labels.
//!
//! The encoder's classes are judged by SoftNCuts: voxels that are alike and near each other should be in one class. The
//! decoder's painting is judged against the image: the classes must say what is where. Nothing else is asked, and no
//! label is needed; where labelled volumes are at hand they only choose the best step.
//!
//! Every random number is a function of the seed and the step, every sum has a fixed order: the same seed gives the same
//! network bit by bit, for any number of threads, and training that goes on from a [`Checkpoint`] on the same device gives
//! the network that it would have given without the interruption.
//!
//! With [`TrainConfig::compute`] in a half precision activations have that type; weights, moments, the softmax and all
//! losses stay `f32`, and with `f16` the loss is scaled so that gradients do not vanish.
//!
//! Departures from the original, and why: validation does not switch dropout off for the rest of training; sigma and
//! radius of SoftNCuts are those of the settings; gradients are not multiplied by the loss; the Dice score is that of the
//! foreground class; the checkpoint holds the optimiser.

mod checkpoint;
mod config;
mod loss_scale;
mod objective;
mod observer;
mod optimiser;
mod patches;
mod symmetry;
mod trainer;
mod validation;

pub use checkpoint::Checkpoint;
pub use config::{Balance, NCuts, NCutsForm, Reconstruction, TrainConfig};
pub use observer::{Observer, StepReport, ValidationReport};
pub use trainer::{End, Trained};
pub use validation::{LabelledVolume, dice};

use crate::{Result, VolumeView};
use cellseg_core::{Device, DeviceChoice};
use trainer::Trainer;

/// Trains a network on `volumes`. `validation` may be empty. The device is the one that `CELLSEG_DEVICE` names, or the
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
    Trainer::new(device, volumes, validation, config)?.run(observer)
}

/// Goes on from a checkpoint, with its settings, on the same volumes. The device need not be that of the checkpoint, and is
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
    Trainer::resume(device, checkpoint, volumes, validation)?.run(observer)
}

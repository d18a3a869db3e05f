//! Training on volumes as they are read from files.

use crate::{Result, segmenter::view};
use cellseg_core::Device;
use cellseg_io::Volume;
use cellseg_models::{
    VolumeView,
    train::{self, Checkpoint, LabelledVolume, Observer, TrainConfig, Trained},
};

/// A volume and its labels, which are not learnt from: they only tell which step was best.
pub type Validation = (Volume<f32>, Volume<u32>);

/// Trains WNet3D on volumes without labels. `validation` may be empty. The device is the one that `CELLSEG_DEVICE` names, or
/// the fastest where that is not set; see [`train_on`].
///
/// # Errors
/// Settings out of range, a volume with nothing in it, a loss that stops being a number, a checkpoint that `observer` could
/// not store.
pub fn train(
    volumes: &[Volume<f32>],
    validation: &[Validation],
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    Ok(train::train(&views(volumes), &labelled(validation), config, observer)?)
}

/// [`train()`] on a device of one's choice.
///
/// # Errors
/// Those of [`train()`].
pub fn train_on(
    device: &Device,
    volumes: &[Volume<f32>],
    validation: &[Validation],
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    Ok(train::train_on(device, &views(volumes), &labelled(validation), config, observer)?)
}

/// Goes on from a checkpoint with its settings, on the same volumes, as if training had never been interrupted.
///
/// # Errors
/// Those of [`train()`], and a checkpoint that is incomplete or of other volumes.
pub fn resume(
    checkpoint: &Checkpoint,
    volumes: &[Volume<f32>],
    validation: &[Validation],
    observer: &mut dyn Observer,
) -> Result<Trained> {
    Ok(train::resume(checkpoint, &views(volumes), &labelled(validation), observer)?)
}

/// [`resume`] on a device of one's choice, which need not be that of the checkpoint.
///
/// # Errors
/// Those of [`resume`].
pub fn resume_on(
    device: &Device,
    checkpoint: &Checkpoint,
    volumes: &[Volume<f32>],
    validation: &[Validation],
    observer: &mut dyn Observer,
) -> Result<Trained> {
    Ok(train::resume_on(device, checkpoint, &views(volumes), &labelled(validation), observer)?)
}

fn views(volumes: &[Volume<f32>]) -> Vec<VolumeView<'_>> {
    volumes.iter().map(view).collect()
}

fn labelled(validation: &[Validation]) -> Vec<LabelledVolume<'_>> {
    validation.iter().map(|(v, l)| LabelledVolume { volume: view(v), labels: l.data.view() }).collect()
}

//! Training on volumes as they are read from files.

use crate::{Result, segmenter::view};
use cellseg_io::Volume;
use cellseg_models::{
    VolumeView,
    train::{self, Checkpoint, LabelledVolume, Observer, TrainConfig, Trained},
};

/// A volume and its labels, which are not learnt from: they only tell which step was best.
pub type Validation = (Volume<f32>, Volume<u32>);

/// Trains WNet3D on volumes without labels. `validation` may be empty.
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

fn views(volumes: &[Volume<f32>]) -> Vec<VolumeView<'_>> {
    volumes.iter().map(view).collect()
}

fn labelled(validation: &[Validation]) -> Vec<LabelledVolume<'_>> {
    validation.iter().map(|(v, l)| LabelledVolume { volume: view(v), labels: l.data.view() }).collect()
}

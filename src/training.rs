//! Training on volumes as they are read from files.

use crate::{Result, segmenter::view};
use cellseg_core::Device;
use cellseg_io::Volume;
use cellseg_models::{
    Network, VolumeView,
    train::{self, Checkpoint, LabelledVolume, Observer, SupervisedConfig, TrainConfig, Trained},
};

/// A volume and its labels: 0 is background.
pub type Labelled = (Volume<f32>, Volume<u32>);

/// Trains WNet3D on volumes without labels. `validation` is not learnt from, it only tells which step was best, and may be
/// empty. The device is the one that `CELLSEG_DEVICE` names, or
/// the fastest where that is not set; see [`train_on`].
///
/// # Errors
/// Settings out of range, a volume with nothing in it, a loss that stops being a number, a checkpoint that `observer` could
/// not store.
pub fn train(
    volumes: &[Volume<f32>],
    validation: &[Labelled],
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
    validation: &[Labelled],
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
    validation: &[Labelled],
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
    validation: &[Labelled],
    observer: &mut dyn Observer,
) -> Result<Trained> {
    Ok(train::resume_on(device, checkpoint, &views(volumes), &labelled(validation), observer)?)
}

/// Trains a network on labelled volumes, from the weights that it has and where it lies: see [`train::train_supervised`]. Where
/// `validation` is empty a part of `volumes` is kept back for it.
///
/// ```no_run
/// use cellseg::{io, models::train::SupervisedConfig, train_supervised};
/// let labelled = [(io::read_volume("brain.tif")?, io::read_labels("brain_labels.tif")?)];
/// let config = SupervisedConfig::default();
/// let network = config.network.build(config.seed)?;
/// let trained = train_supervised(network, &labelled, &[], &config, &mut ())?;
/// # Ok::<(), cellseg::Error>(())
/// ```
///
/// # Errors
/// Settings out of range, labels of another shape, labels without foreground or without background, a volume with nothing in
/// it, a loss that stops being a number, a checkpoint that `observer` could not store.
pub fn train_supervised(
    network: Box<dyn Network>,
    volumes: &[Labelled],
    validation: &[Labelled],
    config: &SupervisedConfig,
    observer: &mut dyn Observer,
) -> Result<Trained<Box<dyn Network>>> {
    Ok(train::train_supervised(network, &labelled(volumes), &labelled(validation), config, observer)?)
}

/// Goes on from a checkpoint of [`train_supervised`] with its settings, on the same volumes, as if training had never been
/// interrupted. `network` is of the same architecture; its weights are replaced.
///
/// # Errors
/// Those of [`train_supervised`], and a checkpoint that is incomplete, of other volumes, or of another network.
pub fn resume_supervised(
    network: Box<dyn Network>,
    checkpoint: &Checkpoint,
    volumes: &[Labelled],
    validation: &[Labelled],
    observer: &mut dyn Observer,
) -> Result<Trained<Box<dyn Network>>> {
    Ok(train::resume_supervised(network, checkpoint, &labelled(volumes), &labelled(validation), observer)?)
}

fn views(volumes: &[Volume<f32>]) -> Vec<VolumeView<'_>> {
    volumes.iter().map(view).collect()
}

fn labelled(pairs: &[Labelled]) -> Vec<LabelledVolume<'_>> {
    pairs.iter().map(|(v, l)| LabelledVolume { volume: view(v), labels: l.data.view() }).collect()
}

//! Networks and checkpoints in files.

use crate::{Error, Result};
use cellseg_io::{Overwrite, Weights};
use cellseg_models::{
    Network, WNet3d,
    infer::Inference,
    network_of,
    train::{Checkpoint, NetworkConfig, SupervisedConfig},
    weights,
};
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// Where a weight file says how the network is to be used.
const INFERENCE: &str = "inference";
/// Where it says which network it is of, and how large, where it was trained with labels: weights do not tell all of it.
const NETWORK: &str = "network";

/// Reads a network, and how it is to be used, from safetensors, from a training checkpoint, or from a PyTorch `.pth` file
/// with the state dict of one of CellSeg3D's networks. Which network it is, is told by the names of the weights, and its size
/// by their shapes. A file that does not say how its network was trained gets the default [`Inference`].
///
/// # Errors
/// A file that cannot be read, or holds the weights of another network: the error names the first tensor that does not
/// fit.
pub fn read_network(path: impl AsRef<Path>) -> Result<(Box<dyn Network>, Inference)> {
    let file = Weights::open(path)?;
    if file.metadata.contains_key("format") {
        return Ok(Checkpoint::from_parts(file.tensors, file.metadata)?.network_and_use()?);
    }
    let network = match said::<NetworkConfig>(&file, NETWORK)? {
        Some(config) => config.with_weights(&file.tensors)?,
        None => network_of(&file.tensors, &file.metadata)?,
    };
    Ok((network, said(&file, INFERENCE)?.unwrap_or_default()))
}

/// [`read_network`] where only a WNet3D will do: with its decoder, if the file holds one.
///
/// # Errors
/// Those of [`read_network`].
pub fn read_wnet3d(path: impl AsRef<Path>) -> Result<(WNet3d, Inference)> {
    let file = Weights::open(path)?;
    if file.metadata.contains_key("format") {
        let checkpoint = Checkpoint::from_parts(file.tensors, file.metadata)?;
        return Ok((checkpoint.network()?, checkpoint.inference()?));
    }
    Ok((WNet3d::from_state(&file.tensors)?, said(&file, INFERENCE)?.unwrap_or_default()))
}

/// Writes the weights of a network as safetensors, with how it is to be used; for one that was trained with labels there is
/// [`write_supervised`].
///
/// # Errors
/// A file that cannot be written, or exists and is not to be replaced.
pub fn write_network(
    path: impl AsRef<Path>,
    network: &dyn Network,
    inference: &Inference,
    overwrite: Overwrite,
) -> Result<()> {
    write(path, network, [(INFERENCE, text(inference)?)], overwrite)
}

/// Writes a network that was trained with labels as safetensors, with how it is to be used and what [`read_network`] must know
/// to build it.
///
/// # Errors
/// A file that cannot be written, or exists and is not to be replaced.
pub fn write_supervised(
    path: impl AsRef<Path>,
    network: &dyn Network,
    config: &SupervisedConfig,
    overwrite: Overwrite,
) -> Result<()> {
    let said = [(INFERENCE, text(&config.inference())?), (NETWORK, text(&config.network)?)];
    write(path, network, said, overwrite)
}

/// Reads a training checkpoint.
///
/// # Errors
/// A file that cannot be read, or holds weights without the state of a training.
pub fn read_checkpoint(path: impl AsRef<Path>) -> Result<Checkpoint> {
    let file = Weights::open(path)?;
    Ok(Checkpoint::from_parts(file.tensors, file.metadata)?)
}

/// Writes a training checkpoint. The file that was there before is replaced only when the new one is complete.
///
/// # Errors
/// A file that cannot be written.
pub fn write_checkpoint(path: impl AsRef<Path>, checkpoint: &Checkpoint) -> Result<()> {
    let file = Weights { tensors: checkpoint.arrays().clone(), metadata: checkpoint.metadata().clone() };
    file.save(path, Overwrite::Replace)?;
    Ok(())
}

fn write<const N: usize>(
    path: impl AsRef<Path>,
    network: &dyn Network,
    said: [(&str, String); N],
    overwrite: Overwrite,
) -> Result<()> {
    let mut metadata = network.settings();
    metadata.extend([
        ("architecture".to_owned(), network.architecture().to_owned()),
        ("producer".to_owned(), concat!("cellseg ", env!("CARGO_PKG_VERSION")).to_owned()),
    ]);
    metadata.extend(said.map(|(key, text)| (key.to_owned(), text)));
    Weights { tensors: weights::state(network)?, metadata }.save(path, overwrite)?;
    Ok(())
}

fn text(settings: &impl Serialize) -> Result<String> {
    serde_json::to_string(settings)
        .map_err(|e| Error::usage(format!("the settings of the network cannot be written: {e}")))
}

/// What a weight file's metadata say, where they say it.
fn said<T: DeserializeOwned>(file: &Weights, key: &str) -> Result<Option<T>> {
    let unreadable = |e| Error::usage(format!("the weights' metadata `{key}` cannot be read: {e}"));
    file.metadata.get(key).map(|json| serde_json::from_str(json).map_err(unreadable)).transpose()
}

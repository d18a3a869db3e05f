//! Networks and checkpoints in files.

use crate::{Error, Result};
use cellseg_io::{Overwrite, Weights};
use cellseg_models::{Network, WNet3d, infer::Inference, train::Checkpoint, weights};
use std::{collections::BTreeMap, path::Path};

/// Where a weight file says how the network is to be used.
const INFERENCE: &str = "inference";

/// Reads a network, and how it is to be used, from safetensors, from a training checkpoint, or from a PyTorch `.pth` file
/// with the state dict of CellSeg3D's WNet3D. The network's width is read from the weights. A file that does not say how
/// its network was trained gets the default [`Inference`].
///
/// # Errors
/// A file that cannot be read, or holds the weights of another network: the error names the first tensor that does not
/// fit.
pub fn read_network(path: impl AsRef<Path>) -> Result<(WNet3d, Inference)> {
    let file = Weights::open(path)?;
    if file.metadata.contains_key("format") {
        let checkpoint = Checkpoint::from_parts(file.tensors, file.metadata)?;
        return Ok((checkpoint.network()?, checkpoint.inference()?));
    }
    let inference = match file.metadata.get(INFERENCE) {
        Some(json) => serde_json::from_str(json)
            .map_err(|e| Error::usage(format!("the weights' metadata `{INFERENCE}` cannot be read: {e}")))?,
        None => Inference::default(),
    };
    Ok((WNet3d::from_state(&file.tensors)?, inference))
}

/// Writes a network as safetensors, with how it is to be used.
///
/// # Errors
/// A file that cannot be written, or exists and is not to be replaced.
pub fn write_network(
    path: impl AsRef<Path>,
    network: &dyn Network,
    inference: &Inference,
    overwrite: Overwrite,
) -> Result<()> {
    let inference = serde_json::to_string(inference)
        .map_err(|e| Error::usage(format!("the inference settings cannot be written: {e}")))?;
    let metadata = BTreeMap::from([
        ("architecture".to_owned(), network.architecture().to_owned()),
        (INFERENCE.to_owned(), inference),
        ("producer".to_owned(), concat!("cellseg ", env!("CARGO_PKG_VERSION")).to_owned()),
    ]);
    Weights { tensors: weights::state(network)?, metadata }.save(path, overwrite)?;
    Ok(())
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

//! PyTorch checkpoints: a zip archive with a pickle `data.pkl` and one entry `data/KEY` for each storage.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use ndarray::{ArrayD, IxDyn};
use zip::{CompressionMethod, ZipArchive};

use super::{
    Weights, pickle,
    safetensors::not_in_f32,
    state::{Graph, Walk},
    view::{Bad, View},
};
use crate::{Error, Result};

/// Longer than any real `data.pkl`, which takes some 150 bytes a tensor.
const LONGEST_PICKLE: u64 = 16 << 20;

const SAVE_STATE_DICT: &str =
    "open it in Python and save the state_dict alone: torch.save(model.state_dict(), path)";

/// Reads a checkpoint.
pub(super) fn open(path: &Path, file: File) -> Result<Weights> {
    let file_bytes = file.metadata().map_err(|e| Error::read(path, e))?.len();
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| zip_error(path, e))?;
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let Some(pickle_name) = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
    else {
        return Err(Error::unsupported(path, "a zip archive without PyTorch's data.pkl", SAVE_STATE_DICT));
    };
    let folder = pickle_name.trim_end_matches("data.pkl");
    if names.iter().any(|name| name.strip_prefix(folder).is_some_and(|name| name == "constants.pkl")) {
        return Err(Error::unsupported(
            path,
            "a TorchScript archive, which holds a program",
            SAVE_STATE_DICT,
        ));
    }
    let byte_order = format!("{folder}byteorder");
    if names.contains(&byte_order) && entry(path, &mut archive, &byte_order, 16)? == b"big" {
        return Err(Error::unsupported(
            path,
            "a checkpoint of a big-endian machine",
            "save it on another machine",
        ));
    }
    let bytes = entry(path, &mut archive, pickle_name, LONGEST_PICKLE)?;
    let (nodes, root) =
        pickle::parse(&bytes).map_err(|problem| match problem.strip_prefix("its pickle wants") {
            Some(_) => Error::unsupported(
                path,
                format!("a file that is more than weights ({problem})"),
                SAVE_STATE_DICT,
            ),
            None => Error::corrupt(path, problem),
        })?;
    let graph = Graph { nodes: &nodes };
    let state = graph.state(root);
    let views = Walk::through(graph, state).map_err(|problem| Error::corrupt(path, problem))?;
    let views = without_data_parallel(views);
    if views.is_empty() {
        return Err(Error::unsupported(path, "a PyTorch file that holds no tensors", SAVE_STATE_DICT));
    }
    let tensors = load(path, &mut archive, folder, views, file_bytes)?;
    Ok(Weights { tensors, metadata: graph.settings(root) })
}

fn zip_error(path: &Path, error: zip::result::ZipError) -> Error {
    Error::corrupt(path, format!("as a zip archive: {error}"))
}

/// The bytes of an uncompressed entry of at most `limit` bytes.
fn entry(path: &Path, archive: &mut ZipArchive<BufReader<File>>, name: &str, limit: u64) -> Result<Vec<u8>> {
    let entry = archive.by_name(name).map_err(|e| Error::corrupt(path, format!("{name}: {e}")))?;
    // PyTorch never compresses; what unpacks could be far longer than the file.
    if entry.compression() != CompressionMethod::Stored {
        return Err(Error::unsupported(path, format!("a compressed {name}"), SAVE_STATE_DICT));
    }
    if entry.size() > limit {
        let problem = format!("{name} claims {} bytes, more than the {limit} that can be", entry.size());
        return Err(Error::corrupt(path, problem));
    }
    let mut bytes = Vec::new();
    entry.take(limit).read_to_end(&mut bytes).map_err(|e| Error::corrupt(path, format!("{name}: {e}")))?;
    Ok(bytes)
}

/// Drops the prefix of `torch.nn.DataParallel`, if all names have it.
fn without_data_parallel(views: BTreeMap<String, View>) -> BTreeMap<String, View> {
    const PREFIX: &str = "module.";
    if !views.keys().all(|name| name.starts_with(PREFIX)) {
        return views;
    }
    views.into_iter().map(|(name, view)| (name[PREFIX.len()..].to_owned(), view)).collect()
}

/// Reads each storage once, and makes the tensors of it.
fn load(
    path: &Path,
    archive: &mut ZipArchive<BufReader<File>>,
    folder: &str,
    views: BTreeMap<String, View>,
    file_bytes: u64,
) -> Result<BTreeMap<String, ArrayD<f32>>> {
    // Views can share and repeat values: allow for some of that, but not for a file that unfolds without end.
    let mut budget = file_bytes.saturating_mul(8).saturating_add(16 << 20);
    let mut by_storage: BTreeMap<String, Vec<(String, View)>> = BTreeMap::new();
    for (name, view) in views {
        let needed = view.count().and_then(|count| count.checked_mul(size_of::<f32>()));
        let left = needed.and_then(|needed| budget.checked_sub(needed as u64));
        budget = left.ok_or_else(|| {
            let problem = format!("tensor {name} of shape {:?} is larger than the file can mean", view.shape);
            Error::corrupt(path, problem)
        })?;
        by_storage.entry(view.storage.clone()).or_default().push((name, view));
    }
    let mut tensors = BTreeMap::new();
    for (storage, views) in by_storage {
        let bytes = entry(path, archive, &format!("{folder}data/{storage}"), file_bytes)?;
        for (name, view) in views {
            let values = view.values(&bytes).map_err(|problem| match problem {
                Bad::Layout(problem) => Error::corrupt(path, format!("tensor {name} {problem}")),
                Bad::Value(value) => not_in_f32(path, &name, &value),
            })?;
            let array = ArrayD::from_shape_vec(IxDyn(&view.shape), values)
                .map_err(|e| Error::corrupt(path, format!("tensor {name}: {e}")))?;
            tensors.insert(name, array);
        }
    }
    Ok(tensors)
}

//! Weights of networks: named arrays, and text about them.

mod element;
mod pickle;
mod pytorch;
mod safetensors;
mod state;
mod view;

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use ndarray::ArrayD;

use crate::{Error, Overwrite, Result};

/// Named arrays of `f32` with text metadata, as a training run leaves them and a network loads them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// The arrays by name, such as `encoder.0.conv.weight`.
    pub tensors: BTreeMap<String, ArrayD<f32>>,
    /// Free text by key: the architecture, settings, counters.
    pub metadata: BTreeMap<String, String>,
}

impl Weights {
    /// Reads weights, whose kind is told from the content: safetensors, or a PyTorch checkpoint
    /// (`torch.save`, since 1.6).
    ///
    /// `f32` values keep their bits; `f16`, `bf16` and integers are widened; `f64` is rounded to the nearest
    /// `f32`. Nothing in a PyTorch file is ever executed: its pickle can build named arrays and nothing else.
    ///
    /// From a PyTorch checkpoint of several parts, the model's state is taken: the only part that holds
    /// tensors, or the one named `state_dict`, `model_state_dict`, `model` or `net`. A prefix `module.` that
    /// all names share (`torch.nn.DataParallel`) is dropped. Numbers and short texts beside the state become
    /// metadata.
    ///
    /// # Errors
    /// [`Error::Read`] if the file cannot be opened; [`Error::Unsupported`] if it is of another kind, or an
    /// older or whole-module pickle, or holds no tensors; [`Error::Corrupt`] if it is damaged or hostile;
    /// [`Error::Conversion`] if an integer or `f64` is beyond `f32`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let read_error = |e| Error::read(path, e);
        if path.is_dir() {
            return Err(Error::unsupported(path, "a folder", "name the file of weights in it"));
        }
        let mut head = Vec::new();
        let mut file = File::open(path).map_err(read_error)?;
        file.by_ref().take(9).read_to_end(&mut head).map_err(read_error)?;
        match *head.as_slice() {
            [] => Err(Error::corrupt(path, "the file is empty")),
            [b'P', b'K', 3, 4, ..] => pytorch::open(path, file),
            [_, _, _, _, _, _, _, _, b'{'] => safetensors::open(path, file),
            [0x80, 2..=5, ..] => Err(Error::unsupported(
                path,
                "a pickle, as PyTorch wrote before its version 1.6",
                "open it in Python with torch.load(weights_only=True), and torch.save its state_dict again",
            )),
            [0x1f, 0x8b, ..] => Err(Error::unsupported(path, "a gzip archive", "unpack it first (tar -xzf)")),
            _ => Err(Error::unsupported(
                path,
                "a file that is neither safetensors nor a PyTorch checkpoint",
                "save the network's state_dict with torch.save or safetensors",
            )),
        }
    }

    /// Writes a safetensors file: every bit of every value kept, the same bytes for the same weights.
    ///
    /// # Errors
    /// As [`AtomicFile::create`](crate::AtomicFile::create) and
    /// [`AtomicFile::commit`](crate::AtomicFile::commit), and [`Error::Argument`] for a tensor named
    /// `__metadata__`, which the format reserves.
    pub fn save(&self, path: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        safetensors::save(path.as_ref(), self, overwrite)
    }

    /// The tensors whose names start with `prefix` and a dot, without them; the metadata as they are.
    pub fn under(&self, prefix: &str) -> Self {
        let inside = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
        let tensors =
            self.tensors.iter().filter_map(|(name, array)| Some((inside(name)?, array.clone()))).collect();
        Self { tensors, metadata: self.metadata.clone() }
    }
}

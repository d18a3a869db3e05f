//! All settings in one file.

use crate::{Error, Result};
use cellseg_io::{Overwrite, atomic_write, synth::SynthOptions};
use cellseg_models::{
    infer::Inference,
    train::{SupervisedConfig, TrainConfig},
};
use cellseg_post::InstanceOptions;
use serde::{Deserialize, Serialize};
use std::{io::Write, path::Path};

/// All settings of a run: what `--config run.toml` reads, and what is written beside each output.
///
/// Every section and every setting may be absent and has its default then; a name that is not known is an error.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Voxel spacing `(z, y, x)` in micrometres, in place of what the files say.
    pub spacing_um: Option<[f64; 3]>,
    /// How a network is trained without labels.
    pub train: TrainConfig,
    /// How a network is trained with labels.
    pub supervised: SupervisedConfig,
    /// How a network is used, in place of how its weights say that it was trained.
    pub inference: Option<Inference>,
    /// How cells are found in the map that a network makes.
    pub instances: InstanceOptions,
    /// What a synthetic volume looks like.
    pub synth: SynthOptions,
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// A file that cannot be read, is no TOML, or holds a name or a value that is not known: the error names the line.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::usage(format!("cannot read the settings in {}: {e}", path.display())))?;
        toml::from_str(&text).map_err(|e| Error::usage(format!("the settings in {}: {e}", path.display())))
    }

    /// Writes a TOML file.
    ///
    /// # Errors
    /// A file that cannot be written, or exists and is not to be replaced.
    pub fn write(&self, path: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        let text = toml::to_string_pretty(self)
            .map_err(|e| Error::usage(format!("the settings cannot be written as TOML: {e}")))?;
        atomic_write(path, overwrite, |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }
}

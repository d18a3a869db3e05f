//! The settings file that commands take.

use super::Result;
use cellseg::{
    Config,
    io::{Spacing, Volume, read_volume},
};
use std::path::{Path, PathBuf};

/// Where settings come from: a file, overruled by options of the command line.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// All settings, as TOML; options of the command line overrule it. Every run writes such a file beside its output
    #[arg(long, value_name = "RUN.TOML")]
    config: Option<PathBuf>,
    /// Voxel spacing in micrometres, in place of what the file says
    #[arg(long, value_name = "Z,Y,X")]
    spacing: Option<Spacing>,
}

impl Settings {
    /// Whether a settings file was given.
    pub(crate) fn has_file(&self) -> bool {
        self.config.is_some()
    }

    /// The file's settings, or the defaults, with the spacing of the command line.
    pub(crate) fn read(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        config.spacing_um = self.spacing.map(Spacing::zyx).or(config.spacing_um);
        Ok(config)
    }
}

/// Reads a volume, with the spacing of the settings where they have one. Errors call it by its path.
pub(crate) fn read(path: &Path, config: &Config) -> Result<Volume<f32>> {
    let mut volume = with_spacing(read_volume(path)?, config)?;
    volume.name = path.display().to_string();
    Ok(volume)
}

/// Gives a volume the spacing of the settings, where they have one.
pub(crate) fn with_spacing<T>(volume: Volume<T>, config: &Config) -> Result<Volume<T>> {
    Ok(Volume { spacing: spacing(volume.spacing, config)?, ..volume })
}

/// The spacing of the settings, or where they have none that of the file.
pub(crate) fn spacing(of_file: Option<Spacing>, config: &Config) -> Result<Option<Spacing>> {
    Ok(config.spacing_um.map(Spacing::new).transpose()?.or(of_file))
}

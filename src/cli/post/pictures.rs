//! Pictures of volumes and labels.

use super::{read_image, read_labels, same_shape};
use crate::cli::{Common, Outcome, Result, settings::Settings};
use cellseg::io::preview::{PreviewOptions, preview, write_png};
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Overlay {
    /// A volume (z, y, x): TIFF or NPY
    image: PathBuf,
    /// Labels of the same shape
    labels: PathBuf,
    /// Where the picture goes (.png): the volume from three sides, with outlines beside
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct Picture {
    picture: PathBuf,
}

impl Overlay {
    pub(super) fn run(self) -> Result<Outcome> {
        self.common.refuse_existing([&*self.output])?;
        let image = read_image(&self.image, &self.settings)?;
        let labels = read_labels(&self.labels, &self.settings)?;
        same_shape((&self.image, image.shape()), (&self.labels, labels.shape()))?;
        let spacing = image.spacing.or(labels.spacing);
        let (voxels, ids) = (image.data.view(), labels.data.view());
        let picture = preview(voxels, Some(ids), spacing, &PreviewOptions::default())?;
        write_png(&self.output, picture, self.common.overwrite())?;
        let report = Picture { picture: self.output };
        self.common.report(&report, |out| writeln!(out, "{}", report.picture.display()))?;
        Ok(Outcome::Done)
    }
}

//! `cellseg synth`: a synthetic volume with its true labels.

use super::{Common, Outcome, Result, files, settings::Settings};
use cellseg::io::{Spacing, Volume, synth::generate, write_labels, write_volume};
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Where the volume goes (.tif or .npy)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Where its true labels go; by default beside the volume, with `_labels` in the name
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Seed of all randomness
    #[arg(long)]
    seed: Option<u64>,
    /// Voxels of the volume
    #[arg(long, value_name = "Z,Y,X", value_parser = files::shape)]
    shape: Option<[usize; 3]>,
    /// How many nuclei to place
    #[arg(long)]
    nuclei: Option<usize>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct Report {
    volume: PathBuf,
    labels: PathBuf,
    shape: [usize; 3],
    spacing_um: [f64; 3],
    cells: usize,
}

pub(super) fn run(args: Args) -> Result<Outcome> {
    let mut config = args.settings.read()?;
    config.synth.seed = args.seed.unwrap_or(config.synth.seed);
    config.synth.shape = args.shape.unwrap_or(config.synth.shape);
    config.synth.nuclei = args.nuclei.unwrap_or(config.synth.nuclei);
    config.synth.spacing_um = config.spacing_um.unwrap_or(config.synth.spacing_um);
    let labels = args.labels.unwrap_or_else(|| files::insert_suffix(&args.output, "_labels"));
    let settings = files::replace_extension(&args.output, ".run.toml");
    args.common.refuse_existing([&*args.output, &*labels, &*settings])?;

    let made = generate(&config.synth)?;
    let spacing = Spacing::new(config.synth.spacing_um)?;
    let cells = made.nuclei.len();
    let overwrite = args.common.overwrite();
    write_volume(&args.output, &Volume::new(made.image, "synthetic").with_spacing(spacing), overwrite)?;
    write_labels(&labels, &Volume::new(made.labels, "synthetic labels").with_spacing(spacing), overwrite)?;
    config.write(&settings, overwrite)?;

    let report = Report {
        volume: args.output,
        labels,
        shape: config.synth.shape,
        spacing_um: config.synth.spacing_um,
        cells,
    };
    args.common.report(&report, |out| {
        let [z, y, x] = report.shape;
        writeln!(out, "{cells} nuclei in {z} x {y} x {x} voxels")?;
        writeln!(out, "volume: {}\nlabels: {}", report.volume.display(), report.labels.display())
    })?;
    Ok(Outcome::Done)
}

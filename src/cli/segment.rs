//! `cellseg segment`: raw volumes to instance labels, statistics and previews.

use super::{
    Common, Outcome, Result,
    computing::Computing,
    files, interrupt, progress,
    settings::{self, Settings},
};
use cellseg::{
    Config, Error, Segmentation, Segmenter,
    io::{Overwrite, TableFormat, write_labels, write_volume},
    models::{
        self,
        infer::{Compat, Progress},
    },
    post::{Method, Threshold, WatershedSeeds},
};
use indicatif::ProgressBar;
use serde::Serialize;
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// A volume (z, y, x), TIFF or NPY, or a folder of volumes
    input: PathBuf,
    /// Weights of any of the networks: safetensors, a training checkpoint, or a PyTorch .pth file. Their names tell which
    /// network it is
    #[arg(short, long, value_name = "FILE")]
    weights: PathBuf,
    /// Where the labels go (.tif or .npy); a folder where the input is one
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Where the map of the foreground goes (.tif or .npy)
    #[arg(long, value_name = "FILE")]
    probabilities: Option<PathBuf>,
    /// Where the table of cells goes (.csv, or .parquet where the program was built with it)
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// For a folder of volumes: the kind of their tables; a single one is named by --stats
    #[arg(long, value_enum, requires = "stats")]
    stats_format: Option<TableName>,
    /// Where a picture of the volume with the cells' outlines goes (.png)
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,
    /// How touching cells are told apart
    #[arg(long, value_enum)]
    method: Option<MethodName>,
    /// The least probability of foreground; by default found from the map (Otsu), and 0.5 for SwinUNETR, SegResNet, VNet and
    /// TRAILMAP
    #[arg(long, value_name = "0..1")]
    threshold: Option<f32>,
    /// Voxels of a window along each axis, a multiple of 8, of 16 for VNet and of 32 for SwinUNETR
    #[arg(long, value_name = "VOXELS")]
    window: Option<usize>,
    /// Share of a window that the next one covers again
    #[arg(long, value_name = "0..1")]
    overlap: Option<f64>,
    /// Reproduce the maps of CellSeg3D, which scales each window by its own range
    #[arg(long)]
    cellseg3d: bool,
    #[command(flatten)]
    computing: Computing,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum MethodName {
    Peaks,
    VoronoiOtsu,
    Watershed,
    Components,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum TableName {
    Csv,
    Parquet,
}

/// Where everything about one volume goes.
struct Outputs {
    labels: PathBuf,
    probabilities: Option<PathBuf>,
    stats: Option<PathBuf>,
    preview: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    input: PathBuf,
    labels: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<PathBuf>,
    cells: u32,
    physical_units: bool,
    device: String,
    seconds: f64,
}

pub(super) fn run(args: Args) -> Result<Outcome> {
    let inputs = files::volumes(&args.input)?;
    let many = args.input.is_dir();
    if !many && args.stats_format.is_some() {
        let why =
            "--stats-format is for folders; name the table of a single volume .csv or .parquet with --stats";
        return Err(Error::usage(why));
    }
    let outputs: Vec<Outputs> = inputs.iter().map(|input| args.outputs(input, many)).collect();
    for table in outputs.iter().filter_map(|outputs| outputs.stats.as_ref()) {
        TableFormat::of(table)?;
    }
    if many {
        let folders =
            [Some(&args.output), args.probabilities.as_ref(), args.stats.as_ref(), args.preview.as_ref()];
        folders.into_iter().flatten().try_for_each(|folder| files::make_folder(folder))?;
    }
    let settings_path =
        if many { args.output.join("run.toml") } else { files::replace_extension(&args.output, ".run.toml") };
    args.common.refuse_existing(outputs.iter().flat_map(Outputs::all).chain([&*settings_path]))?;

    let mut config = args.settings.read()?;
    let segmenter = args.segmenter(&mut config)?;
    config.write(&settings_path, args.common.overwrite())?;

    let (mut reports, mut failed) = (Vec::new(), 0);
    for (input, outputs) in inputs.iter().zip(outputs) {
        match segment(input, outputs, &segmenter, &config, &args.common) {
            Ok(report) => reports.push(report),
            Err(Error::Models(models::Error::Cancelled)) => return Ok(Outcome::Interrupted),
            // One bad file of a folder does not cost the others.
            Err(e) if many => {
                eprintln!("error: {}: {e}", input.display());
                failed += 1;
            }
            Err(e) => return Err(e),
        }
    }
    let text = |out: &mut dyn std::io::Write| {
        for r in &reports {
            writeln!(
                out,
                "{}: {} cells in {:.1} s on {}: {}",
                r.input.display(),
                r.cells,
                r.seconds,
                r.device,
                r.labels.display()
            )?;
        }
        Ok(())
    };
    match (&reports[..], many) {
        ([one], false) => args.common.report(one, text)?,
        (all, _) => args.common.report(&all, text)?,
    }
    Ok(if failed > 0 { Outcome::Partly } else { Outcome::Done })
}

impl Args {
    fn outputs(&self, input: &Path, many: bool) -> Outputs {
        if !many {
            return Outputs {
                labels: self.output.clone(),
                probabilities: self.probabilities.clone(),
                stats: self.stats.clone(),
                preview: self.preview.clone(),
            };
        }
        // For a folder the options name folders, and each file there is named after its volume.
        let inside =
            |folder: &Option<PathBuf>, suffix: &str| folder.as_ref().map(|f| files::beside(f, input, suffix));
        Outputs {
            labels: files::beside(&self.output, input, "_labels.tif"),
            probabilities: inside(&self.probabilities, "_probabilities.tif"),
            stats: inside(&self.stats, self.stats_format.unwrap_or(TableName::Csv).suffix()),
            preview: inside(&self.preview, "_preview.png"),
        }
    }

    /// The segmenter that settings and options ask for; `config` becomes what is in effect.
    fn segmenter(&self, config: &mut Config) -> Result<Segmenter> {
        let mut segmenter = Segmenter::open_on(&self.computing.device()?, &self.weights)?;
        let mut inference = config.inference.clone().unwrap_or(segmenter.inference);
        if let Some(window) = self.window {
            inference.windows.window = [window; 3];
        }
        inference.windows.overlap = self.overlap.unwrap_or(inference.windows.overlap);
        inference.compute = self.computing.compute().unwrap_or(inference.compute);
        if self.cellseg3d {
            inference.compat = Compat::CellSeg3D;
        }
        inference.validate_for(&*segmenter.network)?;
        if let Some(method) = self.method {
            config.instances.method = match method {
                MethodName::Peaks => Method::Peaks,
                MethodName::VoronoiOtsu => Method::VoronoiOtsu,
                MethodName::Watershed => Method::Watershed(WatershedSeeds::default()),
                MethodName::Components => Method::Components,
            };
        }
        if let Some(threshold) = self.threshold {
            config.instances.threshold = Threshold::Fixed(threshold);
        } else if !self.settings.has_file() {
            config.instances.threshold = segmenter.instances.threshold;
        }
        config.inference = Some(inference.clone());
        segmenter.inference = inference;
        segmenter.instances = config.instances.clone();
        Ok(segmenter)
    }
}

impl TableName {
    fn suffix(self) -> &'static str {
        match self {
            Self::Csv => "_cells.csv",
            Self::Parquet => "_cells.parquet",
        }
    }
}

impl Outputs {
    fn all(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.labels), self.probabilities.as_ref(), self.stats.as_ref(), self.preview.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }
}

fn segment(
    input: &Path,
    outputs: Outputs,
    segmenter: &Segmenter,
    config: &Config,
    common: &Common,
) -> Result<Report> {
    let start = Instant::now();
    let volume = settings::read(input, config)?;
    if volume.spacing.is_none() {
        tracing::warn!(
            "{} does not say how large a voxel is: lengths are in voxels; give --spacing z,y,x for micrometres",
            input.display()
        );
    }
    let bar = progress::bar(common, 0, "segmenting");
    let found = segmenter.segment(&volume, &mut Bar(&bar));
    bar.finish_and_clear();
    let found: Segmentation = found?;
    let overwrite: Overwrite = common.overwrite();
    write_labels(&outputs.labels, &found.labels, overwrite)?;
    if let Some(path) = &outputs.probabilities {
        write_volume(path, &found.probability, overwrite)?;
    }
    if let Some(path) = &outputs.stats {
        found.write_table(path, &volume, overwrite)?;
    }
    if let Some(path) = &outputs.preview {
        found.write_preview(path, &volume, overwrite)?;
    }
    Ok(Report {
        input: input.to_owned(),
        labels: outputs.labels,
        probabilities: outputs.probabilities,
        stats: outputs.stats,
        preview: outputs.preview,
        cells: found.cells,
        physical_units: volume.spacing.is_some(),
        device: format!("{:?}", segmenter.network.device()),
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Shows how far inference is, and stops it where the user asked to.
pub(super) struct Bar<'a>(pub(super) &'a ProgressBar);

impl Progress for Bar<'_> {
    fn windows(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

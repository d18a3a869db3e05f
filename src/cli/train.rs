//! `cellseg train`: WNet3D on raw volumes, without labels.

use super::{
    Common, Outcome, Result,
    computing::Computing,
    files, interrupt,
    losses::Losses,
    progress,
    settings::{self, Settings},
};
use cellseg::{
    Config, Error, Validation,
    io::read_labels,
    models::{
        train::{Checkpoint, End, Observer, StepReport, TrainConfig, Trained, ValidationReport},
        wnet3d::WNet3dConfig,
    },
    read_checkpoint, resume_on, train_on, write_checkpoint, write_network,
};
use indicatif::ProgressBar;
use serde::Serialize;
use std::{ops::ControlFlow, path::PathBuf, time::Instant};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Raw volumes (z, y, x), TIFF or NPY, or folders of them
    #[arg(required = true)]
    volumes: Vec<PathBuf>,
    /// Where the weights go (.safetensors). A checkpoint is kept beside them while training goes on
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Go on from a checkpoint, with its settings, on the same volumes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preset", "steps", "batch", "patch", "width", "learning_rate", "seed", "checkpoint_every", "config", "compute"])]
    resume: Option<PathBuf>,
    /// A labelled volume, as IMAGE=LABELS: labels are not learnt from, they tell which step was best. May be repeated
    #[arg(long, value_name = "IMAGE=LABELS", value_parser = image_and_labels)]
    validation: Vec<(PathBuf, PathBuf)>,
    /// Start from the settings for CPUs (small) or those of the paper
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Steps of the optimiser
    #[arg(long)]
    steps: Option<u64>,
    /// Patches a step
    #[arg(long)]
    batch: Option<usize>,
    /// Voxels of a patch, multiples of 8
    #[arg(long, value_name = "Z,Y,X", value_parser = files::shape)]
    patch: Option<[usize; 3]>,
    /// Channels at full resolution, a multiple of 4: 16 is small, 64 is the paper's
    #[arg(long)]
    width: Option<usize>,
    /// Step size of the optimiser
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Seed of all randomness
    #[arg(long)]
    seed: Option<u64>,
    /// Steps between two checkpoints; 0 makes one at the end only
    #[arg(long, value_name = "STEPS")]
    checkpoint_every: Option<u64>,
    #[command(flatten)]
    computing: Computing,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Preset {
    Small,
    Paper,
}

fn image_and_labels(text: &str) -> std::result::Result<(PathBuf, PathBuf), String> {
    let (image, labels) = text.split_once('=').ok_or("give a volume and its labels as IMAGE=LABELS")?;
    Ok((image.into(), labels.into()))
}

#[derive(Serialize)]
struct Report {
    weights: PathBuf,
    checkpoint: PathBuf,
    device: String,
    end: &'static str,
    steps: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_dice: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_step: Option<u64>,
    seconds: f64,
}

pub(super) fn run(args: Args) -> Result<Outcome> {
    let start = Instant::now();
    let checkpoint_path = files::replace_extension(&args.output, ".checkpoint.safetensors");
    let settings_path = files::replace_extension(&args.output, ".run.toml");
    let losses_path = files::replace_extension(&args.output, ".losses.csv");
    let resumed = args.resume.as_ref().map(read_checkpoint).transpose()?;
    args.common.refuse_existing([&*args.output])?;
    if resumed.is_none() {
        args.common.refuse_existing([&*checkpoint_path, &*settings_path, &*losses_path])?;
    }
    let config = args.config(resumed.as_ref())?;
    let device = args.computing.device()?;
    tracing::info!("training on {device:?}");

    let volumes = files::all_volumes(&args.volumes)?;
    let volumes = volumes.iter().map(|p| settings::read(p, &config)).collect::<Result<Vec<_>>>()?;
    let validation: Vec<Validation> = args
        .validation
        .iter()
        .map(|(image, labels)| Ok((settings::read(image, &config)?, read_labels(labels)?)))
        .collect::<Result<_>>()?;
    config.write(&settings_path, cellseg::io::Overwrite::Replace)?;

    let bar = progress::bar(&args.common, config.train.steps, "training");
    let losses = match &resumed {
        Some(checkpoint) => Losses::up_to(losses_path, checkpoint.step()?)?,
        None => Losses::new(losses_path),
    };
    let mut keeper = Keeper { bar: &bar, checkpoint: checkpoint_path.clone(), losses };
    let trained = match &resumed {
        Some(checkpoint) => resume_on(&device, checkpoint, &volumes, &validation, &mut keeper),
        None => train_on(&device, &volumes, &validation, &config.train, &mut keeper),
    };
    bar.finish_and_clear();
    let trained: Trained = trained?;

    if trained.end == End::Stopped {
        eprintln!("stopped after step {}; go on with --resume {}", trained.steps, checkpoint_path.display());
        return Ok(Outcome::Interrupted);
    }
    write_network(&args.output, &trained.network, &config.train.inference(), args.common.overwrite())?;
    let report = Report {
        weights: args.output,
        checkpoint: checkpoint_path,
        device: format!("{device:?}"),
        end: if trained.end == End::Finished { "finished" } else { "no improvement" },
        steps: trained.steps,
        best_dice: trained.best_dice.map(|(dice, _)| dice),
        best_step: trained.best_dice.map(|(_, step)| step),
        seconds: start.elapsed().as_secs_f64(),
    };
    args.common.report(&report, |out| {
        let Report { end, steps, seconds, device, .. } = &report;
        writeln!(out, "{end} after {steps} steps, {seconds:.0} s on {device}")?;
        if let Some((dice, step)) = trained.best_dice {
            writeln!(out, "best Dice {dice:.4} at step {step}")?;
        }
        writeln!(out, "weights: {}", report.weights.display())
    })?;
    Ok(Outcome::Done)
}

impl Args {
    /// The settings in effect: of the checkpoint, else of the preset, the file and the options, later ones first.
    fn config(&self, resumed: Option<&Checkpoint>) -> Result<Config> {
        let mut config = self.settings.read()?;
        if let Some(checkpoint) = resumed {
            config.train = checkpoint.config()?;
            return Ok(config);
        }
        if self.preset.is_some() && self.settings.has_file() {
            return Err(Error::usage("give either --preset or --config: both choose all settings"));
        }
        match self.preset {
            Some(Preset::Paper) => config.train = TrainConfig::paper(),
            Some(Preset::Small) | None => {}
        }
        let t = &mut config.train;
        t.steps = self.steps.unwrap_or(t.steps);
        t.batch = self.batch.unwrap_or(t.batch);
        t.patch = self.patch.unwrap_or(t.patch);
        t.network = WNet3dConfig { width: self.width.unwrap_or(t.network.width), ..t.network.clone() };
        t.learning_rate = self.learning_rate.unwrap_or(t.learning_rate);
        t.seed = self.seed.unwrap_or(t.seed);
        t.checkpoint_every = self.checkpoint_every.unwrap_or(t.checkpoint_every);
        t.compute = self.computing.compute().unwrap_or(t.compute);
        t.validate()?;
        Ok(config)
    }
}

/// Shows how training goes, stores its checkpoints, and stops it where the user asked to.
struct Keeper<'a> {
    bar: &'a ProgressBar,
    checkpoint: PathBuf,
    losses: Losses,
}

impl Observer for Keeper<'_> {
    fn step(&mut self, r: &StepReport) -> ControlFlow<()> {
        self.losses.step(r);
        self.bar.set_position(r.step);
        self.bar.set_message(format!("SoftNCuts {:.3}, reconstruction {:.1}", r.n_cuts, r.reconstruction));
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn validation(&mut self, r: &ValidationReport) {
        self.losses.validation(r);
        let dice = r.dice.map(|d| format!(", Dice {d:.4}")).unwrap_or_default();
        tracing::info!(
            "step {}: mean loss {:.4}{dice}{}",
            r.step,
            r.mean_loss,
            if r.best { ", the best yet" } else { "" }
        );
    }

    fn checkpoint(
        &mut self,
        c: &Checkpoint,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        write_checkpoint(&self.checkpoint, c)?;
        Ok(self.losses.save()?)
    }
}

//! `cellseg train`: WNet3D on raw volumes without labels, or a network on labelled ones.

use super::{
    Common, Outcome, Result,
    computing::Computing,
    files, interrupt, labels,
    losses::Losses,
    progress,
    settings::{self, Settings},
};
use cellseg::{
    Config, Error, Labelled,
    io::{Volume, read_labels},
    models::{
        Compute, Network, SegResNetConfig, SwinUnetrConfig, TrailmapConfig, VNetConfig, WNet3dConfig,
        train::{
            Checkpoint, End, NetworkConfig, Observer, StepReport, TrainConfig, Trained, ValidationReport,
        },
    },
    read_checkpoint, read_wnet3d, resume_on, resume_supervised, train_on, train_supervised, write_checkpoint,
    write_network, write_supervised,
};
use indicatif::ProgressBar;
use serde::Serialize;
use std::{ops::ControlFlow, path::PathBuf, time::Instant};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Raw volumes (z, y, x), TIFF or NPY, or folders of them
    #[arg(required = true)]
    volumes: Vec<PathBuf>,
    /// Labels to learn from, one file for each volume in the same order, or a folder of them: 0 is background, every other
    /// number foreground, so labels of instances will do. May be repeated
    #[arg(long, value_name = "LABELS")]
    labels: Vec<PathBuf>,
    /// Where the weights go (.safetensors). A checkpoint is kept beside them while training goes on
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Go on from a checkpoint, with its settings, on the same volumes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preset", "from", "network", "hold_out", "steps", "batch", "patch", "width", "learning_rate", "seed", "checkpoint_every", "config", "compute"])]
    resume: Option<PathBuf>,
    /// A labelled volume, as IMAGE=LABELS: labels are not learnt from, they tell which step was best. May be repeated
    #[arg(long, value_name = "IMAGE=LABELS", value_parser = image_and_labels, conflicts_with = "hold_out")]
    validation: Vec<(PathBuf, PathBuf)>,
    /// With labels and without --validation: the share of the volumes, or of a single volume's slices, that is not learnt from
    /// and tells which step was best; 0 for none
    #[arg(long, value_name = "0..1", requires = "labels")]
    hold_out: Option<f64>,
    /// With labels: start from these weights of a WNet3D, trained without labels or with others
    #[arg(long, value_name = "FILE", requires = "labels", conflicts_with = "width")]
    from: Option<PathBuf>,
    /// Without labels: start from the settings for CPUs (small) or those of the paper
    #[arg(long, value_enum, conflicts_with = "labels")]
    preset: Option<Preset>,
    /// Steps of the optimiser
    #[arg(long)]
    steps: Option<u64>,
    /// Patches a step
    #[arg(long)]
    batch: Option<usize>,
    /// Voxels of a patch, multiples of 8, of 16 for VNet and of 32 for SwinUNETR
    #[arg(long, value_name = "Z,Y,X", value_parser = files::shape)]
    patch: Option<[usize; 3]>,
    /// With labels: which network; a U-Net by default. What else there is to say of it is said with --config
    #[arg(long, value_enum, requires = "labels", conflicts_with = "from")]
    network: Option<Kind>,
    /// Channels at full resolution: of a U-Net 16 is small and 64 the paper's, of SwinUNETR 12 is small and 48 the paper's
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
enum Kind {
    Unet,
    SwinUnetr,
    Segresnet,
    Vnet,
    Trailmap,
}

impl Kind {
    /// The network of this kind, as the settings have it where they have one.
    fn of(self, settings: &NetworkConfig) -> NetworkConfig {
        match (self, settings) {
            (Kind::Unet, NetworkConfig::UNet { .. })
            | (Kind::SwinUnetr, NetworkConfig::SwinUnetr(_))
            | (Kind::Segresnet, NetworkConfig::SegResNet(_))
            | (Kind::Vnet, NetworkConfig::VNet(_))
            | (Kind::Trailmap, NetworkConfig::Trailmap(_)) => settings.clone(),
            (Kind::Unet, _) => NetworkConfig::default(),
            (Kind::SwinUnetr, _) => NetworkConfig::SwinUnetr(SwinUnetrConfig::default()),
            (Kind::Segresnet, _) => NetworkConfig::SegResNet(SegResNetConfig::default()),
            (Kind::Vnet, _) => NetworkConfig::VNet(VNetConfig::default()),
            (Kind::Trailmap, _) => NetworkConfig::Trailmap(TrailmapConfig::default()),
        }
    }
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
    let mut config = args.config(resumed.as_ref())?;
    let device = args.computing.device()?;
    tracing::info!("training on {device:?}");

    let task = args.task(&mut config)?;
    let validation: Vec<Labelled> = args
        .validation
        .iter()
        .map(|(image, labels)| Ok((settings::read(image, &config)?, read_labels(labels)?)))
        .collect::<Result<_>>()?;
    config.write(&settings_path, cellseg::io::Overwrite::Replace)?;

    let steps = if args.labels.is_empty() { config.train.steps } else { config.supervised.steps };
    let bar = progress::bar(&args.common, steps, "training");
    let losses = match &resumed {
        Some(checkpoint) => Losses::up_to(losses_path, checkpoint.step()?)?,
        None => Losses::new(losses_path),
    };
    let mut keeper = Keeper { bar: &bar, checkpoint: checkpoint_path.clone(), losses };
    let trained = match task {
        Task::WithoutLabels(volumes) => {
            let trained = match &resumed {
                Some(checkpoint) => resume_on(&device, checkpoint, &volumes, &validation, &mut keeper),
                None => train_on(&device, &volumes, &validation, &config.train, &mut keeper),
            };
            trained.map(Trained::boxed)
        }
        Task::WithLabels(mut network, volumes) => {
            network.move_to(&device)?;
            match &resumed {
                Some(checkpoint) => {
                    resume_supervised(network, checkpoint, &volumes, &validation, &mut keeper)
                }
                None => train_supervised(network, &volumes, &validation, &config.supervised, &mut keeper),
            }
        }
    };
    bar.finish_and_clear();
    let trained = trained?;

    if trained.end == End::Stopped {
        eprintln!("stopped after step {}; go on with --resume {}", trained.steps, checkpoint_path.display());
        return Ok(Outcome::Interrupted);
    }
    let (network, overwrite) = (&*trained.network, args.common.overwrite());
    if args.labels.is_empty() {
        write_network(&args.output, network, &config.train.inference(), overwrite)?;
    } else {
        write_supervised(&args.output, network, &config.supervised, overwrite)?;
    }
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

/// What is trained on what.
enum Task {
    WithoutLabels(Vec<Volume<f32>>),
    WithLabels(Box<dyn Network>, Vec<Labelled>),
}

impl Args {
    /// The settings in effect: of the checkpoint, else of the preset, the file and the options, later ones first.
    fn config(&self, resumed: Option<&Checkpoint>) -> Result<Config> {
        let mut config = self.settings.read()?;
        let with_labels = !self.labels.is_empty();
        if let Some(checkpoint) = resumed {
            match (checkpoint.is_supervised(), with_labels) {
                (true, true) => config.supervised = checkpoint.supervised_config()?,
                (false, false) => config.train = checkpoint.config()?,
                (true, false) => {
                    return Err(Error::usage(
                        "the checkpoint is of a training with labels; give them with --labels",
                    ));
                }
                (false, true) => {
                    return Err(Error::usage(
                        "the checkpoint is of a training without labels; leave --labels out",
                    ));
                }
            }
            return Ok(config);
        }
        if self.preset.is_some() && self.settings.has_file() {
            return Err(Error::usage("give either --preset or --config: both choose all settings"));
        }
        match self.preset {
            Some(Preset::Paper) => config.train = TrainConfig::paper(),
            Some(Preset::Small) | None => {}
        }
        macro_rules! overrule {
            ($t:expr, $width:expr) => {
                $t.steps = self.steps.unwrap_or($t.steps);
                $t.batch = self.batch.unwrap_or($t.batch);
                $t.patch = self.patch.unwrap_or($t.patch);
                *$width = self.width.unwrap_or(*$width);
                $t.learning_rate = self.learning_rate.unwrap_or($t.learning_rate);
                $t.seed = self.seed.unwrap_or($t.seed);
                $t.checkpoint_every = self.checkpoint_every.unwrap_or($t.checkpoint_every);
                $t.compute = self.computing.compute().unwrap_or($t.compute);
                $t.validate()?;
            };
        }
        if with_labels {
            let t = &mut config.supervised;
            t.hold_out = self.hold_out.unwrap_or(t.hold_out);
            if let Some(kind) = self.network {
                t.network = kind.of(&t.network);
            }
            let width = match &mut t.network {
                NetworkConfig::UNet { width, .. } => width,
                NetworkConfig::SwinUnetr(size) => &mut size.feature_size,
                NetworkConfig::SegResNet(size) => &mut size.width,
                NetworkConfig::VNet(size) => &mut size.width,
                NetworkConfig::Trailmap(size) => &mut size.width,
            };
            overrule!(t, width);
        } else {
            let t = &mut config.train;
            overrule!(t, &mut t.network.width);
        }
        Ok(config)
    }

    /// Reads what is trained on, and makes the network where labels are given. Weights to start from say how the network was
    /// trained before, and `config` follows them.
    fn task(&self, config: &mut Config) -> Result<Task> {
        let images = files::all_volumes(&self.volumes)?;
        let volumes = images.iter().map(|p| settings::read(p, config)).collect::<Result<Vec<_>>>()?;
        if self.labels.is_empty() {
            return Ok(Task::WithoutLabels(volumes));
        }
        let t = &mut config.supervised;
        let network = match &self.from {
            Some(weights) => {
                let (network, inference) = read_wnet3d(weights)?;
                let dropout = match t.network {
                    NetworkConfig::UNet { dropout, .. } => dropout,
                    _ => WNet3dConfig::small().dropout,
                };
                t.network = NetworkConfig::UNet { width: network.config().width, dropout };
                if !self.settings.has_file() {
                    t.normalisation = inference.normalisation;
                }
                network.with_dropout(dropout)?.prepared(Compute::F32)?
            }
            None => t.network.build(t.seed)?,
        };
        t.validate_for(&*network)?;
        Ok(Task::WithLabels(network, labels::read(&images, volumes, &self.labels)?))
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
        let terms: String = r.terms.iter().map(|(name, value)| format!(", {name} {value:.3}")).collect();
        self.bar.set_message(format!("loss {:.3}{terms}", r.loss));
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

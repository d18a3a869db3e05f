//! `cellseg predict`: the raw output of a network for a volume.

use super::{Common, Outcome, Result, computing::Computing, interrupt, progress, segment::Bar};
use cellseg::{
    Error,
    core::Tensor,
    io::{Volume, read_volume, write_npy},
    models::{
        self, PassMode, VolumeView,
        infer::{Inference, Windows, sliding_window_on},
        intensity::Intensity,
    },
    read_network, read_wnet3d,
};
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A volume (z, y, x), TIFF or NPY
    input: PathBuf,
    /// The network that the weights must be of; by default the one that their names tell
    #[arg(long, value_enum)]
    model: Option<Model>,
    /// The network's weights: safetensors, a training checkpoint, or a PyTorch .pth file
    #[arg(short, long, value_name = "FILE")]
    weights: PathBuf,
    /// Where the output goes: a NumPy file (.npy) of f32, (c, z, y, x)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The numbers before the softmax or the logistic function, instead of class probabilities
    #[arg(long)]
    logits: bool,
    /// The image that WNet3D's decoder paints from the class probabilities, instead of these
    #[arg(long, conflicts_with = "logits")]
    reconstruction: bool,
    /// Scale intensities to 0..100 as segmentation does; by default the network gets the numbers of the file
    #[arg(long)]
    normalise: bool,
    /// Look at windows of this many voxels along each axis, a multiple of 8, and blend them; by default the volume is
    /// looked at as a whole
    #[arg(long, value_name = "VOXELS")]
    window: Option<usize>,
    #[command(flatten)]
    computing: Computing,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Model {
    Wnet3d,
    SwinUnetr,
    Segresnet,
    Vnet,
    Trailmap,
}

impl Model {
    /// The name that networks call themselves.
    fn architecture(self) -> &'static str {
        match self {
            Model::Wnet3d => "WNet3D",
            Model::SwinUnetr => "SwinUNETR",
            Model::Segresnet => "SegResNet",
            Model::Vnet => "VNet",
            Model::Trailmap => "TRAILMAP_MS",
        }
    }
}

#[derive(Serialize)]
struct Report {
    output: PathBuf,
    shape: [usize; 4],
    device: String,
}

pub(super) fn run(args: Args) -> Result<Outcome> {
    if !args.output.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) {
        return Err(Error::usage(format!(
            "{}: maps of all classes are written as a NumPy file; give a name that ends in .npy",
            args.output.display()
        )));
    }
    args.common.refuse_existing([&*args.output])?;
    let device = args.computing.device()?;
    let (mut network, inference) = read_network(&args.weights)?;
    if let Some(asked) = args.model.map(Model::architecture).filter(|&asked| asked != network.architecture())
    {
        let (weights, found) = (args.weights.display(), network.architecture());
        let why = format!("{weights}: the weights are those of {found}, not of {asked}; leave --model out");
        return Err(Error::usage(why));
    }
    let compute = args.computing.compute().unwrap_or(inference.compute);
    network.set_compute(compute);
    network.move_to(&device)?;
    let painter = if args.reconstruction {
        Some(read_wnet3d(&args.weights)?.0.with_compute(compute).to(&device)?)
    } else {
        None
    };
    let volume = read_volume(&args.input)?;
    let volume = if args.normalise { normalised(volume, &inference)? } else { volume };
    let shape = volume.shape();
    let multiple = network.extent_multiple();
    let whole = shape.map(|extent| extent.next_multiple_of(multiple));
    let windows = Windows { window: args.window.map_or(whole, |w| [w; 3]), ..inference.windows };
    let mode = PassMode::default();
    let forward = |x: &Tensor| match &painter {
        Some(painter) => painter.reconstruction(&painter.classes(x, &mode)?, &mode),
        None if args.logits => network.logits(x, &mode),
        None => network.probabilities(x, &mode),
    };
    let channels = painter.as_ref().map_or(network.class_count(), |painter| painter.config().out_channels);
    let bar = progress::bar(&args.common, 0, "predicting");
    let view = VolumeView::isotropic(&volume.name, volume.data.view());
    let maps = sliding_window_on(&device, &view, channels, multiple, &windows, &forward, &mut Bar(&bar));
    bar.finish_and_clear();
    let maps = match maps {
        Err(models::Error::Cancelled) if interrupt::asked() => return Ok(Outcome::Interrupted),
        other => other?,
    };
    write_npy(&args.output, maps.view(), args.common.overwrite())?;
    let report = Report { output: args.output, shape: maps.dim().into(), device: format!("{device:?}") };
    args.common.report(&report, |out| {
        let [c, z, y, x] = report.shape;
        let (device, output) = (&report.device, report.output.display());
        writeln!(out, "{c} channels of {z} x {y} x {x} voxels, on {device}: {output}")
    })?;
    Ok(Outcome::Done)
}

/// The volume with its intensities as the network's training had them.
fn normalised(mut volume: Volume<f32>, inference: &Inference) -> Result<Volume<f32>> {
    let spacing = volume.spacing.map_or([1.0; 3], |s| s.zyx());
    let intensity = Intensity::fit(&volume.name, volume.data.view(), spacing, &inference.normalisation)?;
    let mut out = vec![0.0; volume.data.len()];
    intensity.read(volume.data.view(), [0; 3], volume.shape(), &mut out);
    volume.data.iter_mut().zip(out).for_each(|(v, o)| *v = o);
    Ok(volume)
}

//! `cellseg predict`: the raw output of a network for a volume.

use super::{Common, Outcome, Result, computing::Computing, interrupt, progress, segment::Bar};
use cellseg::{
    Error,
    core::Tensor,
    io::{Volume, read_volume, write_npy},
    models::{
        self, VolumeView,
        infer::{Inference, Windows, sliding_window_on},
        intensity::Intensity,
        wnet3d::{EXTENT_MULTIPLE, PassMode},
    },
    read_wnet3d,
};
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A volume (z, y, x), TIFF or NPY
    input: PathBuf,
    /// The network
    #[arg(long, value_enum)]
    model: Model,
    /// Its weights: safetensors, a training checkpoint, or a PyTorch .pth file
    #[arg(short, long, value_name = "FILE")]
    weights: PathBuf,
    /// Where the output goes: a NumPy file (.npy) of f32, (c, z, y, x)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The encoder's numbers before the softmax, instead of class probabilities
    #[arg(long)]
    logits: bool,
    /// The image that the decoder paints from the class probabilities, instead of these
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
    let Model::Wnet3d = args.model;
    let device = args.computing.device()?;
    let (network, inference) = read_wnet3d(&args.weights)?;
    let compute = args.computing.compute().unwrap_or(inference.compute);
    let network = network.to(&device)?.with_compute(compute);
    let volume = read_volume(&args.input)?;
    let volume = if args.normalise { normalised(volume, &inference)? } else { volume };
    let shape = volume.shape();
    let windows = Windows { window: args.window.map_or(shape, |w| [w; 3]), ..inference.windows };
    let mode = PassMode::default();
    let forward = |x: &Tensor| match (args.logits, args.reconstruction) {
        (true, _) => network.logits(x, &mode),
        (false, true) => network.reconstruction(&network.classes(x, &mode)?, &mode),
        (false, false) => network.classes(x, &mode),
    };
    let channels = if args.reconstruction { network.config().out_channels } else { network.config().classes };
    let bar = progress::bar(&args.common, 0, "predicting");
    let view = VolumeView::isotropic(&volume.name, volume.data.view());
    let maps =
        sliding_window_on(&device, &view, channels, EXTENT_MULTIPLE, &windows, &forward, &mut Bar(&bar));
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

//! `cellseg post`: one step of post-processing at a time, from file to file, as in the original's Utilities.

mod masks;
mod objects;
mod pictures;
mod volumes;

use super::{Common, Outcome, Result, evaluate, settings::Settings, stats};
use cellseg::{
    Error, io,
    io::{Volume, read_labels, read_volume},
    post,
};
use clap::Subcommand;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Cut a box out of a volume
    Crop(volumes::Crop),
    /// Cut a volume into cubes, one file each
    Fragment(volumes::Fragment),
    /// Bring a volume to another voxel spacing, such as an isotropic one
    Resample(volumes::Resample),
    /// The voxels of a map above a value
    Threshold(masks::Threshold),
    /// Which threshold of a map fits true labels best
    BestThreshold(masks::BestThreshold),
    /// Make a map follow the edges of the image (dense conditional random field)
    Crf(masks::Crf),
    /// Labels of instances to a mask of foreground
    Semantic(masks::Semantic),
    /// A mask or a map to labels of instances
    Instances(objects::Instances),
    /// Number labels 1, 2, ... without gaps
    Relabel(objects::Relabel),
    /// Remove small or large objects
    Sizes(objects::Sizes),
    /// Remove objects unlike all others in volume, brightness or shape, and say why
    Artifacts(objects::Artifacts),
    /// A picture of a volume with the outlines of its labels
    Overlay(pictures::Overlay),
    /// One row of measurements for each object (as `cellseg stats`)
    Stats(stats::Args),
    /// Score predicted labels against true ones (as `cellseg evaluate`)
    Score(evaluate::Args),
}

impl Args {
    pub(super) fn common(&self) -> &Common {
        match &self.step {
            Step::Crop(a) => &a.common,
            Step::Fragment(a) => &a.common,
            Step::Resample(a) => &a.common,
            Step::Threshold(a) => &a.common,
            Step::BestThreshold(a) => &a.common,
            Step::Crf(a) => &a.common,
            Step::Semantic(a) => &a.common,
            Step::Instances(a) => &a.common,
            Step::Relabel(a) => &a.common,
            Step::Sizes(a) => &a.common,
            Step::Artifacts(a) => &a.common,
            Step::Overlay(a) => &a.common,
            Step::Stats(a) => &a.common,
            Step::Score(a) => &a.common,
        }
    }
}

/// Runs the step that the arguments name.
pub(super) fn run(args: Args) -> Result<Outcome> {
    match args.step {
        Step::Crop(a) => a.run(),
        Step::Fragment(a) => a.run(),
        Step::Resample(a) => a.run(),
        Step::Threshold(a) => a.run(),
        Step::BestThreshold(a) => a.run(),
        Step::Crf(a) => a.run(),
        Step::Semantic(a) => a.run(),
        Step::Instances(a) => a.run(),
        Step::Relabel(a) => a.run(),
        Step::Sizes(a) => a.run(),
        Step::Artifacts(a) => a.run(),
        Step::Overlay(a) => a.run(),
        Step::Stats(a) => stats::run(a),
        Step::Score(a) => evaluate::run(a),
    }
}

/// A file that a step reads and the file that it writes.
#[derive(clap::Args)]
struct Files {
    /// A volume (z, y, x): TIFF or NPY
    input: PathBuf,
    /// Where the result goes (.tif or .npy)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// What a step that writes a volume says when it is done.
#[derive(Serialize)]
struct Done {
    output: PathBuf,
    /// The lengths (z, y, x) in voxels.
    shape: [usize; 3],
    /// The number of objects, where the step knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<usize>,
}

impl Done {
    fn report(&self, common: &Common) -> Result<Outcome> {
        let [z, y, x] = self.shape;
        common.report(self, |out| {
            if let Some(objects) = self.objects {
                write!(out, "{objects} objects, ")?;
            }
            writeln!(out, "{z} x {y} x {x} voxels: {}", self.output.display())
        })?;
        Ok(Outcome::Done)
    }
}

impl Files {
    /// Writes labels with `objects` objects and says so.
    fn labels(&self, labels: &Volume<u32>, objects: u32, common: &Common) -> Result<Outcome> {
        io::write_labels(&self.output, labels, common.overwrite())?;
        let objects = Some(objects as usize);
        Done { output: self.output.clone(), shape: labels.shape(), objects }.report(common)
    }

    /// Writes a mask, 1 inside and 0 outside, and says so.
    fn mask(
        &self,
        like: &Volume<impl Sized>,
        mask: ndarray::Array3<bool>,
        common: &Common,
    ) -> Result<Outcome> {
        let voxels = with_voxels(like, mask.mapv(u8::from));
        io::write_volume(&self.output, &voxels, common.overwrite())?;
        Done { output: self.output.clone(), shape: voxels.shape(), objects: None }.report(common)
    }
}

/// Other voxels of the same place and name.
fn with_voxels<T, U>(like: &Volume<T>, data: ndarray::Array3<U>) -> Volume<U> {
    Volume { data, spacing: like.spacing, name: like.name.clone() }
}

/// The spacing that lengths are measured in; one unit where it is not known, with a word about it.
fn lengths<T>(volume: &Volume<T>, path: &Path) -> Result<post::Spacing> {
    match volume.spacing {
        Some(spacing) => {
            let [z, y, x] = spacing.zyx();
            Ok(post::Spacing::new(z, y, x)?)
        }
        None => {
            tracing::warn!(
                "{} does not say how large a voxel is: lengths are in voxels; give --spacing z,y,x for micrometres",
                path.display()
            );
            Ok(post::Spacing::VOXELS)
        }
    }
}

fn read_image(path: &Path, settings: &Settings) -> Result<Volume<f32>> {
    super::settings::with_spacing(read_volume(path)?, &settings.read()?)
}

fn read_ids(path: &Path, settings: &Settings) -> Result<Volume<u32>> {
    super::settings::with_spacing(read_labels(path)?, &settings.read()?)
}

/// Refuses a volume of another shape, by the names of both files.
fn same_shape<A, B>(a: (&Path, &Volume<A>), b: (&Path, &Volume<B>)) -> Result<()> {
    if a.1.shape() == b.1.shape() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{} has shape {:?} and {} {:?} (z, y, x); both must be the same",
        a.0.display(),
        a.1.shape(),
        b.0.display(),
        b.1.shape()
    )))
}

//! `cellseg post`: one step of post-processing at a time, from file to file, as in the original's Utilities.

mod blocks;
mod flooding;
mod masks;
mod objects;
mod pictures;
mod volumes;

pub(super) use blocks::Stoppable;

use super::{Common, Outcome, Result, evaluate, interrupt, settings::Settings, stats};
use cellseg::{
    Error, io,
    io::{Frame, Volume, VolumeReader, read_volume},
    post, read_labels_of_any_size,
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
    /// The connected components of a mask, a map or labels, of volumes of any size
    Components(blocks::Components),
    /// Seeds: the maxima of a map, of its blobs, or of the distance to the background
    Seeds(flooding::Seeds),
    /// A watershed from seeds, or without any by how much objects stand out
    Watershed(flooding::Watershed),
    /// Merge touching objects whose common border is weak
    Merge(flooding::Merge),
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
            Step::Components(a) => &a.common,
            Step::Seeds(a) => &a.common,
            Step::Watershed(a) => &a.common,
            Step::Merge(a) => &a.common,
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
        Step::Components(a) => a.run(),
        Step::Seeds(a) => a.run(),
        Step::Watershed(a) => a.run(),
        Step::Merge(a) => a.run(),
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
    /// Refuses an output that could not be written, before the work is done.
    fn refuse_existing(&self, common: &Common) -> Result<()> {
        io::check_volume_name(&self.output)?;
        common.refuse_existing([&*self.output])
    }

    /// Writes labels with `objects` objects and says so.
    fn labels(&self, labels: &Volume<u32>, objects: u32, common: &Common) -> Result<Outcome> {
        interrupt::keep_on()?;
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
        interrupt::keep_on()?;
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
fn lengths(spacing: Option<io::Spacing>, path: &Path) -> Result<post::Spacing> {
    match spacing {
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

/// What is known of a volume in a file, with the spacing of the settings where they have one.
fn frame<'a>(reader: &'a VolumeReader, settings: &Settings) -> Result<Frame<'a>> {
    let spacing = super::settings::spacing(reader.info().spacing, &settings.read()?)?;
    Ok(Frame { spacing, ..reader.frame() })
}

/// Reads an image or a map, all values of which are finite.
fn read_image(path: &Path, settings: &Settings) -> Result<Volume<f32>> {
    let volume = super::settings::with_spacing(read_volume(path)?, &settings.read()?)?;
    if let Some(((z, y, x), value)) = volume.data.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::usage(format!(
            "{}: the voxel at (z, y, x) = [{z}, {y}, {x}] is {value}; expected finite values only: replace such voxels \
             first",
            path.display()
        )));
    }
    interrupt::keep_on()?;
    Ok(volume)
}

/// Reads labels, with the spacing of the settings where they have one.
fn read_labels(path: &Path, settings: &Settings) -> Result<Volume<u32>> {
    super::settings::with_spacing(read_ids(path)?, &settings.read()?)
}

/// Reads labels; ids of more than 32 bits are renumbered, with a word about it.
pub(super) fn read_ids(path: &Path) -> Result<Volume<u32>> {
    let (labels, old_ids) = read_labels_of_any_size(path)?;
    if let Some(old_ids) = old_ids {
        tracing::warn!(
            "{} has ids that do not fit into 32 bits, such as {}: they are taken as 1 to {} in their order; \
             `cellseg post relabel --old-ids FILE` writes a table of both",
            path.display(),
            old_ids[old_ids.len() - 1],
            old_ids.len() - 1
        );
    }
    interrupt::keep_on()?;
    Ok(labels)
}

/// Refuses a volume of another shape (z, y, x), by the names of both files.
pub(super) fn same_shape(a: (&Path, [usize; 3]), b: (&Path, [usize; 3])) -> Result<()> {
    if a.1 == b.1 {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{} has shape {:?} and {} {:?} (z, y, x); both must be the same",
        a.0.display(),
        a.1,
        b.0.display(),
        b.1
    )))
}

//! Objects of volumes that need not fit into memory.

use super::{Done, Files, frame, lengths};
use crate::cli::{Common, Outcome, Result, interrupt, settings::Settings};
use cellseg::{
    Error, ScratchLabels, StoredVolume,
    io::{DType, Frame, VolumeReader},
    post::{
        self, Connectivity, InstanceOptions, LabelSource, MapSource, components_in_blocks,
        components_of_ids_in_blocks, instances_in_blocks,
    },
    slab,
};
use ndarray::ArrayViewMut3;

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum ConnectivityName {
    #[value(name = "6")]
    Six,
    #[value(name = "18")]
    Eighteen,
    #[value(name = "26")]
    TwentySix,
}

impl From<ConnectivityName> for Connectivity {
    fn from(name: ConnectivityName) -> Self {
        match name {
            ConnectivityName::Six => Self::Six,
            ConnectivityName::Eighteen => Self::Eighteen,
            ConnectivityName::TwentySix => Self::TwentySix,
        }
    }
}

#[derive(clap::Args)]
pub(super) struct Components {
    #[command(flatten)]
    files: Files,
    /// The value that foreground lies above; 0 for masks
    #[arg(long, allow_hyphen_values = true, conflicts_with = "ids")]
    threshold: Option<f32>,
    /// The input holds labels: neighbours are connected where their labels are equal
    #[arg(long)]
    ids: bool,
    /// Which voxels are connected
    #[arg(long, value_enum, default_value = "26")]
    connectivity: ConnectivityName,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Components {
    pub(super) fn run(self) -> Result<Outcome> {
        let Files { input, output } = &self.files;
        self.files.refuse_existing(&self.common)?;
        let reader = VolumeReader::open(input)?;
        let frame = frame(&reader, &self.settings)?;
        let mut labels = ScratchLabels::beside(output, frame.shape)?;
        let (source, block) = (Stoppable(StoredVolume(&reader)), slab(frame.shape));
        let connectivity = self.connectivity.into();
        let count = if self.ids {
            components_of_ids_in_blocks(&source, connectivity, block, &mut labels)?
        } else {
            components_in_blocks(&source, self.threshold(&reader)?, connectivity, block, &mut labels)?
        };
        write(&self.files, &labels, &frame, count, &self.common)
    }

    fn threshold(&self, reader: &VolumeReader) -> Result<f32> {
        match (self.threshold, reader.info().dtype) {
            (Some(threshold), _) if threshold.is_nan() => {
                Err(Error::usage("--threshold is NaN; give a number"))
            }
            (Some(threshold), _) => Ok(threshold),
            (None, dtype @ (DType::F32 | DType::F64)) => Err(Error::usage(format!(
                "{} holds {dtype} values, so it may be no mask; say what foreground lies above with --threshold, or \
                 that it holds labels with --ids",
                reader.path().display()
            ))),
            (None, _) => Ok(0.0),
        }
    }
}

/// Finds instances in blocks, each with `halo` micrometres around it.
pub(super) fn instances(
    files: &Files,
    block: [usize; 3],
    halo: f64,
    options: &InstanceOptions,
    settings: &Settings,
    common: &Common,
) -> Result<Outcome> {
    if !(halo.is_finite() && halo >= 0.0) {
        return Err(Error::usage(format!("--halo is {halo}; expected micrometres of at least 0")));
    }
    let reader = VolumeReader::open(&files.input)?;
    let frame = frame(&reader, settings)?;
    let spacing = lengths(frame.spacing, &files.input)?;
    // A halo that is wider than the volume is no wider than it.
    let halo = std::array::from_fn(|axis| {
        ((halo / spacing.to_array()[axis]).ceil() as usize).min(frame.shape[axis])
    });
    let mut labels = ScratchLabels::beside(&files.output, frame.shape)?;
    let segment = |map: ndarray::ArrayView3<f32>| post::instances(map, spacing, options);
    let source = Stoppable(StoredVolume(&reader));
    let count = instances_in_blocks(&source, block, halo, segment, &mut labels)?;
    write(files, &labels, &frame, count, common)
}

fn write(
    files: &Files,
    labels: &ScratchLabels,
    frame: &Frame,
    count: u32,
    common: &Common,
) -> Result<Outcome> {
    labels.write(&files.output, frame, count, common.overwrite(), interrupt::keep_on)?;
    let (output, objects) = (files.output.clone(), Some(count as usize));
    Done { output, shape: frame.shape, objects }.report(common)
}

type PostResult = std::result::Result<(), post::Error>;

/// A volume that is read no further once the user asked to stop, and whose intensities must be finite.
pub(crate) struct Stoppable<'a>(pub(crate) StoredVolume<'a>);

impl MapSource for Stoppable<'_> {
    fn shape(&self) -> [usize; 3] {
        MapSource::shape(&self.0)
    }

    fn read(&self, origin: [usize; 3], mut into: ArrayViewMut3<f32>) -> PostResult {
        keep_on()?;
        MapSource::read(&self.0, origin, into.view_mut())?;
        match into.indexed_iter().find(|(_, value)| !value.is_finite()) {
            Some(((z, y, x), &value)) => {
                let position = [origin[0] + z, origin[1] + y, origin[2] + x];
                let (file, problem) = (self.0.0.path(), post::Error::NonFinite { position, value });
                Err(post::Error::Storage { message: format!("{}: {problem}", file.display()) })
            }
            None => Ok(()),
        }
    }
}

impl LabelSource for Stoppable<'_> {
    fn shape(&self) -> [usize; 3] {
        LabelSource::shape(&self.0)
    }

    fn read(&self, origin: [usize; 3], into: ArrayViewMut3<u32>) -> PostResult {
        keep_on()?;
        LabelSource::read(&self.0, origin, into)
    }
}

fn keep_on() -> PostResult {
    interrupt::keep_on().map_err(|e| post::Error::Storage { message: e.to_string() })
}

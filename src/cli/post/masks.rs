//! Maps and masks.

use super::{Done, Files, frame, lengths, read_image, read_labels, same_shape, with_voxels};
use crate::cli::{Common, Outcome, Result, interrupt, settings::Settings};
use cellseg::{
    Error,
    io::{AnyVolume, DType, VolumeReader, write_in_slabs, write_volume},
    post::{self, DenseCrf, OtsuRule, dense_crf_foreground, dice, li, mask_above, triangle},
};
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Threshold {
    #[command(flatten)]
    files: Files,
    /// The value that foreground lies above; found from the values by --method if not given
    #[arg(long, conflicts_with = "method", allow_hyphen_values = true)]
    value: Option<f32>,
    /// How the value is found
    #[arg(long, value_enum, default_value = "robust-otsu")]
    method: ThresholdName,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ThresholdName {
    RobustOtsu,
    Otsu,
    Li,
    Triangle,
}

impl Threshold {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        let map = read_image(&self.files.input, &self.settings)?;
        let values = map.data.view();
        let value = match (self.value, self.method) {
            (Some(value), _) => post::Threshold::Fixed(value).value(values)?,
            (None, ThresholdName::RobustOtsu) => post::Threshold::RobustOtsu.value(values)?,
            (None, ThresholdName::Otsu) => post::Threshold::Otsu(OtsuRule::Skimage).value(values)?,
            (None, ThresholdName::Li) => li(values)?,
            (None, ThresholdName::Triangle) => triangle(values)?,
        };
        self.files.mask(&map, mask_above(values, value), &self.common)
    }
}

#[derive(clap::Args)]
pub(super) struct BestThreshold {
    /// A map (z, y, x), bright where objects are
    map: PathBuf,
    /// True labels or a true mask of the same shape, 0 is background
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// How many thresholds between the map's lowest and highest value are tried
    #[arg(long, default_value = "19")]
    steps: std::num::NonZeroU16,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

/// The Dice coefficient of the foreground above a threshold.
#[derive(Serialize, Clone, Copy)]
struct Tried {
    threshold: f32,
    dice: f64,
}

#[derive(Serialize)]
struct Best {
    best: Tried,
    tried: Vec<Tried>,
}

impl BestThreshold {
    pub(super) fn run(self) -> Result<Outcome> {
        let map = read_image(&self.map, &self.settings)?;
        let truth = read_labels(&self.truth, &self.settings)?;
        same_shape((&self.map, map.shape()), (&self.truth, truth.shape()))?;
        let range = post::percentiles(map.data.view(), &[0.0, 100.0])?;
        if range[0] == range[1] {
            return Err(post::Error::Constant { value: range[0] as f32 }.into());
        }
        let inside = truth.data.mapv(|id| id > 0);
        if !inside.iter().any(|inside| *inside) {
            return Err(Error::usage(format!(
                "{} has no foreground, so no threshold fits it; give labels with at least one object",
                self.truth.display()
            )));
        }
        let steps = self.steps.get();
        let tried: Vec<Tried> = (1..=steps)
            .map(|step| {
                let share = f64::from(step) / f64::from(steps + 1);
                let threshold = (range[0] + share * (range[1] - range[0])) as f32;
                let dice = dice(inside.view(), mask_above(map.data.view(), threshold).view(), 0.0)?;
                Ok(Tried { threshold, dice })
            })
            .collect::<Result<_>>()?;
        // Of equally good ones the lowest.
        let best =
            tried.iter().fold(tried[0], |best, other| if other.dice > best.dice { *other } else { best });
        let report = Best { best, tried };
        self.common.report(&report, |out| {
            for Tried { threshold, dice } in &report.tried {
                writeln!(out, "{threshold:10.4}  Dice {dice:.4}")?;
            }
            writeln!(
                out,
                "best: {} with a Dice coefficient of {:.4}",
                report.best.threshold, report.best.dice
            )
        })?;
        Ok(Outcome::Done)
    }
}

#[derive(clap::Args)]
pub(super) struct Crf {
    #[command(flatten)]
    files: Files,
    /// The image whose edges the map shall follow
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// How far voxels of equal brightness matter to each other: a sigma in micrometres
    #[arg(long, value_name = "UM")]
    appearance_sigma: Option<f64>,
    /// How different their brightness may be: a sigma in units of the image
    #[arg(long, value_name = "VALUE")]
    intensity_sigma: Option<f64>,
    /// How far all voxels matter to each other: a sigma in micrometres
    #[arg(long, value_name = "UM")]
    smoothness_sigma: Option<f64>,
    /// Rounds of inference
    #[arg(long)]
    iterations: Option<usize>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Crf {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        let map = read_image(&self.files.input, &self.settings)?;
        let image = read_image(&self.image, &self.settings)?;
        same_shape((&self.files.input, map.shape()), (&self.image, image.shape()))?;
        let spacing = lengths(map.spacing, &self.files.input)?;
        let defaults = DenseCrf::default();
        let settings = DenseCrf {
            appearance_sigma: self.appearance_sigma.unwrap_or(defaults.appearance_sigma),
            intensity_sigma: self.intensity_sigma,
            smoothness_sigma: self.smoothness_sigma.unwrap_or(defaults.smoothness_sigma),
            iterations: self.iterations.unwrap_or(defaults.iterations),
            ..defaults
        };
        let refined = dense_crf_foreground(map.data.view(), image.data.view(), spacing, &settings)?;
        write_volume(&self.files.output, &with_voxels(&map, refined), self.common.overwrite())?;
        Done { output: self.files.output, shape: map.shape(), objects: None }.report(&self.common)
    }
}

#[derive(clap::Args)]
pub(super) struct Semantic {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Semantic {
    pub(super) fn run(self) -> Result<Outcome> {
        let Files { input, output } = &self.files;
        self.files.refuse_existing(&self.common)?;
        let reader = VolumeReader::open(input)?;
        let frame = frame(&reader, &self.settings)?;
        let [_, ny, nx] = frame.shape;
        write_in_slabs(output, &frame, self.common.overwrite(), |planes| {
            interrupt::keep_on()?;
            let part = [planes, 0..ny, 0..nx];
            // Which object a voxel is of does not matter, so ids may be of 64 bits.
            if reader.info().dtype == DType::U64
                && let AnyVolume::U64(ids) = reader.part(part.clone())?
            {
                return Ok(ids.data.mapv(|id| u8::from(id > 0)));
            }
            Ok(reader.part_labels(part)?.data.mapv(|id| u8::from(id > 0)))
        })?;
        Done { output: output.clone(), shape: frame.shape, objects: None }.report(&self.common)
    }
}

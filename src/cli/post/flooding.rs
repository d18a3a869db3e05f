//! Seeds, floods from them, and merging what was divided too far.

use super::{Files, blocks::ConnectivityName, lengths, read_image, read_labels, same_shape, with_voxels};
use crate::cli::{Common, Outcome, Result, settings::Settings};
use cellseg::{
    Error,
    io::Volume,
    post::{
        Connectivity, Flood, Labels, Saliency, WatershedHierarchy, blob_seeds, distance_transform,
        keep_apart, mask_above, merge_weak_borders, persistent_peaks, seed_volume, watershed_with,
    },
};
use ndarray::Array3;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Seeds {
    #[command(flatten)]
    files: Files,
    /// Where seeds lie
    #[arg(long, value_enum, default_value = "peaks")]
    method: SeedsName,
    /// How far one must go down from a seed before a higher one can be reached: in units of the map for peaks, of its
    /// curvature's response for blobs, in micrometres for distance
    #[arg(long, value_name = "HEIGHT")]
    h: f32,
    /// The value that foreground lies above; without it all voxels are foreground
    #[arg(long, allow_hyphen_values = true)]
    threshold: Option<f32>,
    /// The diameters of the objects in micrometres, for blobs
    #[arg(long, value_name = "UM,..", value_delimiter = ',')]
    diameter: Vec<f64>,
    /// The least distance between two seeds in micrometres
    #[arg(long, value_name = "UM", default_value = "0")]
    apart: f64,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum SeedsName {
    /// At the map's maxima (h-maxima)
    Peaks,
    /// At the maxima of the Laplacian of a Gaussian for the given diameters
    Blobs,
    /// Deep inside the foreground: at the maxima of the distance to the background
    Distance,
}

impl Seeds {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        let missing = match self.method {
            SeedsName::Blobs if self.diameter.is_empty() => Some("--method blobs needs --diameter"),
            SeedsName::Distance if self.threshold.is_none() => Some("--method distance needs --threshold"),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(Error::usage(missing));
        }
        let map = read_image(&self.files.input, &self.settings)?;
        let spacing = lengths(map.spacing, &self.files.input)?;
        let mask = foreground(&map, self.threshold);
        let (values, inside, all) = (map.data.view(), mask.view(), Connectivity::TwentySix);
        let peaks = match self.method {
            SeedsName::Peaks => persistent_peaks(values, inside, self.h, all)?,
            SeedsName::Blobs => blob_seeds(values, inside, spacing, &self.diameter, self.h)?,
            SeedsName::Distance => {
                let mut depth = distance_transform(inside, spacing);
                // Without background everything is equally deep.
                depth.mapv_inplace(|depth| if depth.is_finite() { depth } else { 0.0 });
                persistent_peaks(depth.view(), inside, self.h, all)?
            }
        };
        let seeds = keep_apart(&peaks, self.apart, spacing)?;
        let ids = with_voxels(&map, seed_volume(&seeds, map.shape())?);
        self.files.labels(&ids, seeds.len() as u32, &self.common)
    }
}

#[derive(clap::Args)]
pub(super) struct Watershed {
    #[command(flatten)]
    files: Files,
    /// Labels of the seeds, whose ids the objects get; without them objects come from the hierarchy of all basins, by --saliency
    #[arg(long, value_name = "FILE", required_unless_present = "saliency")]
    seeds: Option<PathBuf>,
    /// How far an object must stand above the pass to a higher one, in units of the map
    #[arg(long, value_name = "HEIGHT", conflicts_with = "seeds")]
    saliency: Option<f64>,
    /// The value that foreground lies above; without it all voxels are foreground
    #[arg(long, allow_hyphen_values = true)]
    threshold: Option<f32>,
    /// How much distance to the seed counts: 0 for a plain watershed, more for objects of even size
    #[arg(long, value_name = "WEIGHT", default_value = "0", conflicts_with = "saliency")]
    compactness: f64,
    /// Leave a line of background between objects
    #[arg(long, conflicts_with = "saliency")]
    line: bool,
    /// Which voxels are connected
    #[arg(long, value_enum, default_value = "6")]
    connectivity: ConnectivityName,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Watershed {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        let map = read_image(&self.files.input, &self.settings)?;
        let mask = foreground(&map, self.threshold);
        let connectivity = self.connectivity.into();
        let (ids, objects) = match &self.seeds {
            Some(path) => {
                let seeds = read_labels(path, &self.settings)?;
                same_shape((&self.files.input, map.shape()), (path, seeds.shape()))?;
                let flood = Flood {
                    connectivity,
                    compactness: self.compactness,
                    line: self.line,
                    ..Flood::default()
                };
                // Floods rise from the lows.
                let depth = map.data.mapv(|value| -value);
                let ids = watershed_with(depth.view(), seeds.data.view(), mask.view(), &flood)?;
                let objects = Labels::from_ids(ids.view()).count();
                (ids, objects)
            }
            None => {
                let saliency = self.saliency.unwrap_or_default();
                if !(saliency.is_finite() && saliency >= 0.0) {
                    return Err(Error::usage(format!(
                        "--saliency is {saliency}; expected a number of at least 0"
                    )));
                }
                let spacing = lengths(map.spacing, &self.files.input)?;
                let by = Saliency::Dynamics;
                let (values, inside) = (map.data.view(), mask.view());
                let labels = WatershedHierarchy::new(values, inside, spacing, by, connectivity)?.at(saliency);
                let objects = labels.count();
                (labels.into_ids(), objects)
            }
        };
        self.files.labels(&with_voxels(&map, ids), objects, &self.common)
    }
}

#[derive(clap::Args)]
pub(super) struct Merge {
    #[command(flatten)]
    files: Files,
    /// A map that is high where objects end, of the same shape as the labels
    #[arg(long, value_name = "FILE")]
    borders: PathBuf,
    /// Merge touching objects whose common border has a lower mean than this
    #[arg(long, allow_hyphen_values = true)]
    below: f32,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Merge {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        let ids = read_labels(&self.files.input, &self.settings)?;
        let borders = read_image(&self.borders, &self.settings)?;
        same_shape((&self.files.input, ids.shape()), (&self.borders, borders.shape()))?;
        let labels = merge_weak_borders(&Labels::from_ids(ids.data.view()), borders.data.view(), self.below)?;
        let objects = labels.count();
        self.files.labels(&with_voxels(&ids, labels.into_ids()), objects, &self.common)
    }
}

/// The voxels above the threshold, or all.
fn foreground(map: &Volume<f32>, threshold: Option<f32>) -> Array3<bool> {
    match threshold {
        Some(threshold) => mask_above(map.data.view(), threshold),
        None => Array3::from_elem(map.data.dim(), true),
    }
}

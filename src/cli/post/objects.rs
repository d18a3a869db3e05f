//! Objects: making and removing them.

use super::{
    Done, Files,
    blocks::{self, ConnectivityName},
    lengths, read_image, read_labels, same_shape, with_voxels,
};
use crate::cli::{
    Common, Outcome, Result, files, interrupt,
    settings::{self, Settings},
};
use cellseg::{
    Error, io,
    post::{
        self, InstanceOptions, Labels, MaximaRule, Method, WatershedSeeds, ids_to_u64, instances,
        relabel_sequential, remove_artifacts, voronoi_otsu_as_clesperanto,
    },
    read_labels_of_any_size,
};
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Instances {
    #[command(flatten)]
    files: Files,
    /// How touching objects are told apart
    #[arg(long, value_enum, default_value = "peaks")]
    method: MethodName,
    /// The value of the blurred map that foreground lies above; found from the values (Otsu) if not given
    #[arg(long, allow_hyphen_values = true)]
    threshold: Option<f32>,
    /// The typical diameter of the objects in micrometres; estimated if not given
    #[arg(long, value_name = "UM")]
    diameter: Option<f64>,
    /// The smallest object in cubic micrometres; a tenth of a ball of the diameter if not given
    #[arg(long, value_name = "UM3")]
    min_volume: Option<f64>,
    /// Which voxels are connected, for --method components
    #[arg(long, value_enum, default_value = "26")]
    connectivity: ConnectivityName,
    /// Work in blocks of so many voxels, for volumes that do not fit into memory; needs --threshold and --diameter
    #[arg(long, value_name = "Z,Y,X", value_parser = files::shape)]
    block: Option<[usize; 3]>,
    /// How far around a block to look, in micrometres; two diameters if not given
    #[arg(long, value_name = "UM", requires = "block")]
    halo: Option<f64>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum MethodName {
    /// Voronoi-Otsu on maps of two clear classes; else peaks, and each object's outline at a share of its own brightness
    Peaks,
    /// Local maxima, and to each voxel the nearest
    VoronoiOtsu,
    /// A watershed from the cores of shape and brightness
    Watershed,
    /// Connected components: touching objects stay one
    Components,
    /// CellSeg3D's watershed: seeds above 0.9 of a map of probabilities
    Cellseg3dWatershed,
    /// CellSeg3D's Voronoi-Otsu: clesperanto's, in voxels, both sigmas 0.65
    Cellseg3dVoronoiOtsu,
}

/// CellSeg3D's defaults.
const CELLSEG3D_SIGMA: f64 = 0.65;
const CELLSEG3D_SEEDS: WatershedSeeds = WatershedSeeds::Cores { threshold: 0.9, min_voxels: 3 };

impl Instances {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        if let Some(block) = self.block {
            return self.run_in_blocks(block);
        }
        let map = read_image(&self.files.input, &self.settings)?;
        let labels = if self.method == MethodName::Cellseg3dVoronoiOtsu {
            if self.threshold.is_some() || self.diameter.is_some() || self.min_volume.is_some() {
                return Err(Error::usage(
                    "--method cellseg3d-voronoi-otsu has no settings; leave out --threshold, --diameter and \
                     --min-volume, or use --method voronoi-otsu",
                ));
            }
            let image = map.data.view();
            if distinct_values(&map, 2) == 2 {
                tracing::warn!(
                    "{} has only two values: most objects are then flat on top, and this method sees no maximum in \
                     them; give the soft map instead of a thresholded one",
                    self.files.input.display()
                );
            }
            voronoi_otsu_as_clesperanto(image, CELLSEG3D_SIGMA, CELLSEG3D_SIGMA, MaximaRule::Strict)?
        } else {
            let highest = map.data.fold(0.0f32, |highest, value| highest.max(*value));
            if self.method == MethodName::Cellseg3dWatershed && highest > 1.0 {
                tracing::warn!(
                    "{} goes up to {highest}, but this method takes what is above 0.9 for seeds; give a map of \
                     probabilities from 0 to 1",
                    self.files.input.display()
                );
            }
            let spacing = lengths(map.spacing, &self.files.input)?;
            instances(map.data.view(), spacing, &self.options()?)?
        };
        let objects = labels.count();
        self.files.labels(&with_voxels(&map, labels.into_ids()), objects, &self.common)
    }

    fn run_in_blocks(&self, block: [usize; 3]) -> Result<Outcome> {
        let options = self.options()?;
        let alone = match self.method {
            MethodName::Components => {
                Some("`cellseg post components`, which is exact on volumes of any size")
            }
            MethodName::Cellseg3dVoronoiOtsu => Some("--method voronoi-otsu, whose threshold can be given"),
            _ => None,
        };
        if let Some(instead) = alone {
            return Err(Error::usage(format!("--block does not go with this --method; use {instead}")));
        }
        let (post::Threshold::Fixed(_), Some(diameter)) = (options.threshold, options.diameter) else {
            return Err(Error::usage(
                "each block would find a threshold and a diameter of its own; give both to all with --threshold and \
                 --diameter (try them on a part of the volume: cellseg post crop)",
            ));
        };
        blocks::instances(
            &self.files,
            block,
            self.halo.unwrap_or(2.0 * diameter),
            &options,
            &self.settings,
            &self.common,
        )
    }

    fn options(&self) -> Result<InstanceOptions> {
        let mut options = self.settings.read()?.instances;
        options.method = match self.method {
            MethodName::Peaks => Method::Peaks,
            MethodName::VoronoiOtsu | MethodName::Cellseg3dVoronoiOtsu => Method::VoronoiOtsu,
            MethodName::Watershed => Method::Watershed(WatershedSeeds::Shape),
            MethodName::Components => Method::Components,
            MethodName::Cellseg3dWatershed => Method::Watershed(CELLSEG3D_SEEDS),
        };
        options.connectivity = self.connectivity.into();
        if let Some(threshold) = self.threshold {
            options.threshold = post::Threshold::Fixed(threshold);
        }
        options.diameter = self.diameter.or(options.diameter);
        options.min_volume = self.min_volume.or(options.min_volume);
        Ok(options)
    }
}

/// How many different values a map has, counted up to one more than `most`.
fn distinct_values(map: &io::Volume<f32>, most: usize) -> usize {
    let mut values: Vec<f32> = Vec::new();
    for &value in &map.data {
        if values.len() <= most && !values.contains(&value) {
            values.push(value);
        }
    }
    values.len()
}

#[derive(clap::Args)]
pub(super) struct Relabel {
    #[command(flatten)]
    files: Files,
    /// Where a table of the new and the old ids goes (.csv, or .parquet where the program was built with it)
    #[arg(long, value_name = "FILE")]
    old_ids: Option<PathBuf>,
    /// Write ids of 64 bits, for programs that want them so
    #[arg(long)]
    u64: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Relabel {
    pub(super) fn run(self) -> Result<Outcome> {
        let Self { files, old_ids: table, common, .. } = &self;
        common.refuse_existing(
            [Some(&files.output), table.as_ref()].into_iter().flatten().map(PathBuf::as_path),
        )?;
        io::check_volume_name(&files.output)?;
        table.as_ref().map(io::TableFormat::of).transpose()?;
        let (ids, old_ids) = read_labels_of_any_size(&files.input)?;
        let ids = settings::with_spacing(ids, &self.settings.read()?)?;
        let (ids, old_ids) = match old_ids {
            Some(old_ids) => (ids, old_ids),
            None => {
                let relabelled = relabel_sequential(ids.data.view());
                let old_ids = relabelled.old_ids.into_iter().map(u64::from).collect();
                (with_voxels(&ids, relabelled.ids), old_ids)
            }
        };
        let objects = old_ids.len() as u32 - 1;
        interrupt::keep_on()?;
        if self.u64 {
            let wide = with_voxels(&ids, ids_to_u64(ids.data.view()));
            io::write_volume(&files.output, &wide, common.overwrite())?;
        } else {
            io::write_labels(&files.output, &ids, common.overwrite())?;
        }
        if let Some(path) = table {
            let rows =
                (1u64..).zip(&old_ids[1..]).map(|(new, old)| [io::Cell::from(new), io::Cell::from(*old)]);
            io::write_table(path, ["label", "old_label"], rows, common.overwrite())?;
        }
        let (output, shape) = (files.output.clone(), ids.shape());
        Done { output, shape, objects: Some(objects as usize) }.report(common)
    }
}

#[derive(clap::Args)]
pub(super) struct Sizes {
    #[command(flatten)]
    files: Files,
    /// Remove objects of fewer voxels
    #[arg(long, value_name = "N")]
    min_voxels: Option<u64>,
    /// Remove objects of more voxels
    #[arg(long, value_name = "N")]
    max_voxels: Option<u64>,
    /// Remove smaller objects, in cubic micrometres
    #[arg(long, value_name = "UM3")]
    min_volume: Option<f64>,
    /// Remove larger objects, in cubic micrometres
    #[arg(long, value_name = "UM3")]
    max_volume: Option<f64>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Sizes {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        let in_voxels = self.min_voxels.is_some() || self.max_voxels.is_some();
        let in_volume = self.min_volume.is_some() || self.max_volume.is_some();
        if !in_voxels && !in_volume {
            return Err(Error::usage(
                "nothing says what is too small or too large; give --min-voxels, --max-voxels, --min-volume or \
                 --max-volume",
            ));
        }
        let voxels = self.min_voxels.unwrap_or(0)..=self.max_voxels.unwrap_or(u64::MAX);
        let volume = self.min_volume.unwrap_or(0.0)..=self.max_volume.unwrap_or(f64::INFINITY);
        // Written so that NaN is refused too.
        if voxels.is_empty() || !(*volume.start() >= 0.0 && volume.start() <= volume.end()) {
            return Err(Error::usage(format!(
                "no object has {} to {} voxels and {} to {} um3; give sizes from 0 on, the smaller one as --min",
                voxels.start(),
                voxels.end(),
                volume.start(),
                volume.end()
            )));
        }
        let ids = read_labels(&self.files.input, &self.settings)?;
        let mut labels = Labels::from_ids(ids.data.view());
        if in_voxels {
            labels = labels.filter_voxels(voxels);
        }
        if in_volume {
            labels = labels.filter_volume(volume, lengths(ids.spacing, &self.files.input)?);
        }
        let objects = labels.count();
        self.files.labels(&with_voxels(&ids, labels.into_ids()), objects, &self.common)
    }
}

#[derive(clap::Args)]
pub(super) struct Artifacts {
    #[command(flatten)]
    files: Files,
    /// The image that brightness is measured in; without it only volume and shape are judged
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// How many robust standard deviations from the typical are too many
    #[arg(long, default_value = "5")]
    tolerance: f64,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct Cleaned {
    output: PathBuf,
    objects: u32,
    removed: Vec<Why>,
}

#[derive(Serialize)]
struct Why {
    /// The object's id in the input.
    label: u32,
    reasons: Vec<String>,
}

impl Artifacts {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        let ids = read_labels(&self.files.input, &self.settings)?;
        let image = self.image.as_ref().map(|path| read_image(path, &self.settings)).transpose()?;
        if let (Some(path), Some(image)) = (&self.image, &image) {
            same_shape((&self.files.input, ids.shape()), (path, image.shape()))?;
        }
        let spacing = lengths(ids.spacing, &self.files.input)?;
        let labels = Labels::from_ids(ids.data.view());
        // Ids as in the file, so that the reasons can be looked up there.
        let mut old_ids = vec![0; labels.count() as usize + 1];
        labels.ids().iter().zip(&ids.data).for_each(|(&new, &old)| old_ids[new as usize] = old);
        let image = image.as_ref().map(|image| image.data.view());
        let (labels, removed) = remove_artifacts(labels, image, spacing, self.tolerance)?;
        let removed = removed.into_iter().map(|object| Why {
            label: old_ids[object.id as usize],
            reasons: object.oddities.iter().map(ToString::to_string).collect(),
        });
        let objects = labels.count();
        let report = Cleaned { output: self.files.output, objects, removed: removed.collect() };
        interrupt::keep_on()?;
        io::write_labels(&report.output, &with_voxels(&ids, labels.into_ids()), self.common.overwrite())?;
        self.common.report(&report, |out| {
            for object in &report.removed {
                writeln!(out, "removed {}: {}", object.label, object.reasons.join("; "))?;
            }
            writeln!(out, "{} objects stay: {}", report.objects, report.output.display())
        })?;
        Ok(Outcome::Done)
    }
}

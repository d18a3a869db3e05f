//! From a volume to labelled cells in one call.

use crate::{Result, measure, read_network, write_table};
use cellseg_core::{Device, DeviceChoice};
use cellseg_io::{
    Overwrite, Volume,
    preview::{PreviewOptions, preview, write_png},
};
use cellseg_models::{
    Network, VolumeView,
    infer::{Inference, Progress, class_maps},
};
use cellseg_post::{InstanceOptions, Region, Spacing, Threshold, instances, region_table};
use ndarray::Array3;
use std::path::Path;

/// A trained network with all settings of the way from a raw volume to labelled cells.
#[derive(Debug, Clone)]
pub struct Segmenter {
    /// The network, which computes where its weights lie. Of a WNet3D only the encoder is used.
    pub network: Box<dyn Network>,
    /// How the network's inputs are normalised and its windows laid: as in its training.
    pub inference: Inference,
    /// How cells are found in the map that the network makes.
    pub instances: InstanceOptions,
}

/// What was found in a volume.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// An id for each voxel, `(z, y, x)`: 0 for background, cells are numbered from 1.
    pub labels: Volume<u32>,
    /// How probable foreground is in each voxel, `(z, y, x)`.
    pub probability: Volume<f32>,
    /// How many cells there are.
    pub cells: u32,
}

impl Segmenter {
    /// A segmenter with a network from a weight file, used as the file says, and default instance settings. It computes on
    /// the device that `CELLSEG_DEVICE` names, or the fastest where that is not set; see [`Segmenter::on`].
    ///
    /// # Errors
    /// Those of [`read_network`], and [`cellseg_core::Error::Device`] for a device that is not there.
    pub fn open(weights: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(&DeviceChoice::from_env()?.open()?, weights)
    }

    /// [`Segmenter::open`] on a device of one's choice.
    ///
    /// # Errors
    /// Those of [`read_network`], and memory of the device.
    pub fn open_on(device: &Device, weights: impl AsRef<Path>) -> Result<Self> {
        let (network, inference) = read_network(weights)?;
        Self::new(network, inference).on(device)
    }

    /// The same segmenter on another device.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn on(self, device: &Device) -> Result<Self> {
        let mut segmenter = self;
        segmenter.network.move_to(device)?;
        Ok(segmenter)
    }

    /// A segmenter with this network, where it lies, and default instance settings; the threshold is the network's, where it
    /// has one.
    pub fn new(network: impl Into<Box<dyn Network>>, inference: Inference) -> Self {
        let network = network.into();
        let mut instances = InstanceOptions::default();
        if let Some(threshold) = network.threshold() {
            instances.threshold = Threshold::Fixed(threshold);
        }
        Segmenter { network, inference, instances }
    }

    /// How probable foreground is in each voxel. Windows of the volume are looked at one after the other, so memory is
    /// bounded by the volume and one window.
    ///
    /// # Errors
    /// A volume that is empty, constant, or holds values that are not finite; memory.
    pub fn probability(&self, volume: &Volume<f32>, progress: &mut dyn Progress) -> Result<Volume<f32>> {
        let maps = class_maps(&*self.network, &view(volume), &self.inference, progress)?;
        Ok(like(volume, maps.into_foreground()))
    }

    /// Finds the cells of a volume.
    ///
    /// # Errors
    /// Those of [`Segmenter::probability`], and settings out of range.
    pub fn segment(&self, volume: &Volume<f32>, progress: &mut dyn Progress) -> Result<Segmentation> {
        let probability = self.probability(volume, progress)?;
        let labels = instances(probability.data.view(), post_spacing(volume)?, &self.instances)?;
        let cells = labels.count();
        Ok(Segmentation { labels: like(volume, labels.into_ids()), probability, cells })
    }
}

impl Segmentation {
    /// Measures each cell: size, place and shape, in micrometres where the spacing is known and in voxels where it is not,
    /// and the intensities of `image`.
    ///
    /// # Errors
    /// An image of another shape, or with values that are not finite.
    pub fn measure(&self, image: &Volume<f32>) -> Result<Vec<Region>> {
        measure(&self.labels, Some(image))
    }

    /// Writes what [`Segmentation::measure`] finds, a row for each cell, in the format that [`write_table`] chooses.
    ///
    /// # Errors
    /// Those of [`Segmentation::measure`] and [`write_table`].
    pub fn write_table(
        &self,
        path: impl AsRef<Path>,
        image: &Volume<f32>,
        overwrite: Overwrite,
    ) -> Result<()> {
        write_table(path, &region_table(&self.measure(image)?), overwrite)
    }

    /// Writes a picture (PNG) of `image` from three sides, with the cells drawn on it beside.
    ///
    /// # Errors
    /// An image of another shape; a file that cannot be written, or exists and is not to be replaced.
    pub fn write_preview(
        &self,
        path: impl AsRef<Path>,
        image: &Volume<f32>,
        overwrite: Overwrite,
    ) -> Result<()> {
        let (voxels, labels) = (image.data.view(), self.labels.data.view());
        let picture = preview(voxels, Some(labels), image.spacing, &PreviewOptions::default())?;
        Ok(write_png(path, picture, overwrite)?)
    }
}

/// What a network is given of a volume.
pub(crate) fn view(volume: &Volume<f32>) -> VolumeView<'_> {
    let spacing = volume.spacing.map_or([1.0; 3], |s| s.zyx());
    VolumeView { name: &volume.name, voxels: volume.data.view(), spacing }
}

/// The spacing of a volume as lengths are measured in; one unit where it is not known.
pub(crate) fn post_spacing<T>(volume: &Volume<T>) -> Result<Spacing> {
    post_spacing_of(volume.spacing)
}

/// The unit is one voxel where the spacing is not known.
pub(crate) fn post_spacing_of(spacing: Option<cellseg_io::Spacing>) -> Result<Spacing> {
    let Some(spacing) = spacing else { return Ok(Spacing::VOXELS) };
    let [z, y, x] = spacing.zyx();
    Ok(Spacing::new(z, y, x)?)
}

fn like<T, U>(volume: &Volume<T>, data: Array3<U>) -> Volume<U> {
    Volume { data, spacing: volume.spacing, name: volume.name.clone() }
}

//! Patches of the volumes that are trained on.

use super::config::TrainConfig;
use crate::{
    Error, Result, VolumeView,
    augment::Symmetry,
    intensity::{self, Intensity},
};
use cellseg_core::{Rng, Tensor};
use ndarray::{Array3, ArrayViewMut3};

/// The volumes and how they are normalised.
pub(super) struct Patches<'a> {
    volumes: Vec<(VolumeView<'a>, Intensity)>,
}

impl<'a> Patches<'a> {
    pub(super) fn new(volumes: &[VolumeView<'a>], config: &TrainConfig) -> Result<Self> {
        if volumes.is_empty() {
            return Err(Error::setting("volumes", 0, "at least one volume to train on"));
        }
        let volumes =
            volumes.iter().map(|v| Ok((*v, v.fit(&config.normalisation)?))).collect::<Result<_>>()?;
        Ok(Patches { volumes })
    }

    /// The voxels of each volume.
    pub(super) fn extents(&self) -> Vec<[usize; 3]> {
        self.volumes.iter().map(|(v, _)| v.extents()).collect()
    }

    /// The patches of one step, `[batch, d, h, w, 1]`, which depend on the random numbers only. A place in a large volume
    /// is as likely as one in a small volume.
    pub(super) fn draw(&self, config: &TrainConfig, rng: &mut Rng) -> Result<Tensor> {
        let [d, h, w] = config.patch;
        let patch = d * h * w;
        Ok(Tensor::build(&[config.batch, d, h, w, 1], |out: &mut [f32]| {
            for out in out.chunks_mut(patch) {
                let out = ArrayViewMut3::from_shape(config.patch, out);
                self.draw_one(config, rng, out.expect("a chunk has the patch's size"));
            }
            Ok(())
        })?)
    }

    fn draw_one(&self, config: &TrainConfig, rng: &mut Rng, mut out: ArrayViewMut3<'_, f32>) {
        let voxels: usize = self.volumes.iter().map(|(v, _)| v.voxels.len()).sum();
        let mut place = rng.below(voxels);
        let (volume, intensity) = self
            .volumes
            .iter()
            .find(|(v, _)| {
                let here = place < v.voxels.len();
                place = place.saturating_sub(v.voxels.len());
                here
            })
            .unwrap_or(&self.volumes[0]);
        let symmetry = Symmetry::random(volume.spacing, config.flips, config.rotations, rng);
        let extents = symmetry.extents_in_volume(config.patch);
        let origin =
            std::array::from_fn(|i| first_voxel(volume.extents()[i], extents[i], |room| rng.below(room + 1)));
        let mut read = Array3::zeros(extents);
        if let Some(values) = read.as_slice_mut() {
            if config.normalise_patches {
                intensity::copy(volume.voxels, origin, extents, values);
            } else {
                intensity.read(volume.voxels, origin, extents, values);
            }
        }
        if config.normalise_patches {
            read = normalised(&read, volume, config);
        }
        out.assign(&symmetry.apply(read.view()));
    }
}

/// Where a patch of `patch` voxels along an axis begins in a volume of `extent` voxels: where `choose` says, given how far it
/// may move.
pub(super) fn first_voxel(extent: usize, patch: usize, choose: impl FnOnce(usize) -> usize) -> isize {
    match extent.checked_sub(patch) {
        Some(room) => choose(room) as isize,
        // A volume that is shorter than a patch lies in its middle, between its mirror images.
        None => -((patch - extent) as isize / 2),
    }
}

/// A patch by its own range; black where it has none.
fn normalised(patch: &Array3<f32>, volume: &VolumeView<'_>, config: &TrainConfig) -> Array3<f32> {
    let mut out = Array3::zeros(patch.dim());
    let fit = Intensity::fit(volume.name, patch.view(), volume.spacing, &config.normalisation);
    if let (Ok(fit), Some(values)) = (fit, out.as_slice_mut()) {
        let (d, h, w) = patch.dim();
        fit.read(patch.view(), [0; 3], [d, h, w], values);
    }
    out
}

//! Patches of labelled volumes.

use super::{SupervisedConfig, foreground::Foreground};
use crate::{
    Error, Result,
    augment::{Deformation, Symmetry, change_intensities},
    intensity::{self, Intensity},
    train::{LabelledVolume, patches::first_voxel},
};
use cellseg_core::{Error as CoreError, Rng, Shape, Tensor};
use ndarray::{Array3, ArrayViewMut3};

/// What one step looks at, in host memory.
pub(in super::super) struct Batch {
    /// Intensities `[n, d, h, w, 1]` from 0 to 100.
    pub(super) image: Tensor,
    /// `[n, d, h, w, c]`: with one channel 1 where there is foreground, with two 1 in the channel of the voxel's class.
    pub(super) target: Tensor,
}

/// Labelled volumes, and how their intensities are normalised.
pub(super) struct LabelledPatches<'a> {
    sources: Vec<Source<'a>>,
    channels: usize,
}

/// Checks that patches can be bent: where a unit is mistaken, what is read for a patch or the lattice of its displacements
/// would not fit into memory.
fn check_bend(config: &SupervisedConfig, spacing: [f64; 3]) -> Result<()> {
    let a = &config.augmentation;
    let fits =
        |i: usize| spacing[i] <= a.bend_distance && 2.0 * a.bend <= config.patch[i] as f64 * spacing[i];
    if a.share == 0.0 || a.bend == 0.0 || (0..3).all(fits) {
        return Ok(());
    }
    let expected = format!(
        "at most half the extent of a patch along each axis, with a bend_distance ({}) of at least one voxel; the \
         spacing is {spacing:?} (z, y, x): check that it is in micrometres, or set bend to 0",
        a.bend_distance
    );
    Err(Error::setting("augmentation.bend", a.bend, expected))
}

struct Source<'a> {
    of: LabelledVolume<'a>,
    intensity: Intensity,
    foreground: Foreground,
}

impl<'a> LabelledPatches<'a> {
    pub(super) fn new(
        volumes: &[LabelledVolume<'a>],
        config: &SupervisedConfig,
        channels: usize,
    ) -> Result<Self> {
        let Some(first) = volumes.first() else {
            return Err(Error::setting("volumes", 0, "at least one labelled volume to train on"));
        };
        let sources = volumes
            .iter()
            .map(|of| {
                of.check()?;
                check_bend(config, of.volume.spacing)?;
                let intensity = of.volume.fit(&config.normalisation)?;
                let foreground = Foreground::of(of.labels);
                if foreground.count() == of.labels.len() {
                    let why = "its labels are foreground everywhere; background must be 0";
                    return Err(Error::volume(of.volume.name, why));
                }
                Ok(Source { of: *of, intensity, foreground })
            })
            .collect::<Result<Vec<_>>>()?;
        if sources.iter().all(|source| source.foreground.count() == 0) {
            let others = if sources.len() > 1 { ", nor those of any other volume" } else { "" };
            let why = format!(
                "its labels are 0 everywhere{others}: there is no foreground to learn; give labels that mark some"
            );
            return Err(Error::volume(first.volume.name, why));
        }
        Ok(LabelledPatches { sources, channels })
    }

    /// The voxels of each volume.
    pub(super) fn extents(&self) -> Vec<[usize; 3]> {
        self.sources.iter().map(|source| source.of.volume.extents()).collect()
    }

    /// The patches of one step, which depend on the random numbers only.
    pub(super) fn draw(&self, config: &SupervisedConfig, rng: &mut Rng) -> Result<Batch> {
        let [d, h, w] = config.patch;
        let all = Shape::new(&[config.batch, d, h, w])?.count();
        let voxels = d * h * w;
        let mut foreground = Vec::new();
        let full = |_| CoreError::Memory { bytes: all, device: "the CPU".to_owned() };
        foreground.try_reserve_exact(all).map_err(full)?;
        foreground.resize(all, false);
        let image = Tensor::build(&[config.batch, d, h, w, 1], |out: &mut [f32]| {
            for (image, labels) in out.chunks_mut(voxels).zip(foreground.chunks_mut(voxels)) {
                self.draw_one(config, rng, image, labels);
            }
            Ok(())
        })?;
        let target = Tensor::build(&[config.batch, d, h, w, self.channels], |out: &mut [f32]| {
            for (out, &is_foreground) in out.chunks_mut(self.channels).zip(&foreground) {
                out[0] = f32::from(u8::from(is_foreground == (self.channels == 1)));
                if let Some(second) = out.get_mut(1) {
                    *second = f32::from(u8::from(is_foreground));
                }
            }
            Ok(())
        })?;
        Ok(Batch { image, target })
    }

    fn draw_one(&self, config: &SupervisedConfig, rng: &mut Rng, image: &mut [f32], labels: &mut [bool]) {
        let (source, wanted) = self.place(config, rng);
        let LabelledVolume { volume, labels: truth } = &source.of;
        let a = &config.augmentation;
        let symmetry = Symmetry::random(volume.spacing, a.flips, a.rotations, rng);
        let extents = symmetry.extents_in_volume(config.patch);
        let origin: [isize; 3] = std::array::from_fn(|i| {
            first_voxel(volume.extents()[i], extents[i], |room| match wanted {
                Some(voxel) => voxel[i].saturating_sub(rng.below(extents[i])).min(room),
                None => rng.below(room + 1),
            })
        });
        let deformation = Deformation::random(a, extents, volume.spacing, rng);
        let (from, read) = deformation.as_ref().map_or(([0; 3], extents), Deformation::reads);
        let from = std::array::from_fn(|i| origin[i] + from[i]);
        let (mut read_image, mut read_truth) = (Array3::zeros(read), Array3::zeros(read));
        if let (Some(image), Some(labels)) = (read_image.as_slice_mut(), read_truth.as_slice_mut()) {
            source.intensity.read(volume.voxels, from, read, image);
            intensity::copy(*truth, from, read, labels);
        }
        if let Some(deformation) = deformation {
            let (mut bent, mut bent_truth) = (Array3::zeros(extents), Array3::zeros(extents));
            deformation.image(read_image.view(), bent.view_mut());
            deformation.labels(read_truth.view(), bent_truth.view_mut());
            (read_image, read_truth) = (bent, bent_truth);
        }
        if let Ok(mut out) = ArrayViewMut3::from_shape(config.patch, &mut *image) {
            out.assign(&symmetry.apply(read_image.view()));
        }
        for (out, label) in labels.iter_mut().zip(symmetry.apply(read_truth.view())) {
            *out = *label > 0;
        }
        change_intensities(image, a, rng);
    }

    /// A volume, and in a share of the patches a voxel of its foreground that the patch is to hold. Each voxel of all foreground,
    /// or of all volumes, is as likely as the others.
    fn place(&self, config: &SupervisedConfig, rng: &mut Rng) -> (&Source<'a>, Option<[usize; 3]>) {
        let holds_foreground = rng.uniform() < config.foreground_share;
        let count = |source: &Source<'_>| {
            if holds_foreground { source.foreground.count() } else { source.of.labels.len() }
        };
        let mut n = rng.below(self.sources.iter().map(count).sum());
        for source in &self.sources {
            if n < count(source) {
                let voxel = holds_foreground.then(|| source.foreground.voxel(source.of.labels, n));
                return (source, voxel.flatten());
            }
            n -= count(source);
        }
        (&self.sources[0], None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{VolumeView, augment::Augmentation, intensity::Normalisation};

    /// A few large blocks whose intensity says where they are.
    fn blocks(dims: [usize; 3]) -> (Array3<f32>, Array3<u32>) {
        let labels = Array3::from_shape_fn(dims, |(z, y, x)| u32::from(z / 6 + y / 7 + x / 8 == 3) * 5);
        (labels.mapv(|l| l as f32), labels)
    }

    fn draw(config: &SupervisedConfig, channels: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let (image, labels) = blocks([18, 40, 40]);
        let volume = VolumeView { spacing: [2.0, 1.0, 1.0], ..VolumeView::isotropic("v", image.view()) };
        let of = [LabelledVolume { volume, labels: labels.view() }];
        let patches = LabelledPatches::new(&of, config, channels).unwrap();
        let batch = patches.draw(config, &mut Rng::new(seed)).unwrap();
        (batch.image.to_vec().unwrap(), batch.target.to_vec().unwrap())
    }

    fn plain() -> SupervisedConfig {
        SupervisedConfig {
            batch: 4,
            patch: [8, 16, 16],
            normalisation: Normalisation::MinMax,
            augmentation: Augmentation { flips: true, rotations: true, ..Augmentation::NONE },
            ..SupervisedConfig::default()
        }
    }

    #[test]
    fn image_and_labels_are_changed_together() {
        for seed in 0..20 {
            let (image, target) = draw(&plain(), 1, seed);
            assert!(image.iter().zip(&target).all(|(i, t)| *i == 100.0 * t));
            let bent = Augmentation {
                share: 1.0,
                contrast: 0.0,
                brightness: 0.0,
                noise: 0.0,
                ..Augmentation::default()
            };
            let (image, target) = draw(&SupervisedConfig { augmentation: bent, ..plain() }, 1, seed);
            assert!(image.iter().any(|i| *i > 0.0 && *i < 100.0), "interpolated");
            // Only where an edge runs between voxels may the nearest of eight say other than their mean.
            let wrong = image.iter().zip(&target).filter(|(i, t)| (**i - 100.0 * **t).abs() > 90.0).count();
            assert!(wrong * 1000 < image.len(), "{wrong} of {}", image.len());
        }
    }

    #[test]
    fn two_channels_are_background_and_foreground() {
        let (_, one) = draw(&plain(), 1, 3);
        let (_, two) = draw(&plain(), 2, 3);
        assert!(two.chunks(2).zip(&one).all(|(two, one)| *two == [1.0 - one, *one]));
    }

    #[test]
    fn patches_meet_a_single_voxel_as_often_as_is_asked_for() {
        let image = Array3::from_shape_fn((40, 40, 40), |(z, y, x)| (z + y + x) as f32);
        let mut labels = Array3::zeros((40, 40, 40));
        labels[[31, 2, 17]] = 9;
        let of = [LabelledVolume { volume: VolumeView::isotropic("v", image.view()), labels: labels.view() }];
        let met = |share: f64| {
            let config = SupervisedConfig { foreground_share: share, patch: [8; 3], batch: 400, ..plain() };
            let patches = LabelledPatches::new(&of, &config, 1).unwrap();
            let target = patches.draw(&config, &mut Rng::new(1)).unwrap().target.to_vec::<f32>().unwrap();
            target.chunks(512).filter(|patch| patch.iter().sum::<f32>() == 1.0).count()
        };
        assert_eq!(met(1.0), 400);
        assert!((180..260).contains(&met(0.5)), "{}", met(0.5));
        assert!(met(0.0) < 20);
    }
}

//! How well the foreground agrees with labels that training never sees.

use crate::{
    Error, Network, Result, VolumeView,
    infer::{self, Inference},
};
use ndarray::ArrayView3;

/// The probability from which a voxel counts as foreground.
const FOREGROUND: f32 = 0.5;

/// A volume with labels.
#[derive(Debug, Clone, Copy)]
pub struct LabelledVolume<'a> {
    /// The volume.
    pub volume: VolumeView<'a>,
    /// Labels `(z, y, x)`; 0 is background.
    pub labels: ArrayView3<'a, u32>,
}

impl LabelledVolume<'_> {
    pub(super) fn check(&self) -> Result<()> {
        let (image, labels) = (self.volume.voxels.dim(), self.labels.dim());
        if image == labels {
            return Ok(());
        }
        let why =
            format!("its labels measure {labels:?} (z, y, x), the volume {image:?}; they must be the same");
        Err(Error::volume(self.volume.name, why))
    }

    pub(super) fn has_foreground(&self) -> bool {
        self.labels.iter().any(|&label| label > 0)
    }
}

/// The Dice score `2 |A B| / (|A| + |B|)` of a map's foreground and labels' foreground (Dice, 1945); 1 where both are
/// empty.
pub fn dice(map: ArrayView3<'_, f32>, labels: ArrayView3<'_, u32>) -> f64 {
    let [both, sum] = map.iter().zip(labels.iter()).fold([0u64; 2], |[both, sum], (&p, &l)| {
        let (a, b) = (p > FOREGROUND, l > 0);
        [both + u64::from(a && b), sum + u64::from(a) + u64::from(b)]
    });
    if sum == 0 { 1.0 } else { 2.0 * both as f64 / sum as f64 }
}

/// The mean Dice score over the volumes, if there are any.
pub(super) fn mean_dice(
    network: &dyn Network,
    volumes: &[LabelledVolume<'_>],
    settings: &Inference,
) -> Result<Option<f64>> {
    let mut sum = 0.0;
    for v in volumes {
        let maps = infer::class_maps(network, &v.volume, settings, &mut ())?;
        sum += dice(maps.into_foreground().view(), v.labels);
    }
    Ok((!volumes.is_empty()).then(|| sum / volumes.len() as f64))
}

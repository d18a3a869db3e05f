//! A part of the labelled volumes kept back.

use super::super::LabelledVolume;
use crate::{Error, Result, VolumeView};
use ndarray::Axis;

/// Labelled volumes to train on, and to validate on.
pub type Split<'a> = (Vec<LabelledVolume<'a>>, Vec<LabelledVolume<'a>>);

/// Keeps about `share` of the labelled volumes back for validation: the last volumes, or of a single one the last slices along
/// its longest axis. At least one of each is on either side.
///
/// # Errors
/// [`Error::Setting`] for a share that is not between 0 and 1 or where there is no volume, [`Error::Volume`] for labels of
/// another shape, and for a single volume that leaves a side without foreground.
pub fn hold_out<'a>(volumes: &[LabelledVolume<'a>], share: f64) -> Result<Split<'a>> {
    if !(share > 0.0 && share < 1.0) {
        return Err(Error::setting("hold_out", share, "a share between 0 and 1"));
    }
    volumes.iter().try_for_each(LabelledVolume::check)?;
    if volumes.is_empty() {
        return Err(Error::setting("volumes", 0, "at least one labelled volume to train on"));
    }
    let kept = |n: usize| ((n as f64 * share).round() as usize).clamp(1, n - 1);
    match volumes {
        [one] => {
            let extents = one.volume.extents();
            let axis = (0..3).max_by_key(|&i| (extents[i], 3 - i)).unwrap_or(0);
            if extents[axis] < 2 {
                return Err(Error::volume(one.volume.name, "a single voxel cannot be divided"));
            }
            let at = extents[axis] - kept(extents[axis]);
            let (voxels, labels) =
                (one.volume.voxels.split_at(Axis(axis), at), one.labels.split_at(Axis(axis), at));
            let part =
                |voxels, labels| LabelledVolume { volume: VolumeView { voxels, ..one.volume }, labels };
            let parts = [part(voxels.0, labels.0), part(voxels.1, labels.1)];
            for (part, slices) in parts.iter().zip([format!("0..{at}"), format!("{at}..{}", extents[axis])]) {
                // Where there is none at all that is what is to be said.
                if !part.has_foreground() && one.has_foreground() {
                    let why = format!(
                        "its labels hold no foreground in the slices {slices} along {}, one side of the division in \
                         two; give a labelled volume for validation, or another share",
                        ["z", "y", "x"][axis]
                    );
                    return Err(Error::volume(one.volume.name, why));
                }
            }
            let [train, validation] = parts;
            Ok((vec![train], vec![validation]))
        }
        many => {
            let (train, validation) = many.split_at(many.len() - kept(many.len()));
            Ok((train.to_vec(), validation.to_vec()))
        }
    }
}

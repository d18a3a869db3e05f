//! Patches as the microscope might also have seen them, so that few labels teach more.
//!
//! A change of geometry is one map from the patch into the volume, and image and labels are read through the same map: the
//! image interpolated, labels from the nearest voxel, so that no label is invented. A change of intensities is of the image
//! alone. All of it is drawn from one stream of random numbers, so that a patch is a function of the seed and the step.

mod deformation;
mod intensities;
mod symmetry;

pub(crate) use deformation::Deformation;
pub(crate) use intensities::change_intensities;
pub(crate) use symmetry::Symmetry;

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How patches are changed at random.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Whether patches are flipped along each axis.
    pub flips: bool,
    /// Whether patches are turned by 90 degrees, about those axes only whose other two have one spacing.
    pub rotations: bool,
    /// The share of patches that each of the changes below is made to.
    pub share: f64,
    /// The largest turn by any angle, in degrees, about the axis along z. In physical units, so it is one for any spacing.
    pub turn: f64,
    /// The largest change of size, as a share, of each axis by itself.
    pub stretch: f64,
    /// The standard deviation of an elastic deformation, in the unit of the spacing: somewhat less than a cell's radius.
    pub bend: f64,
    /// The distance over which such a deformation changes, in the unit of the spacing: a cell's diameter or more.
    pub bend_distance: f64,
    /// The largest change of contrast about the patch's mean, as a share.
    pub contrast: f64,
    /// The largest change of brightness, as a share of the full scale.
    pub brightness: f64,
    /// The largest standard deviation of the noise that is added, as a share of the full scale.
    pub noise: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation {
            flips: true,
            rotations: true,
            share: 0.2,
            turn: 45.0,
            stretch: 0.15,
            bend: 1.0,
            bend_distance: 10.0,
            contrast: 0.25,
            brightness: 0.1,
            noise: 0.05,
        }
    }
}

impl Augmentation {
    /// Patches as they are.
    pub const NONE: Self = Augmentation {
        flips: false,
        rotations: false,
        share: 0.0,
        turn: 0.0,
        stretch: 0.0,
        bend: 0.0,
        bend_distance: 1.0,
        contrast: 0.0,
        brightness: 0.0,
        noise: 0.0,
    };

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<()> {
        let shares = [
            ("augmentation.share", self.share, 1.0),
            ("augmentation.turn", self.turn, 180.0),
            ("augmentation.stretch", self.stretch, 0.9),
            ("augmentation.contrast", self.contrast, 1.0),
            ("augmentation.brightness", self.brightness, 1.0),
            ("augmentation.noise", self.noise, 1.0),
        ];
        for (field, x, most) in shares {
            if !(0.0..=most).contains(&x) {
                return Err(Error::setting(field, x, format!("a number from 0 to {most}")));
            }
        }
        if !(self.bend_distance.is_finite() && self.bend_distance > 0.0) {
            return Err(Error::setting(
                "augmentation.bend_distance",
                self.bend_distance,
                "a positive length",
            ));
        }
        // Beyond this neighbours would change places, and cells would be folded.
        let most = 0.3 * self.bend_distance;
        if !(0.0..=most).contains(&self.bend) {
            let expected = format!("a length from 0 to {most}, 0.3 of augmentation.bend_distance");
            return Err(Error::setting("augmentation.bend", self.bend, expected));
        }
        Ok(())
    }
}

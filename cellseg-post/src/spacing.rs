//! The physical size of a voxel.

use crate::Error;

/// The distance in micrometres between neighbouring voxel centres along each axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spacing {
    z: f64,
    y: f64,
    x: f64,
}

impl Spacing {
    /// Voxels of one micrometre each way; distances then count voxels.
    pub const VOXELS: Self = Self { z: 1.0, y: 1.0, x: 1.0 };

    /// The spacing (z, y, x) in micrometres.
    ///
    /// # Errors
    /// [`Error::Argument`] if a value is not finite or not above zero.
    pub fn new(z: f64, y: f64, x: f64) -> Result<Self, Error> {
        if [z, y, x].iter().all(|side| side.is_finite() && *side > 0.0) {
            Ok(Self { z, y, x })
        } else {
            Err(Error::Argument {
                name: "spacing (z, y, x) in micrometres",
                given: format!("({z}, {y}, {x})"),
                expected: "three finite numbers above 0",
            })
        }
    }

    /// The spacing as `[z, y, x]` in micrometres.
    pub fn to_array(self) -> [f64; 3] {
        [self.z, self.y, self.x]
    }

    /// The distance between neighbouring planes in micrometres.
    pub fn z(self) -> f64 {
        self.z
    }

    /// The distance between neighbouring rows in micrometres.
    pub fn y(self) -> f64 {
        self.y
    }

    /// The distance between neighbouring voxels of a row in micrometres.
    pub fn x(self) -> f64 {
        self.x
    }

    /// The volume of one voxel in cubic micrometres.
    pub fn voxel_volume(self) -> f64 {
        self.z * self.y * self.x
    }

    /// The shortest side of a voxel in micrometres.
    pub fn finest(self) -> f64 {
        self.z.min(self.y).min(self.x)
    }

    /// A length in micrometres as a number of voxels along each axis (z, y, x).
    pub fn to_voxels(self, length: f64) -> [f64; 3] {
        self.to_array().map(|side| length / side)
    }
}

impl Default for Spacing {
    fn default() -> Self {
        Self::VOXELS
    }
}

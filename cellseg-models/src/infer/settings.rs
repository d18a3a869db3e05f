//! How inference is done.

use crate::{Compute, Error, Network, OutputActivation, Result, intensity::Normalisation};
use serde::{Deserialize, Serialize};

/// How inference is done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inference {
    /// How the volume is cut into windows and put together again.
    pub windows: Windows,
    /// How intensities are mapped to 0 to 100: as in the network's training.
    pub normalisation: Normalisation,
    /// What the maps hold.
    pub output: Output,
    /// Whether to compute what another program computes, where that differs.
    pub compat: Compat,
    /// The type of activations. The maps are `f32` in any case.
    pub compute: Compute,
    /// Which class is the foreground.
    pub foreground: ForegroundClass,
}

/// Which class is the foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForegroundClass {
    /// The brightest: what is stained is bright in fluorescence, and a network that was trained without labels has its classes
    /// in any order.
    #[default]
    Brightest,
    /// The last, as training with labels has it.
    Last,
}

/// What the maps hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Probabilities. Where a voxel is of one class, those of all classes sum to one.
    #[default]
    Probabilities,
    /// The numbers before the softmax or the logistic function.
    Logits,
}

/// Whether to compute what another program computes, where that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compat {
    /// One intensity range for the whole volume, probabilities blended.
    #[default]
    None,
    /// The numbers of CellSeg3D: each window is scaled to 0 to 100 by its own range, the logits of a window are scaled to
    /// 0 to 1 by the range that they have over all of its classes, windows overlap by a quarter and are blended with
    /// MONAI's importance map. Such maps are no probabilities, and an empty window shows noise at full scale; their only
    /// use is with thresholds that were tuned for them. Of WNet3D only: what its other networks are given differs from window
    /// to window, too, and in other ways. `normalisation`, `output`, `overlap` and `blending` are ignored.
    #[serde(rename = "cellseg3d")]
    CellSeg3D,
}

/// How a volume is cut into windows and put together again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Windows {
    /// Voxels of a window `(z, y, x)`, multiples of what the network takes: 8 for WNet3D. Along an axis on which the volume is shorter, windows are too.
    pub window: [usize; 3],
    /// Share of a window that the next one covers again, 0 to below 1.
    pub overlap: f64,
    /// How the outputs of overlapping windows are averaged.
    pub blending: Blending,
}

impl Default for Windows {
    fn default() -> Self {
        Windows { window: [64; 3], overlap: 0.25, blending: Blending::Gaussian { sigma: 0.25 } }
    }
}

/// How the outputs of overlapping windows are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Blending {
    /// All alike.
    Constant,
    /// With a weight that falls with the distance from the window's centre as a Gaussian does.
    Gaussian {
        /// Its standard deviation as a share of the window.
        sigma: f64,
    },
}

impl Inference {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<()> {
        self.normalisation.validate()?;
        self.windows.validate()
    }

    /// [`Inference::validate`], and that the network takes the windows.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first setting out of range.
    pub fn validate_for(&self, network: &dyn Network) -> Result<()> {
        self.validate()?;
        let (window, multiple) = (self.windows.window, network.extent_multiple());
        if window.iter().any(|e| !e.is_multiple_of(multiple)) {
            let expected = format!("extents (z, y, x) that are multiples of {multiple}");
            return Err(Error::setting("window", window, expected));
        }
        if self.compat == Compat::CellSeg3D && network.activation() != OutputActivation::Softmax {
            let given = format!("{:?} for {}", self.compat, network.architecture());
            return Err(Error::setting("compat", given, "WNet3D, the network whose scaling is reproduced"));
        }
        Ok(())
    }
}

impl Windows {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<()> {
        if self.window.contains(&0) {
            return Err(Error::setting("window", self.window, "at least one voxel along each axis"));
        }
        if !(0.0..1.0).contains(&self.overlap) {
            return Err(Error::setting("overlap", self.overlap, "a share from 0 to below 1"));
        }
        match self.blending {
            Blending::Gaussian { sigma } if !(sigma.is_finite() && sigma > 0.0) => {
                Err(Error::setting("blending.sigma", sigma, "a positive share of the window"))
            }
            _ => Ok(()),
        }
    }
}

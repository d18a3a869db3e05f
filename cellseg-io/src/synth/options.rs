//! What to make, and whether it can be made.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// At most this share of the volume may be nuclei. Without compression, ellipsoids of the default's sizes find no
/// more room at 0.41 (equal balls) to 0.47; the limit only has to turn away what can never succeed.
const MAX_FILLED: f64 = 0.5;

/// What volume to make.
///
/// The default is the input of the quickstart: a light-sheet stack of 140 nuclei, 64 um an edge.
/// Fields that are absent from a configuration file take their default; unknown ones are an error.
///
/// ```
/// use cellseg_io::synth::SynthOptions;
///
/// let options = SynthOptions { shape: [32, 64, 64], nuclei: 20, seed: 7, ..Default::default() };
/// options.validate()?;
/// # Ok::<(), cellseg_io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynthOptions {
    /// Seed of all randomness; volumes of different seeds have nothing in common but their options.
    pub seed: u64,
    /// Voxels `(z, y, x)`.
    pub shape: [usize; 3],
    /// Distance of neighbouring voxels `(z, y, x)` in um.
    pub spacing_um: [f64; 3],
    /// Number of nuclei. Each has its centre inside the volume; the border may cut it.
    pub nuclei: usize,
    /// Smallest and largest semi-axis in um; each of a nucleus's three is drawn uniformly from this range.
    pub semi_axes_um: [f64; 2],
    /// Share of the nuclei, 0 to 1, that are put against a nucleus that is there already, which makes pairs, chains
    /// and clumps; the others keep a distance when they are placed.
    pub clustering: f64,
    /// How far touching nuclei are pressed together, 0 to 0.3: the share by which their distance is shorter than
    /// that at which their ellipsoids would only just touch. They meet in a facet, larger for larger nuclei.
    pub compression: f64,
    /// Dimmest and brightest nucleus: mean photons a voxel at the top of the volume, without background and blur.
    pub brightness: [f64; 2],
    /// Strength of the chromatin texture, 0 (none) to 1 (from dark to twice the brightness).
    pub texture: f64,
    /// Size of the texture's grains in um.
    pub texture_scale_um: f64,
    /// Mean background in photons a voxel at the top of the volume.
    pub background: f64,
    /// How much the background varies from place to place, 0 (flat) to 1 (from nothing to twice the mean).
    pub unevenness: f64,
    /// Distance in um over which the background varies.
    pub background_scale_um: f64,
    /// Share of light, above 0 to 1, that is left at the bottom of the volume, after bleaching and scattering; it
    /// falls off exponentially from the first slice to the last, for nuclei and background alike.
    pub light_at_bottom: f64,
    /// Standard deviation `(z, y, x)` of the Gaussian point spread function in um.
    pub psf_sigma_um: [f64; 3],
    /// Counts of the camera without any light.
    pub camera_offset: f64,
    /// Counts a photon.
    pub gain: f64,
    /// Standard deviation of the camera's read noise in counts.
    pub read_noise: f64,
}

// Measured on seeds 0 to 3 with scikit-image 0.26 and stardist's matching at IoU 0.5: Otsu's threshold and connected
// components reach a 3D F1 of 0.39, 0.46, 0.37 and 0.39, because touching nuclei merge and dim ones are lost; a
// threshold between local minimum and maximum, and a watershed of the distance, reach 0.97 to 0.99. Every nucleus
// is about twice as bright as what surrounds it or more (lowest ratio 1.9, median 3.2).
impl Default for SynthOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            shape: [64, 128, 128],
            spacing_um: [1.0, 0.5, 0.5],
            nuclei: 140,
            semi_axes_um: [3.2, 5.2],
            clustering: 0.45,
            compression: 0.08,
            brightness: [70.0, 150.0],
            texture: 0.7,
            texture_scale_um: 2.2,
            background: 35.0,
            unevenness: 0.6,
            background_scale_um: 30.0,
            light_at_bottom: 0.5,
            psf_sigma_um: [1.2, 0.45, 0.45],
            camera_offset: 100.0,
            gain: 2.0,
            read_noise: 3.0,
        }
    }
}

impl SynthOptions {
    /// Checks that a volume with these options can be made.
    ///
    /// # Errors
    /// [`Error::Argument`] names the first field that is out of range: sizes of zero, numbers that are not finite,
    /// nuclei that are larger than the volume or smaller than a voxel, more nuclei than there is room for.
    pub fn validate(&self) -> Result<()> {
        self.validate_grid()?;
        if self.nuclei > 0 {
            self.validate_nuclei()?;
        }
        self.validate_light()
    }

    /// Number of voxels; [`Self::validate`] has checked that it does not overflow.
    pub(super) fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    fn validate_grid(&self) -> Result<()> {
        let voxels = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let fits_indices = self.shape.iter().all(|&d| u32::try_from(d).is_ok());
        let addressable = voxels.is_some_and(|n| n <= isize::MAX as usize / size_of::<f32>());
        require(voxels != Some(0), "shape", &self.shape, "at least one voxel along each axis")?;
        require(
            fits_indices && addressable,
            "shape",
            &self.shape,
            "a volume that can be addressed in memory",
        )?;
        let sensible = self.spacing_um.iter().all(|s| (1e-6..=1e6).contains(s));
        require(sensible, "spacing_um", &self.spacing_um, "distances (z, y, x) from 1e-6 to 1e6 um")
    }

    fn validate_nuclei(&self) -> Result<()> {
        let [smallest, largest] = self.semi_axes_um;
        let coarsest = self.spacing_um.iter().copied().fold(0.0, f64::max);
        require(
            smallest.is_finite() && largest.is_finite() && smallest > 0.0 && smallest <= largest,
            "semi_axes_um",
            &self.semi_axes_um,
            "[smallest, largest], both positive, in um",
        )?;
        require(
            smallest >= coarsest,
            "semi_axes_um",
            &self.semi_axes_um,
            &format!(
                "no semi-axis below the coarsest spacing, {coarsest} um, or a nucleus could miss every voxel"
            ),
        )?;
        let extent: [f64; 3] = std::array::from_fn(|i| self.shape[i] as f64 * self.spacing_um[i]);
        require(
            extent.iter().all(|&e| e >= 2.0 * largest),
            "semi_axes_um",
            &self.semi_axes_um,
            &format!("nuclei no thicker than the volume, which measures {extent:?} um (z, y, x)"),
        )?;
        let mean_volume = 4.0 / 3.0 * std::f64::consts::PI * (0.5 * (smallest + largest)).powi(3);
        let room = MAX_FILLED * extent.iter().product::<f64>() / mean_volume;
        require(
            self.nuclei as f64 <= room && u32::try_from(self.nuclei).is_ok(),
            "nuclei",
            &self.nuclei,
            &format!(
                "at most {} of this size in {extent:?} um (z, y, x): they may fill half of it",
                room as u64
            ),
        )?;
        share("clustering", self.clustering, 1.0)?;
        share("compression", self.compression, 0.3)
    }

    fn validate_light(&self) -> Result<()> {
        // 1e9 photons are beyond any camera, and still far from where f32 sums and the Poisson sampler lose sense.
        let amount =
            |name, value: f64| require((0.0..=1e9).contains(&value), name, &value, "a number from 0 to 1e9");
        let length = |name, value: f64| {
            require((1e-3..=1e9).contains(&value), name, &value, "a length of 0.001 um or more")
        };
        let [dimmest, brightest] = self.brightness;
        amount("brightness", dimmest)?;
        amount("brightness", brightest)?;
        require(dimmest <= brightest, "brightness", &self.brightness, "[dimmest, brightest] in photons")?;
        share("texture", self.texture, 1.0)?;
        length("texture_scale_um", self.texture_scale_um)?;
        amount("background", self.background)?;
        share("unevenness", self.unevenness, 1.0)?;
        length("background_scale_um", self.background_scale_um)?;
        share("light_at_bottom", self.light_at_bottom, 1.0)?;
        require(self.light_at_bottom > 0.0, "light_at_bottom", &self.light_at_bottom, "more than no light")?;
        for i in 0..3 {
            let widest = self.shape[i] as f64 * self.spacing_um[i];
            let sigma = self.psf_sigma_um[i];
            require(
                (0.0..=widest).contains(&sigma),
                "psf_sigma_um",
                &self.psf_sigma_um,
                &format!("0 to the size of the volume, {widest} um along axis {i} of (z, y, x)"),
            )?;
        }
        amount("camera_offset", self.camera_offset)?;
        amount("gain", self.gain)?;
        require(self.gain > 0.0, "gain", &self.gain, "a positive number of counts a photon")?;
        amount("read_noise", self.read_noise)
    }
}

fn share(name: &'static str, value: f64, most: f64) -> Result<()> {
    require((0.0..=most).contains(&value), name, &value, &format!("a number from 0 to {most}"))
}

fn require(holds: bool, option: &'static str, given: &dyn std::fmt::Debug, expected: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Argument(format!("synth option `{option}` is {given:?}; expected {expected}")))
}

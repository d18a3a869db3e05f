//! The physical size of a voxel.

use std::{fmt, str::FromStr};

use crate::{Error, Result};

/// The size of a voxel along z, y and x in micrometres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spacing([f64; 3]);

impl Spacing {
    /// Voxels of `[z, y, x]` micrometres.
    ///
    /// # Errors
    /// [`Error::Argument`] unless each of the three lies between 1e-6 um (a picometre) and 1e6 um (a metre).
    pub fn new(zyx: [f64; 3]) -> Result<Self> {
        if zyx.iter().all(|size| (1e-6..=1e6).contains(size)) {
            return Ok(Self(zyx));
        }
        let [z, y, x] = zyx;
        Err(Error::Argument(format!(
            "a voxel of {z}, {y}, {x} um (z, y, x) makes no sense; each size must be positive, between 1e-6 and 1e6 um"
        )))
    }

    /// The sizes as `[z, y, x]` in micrometres.
    pub fn zyx(self) -> [f64; 3] {
        self.0
    }
}

impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = self.0;
        write!(f, "{z},{y},{x}")
    }
}

impl FromStr for Spacing {
    type Err = Error;

    /// Reads `z,y,x` in micrometres, as in `2,0.5,0.5`.
    fn from_str(text: &str) -> Result<Self> {
        let sizes: Vec<f64> = text
            .split(',')
            .map(|part| part.trim().parse())
            .collect::<std::result::Result<_, _>>()
            .unwrap_or_default();
        let zyx = <[f64; 3]>::try_from(sizes).map_err(|_| {
            Error::Argument(format!(
                "`{text}` is no voxel size; give three numbers z,y,x in um, such as 2,0.5,0.5"
            ))
        })?;
        Self::new(zyx)
    }
}

/// The number of micrometres in a `unit` as microscope and image software spells it; `None` for pixels and the unknown.
pub(crate) fn micrometres_in(unit: &str) -> Option<f64> {
    // ImageJ writes the micro sign as an escape sequence.
    match unit
        .trim()
        .replace("\\u00B5", "u")
        .replace(['\u{b5}', '\u{3bc}'], "u")
        .to_ascii_lowercase()
        .as_str()
    {
        "um" | "micron" | "microns" | "micrometer" | "micrometers" | "micrometre" | "micrometres" => {
            Some(1.0)
        }
        "nm" | "nanometer" | "nanometers" | "nanometre" | "nanometres" => Some(1e-3),
        "\u{e5}" | "\u{c5}" | "\u{212b}" | "angstrom" => Some(1e-4),
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => Some(1e3),
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => Some(1e4),
        "m" | "meter" | "meters" | "metre" | "metres" => Some(1e6),
        "in" | "inch" | "inches" | "\"" => Some(25_400.0),
        _ => None,
    }
}

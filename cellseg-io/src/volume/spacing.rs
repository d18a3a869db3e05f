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
    /// [`Error::Argument`] unless each of the three lies between 1e-5 um (ten picometres) and 1e6 um (a
    /// metre).
    pub fn new(zyx: [f64; 3]) -> Result<Self> {
        if zyx.iter().all(|size| (1e-5..=1e6).contains(size)) {
            return Ok(Self(zyx));
        }
        let [z, y, x] = zyx;
        Err(Error::Argument(format!(
            "a voxel of {z}, {y}, {x} um (z, y, x) makes no sense; \
             each size must be positive, between 1e-5 and 1e6 um"
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

/// The number of micrometres in a `unit` as microscope and image software spells it; `None` for pixels and
/// the unknown.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sizes_of_things_are_voxel_sizes() {
        assert!(Spacing::new([2.0, 0.5, 0.5]).is_ok());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9, 1e9] {
            let message = Spacing::new([1.0, bad, 1.0]).unwrap_err().to_string();
            assert!(message.contains(&bad.to_string()), "{message}");
        }
    }

    #[test]
    fn a_voxel_size_is_read_as_it_is_shown() {
        let spacing: Spacing = " 2, 0.5,0.25".parse().unwrap();
        assert_eq!((spacing.zyx(), spacing.to_string().as_str()), ([2.0, 0.5, 0.25], "2,0.5,0.25"));
        for bad in ["", "1", "1,2", "1,2,3,4", "1,2,x", "1;2;3"] {
            let message = bad.parse::<Spacing>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{bad}`")) && message.contains("2,0.5,0.5"), "{message}");
        }
    }

    #[test]
    fn units_are_known_by_all_their_names() {
        for unit in ["um", "\u{b5}m", "\u{3bc}m", "\\u00B5m", "micron", "Microns", "micrometer", " um "] {
            assert_eq!(micrometres_in(unit), Some(1.0), "{unit}");
        }
        assert_eq!(["nm", "mm", "\u{c5}"].map(micrometres_in), [Some(1e-3), Some(1e3), Some(1e-4)]);
        assert_eq!(["pixel", "", "reference frame"].map(micrometres_in), [None; 3]);
    }
}

//! What programs write into the first page's ImageDescription: axes and voxel sizes.

use super::{
    directory::{Directory, TiffFile, tag},
    ome,
    problem::Problem,
};
use crate::volume::micrometres_in;

/// What is known of the planes of a file, apart from the pages themselves.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Description {
    /// The axes before (y, x), slowest first: a name and a length each. Empty where nothing is said.
    pub(super) leading: Vec<(String, u64)>,
    /// Whether the file says that it has three axes, even if one has length 1.
    pub(super) three_axes: bool,
    /// Whether all planes may follow the one directory that there is, as ImageJ and tifffile write big files.
    pub(super) one_directory: bool,
    /// The page of each plane, if it is not its number.
    pub(super) order: Option<Vec<u64>>,
    /// The size of a voxel `[z, y, x]` in micrometres, as far as it is said.
    pub(super) spacing: [Option<f64>; 3],
}

impl Description {
    /// Reads the description and resolution of the first page, of `size` `[y, x]`, of a file of so many
    /// pages.
    pub(super) fn read(
        file: &mut TiffFile,
        directory: &Directory,
        size: [u64; 2],
        pages: usize,
    ) -> Result<Self, Problem> {
        let text = file.text(directory, tag::IMAGE_DESCRIPTION)?;
        let resolution = Resolution::read(file, directory)?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.starts_with("ImageJ=") {
            Ok(image_j(text, &resolution))
        } else if text.starts_with('<') && text.contains("OME") {
            ome::read(text, pages)
        } else if text.starts_with('{') {
            Ok(tifffile(text, &resolution, size).unwrap_or_default())
        } else {
            Ok(Self::default())
        }
    }
}

/// The resolution tags: the size of a pixel, in some unit.
#[derive(Debug, Default)]
struct Resolution {
    /// Pixel sizes `[y, x]` in units, if the tags are there.
    pixel: [Option<f64>; 2],
    /// Micrometres per unit, where the tags name a length.
    unit: Option<f64>,
}

impl Resolution {
    fn read(file: &mut TiffFile, directory: &Directory) -> Result<Self, Problem> {
        let mut pixel = |tag| -> Result<Option<f64>, Problem> {
            Ok(file.fraction(directory, tag)?.and_then(|per_unit| positive(per_unit.recip())))
        };
        let pixel = [pixel(tag::Y_RESOLUTION)?, pixel(tag::X_RESOLUTION)?];
        // Inches stand in countless files as dots per inch of a screen; a microscope never means them.
        let unit = match file.first(directory, tag::RESOLUTION_UNIT)? {
            Some(3) => micrometres_in("cm"),
            _ => None,
        };
        Ok(Self { pixel, unit })
    }

    /// Pixel sizes `[y, x]` in micrometres.
    fn in_units_of(&self, micrometres: Option<f64>) -> [Option<f64>; 2] {
        self.pixel.map(|pixel| Some(pixel? * micrometres?))
    }
}

/// The value, if it can be the size of something.
pub(super) fn positive(value: f64) -> Option<f64> {
    (value > 0.0 && value.is_finite()).then_some(value)
}

/// ImageJ's `key=value` lines.
fn image_j(text: &str, resolution: &Resolution) -> Description {
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, v)| v.trim())
    };
    let count = |key| value(key).and_then(|text| text.parse::<u64>().ok()).filter(|&count| count > 0);
    let axes = [("t", "frames"), ("z", "slices"), ("c", "channels")]
        .map(|(name, key)| (name.to_owned(), count(key).unwrap_or(1)));
    let product = axes.iter().try_fold(1u64, |product, (_, length)| product.checked_mul(*length));
    let images = count("images").unwrap_or(1);
    let leading = if product == Some(images) { axes.to_vec() } else { vec![("z".to_owned(), images)] };

    // As ImageJ itself reads it: the unit holds for the resolution tags too, and a stack without a spacing
    // has planes one unit apart.
    let unit = value("unit").map_or(resolution.unit, micrometres_in);
    let step = value("spacing").and_then(|text| text.parse::<f64>().ok());
    let z_unit = value("zunit").map_or(unit, micrometres_in);
    let z = positive(step.unwrap_or(1.0).abs()).zip(z_unit).map(|(step, unit)| step * unit);
    let [y, x] = resolution.in_units_of(unit);
    let y = value("yunit").map_or(y, |unit| resolution.in_units_of(micrometres_in(unit))[0]);
    Description {
        leading,
        // ImageJ never writes `slices=1`: who does means a volume of one plane.
        three_axes: count("slices").is_some(),
        one_directory: true,
        order: None,
        spacing: [z, y, x],
    }
}

/// tifffile's `{"shape": [z, y, x], ...}`, to which it and mesoSPIM add `spacing` and `unit`.
fn tifffile(text: &str, resolution: &Resolution, [height, width]: [u64; 2]) -> Option<Description> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let shape: Vec<u64> =
        json.get("shape")?.as_array()?.iter().map(serde_json::Value::as_u64).collect::<Option<_>>()?;
    let unit = resolution.unit.or_else(|| json.get("unit").and_then(|unit| micrometres_in(unit.as_str()?)));
    let z = json.get("spacing").and_then(serde_json::Value::as_f64).and_then(positive);
    let [y, x] = resolution.in_units_of(unit);
    let spacing = [
        z.zip(json.get("unit").map_or(unit, |unit| micrometres_in(unit.as_str()?))).map(|(z, u)| z * u),
        y,
        x,
    ];
    let plane = shape.len().checked_sub(2)?;
    if shape[plane..] != [height, width] {
        return Some(Description { spacing, ..Description::default() });
    }
    let names = json.get("axes").and_then(serde_json::Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let name = |axis: usize| match names.chars().nth(axis) {
        Some(name) if names.len() == shape.len() => name.to_string(),
        _ => "z".to_owned(),
    };
    Some(Description {
        leading: (0..plane).map(|axis| (name(axis), shape[axis])).collect(),
        three_axes: shape.len() >= 3,
        one_directory: json.get("truncated").and_then(serde_json::Value::as_bool) == Some(true),
        order: None,
        spacing,
    })
}

//! What a written file says of its axes and voxel size.

use std::fmt::Write as _;

use ::tiff::{encoder::Rational, tags::ResolutionUnit};

use crate::{DType, Frame, Spacing};

/// The first page's description; the resolution of all.
pub(super) struct Labelling {
    pub(super) description: String,
    /// Pixels per unit along x and y, and the unit.
    pub(super) resolution: Option<([Rational; 2], ResolutionUnit)>,
}

impl Labelling {
    /// What is to be said of a volume of values in `range`, in the dialect of its type (see [`super::encode`]).
    pub(super) fn of(volume: &Frame, dtype: DType, range: [f64; 2]) -> Self {
        let centimetre = (ResolutionUnit::Centimeter, 1e4);
        let (description, (unit, micrometres)) = match dtype {
            DType::U64 | DType::I64 => (tifffile(volume), centimetre),
            _ if volume.shape[0] == 1 => (tifffile(volume), centimetre),
            DType::U8 | DType::U16 | DType::F32 => (image_j(volume, range), (ResolutionUnit::None, 1.0)),
            DType::I8 => (ome(volume, "int8"), centimetre),
            DType::I16 => (ome(volume, "int16"), centimetre),
            DType::U32 => (ome(volume, "uint32"), centimetre),
            DType::I32 => (ome(volume, "int32"), centimetre),
            DType::F64 => (ome(volume, "double"), centimetre),
        };
        let spacing = volume.spacing.map(Spacing::zyx);
        let resolution = spacing.map(|[_, y, x]| ([x, y].map(|size| rational(micrometres / size)), unit));
        Self { description, resolution }
    }
}

/// ImageJ's description, with the range of values that it shows.
fn image_j(volume: &Frame, [low, high]: [f64; 2]) -> String {
    let z = volume.shape[0];
    let mut text = format!("ImageJ=1.54f\nimages={z}\nslices={z}\nloop=false\n");
    if let Some(spacing) = volume.spacing {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "unit=micron\nspacing={}", spacing.zyx()[0]);
    }
    if low < high {
        let _ = writeln!(text, "min={low:?}\nmax={high:?}");
    }
    text
}

/// tifffile's own description, as it writes and reads it.
fn tifffile(volume: &Frame) -> String {
    let mut text = format!("{{\"shape\": {:?}, \"axes\": \"ZYX\"", volume.shape);
    if let Some(spacing) = volume.spacing {
        let _ = write!(text, ", \"spacing\": {:?}, \"unit\": \"um\"", spacing.zyx()[0]);
    }
    text.push('}');
    text
}

/// OME-XML, schema 2016-06; `kind` is its name for the type of the values.
fn ome(volume: &Frame, kind: &str) -> String {
    let [z, y, x] = volume.shape;
    let spacing = volume.spacing.map(Spacing::zyx).map_or_else(String::new, |[sz, sy, sx]| {
        format!(
            " PhysicalSizeX=\"{sx}\" PhysicalSizeXUnit=\"&#181;m\" PhysicalSizeY=\"{sy}\" PhysicalSizeYUnit=\"&#181;m\" \
             PhysicalSizeZ=\"{sz}\" PhysicalSizeZUnit=\"&#181;m\""
        )
    });
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:schemaLocation=\"http://www.openmicroscopy.org/Schemas/OME/2016-06 \
         http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd\"><Image ID=\"Image:0\" Name=\"{}\"><Pixels \
         ID=\"Pixels:0\" DimensionOrder=\"XYZCT\" Type=\"{kind}\" SizeX=\"{x}\" SizeY=\"{y}\" SizeZ=\"{z}\" SizeC=\"1\" \
         SizeT=\"1\"{spacing}><Channel ID=\"Channel:0:0\" SamplesPerPixel=\"1\"/><TiffData IFD=\"0\" \
         PlaneCount=\"{z}\"/></Pixels></Image></OME>",
        ascii_xml(volume.name)
    )
}

/// The text for an attribute of an ASCII XML document; control characters, which XML forbids, become spaces.
fn ascii_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' | '<' | '>' | '"' | '\u{7f}'.. => {
                let _ = write!(escaped, "&#{};", u32::from(symbol));
            }
            '\0'..' ' => escaped.push(' '),
            _ => escaped.push(symbol),
        }
    }
    escaped
}

/// The best fraction of 32-bit integers for a positive value, by its continued fraction.
fn rational(value: f64) -> Rational {
    let (mut before, mut best) = ((0u64, 1u64), (1u64, 0u64));
    let mut rest = value;
    // An f64 has no more than 40 significant terms.
    for _ in 0..40 {
        let whole = rest.floor();
        let next = (whole as u64)
            .checked_mul(best.0)
            .and_then(|n| n.checked_add(before.0))
            .zip((whole as u64).checked_mul(best.1).and_then(|d| d.checked_add(before.1)));
        match next {
            Some((n, d)) if n.max(d) <= u64::from(u32::MAX) => (before, best) = (best, (n, d)),
            _ => break,
        }
        if rest == whole || best.0 as f64 / best.1 as f64 == value {
            break;
        }
        rest = (rest - whole).recip();
    }
    Rational { n: best.0 as u32, d: best.1 as u32 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fractions_are_exact_to_nine_digits(exponent in -6.0..9.0f64) {
            let value = 10f64.powf(exponent);
            let Rational { n, d } = rational(value);
            prop_assert!((f64::from(n) / f64::from(d) / value - 1.0).abs() < 1e-9, "{value} {n}/{d}");
        }
    }
}

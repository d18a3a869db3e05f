//! Writing: each type in the dialect that the most programs understand.
//!
//! | values | metadata | why |
//! |---|---|---|
//! | u8, u16, f32 | ImageJ | Fiji opens it as a calibrated stack; tifffile and Bio-Formats know it |
//! | i8, i16, u32, i32, f64 | OME-XML | ImageJ has no such types; Bio-Formats (in Fiji), tifffile, napari know it |
//! | 64-bit integers, volumes of one plane | tifffile | OME has no such types; neither dialect tells one plane from a volume |
//!
//! The voxel size is in all three, and along x and y also in the resolution tags.

use std::{
    fmt::Write as _,
    io::{Seek, Write},
    path::Path,
};

use ::tiff::{
    TiffError, TiffResult,
    encoder::{
        Compression as Codec, DeflateLevel, DirectoryEncoder, Rational, TiffEncoder, TiffKind, TiffKindBig,
        TiffKindStandard,
    },
    tags::{ResolutionUnit, Tag},
};
use ndarray::Axis;

use crate::{AtomicFile, DType, Error, Overwrite, Result, Spacing, Volume, Voxel};

/// How the planes are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Plain bytes: the fastest, and readable piece by piece.
    None,
    /// Deflate at its fastest level, without loss; labels shrink by a factor of ten and more.
    #[default]
    Deflate,
}

/// Settings of [`write_tiff`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TiffOptions {
    /// How the planes are packed.
    pub compression: Compression,
    /// What to do with a file of the same name.
    pub overwrite: Overwrite,
}

/// Writes a volume as a TIFF stack of its own type, one page a plane, with its voxel size.
///
/// A volume of 4 GB or more becomes a BigTIFF. See [`write_labels`](crate::write_labels) for labels in the narrowest type.
///
/// # Errors
/// [`Error::Argument`] for a volume without voxels or too wide for TIFF; else as [`AtomicFile::create`] and
/// [`AtomicFile::commit`].
pub fn write_tiff<T: Voxel>(path: impl AsRef<Path>, volume: &Volume<T>, options: TiffOptions) -> Result<()> {
    let path = path.as_ref();
    let shape = volume.shape();
    let [z, y, x] = shape;
    if shape.contains(&0) || y.max(x) > u32::MAX as usize {
        return Err(Error::Argument(format!(
            "a volume of {z} x {y} x {x} voxels (z, y, x) cannot be written as TIFF; it needs at least one voxel and at most \
             2^32 - 1 along y and x"
        )));
    }
    let mut file = AtomicFile::create(path, options.overwrite)?;
    if needs_big_tiff(volume.data.len() as u64 * size_of::<T>() as u64, z as u64) {
        write_pages::<T, TiffKindBig>(&mut file, volume, options.compression)
    } else {
        write_pages::<T, TiffKindStandard>(&mut file, volume, options.compression)
    }
    .map_err(|e| match e {
        TiffError::IoError(e) => Error::write(path, e),
        e => Error::write(path, e),
    })?;
    file.commit()
}

/// Whether offsets of 32 bits may be too small for so many bytes of data on so many pages.
fn needs_big_tiff(data_bytes: u64, pages: u64) -> bool {
    // Deflate can make noise longer, by far less than 1 %; a directory with its strips takes a few hundred bytes.
    let most = data_bytes + data_bytes / 100 + pages * 4096;
    most > u64::from(u32::MAX)
}

fn write_pages<T: Voxel, K: TiffKind>(
    file: &mut (impl Write + Seek),
    volume: &Volume<T>,
    compression: Compression,
) -> TiffResult<()> {
    let codec = match compression {
        Compression::None => Codec::Uncompressed,
        Compression::Deflate => Codec::Deflate(DeflateLevel::Fast),
    };
    let mut encoder = TiffEncoder::<_, K>::new_generic(file)?.with_compression(codec);
    let mut tags = PageTags::of(volume);
    for plane in volume.data.axis_iter(Axis(0)) {
        let size = [plane.nrows() as u32, plane.ncols() as u32];
        let plane = plane.as_standard_layout();
        let plane = plane.as_slice().expect("standard layout is contiguous");
        T::write_page(&mut encoder, size, plane, &tags)?;
        tags.description = None;
    }
    Ok(())
}

/// The tags of a page besides those of its data.
pub struct PageTags {
    description: Option<String>,
    /// Pixels per unit along x and y, and the unit.
    resolution: Option<([Rational; 2], ResolutionUnit)>,
}

impl PageTags {
    /// The tags of a volume's first page.
    fn of<T: Voxel>(volume: &Volume<T>) -> Self {
        let spacing = volume.spacing.map(Spacing::zyx);
        let image_j = matches!(T::DTYPE, DType::U8 | DType::U16 | DType::F32);
        let (description, unit, per_micrometre) =
            if volume.shape()[0] == 1 || matches!(T::DTYPE, DType::U64 | DType::I64) {
                (tifffile(volume), ResolutionUnit::Centimeter, 1e4)
            } else if image_j {
                (self::image_j(volume), ResolutionUnit::None, 1.0)
            } else {
                (ome(volume), ResolutionUnit::Centimeter, 1e4)
            };
        let resolution = spacing.map(|[_, y, x]| ([x, y].map(|size| rational(per_micrometre / size)), unit));
        Self { description: Some(description), resolution }
    }

    /// Adds the tags to a page.
    pub(crate) fn write<W: Write + Seek, K: TiffKind>(
        &self,
        page: &mut DirectoryEncoder<'_, W, K>,
    ) -> TiffResult<()> {
        if let Some(description) = &self.description {
            page.write_tag(Tag::ImageDescription, description.as_str())?;
        }
        if let Some(([x, y], unit)) = &self.resolution {
            page.write_tag(Tag::XResolution, x.clone())?;
            page.write_tag(Tag::YResolution, y.clone())?;
            page.write_tag(Tag::ResolutionUnit, unit.to_u16())?;
        }
        Ok(())
    }
}

/// ImageJ's description, with the range of values that it shows.
fn image_j<T: Voxel>(volume: &Volume<T>) -> String {
    let z = volume.shape()[0];
    let mut text = format!("ImageJ=1.54f\nimages={z}\nslices={z}\nloop=false\n");
    if let Some(spacing) = volume.spacing {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "unit=micron\nspacing={}", spacing.zyx()[0]);
    }
    let finite = || volume.data.iter().map(|value| value.to_f64()).filter(|value| value.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low < high {
        let _ = writeln!(text, "min={low:?}\nmax={high:?}");
    }
    text
}

/// tifffile's own description, as it writes and reads it.
fn tifffile<T: Voxel>(volume: &Volume<T>) -> String {
    let mut text = format!("{{\"shape\": {:?}, \"axes\": \"ZYX\"", volume.shape());
    if let Some(spacing) = volume.spacing {
        let _ = write!(text, ", \"spacing\": {:?}, \"unit\": \"um\"", spacing.zyx()[0]);
    }
    text.push('}');
    text
}

/// OME-XML, schema 2016-06.
fn ome<T: Voxel>(volume: &Volume<T>) -> String {
    let [z, y, x] = volume.shape();
    let kind = match T::DTYPE {
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::U32 => "uint32",
        DType::I32 => "int32",
        DType::F64 => "double",
        DType::U8 => "uint8",
        DType::U16 => "uint16",
        DType::F32 => "float",
        DType::U64 | DType::I64 => {
            unreachable!("OME has no 64-bit integers; they are described as tifffile does")
        }
    };
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
        ascii_xml(&volume.name)
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
    use std::io::Cursor;

    use ndarray::Array3;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn volumes_near_four_gigabytes_become_big_tiff() {
        assert!(!needs_big_tiff(4_000_000_000, 1000));
        assert!(needs_big_tiff(4_290_000_000, 1000));
        assert!(needs_big_tiff(1 << 40, 1));
    }

    #[test]
    fn big_tiff_is_read_back() {
        let data = Array3::from_shape_fn((3, 4, 5), |(z, y, x)| (100 * z + 10 * y + x) as f32);
        let volume = Volume::new(data, "v").with_spacing(Spacing::new([2.0, 0.5, 0.25]).unwrap());
        let mut bytes = Cursor::new(Vec::new());
        write_pages::<_, TiffKindBig>(&mut bytes, &volume, Compression::Deflate).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.tif");
        std::fs::write(&path, bytes.into_inner()).unwrap();
        assert_eq!(crate::read_volume(&path).unwrap(), volume);
    }

    proptest! {
        #[test]
        fn fractions_are_exact_to_ten_digits(exponent in -6.0..10.0f64) {
            let value = 10f64.powf(exponent).min(4e9);
            let Rational { n, d } = rational(value);
            prop_assert!((f64::from(n) / f64::from(d) / value - 1.0).abs() < 1e-10, "{value} {n}/{d}");
        }
    }
}

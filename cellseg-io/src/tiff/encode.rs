//! Writing: each type in the dialect that the most programs understand.
//!
//! | values | metadata | why |
//! |---|---|---|
//! | u8, u16, f32 | ImageJ | Fiji opens it as a calibrated stack; tifffile and Bio-Formats know it |
//! | i8, i16, u32, i32, f64 | OME-XML | ImageJ has no such types; Bio-Formats (in Fiji) and tifffile know it |
//! | 64-bit integers, single planes | tifffile | OME has no such types, neither tells a plane from a volume |
//!
//! The voxel size is in all three, and along x and y also in the resolution tags. The data of all planes come
//! before all directories, without gaps: of an uncompressed file ImageJ reads just the first directory, and
//! takes the other planes to follow the first.

use std::{
    io::{self, Seek, Write},
    path::Path,
};

use ::tiff::{
    TiffError, TiffResult,
    encoder::{DirectoryEncoder, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard},
    tags::{CompressionMethod, Tag},
};
use flate2::write::ZlibEncoder;
use ndarray::Axis;
use rayon::prelude::*;

use super::labelling::Labelling;
use crate::{AtomicFile, DType, Error, Overwrite, Result, Volume, Voxel};

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
/// A volume of 4 GB or more becomes a BigTIFF. See [`write_labels`](crate::write_labels) for labels in the
/// narrowest type.
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
            "a volume of {z} x {y} x {x} voxels (z, y, x) cannot be written as TIFF; \
             it needs at least one voxel, and at most 2^32 - 1 along y and x"
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
    // Deflate can make noise longer, by far less than 1 %; a directory with its strips takes a few hundred
    // bytes.
    let most = data_bytes + data_bytes / 100 + pages * 4096;
    most > u64::from(u32::MAX)
}

fn write_pages<T: Voxel, K: TiffKind>(
    file: &mut (impl Write + Seek),
    volume: &Volume<T>,
    compression: Compression,
) -> TiffResult<()> {
    let mut encoder = TiffEncoder::<_, K>::new_generic(file)?;
    let labelling = Labelling::of(volume);
    let mut first = encoder.image_directory()?;
    let mut pieces = write_planes(&mut first, volume, compression)?.into_iter();
    first.write_tag(Tag::ImageDescription, labelling.description.as_str())?;
    if let Some(piece) = pieces.next() {
        write_tags::<T, _, _>(&mut first, volume.shape(), piece, compression, &labelling)?;
    }
    first.finish()?;
    for piece in pieces {
        let mut page = encoder.image_directory()?;
        write_tags::<T, _, _>(&mut page, volume.shape(), piece, compression, &labelling)?;
        page.finish()?;
    }
    Ok(())
}

/// The number of planes that are packed in parallel before they are written.
const BATCH: usize = 32;

/// Writes the data of all planes; gives the offset and length of each.
fn write_planes<T: Voxel, W: Write + Seek, K: TiffKind>(
    page: &mut DirectoryEncoder<'_, W, K>,
    volume: &Volume<T>,
    compression: Compression,
) -> TiffResult<Vec<(u64, u64)>> {
    let mut pieces = Vec::new();
    let planes: Vec<_> = volume.data.axis_iter(Axis(0)).collect();
    for planes in planes.chunks(BATCH) {
        let packed = planes.par_iter().map(|plane| {
            let plane = plane.as_standard_layout();
            let values = plane.as_slice().expect("arrays in standard layout are slices");
            pack(bytemuck::cast_slice(values), compression)
        });
        for bytes in packed.collect::<io::Result<Vec<_>>>()? {
            pieces.push((page.write_data(bytes.as_slice())?, bytes.len() as u64));
        }
    }
    Ok(pieces)
}

fn pack(bytes: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

/// Writes the tags of one page, whose data are one strip.
fn write_tags<T: Voxel, W: Write + Seek, K: TiffKind>(
    page: &mut DirectoryEncoder<'_, W, K>,
    [_, height, width]: [usize; 3],
    (offset, length): (u64, u64),
    compression: Compression,
    labelling: &Labelling,
) -> TiffResult<()> {
    let compression = match compression {
        Compression::None => CompressionMethod::None,
        Compression::Deflate => CompressionMethod::Deflate,
    };
    // 1 unsigned, 2 signed, 3 floating point.
    let format: u16 = match T::DTYPE {
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => 1,
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => 2,
        DType::F32 | DType::F64 => 3,
    };
    // The sizes were checked against u32.
    let (height, width) = (height as u32, width as u32);
    page.write_tag(Tag::ImageWidth, width)?;
    page.write_tag(Tag::ImageLength, height)?;
    page.write_tag(Tag::BitsPerSample, T::DTYPE.bytes() as u16 * 8)?;
    page.write_tag(Tag::Compression, compression.to_u16())?;
    page.write_tag(Tag::PhotometricInterpretation, BLACK_IS_ZERO)?;
    page.write_tag(Tag::StripOffsets, K::convert_offset(offset)?)?;
    page.write_tag(Tag::SamplesPerPixel, 1u16)?;
    page.write_tag(Tag::RowsPerStrip, height)?;
    page.write_tag(Tag::StripByteCounts, K::convert_offset(length)?)?;
    page.write_tag(Tag::SampleFormat, format)?;
    if let Some(([x, y], unit)) = &labelling.resolution {
        page.write_tag(Tag::XResolution, x.clone())?;
        page.write_tag(Tag::YResolution, y.clone())?;
        page.write_tag(Tag::ResolutionUnit, unit.to_u16())?;
    }
    Ok(())
}

const BLACK_IS_ZERO: u16 = 1;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ndarray::Array3;

    use super::*;
    use crate::Spacing;

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
}

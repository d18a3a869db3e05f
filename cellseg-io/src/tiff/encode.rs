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
    ops::Range,
    path::Path,
};

use ::tiff::{
    TiffError, TiffResult,
    encoder::{DirectoryEncoder, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard},
    tags::{CompressionMethod, Tag},
};
use flate2::write::ZlibEncoder;
use ndarray::{Axis, CowArray, Ix3, s};
use rayon::prelude::*;

use super::labelling::Labelling;
use crate::{AtomicFile, DType, Error, Frame, Overwrite, Result, Volume, Voxel, volume::slabs_of};

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
    let planes = |range: Range<usize>| Ok(volume.data.slice(s![range, .., ..]).into());
    write_slabs(path.as_ref(), &volume.frame(), options, planes)
}

/// [`write_tiff`] of a volume that is made slab by slab: `slab` gives the planes of the ranges it is asked for, in order.
pub(crate) fn write_slabs<'a, T: Voxel>(
    path: &Path,
    frame: &Frame,
    options: TiffOptions,
    mut slab: impl FnMut(Range<usize>) -> Result<CowArray<'a, T, Ix3>>,
) -> Result<()> {
    let [z, y, x] = frame.shape;
    if frame.shape.contains(&0) || y.max(x) > u32::MAX as usize {
        return Err(Error::Argument(format!(
            "a volume of {z} x {y} x {x} voxels (z, y, x) cannot be written as TIFF; \
             it needs at least one voxel, and at most 2^32 - 1 along y and x"
        )));
    }
    let mut file = AtomicFile::create(path, options.overwrite)?;
    let bytes =
        frame.shape.iter().fold(size_of::<T>() as u64, |bytes, &length| bytes.saturating_mul(length as u64));
    if needs_big_tiff(bytes, z as u64) {
        write_pages::<T, TiffKindBig>(&mut file, frame, options.compression, &mut slab)
    } else {
        write_pages::<T, TiffKindStandard>(&mut file, frame, options.compression, &mut slab)
    }
    .map_err(|failure| match failure {
        Failure::Slab(e) => e,
        Failure::Tiff(TiffError::IoError(e)) => Error::write(path, e),
        Failure::Tiff(e) => Error::write(path, e),
    })?;
    file.commit()
}

/// Why a file was not finished.
enum Failure {
    /// The planes could not be had.
    Slab(Error),
    /// They could not be written.
    Tiff(TiffError),
}

impl From<TiffError> for Failure {
    fn from(error: TiffError) -> Self {
        Self::Tiff(error)
    }
}

/// Gives the planes of a range.
type Slab<'s, 'a, T> = &'s mut dyn FnMut(Range<usize>) -> Result<CowArray<'a, T, Ix3>>;

/// Whether offsets of 32 bits may be too small for so many bytes of data on so many pages.
fn needs_big_tiff(data_bytes: u64, pages: u64) -> bool {
    // Deflate can make noise longer, by far less than 1 %; a directory with its strips takes a few hundred
    // bytes.
    let most = data_bytes + data_bytes / 100 + pages * 4096;
    most > u64::from(u32::MAX)
}

fn write_pages<T: Voxel, K: TiffKind>(
    file: &mut (impl Write + Seek),
    frame: &Frame,
    compression: Compression,
    slab: Slab<T>,
) -> std::result::Result<(), Failure> {
    let mut encoder = TiffEncoder::<_, K>::new_generic(file)?;
    let mut first = encoder.image_directory()?;
    let (pieces, range) = write_planes(&mut first, frame.shape, compression, slab)?;
    let labelling = Labelling::of(frame, T::DTYPE, range);
    let mut pieces = pieces.into_iter();
    first.write_tag(Tag::ImageDescription, labelling.description.as_str())?;
    if let Some(piece) = pieces.next() {
        write_tags::<T, _, _>(&mut first, frame.shape, piece, compression, &labelling)?;
    }
    first.finish()?;
    for piece in pieces {
        let mut page = encoder.image_directory()?;
        write_tags::<T, _, _>(&mut page, frame.shape, piece, compression, &labelling)?;
        page.finish()?;
    }
    Ok(())
}

/// Where the data of each plane lie, offset and length, and the lowest and highest finite value of all.
type Written = (Vec<(u64, u64)>, [f64; 2]);

/// Writes the data of all planes, some at a time, packed in parallel.
fn write_planes<T: Voxel, W: Write + Seek, K: TiffKind>(
    page: &mut DirectoryEncoder<'_, W, K>,
    shape: [usize; 3],
    compression: Compression,
    slab: Slab<T>,
) -> std::result::Result<Written, Failure> {
    let (mut pieces, mut range) = (Vec::new(), [f64::INFINITY, f64::NEG_INFINITY]);
    for planes in slabs_of(shape, size_of::<T>()) {
        let planes = slab(planes).map_err(Failure::Slab)?;
        let planes: Vec<_> = planes.axis_iter(Axis(0)).collect();
        let packed = planes.par_iter().map(|plane| {
            let plane = plane.as_standard_layout();
            let values = plane.as_slice().expect("arrays in standard layout are slices");
            let finite = values.iter().map(|value| value.to_f64()).filter(|value| value.is_finite());
            let range = finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[l, h], v| [l.min(v), h.max(v)]);
            Ok((pack(bytemuck::cast_slice(values), compression)?, range))
        });
        for (bytes, [low, high]) in packed.collect::<io::Result<Vec<_>>>().map_err(TiffError::IoError)? {
            pieces.push((page.write_data(bytes.as_slice())?, bytes.len() as u64));
            range = [range[0].min(low), range[1].max(high)];
        }
    }
    Ok((pieces, range))
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
        let mut planes = |range: Range<usize>| Ok(volume.data.slice(s![range, .., ..]).into());
        let frame = volume.frame();
        assert!(write_pages::<_, TiffKindBig>(&mut bytes, &frame, Compression::Deflate, &mut planes).is_ok());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.tif");
        std::fs::write(&path, bytes.into_inner()).unwrap();
        assert_eq!(crate::read_volume(&path).unwrap(), volume);
    }
}

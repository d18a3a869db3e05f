//! Reading: the kind of a file is told from its first bytes, not from its name.

use std::{
    fs::File,
    io::{Read, Seek},
    ops::Range,
    path::Path,
};

use super::{AnyVolume, DType, Spacing, Volume, VolumeReader};
use crate::{Error, Result};

/// The kinds of files that volumes are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// TIFF or BigTIFF, of ImageJ, OME, tifffile or others.
    Tiff,
    /// NumPy's `.npy`.
    Npy,
}

/// What a file says of its volume, without the voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct VolumeInfo {
    /// The kind of the file.
    pub format: FileFormat,
    /// The type of the values.
    pub dtype: DType,
    /// The lengths `[z, y, x]` in voxels.
    pub shape: [usize; 3],
    /// The size of a voxel, where the file says it.
    pub spacing: Option<Spacing>,
}

impl VolumeInfo {
    /// The ranges `[z, y, x]` of all its voxels.
    pub fn whole(&self) -> [Range<usize>; 3] {
        self.shape.map(|length| 0..length)
    }
}

/// Reads the header of a volume: its shape, type and voxel size.
///
/// # Errors
/// As [`read_any`], but for damage that only shows in the voxels themselves.
pub fn inspect(path: impl AsRef<Path>) -> Result<VolumeInfo> {
    VolumeReader::open(path).map(|reader| *reader.info())
}

/// Reads a volume as the type that the file holds.
///
/// TIFF: all types of [`DType`] and single bits, either byte order, classic and BigTIFF, strips and tiles,
/// uncompressed, deflate, LZW, zstd and PackBits, predictors 2 and 3; the voxel size from ImageJ, OME-XML or
/// tifffile metadata. NPY: all types of [`DType`], `bool` as 0 and 1, either byte order, C and Fortran order.
/// Axes of length one before `(z, y, x)` are dropped.
///
/// A volume that does not fit into memory is read in boxes with [`VolumeReader`].
///
/// # Errors
/// [`Error::Read`] if the file cannot be opened, [`Error::Unsupported`] if it is of another kind,
/// [`Error::NotAVolume`] if it has channels, times, colours or only one plane, [`Error::Corrupt`] if it is
/// damaged or cut short (never a part of a volume), [`Error::Memory`] if the volume does not fit.
pub fn read_any(path: impl AsRef<Path>) -> Result<AnyVolume> {
    let reader = VolumeReader::open(path)?;
    reader.part(reader.info().whole())
}

/// Reads a volume of intensities as `f32`, each value rounded to the nearest where it has more digits.
///
/// # Errors
/// As [`read_any`] and [`AnyVolume::into_f32`].
pub fn read_volume(path: impl AsRef<Path>) -> Result<Volume<f32>> {
    let reader = VolumeReader::open(path)?;
    reader.part_f32(reader.info().whole())
}

/// Reads a volume of labels, 0 being the background.
///
/// # Errors
/// As [`read_any`] and [`AnyVolume::into_labels`].
pub fn read_labels(path: impl AsRef<Path>) -> Result<Volume<u32>> {
    let reader = VolumeReader::open(path)?;
    reader.part_labels(reader.info().whole())
}

/// The name of a volume: its file's without the extension.
pub(crate) fn volume_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let extension =
        [".ome.tiff", ".ome.tif", ".tiff", ".tif", ".btf", ".npy"].into_iter().find(|&e| lower.ends_with(e));
    name[..name.len() - extension.map_or(0, str::len)].to_owned()
}

const SUPPORTED: &str =
    "volumes are read from TIFF (also BigTIFF, ImageJ, OME-TIFF) and NPY files; export it as TIFF";

/// Opens a file at its start and tells its kind.
pub(super) fn open(path: &Path) -> Result<(File, FileFormat)> {
    let read_error = |source| Error::read(path, source);
    if path.is_dir() {
        let found = if path.join(".zgroup").exists()
            || path.join("zarr.json").exists()
            || path.join(".zattrs").exists()
        {
            "a Zarr folder"
        } else {
            "a folder"
        };
        return Err(Error::unsupported(path, found, format!("name one file in it; {SUPPORTED}")));
    }
    let mut file = File::open(path).map_err(read_error)?;
    let mut head = Vec::new();
    file.by_ref().take(8).read_to_end(&mut head).map_err(read_error)?;
    file.rewind().map_err(read_error)?;
    match head.as_slice() {
        [] => Err(Error::corrupt(path, "the file is empty")),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok((file, FileFormat::Tiff)),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Ok((file, FileFormat::Npy)),
        other => Err(Error::unsupported(path, kind_of(other), SUPPORTED)),
    }
}

/// What a file that is not read here seems to be.
fn kind_of(head: &[u8]) -> String {
    let kind = match head {
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file (also Imaris, BigDataViewer, ilastik)",
        [0x89, b'P', b'N', b'G', ..] => "a PNG picture",
        [0xff, 0xd8, 0xff, ..] => "a JPEG picture",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'P', b'K', 3, 4, ..] => "a zip archive (also .npz, .pth)",
        [b'N', b'R', b'R', b'D', ..] => "an NRRD file",
        [0x5c, 1, 0, 0, ..] | [0, 0, 1, 0x5c, ..] => "a NIfTI file",
        [b'Z', b'I', b'S', b'R', ..] => "a Zeiss CZI file",
        _ => return format!("a file that starts with the bytes {head:02x?}"),
    };
    kind.to_owned()
}

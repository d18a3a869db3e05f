//! Writing, by the name of the file.

use std::path::Path;

use super::{Volume, Voxel};
use crate::{Compression, Error, Overwrite, Result, TiffOptions, npy, tiff};

/// Writes a volume of its own type: as TIFF (`.tif`, `.tiff`; deflate, with the voxel size) or as `.npy`
/// (without).
///
/// # Errors
/// [`Error::Argument`] for another extension, else as [`write_tiff`](crate::write_tiff) and
/// [`write_npy`](crate::write_npy).
pub fn write_volume<T: Voxel>(
    path: impl AsRef<Path>,
    volume: &Volume<T>,
    overwrite: Overwrite,
) -> Result<()> {
    let path = path.as_ref();
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "tif" | "tiff" => {
            tiff::write_tiff(path, volume, TiffOptions { compression: Compression::Deflate, overwrite })
        }
        "npy" => npy::write_npy(path, volume.data.view(), overwrite),
        _ => Err(Error::Argument(format!(
            "{} has no extension that says how to write it; name it .tif, .tiff or .npy",
            path.display()
        ))),
    }
}

/// Writes labels as 16-bit integers if all fit, which every program opens, and as 32-bit integers otherwise.
///
/// # Errors
/// As [`write_volume`].
pub fn write_labels(path: impl AsRef<Path>, labels: &Volume<u32>, overwrite: Overwrite) -> Result<()> {
    if labels.data.iter().all(|&label| label <= u32::from(u16::MAX)) {
        write_volume(path, &labels.map(|&label| label as u16), overwrite)
    } else {
        write_volume(path, labels, overwrite)
    }
}

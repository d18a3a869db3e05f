//! Writing, by the name of the file.

use std::{ops::Range, path::Path};

use ndarray::Array3;

use super::{Frame, Volume, Voxel};
use crate::{Compression, Error, Overwrite, Result, TiffOptions, npy, tiff};

/// How a volume is written.
enum Format {
    Tiff,
    Npy,
}

impl Format {
    /// What the extension of a file's name says.
    fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "tif" | "tiff" => Ok(Self::Tiff),
            "npy" => Ok(Self::Npy),
            _ => Err(Error::Argument(format!(
                "{} has no extension that says how to write it; name it .tif, .tiff or .npy",
                path.display()
            ))),
        }
    }
}

/// Checks that a file's name says how to write a volume: before work whose result would have nowhere to go.
///
/// # Errors
/// [`Error::Argument`] for a name that [`write_volume`], [`write_labels`] and [`write_in_slabs`] refuse.
pub fn check_volume_name(path: impl AsRef<Path>) -> Result<()> {
    Format::of(path.as_ref()).map(|_| ())
}

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
    match Format::of(path)? {
        Format::Tiff => {
            tiff::write_tiff(path, volume, TiffOptions { compression: Compression::Deflate, overwrite })
        }
        Format::Npy => npy::write_npy(path, volume.data.view(), overwrite),
    }
}

/// [`write_volume`] of a volume that need not be in memory: `slab` gives its planes, range by range from the first on.
///
/// # Errors
/// Those of `slab`; [`Error::Argument`] if it gives another shape than that of the planes; else as [`write_volume`]. No
/// file is left behind then.
pub fn write_in_slabs<T: Voxel>(
    path: impl AsRef<Path>,
    frame: &Frame,
    overwrite: Overwrite,
    mut slab: impl FnMut(Range<usize>) -> Result<Array3<T>>,
) -> Result<()> {
    let path = path.as_ref();
    let [_, height, width] = frame.shape;
    let mut slab = |planes: Range<usize>| {
        let expected = (planes.len(), height, width);
        let found = slab(planes)?;
        if found.dim() != expected {
            return Err(Error::Argument(format!(
                "a slab has shape {:?}; expected {expected:?} (z, y, x)",
                found.dim()
            )));
        }
        Ok(found)
    };
    match Format::of(path)? {
        Format::Tiff => {
            let options = TiffOptions { compression: Compression::Deflate, overwrite };
            tiff::write_slabs(path, frame, options, |planes| slab(planes).map(Into::into))
        }
        Format::Npy => npy::write_slabs(path, frame, overwrite, slab),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_no_format_are_refused() {
        for name in ["a.tif", "a.TIFF", "folder.x/a.npy"] {
            assert!(check_volume_name(name).is_ok(), "{name}");
        }
        for name in ["a", "a.png", "a.tif.gz", ".tif", "folder.tif/a", ""] {
            let error = check_volume_name(name).unwrap_err();
            assert!(matches!(error, Error::Argument(_)), "{name}");
            assert!(error.to_string().contains(".tif, .tiff or .npy"), "{error}");
        }
    }
}

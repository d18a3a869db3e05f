//! Volumes that are read in boxes.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    AnyVolume, FileFormat, Frame, Volume, VolumeInfo,
    read::{open, volume_name},
};
use crate::{Error, Result, npy::NpyVolume, tiff::TiffVolume};

/// An open file that holds a volume, of which any box of voxels is read without the rest.
///
/// Files are those of [`read_any`](crate::read_any). Memory is that of the box, and of the packed data of 32 planes.
/// A TIFF's strips and tiles are unpacked as far as they hold voxels of the box: where strips are whole planes, as in
/// most files, boxes of whole planes cost the least. An NPY file in Fortran order is read in whole columns along z: each
/// plane of the box across x takes the volume's whole depth.
///
/// One part is read at a time, by all threads of the current rayon pool. Ask for parts one after another, or from threads
/// outside the pool: two tasks of one pool that ask at once may wait for each other forever.
pub struct VolumeReader {
    path: PathBuf,
    name: String,
    info: VolumeInfo,
    source: Mutex<Source>,
}

enum Source {
    Tiff(TiffVolume),
    Npy(NpyVolume),
}

impl VolumeReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// As [`inspect`](crate::inspect).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, format) = open(path)?;
        let (info, source) = match format {
            FileFormat::Tiff => {
                let volume = TiffVolume::open(path, file)?;
                (volume.info(), Source::Tiff(volume))
            }
            FileFormat::Npy => {
                let volume = NpyVolume::open(path, file)?;
                (volume.info(), Source::Npy(volume))
            }
        };
        Ok(Self { path: path.into(), name: volume_name(path), info, source: Mutex::new(source) })
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says of its volume.
    pub fn info(&self) -> &VolumeInfo {
        &self.info
    }

    /// The volume without its voxels.
    pub fn frame(&self) -> Frame<'_> {
        Frame { shape: self.info.shape, spacing: self.info.spacing, name: &self.name }
    }

    /// Reads the voxels in the ranges `[z, y, x]` as the type that the file holds.
    ///
    /// # Errors
    /// [`Error::Argument`] if a range is empty or ends outside the volume; else as [`read_any`](crate::read_any).
    pub fn part(&self, ranges: [Range<usize>; 3]) -> Result<AnyVolume> {
        check_part(&self.path, self.info.shape, &ranges)?;
        // A reader that panicked left nothing behind: each part begins with finding its place.
        match &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Tiff(volume) => volume.part(&self.path, ranges, &self.name),
            Source::Npy(volume) => volume.part(&self.path, ranges, &self.name),
        }
    }

    /// Reads the voxels in the ranges `[z, y, x]` as intensities.
    ///
    /// # Errors
    /// As [`part`](Self::part) and [`AnyVolume::into_f32`].
    pub fn part_f32(&self, ranges: [Range<usize>; 3]) -> Result<Volume<f32>> {
        let origin = ranges.clone().map(|range| range.start);
        self.part(ranges)?.into_f32_of(&self.path, origin)
    }

    /// Reads the voxels in the ranges `[z, y, x]` as labels.
    ///
    /// # Errors
    /// As [`part`](Self::part) and [`AnyVolume::into_labels`].
    pub fn part_labels(&self, ranges: [Range<usize>; 3]) -> Result<Volume<u32>> {
        let origin = ranges.clone().map(|range| range.start);
        self.part(ranges)?.into_labels_of(&self.path, origin)
    }
}

/// Refuses ranges that are not inside a volume of `shape`.
pub(super) fn check_part(volume: &Path, shape: [usize; 3], ranges: &[Range<usize>; 3]) -> Result<()> {
    if ranges.iter().zip(shape).any(|(range, length)| range.is_empty() || range.end > length) {
        return Err(Error::Argument(format!(
            "voxels {ranges:?} (z, y, x) are not in {}, whose shape is {shape:?}; give ranges of at least one voxel \
             inside it",
            volume.display()
        )));
    }
    Ok(())
}

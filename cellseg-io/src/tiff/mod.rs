//! TIFF, read whole or in boxes.
//!
//! 1. `directory` reads the tags, `pages` checks what they claim against the file before any memory is taken;
//! 2. `description` reads what ImageJ, OME or tifffile wrote about axes and voxel size;
//! 3. `stack` decides from both which pages are the planes of the volume, or why there is none;
//! 4. `decode` and `unpack` read a box of it, planes in parallel; `encode` and `labelling` write one.
//!
//! The `tiff` crate writes the directories, but does not read: its version 0.11.3 refuses ImageJ's palette
//! stacks, inverts the values of "white is zero" pages, fails on some LZW tiles (at the end of the stream,
//! when reading row by row), and its sizes overflow on hostile directories. Compression itself is left to
//! `flate2`, `weezl` and `zstd`.

mod decode;
mod description;
mod directory;
mod encode;
mod labelling;
mod ome;
mod pages;
mod problem;
mod stack;
mod unpack;

use std::{fs::File, ops::Range, path::Path};

pub(crate) use self::encode::write_slabs;
pub use self::encode::{Compression, TiffOptions, write_tiff};
use self::stack::Stack;
use crate::{AnyVolume, FileFormat, Result, VolumeInfo};

/// An open TIFF that holds a volume.
pub(crate) struct TiffVolume(Stack);

impl TiffVolume {
    pub(crate) fn open(path: &Path, file: File) -> Result<Self> {
        Stack::open(file).map(Self).map_err(|problem| problem.at(path))
    }

    pub(crate) fn info(&self) -> VolumeInfo {
        let Stack { sample, shape, spacing, .. } = self.0;
        VolumeInfo { format: FileFormat::Tiff, dtype: sample.dtype(), shape, spacing }
    }

    /// The voxels in ranges `[z, y, x]` inside the volume.
    pub(crate) fn part(&mut self, path: &Path, ranges: [Range<usize>; 3], name: &str) -> Result<AnyVolume> {
        decode::decode(&mut self.0, ranges, name).map_err(|problem| problem.at(path))
    }
}

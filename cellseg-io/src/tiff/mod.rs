//! TIFF, read whole into a volume.
//!
//! 1. `directory` reads the tags, `pages` checks what they claim against the file before any memory is taken;
//! 2. `description` reads what ImageJ, OME or tifffile wrote about axes and voxel size;
//! 3. `stack` decides from both which pages are the planes of the volume, or why there is none;
//! 4. `decode` and `unpack` fill the volume, pages in parallel; `encode` and `labelling` write one.
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

use std::{fs::File, path::Path};

pub use self::encode::{Compression, TiffOptions, write_tiff};
use self::stack::Stack;
use crate::{AnyVolume, FileFormat, Result, VolumeInfo, volume::volume_name};

pub(crate) fn inspect(path: &Path, file: File) -> Result<VolumeInfo> {
    let Stack { sample, shape, spacing, .. } = Stack::open(file).map_err(|problem| problem.at(path))?;
    Ok(VolumeInfo { format: FileFormat::Tiff, dtype: sample.dtype(), shape, spacing })
}

pub(crate) fn read(path: &Path, file: File) -> Result<AnyVolume> {
    Stack::open(file)
        .and_then(|stack| decode::decode(stack, volume_name(path)))
        .map_err(|problem| problem.at(path))
}

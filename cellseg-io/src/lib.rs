//! Files of microscopy: volumes, weights, tables and pictures, in and out; and synthetic volumes.
//!
//! Volumes are indexed `(z, y, x)` everywhere, voxel sizes are in micrometres. The kind of a file is told
//! from its content. A file is read whole or not at all: one that is cut short, damaged or not a volume is an
//! [`Error`] that says what was found and what to do. A file is written whole or not at all, too, and none is
//! replaced unasked ([`Overwrite`]).
//!
//! A volume that does not fit into memory is read in boxes ([`VolumeReader`]), kept on disk while it is being made
//! ([`ScratchVolume`]) and written in slabs ([`write_in_slabs`]).
//!
//! The feature `parquet` adds tables in that format ([`write_table`]); it is off by default as it takes longer to
//! build than the rest of this crate.
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("nuclei.tif");
//! use cellseg_io::{Overwrite, Spacing, Volume, read_labels, read_volume, write_labels};
//!
//! let labels = ndarray::Array3::from_shape_fn((4, 8, 8), |(z, _, _)| z as u32);
//! let labels = Volume::new(labels, "nuclei").with_spacing(Spacing::new([2.0, 0.5, 0.5])?);
//! write_labels(&path, &labels, Overwrite::Refuse)?;
//!
//! assert_eq!(read_labels(&path)?, labels);
//! assert_eq!(read_volume(&path)?.data[[3, 0, 0]], 3.0);
//! # Ok::<(), cellseg_io::Error>(())
//! ```

mod atomic;
mod error;
mod npy;
pub mod preview;
mod raw;
mod scratch;
pub mod synth;
mod table;
mod tiff;
mod volume;
mod weights;

#[cfg(feature = "parquet")]
pub use self::table::write_parquet;
pub use self::{
    atomic::{AtomicFile, Overwrite, atomic_write},
    error::{Error, Result},
    npy::write_npy,
    scratch::ScratchVolume,
    table::{Cell, TableFormat, write_csv, write_table},
    tiff::{Compression, TiffOptions, write_tiff},
    volume::{
        AnyVolume, DType, FileFormat, Frame, Spacing, Volume, VolumeInfo, VolumeReader, Voxel,
        check_volume_name, inspect, read_any, read_labels, read_volume, volumes_in, write_in_slabs,
        write_labels, write_volume,
    },
    weights::Weights,
};

//! Reading and writing volumes, weights, tables and previews, and making synthetic volumes.

mod atomic;
mod error;
mod npy;
pub mod preview;
mod raw;
pub mod synth;
mod table;
mod tiff;
mod volume;
mod weights;

pub use self::{
    atomic::{AtomicFile, Overwrite, atomic_write},
    error::{Error, Result},
    npy::write_npy,
    table::{Cell, write_csv},
    tiff::{Compression, TiffOptions, write_tiff},
    volume::{
        AnyVolume, DType, FileFormat, Spacing, Volume, VolumeInfo, Voxel, inspect, read_any, read_labels,
        read_volume, write_labels, write_volume,
    },
    weights::Weights,
};

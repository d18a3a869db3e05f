//! Volumes: voxels in (z, y, x) order, the size of a voxel, a name.

mod convert;
mod folder;
mod frame;
mod part;
mod read;
mod reader;
mod spacing;
mod voxel;
mod write;

use ndarray::Array3;

pub use self::{
    convert::AnyVolume,
    folder::volumes_in,
    frame::Frame,
    read::{FileFormat, VolumeInfo, inspect, read_any, read_labels, read_volume},
    reader::VolumeReader,
    spacing::Spacing,
    voxel::{DType, Voxel},
    write::{check_volume_name, write_in_slabs, write_labels, write_volume},
};
pub(crate) use self::{frame::slabs_of, spacing::micrometres_in, voxel::sealed};

/// A volume: its voxels `(z, y, x)`, the size of a voxel where it is known, and a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume<T> {
    /// The values, indexed `[z, y, x]`.
    pub data: Array3<T>,
    /// The size of a voxel in micrometres; `None` where the file does not say.
    pub spacing: Option<Spacing>,
    /// A name for people: the file's name without its extension.
    pub name: String,
}

impl<T> Volume<T> {
    /// A volume of `data` `(z, y, x)` with unknown voxel size.
    pub fn new(data: Array3<T>, name: impl Into<String>) -> Self {
        Self { data, spacing: None, name: name.into() }
    }

    /// The same volume with voxels of the given size.
    pub fn with_spacing(self, spacing: Spacing) -> Self {
        Self { spacing: Some(spacing), ..self }
    }

    /// The lengths `[z, y, x]` in voxels.
    pub fn shape(&self) -> [usize; 3] {
        let (z, y, x) = self.data.dim();
        [z, y, x]
    }

    /// The volume without its voxels.
    pub fn frame(&self) -> Frame<'_> {
        Frame { shape: self.shape(), spacing: self.spacing, name: &self.name }
    }

    /// The same place and name with other values.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Volume<U> {
        Volume { data: self.data.map(f), spacing: self.spacing, name: self.name.clone() }
    }
}

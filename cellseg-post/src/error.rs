//! The one error type of the crate.

/// Why a call on volumes, labels or scores could not be answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside its range.
    #[error("{name} is {given}; expected {expected}")]
    Argument {
        /// The setting's name.
        name: &'static str,
        /// What was given.
        given: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// Two volumes that belong together have different shapes.
    #[error(
        "{first} has shape {first_shape:?} and {second} {second_shape:?} (z, y, x); both must be the same"
    )]
    ShapeMismatch {
        /// The first volume's role.
        first: &'static str,
        /// The first volume's shape (z, y, x).
        first_shape: [usize; 3],
        /// The second volume's role.
        second: &'static str,
        /// The second volume's shape (z, y, x).
        second_shape: [usize; 3],
    },
    /// A volume without voxels was given where at least one is needed.
    #[error("the volume has no voxels: its shape is {shape:?} (z, y, x)")]
    Empty {
        /// The shape (z, y, x) that was given.
        shape: [usize; 3],
    },
    /// A voxel is NaN or infinite where a number is needed.
    #[error(
        "the voxel at (z, y, x) = {position:?} is {value}; expected finite values only: replace such voxels first"
    )]
    NonFinite {
        /// The first such voxel (z, y, x) in raster order.
        position: [usize; 3],
        /// Its value.
        value: f32,
    },
    /// All voxels have one value, so no threshold can be found from them.
    #[error("every voxel is {value}, so no threshold can be found from the values; give a fixed threshold")]
    Constant {
        /// The value of every voxel.
        value: f32,
    },
    /// More objects than a label can number.
    #[error(
        "{count} objects do not fit into 32-bit labels (at most 4294967295); process the volume in parts"
    )]
    TooManyLabels {
        /// The number of objects (or of runs of voxels that may become objects).
        count: u64,
    },
    /// An id of 64 bits that does not fit into 32.
    #[error(
        "the voxel at (z, y, x) = {position:?} has the id {id}, but ids of 32 bits end at 4294967295; \
         renumber them with relabel_sequential_u64, which also tells the old ids"
    )]
    IdTooLarge {
        /// The first such voxel (z, y, x) in raster order.
        position: [usize; 3],
        /// Its id.
        id: u64,
    },
    /// More voxels than this algorithm can index.
    #[error(
        "a volume of shape {shape:?} (z, y, x) has {limit} voxels or more, which this step cannot index; \
         process it in parts"
    )]
    TooLarge {
        /// The shape (z, y, x) that was given.
        shape: [usize; 3],
        /// The number of voxels that is too large.
        limit: u64,
    },
    /// A volume that lies outside memory could not be read or written.
    #[error("{message}")]
    Storage {
        /// What the storage says.
        message: String,
    },
}

impl Error {
    /// The same of the volume that a box was taken from, at voxel `origin` (z, y, x).
    pub(crate) fn in_box(mut self, origin: [usize; 3]) -> Self {
        if let Self::NonFinite { position, .. } | Self::IdTooLarge { position, .. } = &mut self {
            position.iter_mut().zip(origin).for_each(|(place, start)| *place += start);
        }
        self
    }
}

//! Exact Euclidean distances in micrometres, whatever the voxels' proportions.

mod edt;
mod envelope;
mod nearest;
mod objects;

pub use edt::{distance_transform, signed_distance_transform, squared_distance_transform};
pub use nearest::nearest_seed;
pub use objects::distance_transform_of_ids;

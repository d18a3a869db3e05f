//! Exact Euclidean distances in micrometres, whatever the voxels' proportions.

mod edt;
mod envelope;
mod nearest;

pub use edt::{distance_transform, signed_distance_transform, squared_distance_transform};
pub use nearest::nearest_seed;

//! The normalisations on a GPU.

pub(super) mod group;
pub(super) mod layer;

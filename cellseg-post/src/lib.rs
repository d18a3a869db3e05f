//! From masks and probability maps to instance labels, per-cell statistics and scores.

mod components;
mod distance;
mod error;
mod float_order;
mod gaussian;
mod grid;
mod instances;
mod labels;
mod lanes;
mod regions;
mod scores;
mod seeds;
mod spacing;
mod threshold;
mod union_find;
mod voronoi;
mod watershed;

pub use components::components;
pub use distance::{distance_transform, nearest_seed, squared_distance_transform};
pub use error::Error;
pub use gaussian::{TRUNCATE, gaussian};
pub use grid::Connectivity;
pub use instances::{
    InstanceOptions, Method, VoronoiOtsu, WatershedSeeds, instances, split_touching, typical_diameter,
    voronoi_otsu,
};
pub use labels::{Labels, Relabelled, relabel_sequential};
pub use regions::{Cell, Intensity, Region, Table, cellseg3d_table, region_table, regions};
pub use scores::{Criterion, Matching, Overlap, Overlaps, dice, foreground_iou, match_slices};
pub use seeds::{MaximaRule, Peak, keep_apart, local_maxima, persistent_peaks, seed_volume, threshold_seeds};
pub use spacing::Spacing;
pub use threshold::{Histogram, OtsuRule, Threshold, histogram, mask_above, otsu, percentiles, robust_otsu};
pub use voronoi::voronoi;
pub use watershed::watershed;

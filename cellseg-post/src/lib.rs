//! From masks and probability maps to instance labels, per-cell statistics and scores.
//!
//! Everything works on `ndarray` views of volumes in (z, y, x) order and knows the [`Spacing`] of their voxels where
//! lengths matter. Masks are `bool`, labels `u32` with 0 for background. Results are the same bits on any number of
//! threads; work runs in rayon's current pool.
//!
//! | step | calls |
//! |---|---|
//! | filters | [`gaussian`], [`difference_of_gaussians`], [`laplacian_of_gaussian`], [`median`] |
//! | foreground | [`otsu`], [`robust_otsu`], [`multi_otsu`], [`li`], [`triangle`], [`percentiles`], [`histogram`], [`mask_above`], [`mask_above_local`], [`hysteresis`] |
//! | morphology | [`fill_holes`], [`dilate`], [`erode`], [`open`], [`close`]; with any [`Element`] [`grey_dilate`], [`grey_erode`], [`grey_open`], [`grey_close`], [`white_top_hat`], [`black_top_hat`]; [`reconstruct_by_dilation`], [`reconstruct_by_erosion`] |
//! | refinement | [`dense_crf`], [`dense_crf_foreground`] |
//! | seeds | [`local_maxima`], [`persistent_peaks`], [`keep_apart`], [`threshold_seeds`], [`blob_seeds`], [`typical_diameter`] |
//! | objects | [`instances`] (all in one), [`components`], [`components_of_ids`], [`watershed`], [`WatershedHierarchy`], [`split_touching`], [`voronoi_otsu`], [`voronoi_otsu_as_clesperanto`], [`voronoi`], [`mutex_watershed`], [`merge_weak_borders`], [`remove_artifacts`] |
//! | out of core | [`components_in_blocks`], [`components_of_ids_in_blocks`], [`instances_in_blocks`], [`regions_in_blocks`] over a [`MapSource`], a [`LabelSource`] and a [`LabelStore`] |
//! | distances | [`distance_transform`], [`distance_transform_of_ids`], [`squared_distance_transform`], [`signed_distance_transform`], [`nearest_seed`] |
//! | ids | [`relabel_sequential`]; of 64 bits [`ids_from_u64`], [`ids_to_u64`], [`relabel_sequential_u64`] |
//! | spacing | [`resample`], [`resample_labels`] |
//! | measurements | [`regions`], [`surface_areas`], [`solidities`], [`intensity_quantiles`], [`contacts`], [`nearest_neighbours`], [`local_densities`], [`count_in_atlas`]; [`region_table`], [`full_region_table`], [`cellseg3d_table`] |
//! | scores | [`Overlaps`], [`Matching`], [`match_slices`], [`match_centroids`], [`SurfaceDistances`], [`bootstrap_interval`], [`dice`], [`foreground_iou`] |
//!
//! ```
//! use cellseg_post::{Criterion, InstanceOptions, Overlaps, Spacing, instances, regions};
//! use ndarray::Array3;
//!
//! // Two touching nuclei of 10 um, seen at 2 x 1 x 1 um.
//! let near = |z: usize, y: usize, x: usize, centre: f32| {
//!     let (z, y, x) = (2.0 * z as f32 - 10.0, y as f32 - 10.0, x as f32 - centre);
//!     (z * z + y * y + x * x).sqrt()
//! };
//! let map = Array3::from_shape_fn((11, 21, 30), |(z, y, x)| {
//!     let distance = near(z, y, x, 10.0).min(near(z, y, x, 19.5));
//!     1.0 / (1.0 + (2.0 * (distance - 5.0)).exp())
//! });
//!
//! let spacing = Spacing::new(2.0, 1.0, 1.0)?;
//! let labels = instances(map.view(), spacing, &InstanceOptions::default())?;
//! assert_eq!(labels.count(), 2);
//!
//! let cells = regions(labels.ids(), Some(map.view()), spacing)?;
//! assert!((cells[0].equivalent_diameter - 10.0).abs() < 1.0);
//!
//! let scores = Overlaps::count(labels.ids(), labels.ids())?.matching(&[0.5], Criterion::Iou)?;
//! assert_eq!(scores[0].f1, 1.0);
//! # Ok::<(), cellseg_post::Error>(())
//! ```

mod blocks;
mod bodies;
mod components;
mod crf;
mod disjoint;
mod distance;
mod error;
mod float_order;
mod gaussian;
mod grid;
mod instances;
mod labels;
mod labels64;
mod lanes;
mod median;
mod memory;
mod morphology;
mod regions;
mod resample;
mod runs;
mod scores;
mod seeds;
mod spacing;
mod threshold;
mod union_find;
mod voronoi;
mod watershed;
mod wide;

pub use blocks::{
    LabelSource, LabelStore, MapSource, components_in_blocks, components_of_ids_in_blocks,
    instances_in_blocks,
};
pub use components::{components, components_of_ids};
pub use crf::{DenseCrf, dense_crf, dense_crf_foreground};
pub use distance::{
    distance_transform, distance_transform_of_ids, nearest_seed, signed_distance_transform,
    squared_distance_transform,
};
pub use error::Error;
pub use gaussian::{TRUNCATE, difference_of_gaussians, gaussian, laplacian_of_gaussian};
pub use grid::Connectivity;
pub use instances::{
    Bond, InstanceOptions, Measure, Method, Oddity, Offset, Removed, VoronoiOtsu, WatershedSeeds, instances,
    merge_weak_borders, mutex_watershed, remove_artifacts, split_touching, typical_diameter, voronoi_otsu,
    voronoi_otsu_as_clesperanto,
};
pub use labels::{Labels, Relabelled, relabel_sequential};
pub use labels64::{RelabelledU64, ids_from_u64, ids_to_u64, relabel_sequential_u64};
pub use median::median;
pub use morphology::{
    Element, Level, black_top_hat, close, dilate, erode, fill_holes, grey_close, grey_dilate, grey_erode,
    grey_open, open, reconstruct_by_dilation, reconstruct_by_erosion, white_top_hat,
};
pub use regions::{
    AtlasCount, Cell, Contact, Intensity, Neighbour, Region, Table, atlas_table, cellseg3d_table, contacts,
    count_in_atlas, full_region_table, intensity_quantiles, local_densities, nearest_neighbours,
    region_table, regions, regions_in_blocks, solidities, surface_areas, surface_sphericity,
};
pub use resample::{resample, resample_labels, resampled_shape};
pub use scores::{
    AdaptedRand, Counted, Criterion, MatchedPair, Matching, Overlap, Overlaps, SurfaceDistances, TrueOutcome,
    VariationOfInformation, bootstrap_interval, dice, foreground_iou, match_centroids, match_slices,
};
pub use seeds::{
    MaximaRule, Peak, blob_response, blob_seeds, keep_apart, local_maxima, persistent_peaks, seed_volume,
    threshold_seeds,
};
pub use spacing::Spacing;
pub use threshold::{
    Histogram, OtsuRule, Threshold, histogram, hysteresis, li, mask_above, mask_above_local, multi_otsu,
    otsu, percentiles, robust_otsu, triangle,
};
pub use voronoi::voronoi;
pub use watershed::{Flood, Merge, Saliency, SeedTies, WatershedHierarchy, watershed, watershed_with};

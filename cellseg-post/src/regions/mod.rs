//! Measurements of each object: size, place, shape and intensity.

mod atlas;
mod blocks;
mod cellseg3d;
mod columns;
mod contacts;
mod hull;
mod intensity;
mod moments;
mod neighbours;
mod places;
mod quantiles;
mod shape;
mod surface;
mod table;

use std::ops::Range;

use ndarray::ArrayView3;

pub use atlas::{AtlasCount, atlas_table, count_in_atlas};
pub use blocks::regions_in_blocks;
pub use cellseg3d::cellseg3d_table;
pub use columns::{full_region_table, region_table};
pub use contacts::{Contact, contacts};
pub use hull::solidities;
pub use neighbours::{Neighbour, local_densities, nearest_neighbours};
pub use quantiles::intensity_quantiles;
pub use surface::{surface_areas, surface_sphericity};
pub use table::{Cell, Table};

use crate::grid::{Grid, all_finite, raster, same_shape};
use crate::{Error, Spacing};
use moments::{Moments, gather};

/// The measurements of one object.
///
/// Places in micrometres are counted from the centre of voxel (0, 0, 0).
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The object's id in the label volume.
    pub id: u32,
    /// The number of voxels.
    pub voxels: u64,
    /// The volume in cubic micrometres.
    pub volume: f64,
    /// The mean of the voxels' places (z, y, x) in voxels.
    pub centroid_voxels: [f64; 3],
    /// The mean of the voxels' places (z, y, x) in micrometres.
    pub centroid: [f64; 3],
    /// The smallest ranges of voxels along z, y and x that hold the object.
    pub bounding_box: [Range<usize>; 3],
    /// The lengths in micrometres of the axes, longest first, of the ellipsoid with the object's second moments.
    ///
    /// `sqrt(20 v)` for the variances v along the principal axes: `axis_major_length` and `axis_minor_length` of
    /// scikit-image, and the one between.
    pub axis_lengths: [f64; 3],
    /// The unit vectors (z, y, x) of these axes in physical space; of both signs the one whose largest component is
    /// positive. Where two lengths are equal, any two directions across the third do.
    pub axes: [[f64; 3]; 3],
    /// The diameter in micrometres of the sphere of the object's volume.
    pub equivalent_diameter: f64,
    /// The surface of the sphere of equal volume over that of the ellipsoid of `axis_lengths`; 1 for a sphere.
    ///
    /// By Thomsen's formula for the ellipsoid's surface, within 1.1 %. `None` for objects without extent along an axis.
    pub sphericity: Option<f64>,
    /// Whether the object touches the border of the volume and so may be cut.
    pub touches_border: bool,
    /// What the image shows inside the object, if an image was given.
    pub intensity: Option<Intensity>,
}

/// The values of an image inside one object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intensity {
    /// The sum of the values.
    pub sum: f64,
    /// The mean value.
    pub mean: f64,
    /// The lowest value.
    pub min: f32,
    /// The highest value.
    pub max: f32,
    /// The standard deviation of the values around their mean, over all voxels (not one less).
    pub std: f64,
    /// The mean place (z, y, x) in micrometres weighted by the values; `None` if they sum to 0.
    pub weighted_centroid: Option<[f64; 3]>,
}

/// Measures every object of a label volume (z, y, x) in one pass; one entry an id, by rising id.
///
/// Any ids may be used; 0 is background. Voxels of one id are one object, connected or not.
///
/// # Errors
/// [`Error::ShapeMismatch`], or [`Error::NonFinite`] for the image.
pub fn regions(
    ids: ArrayView3<u32>,
    image: Option<ArrayView3<f32>>,
    spacing: Spacing,
) -> Result<Vec<Region>, Error> {
    let grid = Grid::of(&ids);
    let image = match &image {
        Some(image) => {
            same_shape(("the labels", &ids), ("the image", image))?;
            let values = raster(image);
            all_finite(grid, &values)?;
            Some(values)
        }
        None => None,
    };
    let mut regions = gather(grid, &raster(&ids), image.as_deref(), |id, moments| {
        describe(id, &moments, grid.shape(), spacing)
    });
    shape::find_axes(&mut regions);
    Ok(regions)
}

/// The smallest ranges (z, y, x) of voxels that hold each object, by rising id.
pub(crate) fn bounding_boxes(ids: ArrayView3<u32>) -> Vec<(u32, [Range<usize>; 3])> {
    gather(Grid::of(&ids), &raster(&ids), None, |id, moments| (id, moments.bounding_box()))
}

/// The measurements of an object of a volume of `shape` (z, y, x), but for its axes and what follows from them.
///
/// In the place of `axes` stands the covariance of the voxels: [`shape::find_axes`] turns those of many objects together.
fn describe(id: u32, moments: &Moments, shape: [usize; 3], spacing: Spacing) -> Region {
    let sides = spacing.to_array();
    let volume = moments.voxels as f64 * spacing.voxel_volume();
    let centroid_voxels = moments.centroid();
    Region {
        id,
        voxels: moments.voxels,
        volume,
        centroid_voxels,
        centroid: std::array::from_fn(|axis| centroid_voxels[axis] * sides[axis]),
        bounding_box: moments.bounding_box(),
        axis_lengths: [0.0; 3],
        axes: moments.covariance(sides),
        equivalent_diameter: (6.0 * volume / std::f64::consts::PI).cbrt(),
        sphericity: None,
        touches_border: (0..3).any(|axis| moments.first[axis] == 0 || moments.last[axis] + 1 == shape[axis]),
        intensity: moments.intensity.as_ref().map(|sums| sums.describe(moments.voxels, sides)),
    }
}

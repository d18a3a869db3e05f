//! The table of regions in physical units.

use ndarray::ArrayView3;
use rustc_hash::FxHashMap;

use super::{
    Cell, Intensity, Region, Table, contacts, intensity_quantiles, local_densities, nearest_neighbours,
    regions, solidities, surface_areas, surface_sphericity,
};
use crate::{Error, Spacing};

/// The columns that every table has.
const SHAPE: [&str; 21] = [
    "label",
    "voxels",
    "volume_um3",
    "centroid_z_um",
    "centroid_y_um",
    "centroid_x_um",
    "centroid_z_voxels",
    "centroid_y_voxels",
    "centroid_x_voxels",
    "bbox_z_start",
    "bbox_z_end",
    "bbox_y_start",
    "bbox_y_end",
    "bbox_x_start",
    "bbox_x_end",
    "axis_major_um",
    "axis_middle_um",
    "axis_minor_um",
    "equivalent_diameter_um",
    "sphericity",
    "touches_border",
];

/// The columns that are there if an image was measured.
const INTENSITY: [&str; 8] = [
    "intensity_mean",
    "intensity_min",
    "intensity_max",
    "intensity_std",
    "intensity_sum",
    "weighted_centroid_z_um",
    "weighted_centroid_y_um",
    "weighted_centroid_x_um",
];

/// The regions as a table, one row each; intensity columns are there if any region has them.
///
/// The units stand in the columns' names. Bounding boxes are voxel indices, the end one past the last; border contact is
/// 1 or 0.
pub fn region_table(regions: &[Region]) -> Table {
    let with_intensity = regions.iter().any(|region| region.intensity.is_some());
    let mut header = SHAPE.to_vec();
    if with_intensity {
        header.extend(INTENSITY);
    }
    let rows = regions
        .iter()
        .map(|region| {
            let mut row = shape_cells(region);
            if with_intensity {
                row.extend(intensity_cells(region.intensity.as_ref()));
            }
            row
        })
        .collect();
    Table { header, rows }
}

/// The columns of [`full_region_table`] after those of [`region_table`].
const MORE: [&str; 13] = [
    "surface_area_um2",
    "surface_sphericity",
    "solidity",
    "axis_major_z",
    "axis_major_y",
    "axis_major_x",
    "axis_major_polar_degrees",
    "axis_major_azimuth_degrees",
    "touching_objects",
    "touching_area_um2",
    "nearest_label",
    "nearest_distance_um",
    "local_density_per_um3",
];

/// The last columns if an image was measured.
const QUANTILES: [&str; 3] = ["intensity_q25", "intensity_median", "intensity_q75"];

/// Densities are counted in a ball of so many mean diameters.
const DENSITY_RADIUS: f64 = 3.0;

/// Everything that is known of each object of a label volume (z, y, x), one row each: [`region_table`] and surface,
/// convexity, the longest axis, contacts, the nearest other object, the density around it, and quantiles of the image.
///
/// The longest axis is given as a unit vector, its angle to the z axis (0 to 180 degrees), and the angle of its projection
/// on a plane from the x axis towards the y axis. Density counts the other centroids within three mean equivalent diameters.
///
/// # Errors
/// Those of [`regions`].
pub fn full_region_table(
    ids: ArrayView3<u32>,
    image: Option<ArrayView3<f32>>,
    spacing: Spacing,
) -> Result<Table, Error> {
    let regions = regions(ids, image, spacing)?;
    let mut table = region_table(&regions);
    table.header.extend(MORE);
    let mut touching: FxHashMap<u32, (u64, f64)> = FxHashMap::default();
    for contact in contacts(ids, spacing) {
        for id in contact.ids {
            let (objects, area) = touching.entry(id).or_default();
            (*objects, *area) = (*objects + 1, *area + contact.area);
        }
    }
    let mean_diameter =
        regions.iter().map(|region| region.equivalent_diameter).sum::<f64>() / regions.len().max(1) as f64;
    let densities = match regions.is_empty() {
        true => Vec::new(),
        false => local_densities(&regions, DENSITY_RADIUS * mean_diameter)?,
    };
    let nearest = nearest_neighbours(&regions, 1);
    let (areas, solidities) = (surface_areas(ids, spacing), solidities(ids));
    for (number, (row, region)) in table.rows.iter_mut().zip(&regions).enumerate() {
        let [z, y, x] = region.axes[0];
        let (objects, area) = touching.get(&region.id).copied().unwrap_or_default();
        row.extend([
            Cell::Number(areas[number].1),
            Cell::Number(surface_sphericity(region.volume, areas[number].1)),
            solidities[number].1.into(),
            Cell::Number(z),
            Cell::Number(y),
            Cell::Number(x),
            Cell::Number(z.clamp(-1.0, 1.0).acos().to_degrees()),
            Cell::Number(y.atan2(x).to_degrees()),
            Cell::Count(objects),
            Cell::Number(area),
        ]);
        row.extend(match nearest[number].first() {
            Some(other) => [Cell::Count(u64::from(other.id)), Cell::Number(other.distance)],
            None => [Cell::Empty, Cell::Empty],
        });
        row.push(Cell::Number(densities[number]));
    }
    if let Some(image) = image {
        table.header.extend(QUANTILES);
        let quantiles = intensity_quantiles(ids, image, &[0.25, 0.5, 0.75])?;
        for (row, (_, values)) in table.rows.iter_mut().zip(quantiles) {
            row.extend(values.into_iter().map(Cell::Number));
        }
    }
    Ok(table)
}

fn shape_cells(region: &Region) -> Vec<Cell> {
    let mut row =
        vec![Cell::Count(u64::from(region.id)), Cell::Count(region.voxels), Cell::Number(region.volume)];
    row.extend(region.centroid.map(Cell::Number));
    row.extend(region.centroid_voxels.map(Cell::Number));
    for range in &region.bounding_box {
        row.extend([range.start, range.end].map(|index| Cell::Count(index as u64)));
    }
    row.extend(region.axis_lengths.map(Cell::Number));
    row.push(Cell::Number(region.equivalent_diameter));
    row.push(region.sphericity.into());
    row.push(Cell::Count(u64::from(region.touches_border)));
    row
}

fn intensity_cells(intensity: Option<&Intensity>) -> [Cell; 8] {
    let Some(values) = intensity else { return [const { Cell::Empty }; 8] };
    let [z, y, x] = match values.weighted_centroid {
        Some(place) => place.map(Cell::Number),
        None => [const { Cell::Empty }; 3],
    };
    [
        Cell::Number(values.mean),
        Cell::Number(f64::from(values.min)),
        Cell::Number(f64::from(values.max)),
        Cell::Number(values.std),
        Cell::Number(values.sum),
        z,
        y,
        x,
    ]
}

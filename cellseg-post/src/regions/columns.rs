//! The table of regions in physical units.

use super::{Cell, Intensity, Region, Table};

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

//! The original program's table of statistics.

use ndarray::ArrayView3;

use super::shape::cellseg3d_sphericity;
use super::{Cell, Table, regions};
use crate::{Error, Spacing};

const HEADER: [&str; 10] = [
    "Volume",
    "Centroid x",
    "Centroid y",
    "Centroid z",
    "Sphericity (axes)",
    "Image size",
    "Total image volume",
    "Total object volume (pixels)",
    "Filling ratio",
    "Number objects",
];

/// The statistics of a label volume (z, y, x) in CellSeg3D's columns and units.
///
/// Lengths and volumes count voxels, and "Centroid x" is that along the first axis, as in the original. The last five
/// columns describe the whole volume and are filled in the first row only.
///
/// # Errors
/// Those of [`regions`].
pub fn cellseg3d_table(ids: ArrayView3<u32>) -> Result<Table, Error> {
    let regions = regions(ids, None, Spacing::VOXELS)?;
    let (nz, ny, nx) = ids.dim();
    let object_voxels: u64 = regions.iter().map(|region| region.voxels).sum();
    let mut whole = Some([
        Cell::Text(format!("({nz}, {ny}, {nx})")),
        Cell::Count(ids.len() as u64),
        Cell::Count(object_voxels),
        Cell::Number(object_voxels as f64 / ids.len() as f64),
        Cell::Count(regions.len() as u64),
    ]);
    let rows = regions
        .iter()
        .map(|region| {
            let [major, _, minor] = region.axis_lengths;
            let mut row = vec![Cell::Count(region.voxels)];
            row.extend(region.centroid_voxels.map(Cell::Number));
            row.push(cellseg3d_sphericity(major, minor).into());
            row.extend(whole.take().unwrap_or([const { Cell::Empty }; 5]));
            row
        })
        .collect();
    Ok(Table { header: HEADER.to_vec(), rows })
}

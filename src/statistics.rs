//! Measurements of cells, and the tables that they are written as.

use crate::{Result, segmenter::post_spacing};
use cellseg_io::{self as io, Overwrite, Volume, write_csv};
use cellseg_post::{Cell, Region, Table, cellseg3d_table, regions};
use std::path::Path;

/// Measures each cell of `labels`, 0 being background: size, place and shape, in micrometres where the labels know their
/// spacing and in voxels where they do not, and the intensities of `image` where one is given.
///
/// # Errors
/// An image of another shape, or with values that are not finite.
pub fn measure(labels: &Volume<u32>, image: Option<&Volume<f32>>) -> Result<Vec<Region>> {
    let image = image.map(|image| image.data.view());
    Ok(regions(labels.data.view(), image, post_spacing(labels)?)?)
}

/// The table that CellSeg3D writes: its columns in its order, in voxels.
///
/// # Errors
/// An empty volume.
pub fn measure_like_cellseg3d(labels: &Volume<u32>) -> Result<Table> {
    Ok(cellseg3d_table(labels.data.view())?)
}

/// Writes a table as CSV.
///
/// # Errors
/// A file that cannot be written, or exists and is not to be replaced.
pub fn write_table(path: impl AsRef<Path>, table: &Table, overwrite: Overwrite) -> Result<()> {
    let rows = table.rows.iter().map(|row| row.iter().map(io_cell));
    Ok(write_csv(path, &table.header, rows, overwrite)?)
}

/// The two crates know nothing of each other.
fn io_cell(cell: &Cell) -> io::Cell<'_> {
    match cell {
        Cell::Text(text) => io::Cell::Text(text.into()),
        Cell::Count(n) => io::Cell::Integer(*n),
        Cell::Number(x) => io::Cell::Real(*x),
        Cell::Empty => io::Cell::Empty,
    }
}

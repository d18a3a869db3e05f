//! Measurements of cells, and the tables that they are written as.

use crate::{Result, segmenter::post_spacing};
use cellseg_io::{self as io, Overwrite, Volume};
use cellseg_post::{
    Cell, Region, Table, atlas_table, cellseg3d_table, count_in_atlas, full_region_table, regions,
};
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

/// The table of everything that is known of each cell: [`measure`], and surface, convexity, the longest axis, contacts, the
/// nearest other cell, the density around it, and quantiles of the image.
///
/// # Errors
/// Those of [`measure`].
pub fn measure_all(labels: &Volume<u32>, image: Option<&Volume<f32>>) -> Result<Table> {
    let image = image.map(|image| image.data.view());
    Ok(full_region_table(labels.data.view(), image, post_spacing(labels)?)?)
}

/// The table of how many cells lie in each region of an atlas, labels of the same grid; a row for each region.
///
/// # Errors
/// An atlas that does not cover all cells.
pub fn count_by_region(labels: &Volume<u32>, atlas: &Volume<u32>) -> Result<Table> {
    let cells = measure(labels, None)?;
    Ok(atlas_table(&count_in_atlas(&cells, atlas.data.view(), post_spacing(labels)?)?))
}

/// The table that CellSeg3D writes: its columns in its order, in voxels.
///
/// # Errors
/// An empty volume.
pub fn measure_like_cellseg3d(labels: &Volume<u32>) -> Result<Table> {
    Ok(cellseg3d_table(labels.data.view())?)
}

/// Writes a table as Parquet where the file's name ends in `.parquet`, else as CSV.
///
/// # Errors
/// Parquet, where the feature `parquet` is off; a file that cannot be written, or exists and is not to be replaced.
pub fn write_table(path: impl AsRef<Path>, table: &Table, overwrite: Overwrite) -> Result<()> {
    let rows = table.rows.iter().map(|row| row.iter().map(io_cell));
    Ok(io::write_table(path, &table.header, rows, overwrite)?)
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

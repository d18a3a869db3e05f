//! Filling holes.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use crate::components::Bodies;
use crate::grid::{Grid, raster};
use crate::memory::zeros;
use crate::{Connectivity, Error};

/// Voxels that are copied at once.
const PART: usize = 1 << 16;

/// Fills the holes of a mask (z, y, x): background from which the border of the volume cannot be reached by steps over
/// faces.
///
/// As `scipy.ndimage.binary_fill_holes` with its default structure. The background is looked at by its runs, so the work
/// does not depend on how deep a hole is.
///
/// # Errors
/// [`Error::TooManyLabels`] if the background has more runs of voxels than 32 bits can number.
pub fn fill_holes(mask: ArrayView3<bool>) -> Result<Array3<bool>, Error> {
    let grid = Grid::of(&mask);
    let inside = raster(&mask);
    let outside = Bodies::of_outside(grid, &inside, Connectivity::Six)?;
    let open = outside.touching_border();
    let mut filled = zeros(grid);
    let voxels = filled.as_slice_mut().expect("zeros are made in raster order");
    // Writing touches new memory, which takes as long as half the search for holes: it is worth a thread's while.
    voxels.par_chunks_mut(PART).zip(inside.par_chunks(PART)).for_each(|(to, from)| to.copy_from_slice(from));
    outside.paint_into(voxels, |number| (!open[number as usize]).then_some(true));
    Ok(filled)
}

//! The median filter.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use crate::Error;
use crate::grid::{Grid, all_finite, raster};
use crate::memory::zeros;

/// The largest number of voxels in a window.
const MOST: usize = 1 << 16;

/// The median of the box of `radius` (z, y, x) voxels around each voxel; it removes specks and keeps edges.
///
/// As `scipy.ndimage.median_filter` of size `2 radius + 1`: the volume is mirrored at its borders.
///
/// # Errors
/// [`Error::NonFinite`]; [`Error::Argument`] if the box has more than 65,536 voxels.
pub fn median(image: ArrayView3<f32>, radius: [usize; 3]) -> Result<Array3<f32>, Error> {
    let size = radius.iter().try_fold(1usize, |size, radius| size.checked_mul(radius.checked_mul(2)? + 1));
    let Some(size) = size.filter(|size| *size <= MOST) else {
        return Err(Error::Argument {
            name: "the radius (z, y, x) of the median's box in voxels",
            given: format!("{radius:?}"),
            expected: "a box of at most 65536 voxels",
        });
    };
    let grid = Grid::of(&image);
    let voxels = raster(&image);
    all_finite(grid, &voxels)?;
    let mut medians = zeros(grid);
    if grid.len() == 0 {
        return Ok(medians);
    }
    let around = |index: usize, radius: usize, len: usize| {
        (0..=2 * radius).map(move |step| {
            let at = (index as isize + step as isize - radius as isize).rem_euclid(2 * len as isize) as usize;
            if at < len { at } else { 2 * len - 1 - at }
        })
    };
    let rows = medians.as_slice_mut().expect("zeros are made in raster order");
    rows.par_chunks_exact_mut(grid.nx).enumerate().for_each_init(
        || Vec::with_capacity(size),
        |window, (row, medians)| {
            let lines: Vec<&[f32]> = around(row / grid.ny, radius[0], grid.nz)
                .flat_map(|z| around(row % grid.ny, radius[1], grid.ny).map(move |y| z * grid.ny + y))
                .map(|row| grid.row(&voxels, row))
                .collect();
            for (x, median) in medians.iter_mut().enumerate() {
                window.clear();
                for x in around(x, radius[2], grid.nx) {
                    window.extend(lines.iter().map(|line| line[x]));
                }
                let (_, middle, _) = window.select_nth_unstable_by(size / 2, f32::total_cmp);
                *median = *middle;
            }
        },
    );
    Ok(medians)
}

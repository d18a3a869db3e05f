//! Distances inside the objects of a label volume.

use std::ops::Range;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use super::edt::distance_transform;
use crate::Spacing;
use crate::disjoint::Disjoint;
use crate::grid::{Grid, raster};
use crate::memory::zeros;
use crate::regions::bounding_boxes;
use crate::runs::cut_mask;

/// For each voxel of an object the distance in micrometres to the nearest voxel that is not of the same object; 0 in the
/// background.
///
/// Objects that touch count as outside each other, as `edt.edt` does with labels. The outside of the volume counts for
/// nothing; where one object is the whole volume, the distance is infinite. Each object is transformed in its own box,
/// which holds all voxels that can be nearest.
pub fn distance_transform_of_ids(ids: ArrayView3<u32>, spacing: Spacing) -> Array3<f32> {
    let grid = Grid::of(&ids);
    let mut distances = zeros(grid);
    let to = Disjoint::new(distances.as_slice_mut().expect("zeros are made in raster order"));
    let voxels = raster(&ids);
    bounding_boxes(ids).into_par_iter().for_each(|(id, ranges)| {
        let [z, y, x] = with_rim(ranges, grid);
        let rows: Vec<usize> = z.clone().flat_map(|z| y.clone().map(move |y| z * grid.ny + y)).collect();
        let mut inside = Array3::from_elem((z.len(), y.len(), x.len()), false);
        for (inside, row) in lines(&mut inside).zip(&rows) {
            let others = &grid.row(&voxels, *row)[x.clone()];
            inside.iter_mut().zip(others).for_each(|(inside, other)| *inside = *other == id);
        }
        let mut found = distance_transform(inside.view(), spacing);
        let mut runs = Vec::new();
        for ((inside, found), row) in lines(&mut inside).zip(lines(&mut found)).zip(&rows) {
            runs.clear();
            cut_mask(inside, &mut runs);
            let first = row * grid.nx + x.start;
            for &(start, end) in &runs {
                let (start, end) = (start as usize, end as usize);
                // SAFETY: only this object has these voxels, and only one thread works on it.
                let to = unsafe { to.slice(first + start..first + end) };
                to.copy_from_slice(&found[start..end]);
            }
        }
    });
    distances
}

/// The rows of a new array.
fn lines<T>(volume: &mut Array3<T>) -> impl Iterator<Item = &mut [T]> {
    volume.rows_mut().into_iter().filter_map(|row| row.into_slice())
}

/// A box and the voxels around it, as far as the volume goes.
fn with_rim(ranges: [Range<usize>; 3], grid: Grid) -> [Range<usize>; 3] {
    let [z, y, x] = ranges;
    let widen = |range: Range<usize>, len: usize| range.start.saturating_sub(1)..(range.end + 1).min(len);
    [widen(z, grid.nz), widen(y, grid.ny), widen(x, grid.nx)]
}

//! Distances inside the objects of a label volume.

use std::ops::Range;

use ndarray::{Array3, ArrayView3, Zip, s};
use rayon::prelude::*;

use super::edt::distance_transform;
use crate::Spacing;
use crate::grid::Grid;
use crate::memory::zeros;
use crate::regions::bounding_boxes;

/// Voxels in the boxes of the objects that are held at once.
const AT_ONCE: usize = 1 << 22;

/// For each voxel of an object the distance in micrometres to the nearest voxel that is not of the same object; 0 in the
/// background.
///
/// Objects that touch count as outside each other, as `edt.edt` does with labels. The outside of the volume counts for
/// nothing; where one object is the whole volume, the distance is infinite. Each object is transformed in its own box,
/// which holds all voxels that can be nearest.
pub fn distance_transform_of_ids(ids: ArrayView3<u32>, spacing: Spacing) -> Array3<f32> {
    let grid = Grid::of(&ids);
    let mut distances = zeros(grid);
    let objects: Vec<(u32, [Range<usize>; 3])> =
        bounding_boxes(ids).into_iter().map(|(id, range)| (id, with_rim(range, grid))).collect();
    let mut rest = &objects[..];
    while !rest.is_empty() {
        let mut voxels = 0;
        let fitting = rest.iter().take_while(|(_, range)| {
            voxels += range.iter().map(Range::len).product::<usize>();
            voxels <= AT_ONCE
        });
        let (batch, after) = rest.split_at(fitting.count().max(1));
        rest = after;
        let found: Vec<Array3<f32>> = batch
            .par_iter()
            .map(|(id, [z, y, x])| {
                let inside = ids.slice(s![z.clone(), y.clone(), x.clone()]).mapv(|other| other == *id);
                distance_transform(inside.view(), spacing)
            })
            .collect();
        for ((id, [z, y, x]), found) in batch.iter().zip(found) {
            let place = s![z.clone(), y.clone(), x.clone()];
            Zip::from(distances.slice_mut(place)).and(ids.slice(place)).and(&found).for_each(
                |distance, other, &found| {
                    if other == id {
                        *distance = found;
                    }
                },
            );
        }
    }
    distances
}

/// A box and the voxels around it, as far as the volume goes.
fn with_rim(ranges: [Range<usize>; 3], grid: Grid) -> [Range<usize>; 3] {
    let [z, y, x] = ranges;
    let widen = |range: Range<usize>, len: usize| range.start.saturating_sub(1)..(range.end + 1).min(len);
    [widen(z, grid.nz), widen(y, grid.ny), widen(x, grid.nx)]
}

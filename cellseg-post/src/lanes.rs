//! Lines along a strided axis, many at a time.
//!
//! A line along y or z touches a new cache line at every voxel. Here 64 neighbouring lines are gathered into a small
//! block in which each step along the line is one contiguous row of 64 values: the step's loop runs over the row and
//! becomes vector instructions, and memory is read and written in whole cache lines.

use ndarray::{Array3, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// How many lines are treated together.
pub(crate) const LANES: usize = 64;

/// An axis whose lines are strided in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StridedAxis {
    Z,
    Y,
}

/// Where a block of lines lies in the volume.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockPosition {
    /// The lines' common other coordinate: y for lines along z, z for lines along y.
    pub(crate) plane: usize,
    /// The x of the first line.
    pub(crate) first_x: usize,
}

/// Calls `change` on every block of lines along `axis`, in parallel.
///
/// A block holds the lines' values as rows of [`LANES`]; lanes that the volume does not fill repeat the last line.
pub(crate) fn for_each_block<T, S>(
    volume: &mut Array3<T>,
    axis: StridedAxis,
    scratch: impl Fn() -> S + Sync + Send,
    change: impl Fn(&mut S, &mut [T], BlockPosition) + Sync + Send,
) where
    T: Copy + Default + Send + Sync,
{
    let (across, length) = match axis {
        StridedAxis::Z => (Axis(1), volume.dim().0),
        StridedAxis::Y => (Axis(0), volume.dim().1),
    };
    let planes: Vec<ArrayViewMut2<T>> = volume.axis_iter_mut(across).collect();
    planes.into_par_iter().enumerate().for_each_init(
        || (scratch(), vec![T::default(); length * LANES]),
        |(scratch, block), (number, mut plane)| {
            for first_x in (0..plane.ncols()).step_by(LANES) {
                let width = LANES.min(plane.ncols() - first_x);
                let mut lines = plane.slice_mut(s![.., first_x..first_x + width]);
                for (row, line) in block.chunks_exact_mut(LANES).zip(lines.rows()) {
                    let (filled, rest) = row.split_at_mut(width);
                    filled.iter_mut().zip(line).for_each(|(to, from)| *to = *from);
                    rest.fill(filled[width - 1]);
                }
                change(scratch, block, BlockPosition { plane: number, first_x });
                for (row, mut line) in block.chunks_exact(LANES).zip(lines.rows_mut()) {
                    line.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
                }
            }
        },
    );
}

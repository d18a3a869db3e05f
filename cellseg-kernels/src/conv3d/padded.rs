//! Rows with zeros at both ends, in place of a look at the volume's sides.
//!
//! Tiles near the end of a row read one tap after another, each of them a voxel or zeros. Where a tap has few numbers, as
//! under the first layer of a network, that takes longer than the products: there a copy of the input with wider rows is
//! cheap, and every tile reads all taps of a row at once.

use super::{
    direct::Problem,
    geometry::{Axis, Direction},
};
use crate::scratch::Scratch;
use cellseg_core::{Real, Result};
use rayon::prelude::*;

/// The most input channels for which rows are copied, which takes memory.
const MOST_CHANNELS: usize = 16;

/// Voxels that outputs of the axis read before its first input and after its last one.
fn margins(axis: &Axis, direction: Direction) -> [usize; 2] {
    let inputs = axis.inputs(direction) as isize;
    axis.phases(direction)
        .iter()
        .filter(|p| p.count > 0 && !p.taps.is_empty())
        .fold([0, 0], |[before, after], p| {
            let end = p.start + ((p.count - 1) * p.stride + p.taps.len()) as isize;
            [before.max(-p.start), after.max(end - inputs)]
        })
        .map(|n: isize| n.unsigned_abs())
}

/// The same problem over rows that hold all that is read, and a copy of `x` with such rows, where that pays.
pub(super) fn padded<T: Real>(problem: &Problem, x: &[T]) -> Result<Option<(Problem, Scratch<T>)>> {
    let [d, h, w] = problem.axes;
    let channels = problem.input_channels;
    let [before, after] = margins(&w, problem.direction);
    let row = w.inputs(problem.direction);
    // Margins much wider than the row itself would cost more than they save.
    if channels > MOST_CHANNELS || channels == 0 || before + after == 0 || before + after > row + w.kernel {
        return Ok(None);
    }
    let wide = row + before + after;
    let w = match problem.direction {
        Direction::ToCoarse => Axis { fine: wide, padding: w.padding - before, ..w },
        Direction::ToFine => Axis { coarse: wide, padding: w.padding + before * w.stride, ..w },
    };
    let rows = x.len() / (row * channels);
    let mut copy = Scratch::unspecified(rows * wide * channels)?;
    copy.par_chunks_mut(wide * channels).zip(x.par_chunks(row * channels)).with_min_len(64).for_each(
        |(to, x)| {
            let (zeros, to) = to.split_at_mut(before * channels);
            zeros.fill(T::zero());
            let (to, zeros) = to.split_at_mut(row * channels);
            to.copy_from_slice(x);
            zeros.fill(T::zero());
        },
    );
    Ok(Some((Problem { axes: [d, h, w], ..*problem }, copy)))
}

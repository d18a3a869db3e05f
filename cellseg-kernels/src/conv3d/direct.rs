//! The direct convolution, in either direction.
//!
//! Output rows are computed one after another with the register tile of [`super::tile`], or of [`super::narrow`] where there
//! are few output channels. A task is a block of output channels of a few neighbouring rows, so that the rows of inputs
//! that they share stay in the second-level cache, and so do the weights. Every output is summed in a fixed order: the
//! result depends neither on the number of threads nor on the tasks.

use super::{
    geometry::{Axis, Direction, Phase},
    narrow,
    packed::{Block, Packed},
    padded::padded,
    per_tap,
    row::{Outputs, RowTask},
    tile,
};
use crate::{
    pointwise::Activation,
    simd::{Isa, Lanes, Routine},
};
use cellseg_core::{Real, Result};
use rayon::prelude::*;
use std::ops::Range;

pub(crate) use super::packed::Weights;

/// A batch of volumes and how they are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) batch: usize,
    /// Depth, height, width.
    pub(crate) axes: [Axis; 3],
    pub(crate) direction: Direction,
    pub(crate) input_channels: usize,
    pub(crate) output_channels: usize,
}

/// Added to the sums on their way to memory.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a, T> {
    pub(crate) bias: Option<&'a [T]>,
    pub(crate) activation: Activation,
}

impl Problem {
    fn outputs(&self) -> [usize; 3] {
        self.axes.map(|a| a.outputs(self.direction))
    }

    fn inputs(&self) -> [usize; 3] {
        self.axes.map(|a| a.inputs(self.direction))
    }

    /// The same problem as rows of `width` voxels, where each output reads the one voxel at its own place.
    fn flat(&self, width: usize) -> Option<[Problem; 2]> {
        let plain = |a: &Axis| a.kernel == 1 && a.stride == 1 && a.padding == 0;
        if !self.axes.iter().all(plain) {
            return None;
        }
        let voxels = self.batch * self.outputs().iter().product::<usize>();
        let axis = |n| Axis { fine: n, coarse: n, kernel: 1, stride: 1, padding: 0 };
        let rows = |h, w| Problem { batch: 1, axes: [axis(1), axis(h), axis(w)], ..*self };
        Some([rows(voxels / width, width), rows(1, voxels % width)])
    }
}

/// `out = sum over links of x * weights`, plus bias, through the activation.
///
/// `x` is `[n, d, h, w, input channels]`, `out` `[n, d, h, w, output channels]`, each with the extents that the problem's
/// direction says.
///
/// # Errors
/// Memory for what is kept while it runs: packed weights, and copies of small inputs.
pub(crate) fn sum<T: Real>(
    isa: Isa,
    problem: &Problem,
    x: &[T],
    weights: Weights<'_, T>,
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) -> Result<()> {
    if per_tap::pays(problem, isa.lanes::<T>()) {
        return per_tap::sum(isa, problem, x, weights, epilogue, out);
    }
    let copy = padded(problem, x)?;
    let (problem, x) = copy.as_ref().map_or((problem, x), |(problem, x)| (problem, x));
    let packed = Packed::new(isa, problem, weights, epilogue.bias)?;
    let activation = epilogue.activation;
    match problem.flat(FLAT_WIDTH) {
        Some([rows, rest]) => {
            let n = rows.axes[1].coarse * FLAT_WIDTH;
            let (x, x_rest) = x.split_at(n * problem.input_channels);
            let (out, out_rest) = out.split_at_mut(n * problem.output_channels);
            run(isa, &rows, &packed, activation, x, out);
            run(isa, &rest, &packed, activation, x_rest, out_rest);
        }
        None => run(isa, problem, &packed, activation, x, out),
    }
    Ok(())
}

/// Voxels of a row where the volume's own rows do not matter.
const FLAT_WIDTH: usize = 768;

/// Bytes of weights that are used for all rows of a task before the next are: half of a small second-level cache.
const RESIDENT: usize = 1 << 19;

/// The voxels of a task: few enough for its inputs to stay in the cache, and enough to make little of reading the weights.
const VOXELS: std::ops::RangeInclusive<usize> = 128..=512;

fn run<T: Real>(
    isa: Isa,
    problem: &Problem,
    packed: &Packed<T>,
    activation: Activation,
    x: &[T],
    out: &mut [T],
) {
    if out.is_empty() {
        return;
    }
    let [d, h, w] = problem.axes;
    let phases = w.phases(problem.direction);
    let width = w.outputs(problem.direction);
    let rows = out.len() / (width * problem.output_channels);
    // Weights that do not stay in the cache are read anew by every task: fewer tasks then, and those of one block after
    // another. With 64 tasks of single rows for all 512 channels at 8^3 this ran at 32 % of the peak, with these at 93 %.
    let blocks = packed.blocks.len();
    let heavy = packed.blocks.iter().any(|b| size_of_val(packed.weights(b)) > RESIDENT);
    let tasks = if heavy { 16 } else { 64 };
    // Rows whose inputs stay in the cache until the last block of channels has read them.
    let row = w.inputs(problem.direction) * problem.input_channels * size_of::<T>();
    let held = (RESIDENT / (d.kernel * row).max(1)).saturating_sub(h.kernel) + 1;
    let held = held.clamp(VOXELS.start().div_ceil(width), (VOXELS.end() / width).max(1));
    let per_task = (rows * blocks / tasks).clamp(1, if heavy { (VOXELS.end() / width).max(1) } else { held });
    let out = Outputs::new(out);
    let chunks = rows.div_ceil(per_task);
    (0..blocks * chunks).into_par_iter().for_each(|i| {
        let (block, chunk) = if heavy { (i / chunks, i % chunks) } else { (i % blocks, i / blocks) };
        let first = chunk * per_task;
        let (block, rows) = (&packed.blocks[block], first..(first + per_task).min(rows));
        isa.run(Rows { problem, packed, phases: &phases, activation, x, block, rows, out });
    });
}

/// The same for few rows, by this thread alone, without an activation.
pub(super) fn run_here<T: Real>(isa: Isa, problem: &Problem, packed: &Packed<T>, x: &[T], out: &mut [T]) {
    let [_, _, w] = problem.axes;
    let phases = w.phases(problem.direction);
    let rows = out.len() / (w.outputs(problem.direction) * problem.output_channels).max(1);
    let out = Outputs::new(out);
    for block in &packed.blocks {
        let activation = Activation::None;
        isa.run(Rows { problem, packed, phases: &phases, activation, x, block, rows: 0..rows, out });
    }
}

/// Neighbouring rows of outputs, of one block of channels. No two tasks have both in common.
struct Rows<'a, T> {
    problem: &'a Problem,
    packed: &'a Packed<T>,
    phases: &'a [Phase],
    activation: Activation,
    x: &'a [T],
    block: &'a Block<T>,
    rows: Range<usize>,
    out: Outputs<'a, T>,
}

impl<'a, T: Real> Rows<'a, T> {
    /// The rows of inputs that a row of outputs reads through the taps `taps` of depth and height, each with its offset
    /// among weights of which a tap has `weights`.
    fn sources(&self, row: usize, taps: Range<usize>, weights: usize, found: &mut Vec<(&'a [T], usize)>) {
        let Problem { axes: [d, h, _], direction, input_channels, .. } = *self.problem;
        let [outputs_d, outputs_h, _] = self.problem.outputs();
        let [inputs_d, inputs_h, inputs_w] = self.problem.inputs();
        let (plane, y) = (row / outputs_h, row % outputs_h);
        let (n, z) = (plane / outputs_d, plane % outputs_d);
        let length = inputs_w * input_channels;
        found.clear();
        for kd in taps.start / h.kernel..taps.end.div_ceil(h.kernel) {
            let Some(z) = d.source(direction, z, kd) else { continue };
            let first = kd * h.kernel;
            for tap in taps.start.max(first)..taps.end.min(first + h.kernel) {
                let Some(y) = h.source(direction, y, tap - first) else { continue };
                let at = ((n * inputs_d + z) * inputs_h + y) * length;
                found.push((&self.x[at..at + length], tap * weights));
            }
        }
    }
}

impl<T: Real> Routine<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) {
        let Problem { axes: [d, h, w], direction, input_channels, output_channels, .. } = *self.problem;
        let Block { channel, width, ref bias, .. } = *self.block;
        let weights = self.packed.weights(self.block);
        let row_length = w.outputs(direction) * output_channels;
        let taps = d.kernel * h.kernel;
        let per_channel = self.packed.row_taps * input_channels;
        let per_tap = per_channel * width;
        let group = (RESIDENT / (per_tap * size_of::<T>()).max(1)).clamp(1, taps);
        let mut sources = Vec::with_capacity(taps);
        for group_start in (0..taps).step_by(group) {
            let group = group_start..(group_start + group).min(taps);
            for i in self.rows.clone() {
                self.sources(i, group.clone(), per_tap, &mut sources);
                // SAFETY: no other task has both this row and this block of channels.
                let out = unsafe { self.out.row(i, row_length) };
                let mut done = 0;
                for phase in self.phases {
                    let before = done * input_channels * if self.packed.narrow { 1 } else { width };
                    let task = RowTask {
                        sources: &sources,
                        inputs: w.inputs(direction),
                        input_channels,
                        output_channels,
                        channel,
                        phase,
                        weights: &weights[before.min(weights.len())..],
                        weights_stride: per_channel,
                        bias,
                        zeros: &self.packed.zeros,
                        fetch: channel == 0 && phase.stride == phase.taps.len(),
                        starts: group.start == 0,
                        relu: group.end == taps && self.activation == Activation::Relu,
                    };
                    if self.packed.narrow {
                        narrow::row::<L>(&task, width, out);
                    } else {
                        tile::row::<L>(&task, width / L::N, out);
                    }
                    done += phase.taps.len();
                }
            }
        }
        if matches!(self.activation, Activation::None | Activation::Relu) {
            return; // Nothing to do, or done in registers.
        }
        let channels = width.min(output_channels - channel);
        for i in self.rows {
            // SAFETY: as above.
            let out = unsafe { self.out.row(i, row_length) };
            for voxel in 0..w.outputs(direction) {
                // SAFETY: channels of this block, of a voxel of the row.
                self.activation
                    .apply_all(unsafe { out.channels(voxel * output_channels + channel, channels) });
            }
        }
    }
}

//! The direct convolution, in either direction.
//!
//! Output rows are computed one after another with the register tile of [`super::tile`]; a task is a few neighbouring
//! rows, so that the rows of inputs that they share stay in the second-level cache, and so do the weights. Every output
//! is summed by one tile in a fixed order: the result depends neither on the number of threads nor on the tasks.

use super::{
    geometry::{Axis, Direction, Phase},
    tile::{self, RowTask},
};
use crate::{
    pointwise::Activation,
    simd::{Isa, Lanes, Routine},
};
use cellseg_core::Real;
use rayon::prelude::*;

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

/// A kernel `[kd, kh, kw, a, b]`: `a` are the input channels and `b` the output channels, or the other way round where
/// `transposed`.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) transposed: bool,
}

/// Added to the sums on their way to memory.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a, T> {
    pub(crate) bias: Option<&'a [T]>,
    pub(crate) activation: Activation,
}

/// Output channels that are computed together.
struct Block {
    channel: usize,
    vectors: usize,
    /// Where its packed weights start.
    start: usize,
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
pub(crate) fn sum<T: Real>(
    isa: Isa,
    problem: &Problem,
    x: &[T],
    weights: Weights<'_, T>,
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) {
    let packed = Packed::new(isa, problem, weights, epilogue.bias);
    match problem.flat(FLAT_WIDTH) {
        Some([rows, rest]) => {
            let n = rows.axes[1].coarse * FLAT_WIDTH;
            let (x, x_rest) = x.split_at(n * problem.input_channels);
            let (out, out_rest) = out.split_at_mut(n * problem.output_channels);
            packed.run(isa, &rows, x, epilogue.activation, out);
            packed.run(isa, &rest, x_rest, epilogue.activation, out_rest);
        }
        None => packed.run(isa, problem, x, epilogue.activation, out),
    }
}

/// Voxels of a row where the volume's own rows do not matter.
const FLAT_WIDTH: usize = 768;

/// Bytes of weights that are used for all rows of a task before the next are: half of a small second-level cache.
const RESIDENT: usize = 1 << 19;

/// Weights in the order in which the tiles read them, and the bias padded to whole vectors.
///
/// Each block of channels is `[kd * kh][taps of a row, phase by phase][input channel][vectors * N]`.
struct Packed<T> {
    data: Vec<T>,
    bias: Vec<T>,
    zeros: Vec<T>,
    blocks: Vec<Block>,
    lanes: usize,
    /// Taps of a row that any output reads: all of them, but for rows shorter than the stride.
    row_taps: usize,
}

impl<T: Real> Packed<T> {
    fn new(isa: Isa, problem: &Problem, weights: Weights<'_, T>, bias: Option<&[T]>) -> Self {
        let lanes = isa.lanes::<T>();
        let most = tile::most_vectors(isa.registers(), size_of::<T>());
        let (inputs, outputs) = (problem.input_channels, problem.output_channels);
        let phases = problem.axes[2].phases(problem.direction);
        let order: Vec<usize> = phases.into_iter().flat_map(|p| p.taps).collect();
        let [kd, kh, kw] = problem.axes.map(|a| a.kernel);
        let vectors = outputs.div_ceil(lanes);
        let count = vectors.div_ceil(most).max(1);
        let per_vector = kd * kh * order.len() * inputs * lanes;
        let mut first = 0;
        let blocks: Vec<_> = (0..count)
            .map(|i| {
                let n = vectors / count + usize::from(i < vectors % count);
                let block = Block { channel: first * lanes, vectors: n, start: first * per_vector };
                first += n;
                block
            })
            .collect();
        let mut data = vec![T::zero(); vectors * per_vector];
        let mut rest = data.as_mut_slice();
        for block in &blocks {
            let width = block.vectors * lanes;
            let (mine, others) = rest.split_at_mut(block.vectors * per_vector);
            rest = others;
            let channels = block.channel..(block.channel + width).min(outputs);
            // One chunk per (tap, input channel).
            mine.par_chunks_mut((width * inputs).max(1)).enumerate().for_each(|(t, chunk)| {
                let tap = (t / order.len()) * kw + order[t % order.len()];
                for (i, to) in chunk.chunks_exact_mut(width).enumerate() {
                    for (to, o) in to.iter_mut().zip(channels.clone()) {
                        let at = if weights.transposed { o * inputs + i } else { i * outputs + o };
                        *to = weights.data[tap * inputs * outputs + at];
                    }
                }
            });
        }
        let mut padded = vec![T::zero(); vectors * lanes];
        if let Some(bias) = bias {
            padded[..outputs].copy_from_slice(bias);
        }
        Packed { data, bias: padded, zeros: vec![T::zero(); inputs], blocks, lanes, row_taps: order.len() }
    }

    fn run(&self, isa: Isa, problem: &Problem, x: &[T], activation: Activation, out: &mut [T]) {
        if out.is_empty() {
            return;
        }
        let [_, h, w] = problem.outputs();
        let phases = problem.axes[2].phases(problem.direction);
        let row = w * problem.output_channels;
        let rows = out.len() / row;
        let per_task = (rows / 64).clamp(1, (512 / w).clamp(1, h));
        out.par_chunks_mut(per_task * row).enumerate().for_each(|(i, out)| {
            isa.run(Rows { packed: self, problem, phases: &phases, x, activation, first: i * per_task, out });
        });
    }
}

/// Some neighbouring rows of outputs.
struct Rows<'a, T> {
    packed: &'a Packed<T>,
    problem: &'a Problem,
    phases: &'a [Phase],
    x: &'a [T],
    activation: Activation,
    first: usize,
    out: &'a mut [T],
}

impl<'a, T: Real> Rows<'a, T> {
    /// The rows of inputs that a row of outputs reads through the taps `taps` of depth and height, and the taps.
    fn sources(&self, row: usize, taps: std::ops::Range<usize>, found: &mut Vec<(&'a [T], usize)>) {
        let Problem { axes: [d, h, _], direction, input_channels, .. } = *self.problem;
        let [_, outputs_h, _] = self.problem.outputs();
        let [inputs_d, inputs_h, inputs_w] = self.problem.inputs();
        let (plane, y) = (row / outputs_h, row % outputs_h);
        let (n, z) = (plane / self.problem.outputs()[0], plane % self.problem.outputs()[0]);
        let length = inputs_w * input_channels;
        found.clear();
        found.extend(taps.filter_map(|tap| {
            let z = d.source(direction, z, tap / h.kernel)?;
            let y = h.source(direction, y, tap % h.kernel)?;
            let at = ((n * inputs_d + z) * inputs_h + y) * length;
            Some((&self.x[at..at + length], tap))
        }));
    }
}

impl<T: Real> Routine<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(mut self) {
        let Problem { axes: [d, h, w], direction, input_channels, output_channels, .. } = *self.problem;
        let out = std::mem::take(&mut self.out);
        let row_length = w.outputs(direction) * output_channels;
        let taps = d.kernel * h.kernel;
        let mut sources = Vec::with_capacity(taps);
        for block in &self.packed.blocks {
            let width = block.vectors * self.packed.lanes;
            let per_tap = self.packed.row_taps * input_channels * width;
            let weights = &self.packed.data[block.start..][..taps * per_tap];
            let group = (RESIDENT / (per_tap * size_of::<T>()).max(1)).clamp(1, taps);
            for group_start in (0..taps).step_by(group) {
                let group = group_start..(group_start + group).min(taps);
                let (starts, ends) = (group.start == 0, group.end == taps);
                for (i, out) in out.chunks_exact_mut(row_length).enumerate() {
                    self.sources(self.first + i, group.clone(), &mut sources);
                    for source in &mut sources {
                        source.1 *= per_tap;
                    }
                    let mut done = 0;
                    for phase in self.phases {
                        let task = RowTask {
                            sources: &sources,
                            inputs: w.inputs(direction),
                            input_channels,
                            output_channels,
                            channel: block.channel,
                            phase,
                            weights: &weights[(done * input_channels * width).min(weights.len())..],
                            bias: &self.packed.bias[block.channel..],
                            zeros: &self.packed.zeros,
                            starts,
                            relu: ends && self.activation == Activation::Relu,
                        };
                        tile::row::<L>(&task, block.vectors, out);
                        done += phase.taps.len();
                    }
                }
            }
        }
        if self.activation != Activation::Relu {
            // While the rows are in cache. ReLU was done in registers.
            self.activation.apply_all(out);
        }
    }
}

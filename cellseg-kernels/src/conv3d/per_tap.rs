//! Sums into few output channels under a kernel of many taps.
//!
//! One output channel would leave all but one lane of a vector empty, and every input would be read once for each tap. Here
//! every voxel of the input is first multiplied with the weights of all taps at once, a product of matrices whose columns
//! are the taps: `p[i][k] = sum over a of x[i, a] * w[k, a]`. An output is the sum of one such product per tap. Sums over
//! the taps of a row are taken while the products are in the cache; those are kept for all voxels, and the rows that an
//! output sees are added in a second pass.
//!
//! For the data gradient of 1 -> 64 channels at 64^3 this reads the gradient from memory once instead of some four times.

use super::{
    direct::{self, Epilogue, Problem, Weights},
    geometry::{Axis, Direction, Phase},
    packed::Packed,
};
use crate::{
    scratch::Scratch,
    simd::{Isa, Lanes, Routine},
};
use cellseg_core::{Real, Result};
use rayon::prelude::*;

/// Voxels whose products are held at a time: 16 KiB under a 3x3x3 kernel, which the first-level cache keeps until they are
/// added up.
const VOXELS: usize = 128;

/// Voxels of a task.
const TASK: usize = 1024;

/// Whether this takes less time than sums into one output after another, with vectors of so many lanes, and no more memory
/// than the input.
pub(super) fn pays(problem: &Problem, lanes: usize) -> bool {
    let Problem { axes: [d, h, w], input_channels, output_channels, .. } = *problem;
    let taps = d.kernel * h.kernel * w.kernel;
    problem.axes.iter().all(|a| a.stride == 1)
        && d.kernel * h.kernel * output_channels <= input_channels
        && 2 * (output_channels * taps).div_ceil(lanes) <= output_channels.div_ceil(lanes) * taps
}

/// How the products of a voxel lie.
struct Layout {
    /// The only phase of a row.
    phase: Phase,
    /// Voxels of a row of inputs and of outputs.
    inputs: usize,
    outputs: usize,
    /// Numbers of one tap of the row: `[taps of depth and height][output channel]`.
    group: usize,
    /// Numbers of all taps of the row, in the order of the phase, padded to whole vectors.
    columns: usize,
}

/// What `direct::sum` computes, for problems that [`pays`] names.
pub(super) fn sum<T: Real>(
    isa: Isa,
    problem: &Problem,
    x: &[T],
    weights: Weights<'_, T>,
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) -> Result<()> {
    let Problem { axes: [d, h, w], direction, input_channels, output_channels, .. } = *problem;
    let Some(phase) = w.phases(direction).into_iter().next().filter(|_| !out.is_empty()) else {
        return Ok(());
    };
    let group = d.kernel * h.kernel * output_channels;
    let columns = (group * w.kernel).next_multiple_of(isa.lanes::<T>());
    let layout = Layout { phase, inputs: w.inputs(direction), outputs: w.outputs(direction), group, columns };

    let mut matrix = Scratch::new(input_channels * columns)?;
    for (i, to) in matrix.chunks_exact_mut(columns).enumerate() {
        for (tap, to) in layout.phase.taps.iter().zip(to.chunks_exact_mut(group)) {
            for (j, to) in to.iter_mut().enumerate() {
                let (plane, o) = (j / output_channels, j % output_channels);
                let tap = &weights.data[(plane * w.kernel + tap) * input_channels * output_channels..];
                *to = tap[if weights.transposed { o * input_channels + i } else { i * output_channels + o }];
            }
        }
    }
    let rows = x.len() / (layout.inputs * input_channels);
    let chunk = (VOXELS / layout.inputs).max(1);
    let axis = |n| Axis { fine: n, coarse: n, kernel: 1, stride: 1, padding: 0 };
    let products = |voxels| Problem {
        batch: 1,
        axes: [axis(1), axis(1), axis(voxels)],
        direction: Direction::ToCoarse,
        input_channels,
        output_channels: columns,
    };
    let packed = Packed::new(
        isa,
        &products(chunk * layout.inputs),
        Weights { data: &matrix, transposed: false },
        None,
    )?;
    let mut sums = Scratch::unspecified(rows * layout.outputs * group)?;
    let chunks = TASK.div_ceil(chunk * layout.inputs);
    let [x_chunk, sums_chunk] = [layout.inputs * input_channels, layout.outputs * group].map(|n| n * chunk);
    sums.par_chunks_mut(chunks * sums_chunk).zip(x.par_chunks(chunks * x_chunk)).try_for_each(
        |(sums, x)| {
            let mut held = Scratch::unspecified(chunk * layout.inputs * columns)?;
            for (sums, x) in sums.chunks_mut(sums_chunk).zip(x.chunks(x_chunk)) {
                let voxels = x.len() / input_channels;
                let held = &mut held[..voxels * columns];
                direct::run_here(isa, &products(voxels), &packed, x, held);
                isa.run(RowSums { layout: &layout, products: held, sums });
            }
            Ok(())
        },
    )?;

    let [outputs_d, outputs_h, _] = problem.axes.map(|a| a.outputs(direction));
    let [inputs_d, inputs_h, _] = problem.axes.map(|a| a.inputs(direction));
    out.par_chunks_mut(layout.outputs * output_channels).enumerate().for_each(|(row, out)| {
        let (plane, y) = (row / outputs_h, row % outputs_h);
        let (n, z) = (plane / outputs_d, plane % outputs_d);
        match epilogue.bias {
            Some(bias) => out.chunks_exact_mut(output_channels).for_each(|out| out.copy_from_slice(bias)),
            None => out.fill(T::zero()),
        }
        let length = (layout.outputs - 1) * group + output_channels;
        let mut sources = Vec::with_capacity(d.kernel * h.kernel);
        for kd in 0..d.kernel {
            let Some(z) = d.source(direction, z, kd) else { continue };
            for kh in 0..h.kernel {
                let Some(y) = h.source(direction, y, kh) else { continue };
                let row = (n * inputs_d + z) * inputs_h + y;
                let first = (kd * h.kernel + kh) * output_channels;
                sources.push(&sums[row * layout.outputs * group + first..][..length]);
            }
        }
        for (x, out) in out.chunks_exact_mut(output_channels).enumerate() {
            for (o, out) in out.iter_mut().enumerate() {
                *out = sources.iter().fold(*out, |sum, source| sum + source[x * group + o]);
            }
        }
        epilogue.activation.apply_all(out);
    });
    Ok(())
}

/// The sums over the taps of some rows.
struct RowSums<'a, T> {
    layout: &'a Layout,
    /// `[row][voxel of the input][columns]`.
    products: &'a [T],
    /// `[row][voxel of the output][group]`.
    sums: &'a mut [T],
}

impl<T: Real> Routine<T> for RowSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) {
        let &Layout { ref phase, inputs, outputs, group, columns } = self.layout;
        let rows =
            self.sums.chunks_exact_mut(outputs * group).zip(self.products.chunks_exact(inputs * columns));
        for (sums, products) in rows {
            for x in 0..outputs {
                let first = phase.start + x as isize;
                let last = (inputs as isize - first).clamp(0, phase.taps.len() as isize) as usize;
                for v in (0..group).step_by(L::N) {
                    let mut sum = L::splat(T::zero());
                    for t in ((-first).max(0) as usize)..last {
                        let at = (first + t as isize) as usize * columns + t * group + v;
                        sum = sum + L::from_slice(&products[at..]);
                    }
                    // Lanes past the group are overwritten by the sums that follow.
                    sum.write(&mut sums[x * group + v..]);
                }
            }
        }
    }
}

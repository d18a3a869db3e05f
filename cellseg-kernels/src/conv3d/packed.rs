//! Weights in the order in which the tiles read them.

use super::{direct::Problem, tile};
use crate::{scratch::Scratch, simd::Isa};
use cellseg_core::{Real, Result};
use rayon::prelude::*;

/// A kernel `[kd, kh, kw, a, b]`: `a` are the input channels and `b` the output channels, or the other way round where
/// `transposed`.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) transposed: bool,
}

/// Packed weights, and the bias padded to whole vectors.
pub(super) struct Packed<T> {
    pub(super) blocks: Vec<Block<T>>,
    /// Those of all blocks.
    weights: Scratch<T>,
    /// As many as there are input channels.
    pub(super) zeros: Vec<T>,
    /// Taps of a row that any output reads: all of them, but for rows shorter than the stride.
    pub(super) row_taps: usize,
    /// Whether vectors lie along the input channels: see [`super::narrow`].
    pub(super) narrow: bool,
}

/// Output channels that are computed together.
pub(super) struct Block<T> {
    pub(super) channel: usize,
    /// Channels, padded to whole vectors unless they are narrow.
    pub(super) width: usize,
    /// The place of its weights, `[kd * kh][taps of a row, phase by phase][input channel][width]`, or
    /// `[kd * kh][width][taps of a row, phase by phase][input channel]` where they are narrow.
    place: std::ops::Range<usize>,
    pub(super) bias: Vec<T>,
}

impl<T: Real> Packed<T> {
    pub(super) fn new(
        isa: Isa,
        problem: &Problem,
        weights: Weights<'_, T>,
        bias: Option<&[T]>,
    ) -> Result<Self> {
        let (lanes, outputs) = (isa.lanes::<T>(), problem.output_channels);
        // With a quarter of the lanes or fewer at work, vectors along the input channels are faster.
        let narrow = outputs * 4 <= lanes;
        let (unit, most) = if narrow {
            (1, super::narrow::MOST)
        } else {
            (lanes, tile::most_vectors(isa.registers(), size_of::<T>()))
        };
        let phases = problem.axes[2].phases(problem.direction);
        let order: Vec<usize> = phases.into_iter().flat_map(|p| p.taps).collect();
        let units = outputs.div_ceil(unit);
        let count = units.div_ceil(most);
        let [kd, kh, _] = problem.axes.map(|a| a.kernel);
        let per_channel = kd * kh * order.len() * problem.input_channels;
        let mut packed = Scratch::unspecified(per_channel * units * unit)?;
        let blocks = (0..count).map(|i| {
            let (channel, end) = (units * i / count * unit, units * (i + 1) / count * unit);
            let width = end - channel;
            let channels = channel..end.min(outputs);
            let mut padded = vec![T::zero(); width];
            if let Some(bias) = bias {
                padded[..channels.len()].copy_from_slice(&bias[channels.clone()]);
            }
            let source = Source { problem, weights, order: &order, channels };
            let place = channel * per_channel..end * per_channel;
            let to = &mut packed[place.clone()];
            if narrow {
                source.narrow(to)
            } else {
                source.wide(width, to)
            };
            Block { channel, width, place, bias: padded }
        });
        let blocks = blocks.collect();
        let zeros = vec![T::zero(); problem.input_channels];
        Ok(Packed { blocks, weights: packed, zeros, row_taps: order.len(), narrow })
    }

    /// The weights of a block, in the order that [`Block`] tells.
    pub(super) fn weights(&self, block: &Block<T>) -> &[T] {
        &self.weights[block.place.clone()]
    }
}

/// Input channels that are copied at a time where the weights are transposed: a cache line of single precision.
const LINE: usize = 16;

/// The weights of some output channels.
struct Source<'a, T> {
    problem: &'a Problem,
    weights: Weights<'a, T>,
    /// The taps of a row, in the order of the phases.
    order: &'a [usize],
    channels: std::ops::Range<usize>,
}

impl<T: Real> Source<'_, T> {
    /// The matrix of the `i`-th tap, counted in the order in which they are packed.
    fn tap(&self, i: usize) -> &[T] {
        let [_, _, kw] = self.problem.axes.map(|a| a.kernel);
        let size = self.problem.input_channels * self.problem.output_channels;
        let tap = i / self.order.len() * kw + self.order[i % self.order.len()];
        &self.weights.data[tap * size..][..size]
    }

    fn wide(&self, width: usize, packed: &mut [T]) {
        let Problem { input_channels: inputs, output_channels: outputs, .. } = *self.problem;
        packed.par_chunks_mut((inputs * width).max(1)).enumerate().for_each(|(t, packed)| {
            let tap = self.tap(t);
            let channels = self.channels.len();
            if self.weights.transposed {
                // Whole lines of the source at a time: column by column, each number would take a line anew.
                let from = &tap[self.channels.start * inputs..][..channels * inputs];
                for (i, packed) in packed.chunks_mut(LINE * width).enumerate() {
                    for (o, from) in from.chunks_exact(inputs).enumerate() {
                        let to = packed[o..].iter_mut().step_by(width);
                        to.zip(&from[i * LINE..]).for_each(|(to, x)| *to = *x);
                    }
                }
            } else {
                for (to, from) in packed.chunks_exact_mut(width).zip(tap.chunks_exact(outputs)) {
                    to[..channels].copy_from_slice(&from[self.channels.clone()]);
                }
            }
            if channels < width {
                packed.chunks_exact_mut(width).for_each(|to| to[channels..].fill(T::zero()));
            }
        });
    }

    fn narrow(&self, packed: &mut [T]) {
        let Problem { input_channels: inputs, output_channels: outputs, .. } = *self.problem;
        let mut packed = packed.iter_mut();
        for row in 0..packed.len() / (self.order.len() * inputs * self.channels.len()).max(1) {
            for o in self.channels.clone() {
                for t in 0..self.order.len() {
                    let tap = self.tap(row * self.order.len() + t);
                    let at = |i| if self.weights.transposed { o * inputs + i } else { i * outputs + o };
                    (0..inputs).zip(packed.by_ref()).for_each(|(i, to)| *to = tap[at(i)]);
                }
            }
        }
    }
}

//! Weights in the order in which the tiles read them.

use super::{direct::Problem, tile};
use crate::simd::Isa;
use cellseg_core::Real;
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
    /// `[kd * kh][taps of a row, phase by phase][input channel][width]`, or
    /// `[kd * kh][width][taps of a row, phase by phase][input channel]` where they are narrow.
    pub(super) weights: Vec<T>,
    pub(super) bias: Vec<T>,
}

impl<T: Real> Packed<T> {
    pub(super) fn new(isa: Isa, problem: &Problem, weights: Weights<'_, T>, bias: Option<&[T]>) -> Self {
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
        let blocks = (0..count).map(|i| {
            let (channel, end) = (units * i / count * unit, units * (i + 1) / count * unit);
            let width = end - channel;
            let channels = channel..end.min(outputs);
            let mut padded = vec![T::zero(); width];
            if let Some(bias) = bias {
                padded[..channels.len()].copy_from_slice(&bias[channels.clone()]);
            }
            let source = Source { problem, weights, order: &order, channels };
            let weights = if narrow { source.narrow() } else { source.wide(width) };
            Block { channel, width, weights, bias: padded }
        });
        let zeros = vec![T::zero(); problem.input_channels];
        Packed { blocks: blocks.collect(), zeros, row_taps: order.len(), narrow }
    }
}

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

    /// How many taps are packed.
    fn taps(&self) -> usize {
        let [kd, kh, _] = self.problem.axes.map(|a| a.kernel);
        kd * kh * self.order.len()
    }

    fn wide(&self, width: usize) -> Vec<T> {
        let Problem { input_channels: inputs, output_channels: outputs, .. } = *self.problem;
        let mut packed = vec![T::zero(); self.taps() * inputs * width];
        packed.par_chunks_mut((inputs * width).max(1)).enumerate().for_each(|(t, packed)| {
            let tap = self.tap(t);
            for (i, to) in packed.chunks_exact_mut(width).enumerate() {
                let to = &mut to[..self.channels.len()];
                if self.weights.transposed {
                    let from = tap[self.channels.start * inputs + i..].iter().step_by(inputs);
                    to.iter_mut().zip(from).for_each(|(to, x)| *to = *x);
                } else {
                    to.copy_from_slice(&tap[i * outputs..][self.channels.clone()]);
                }
            }
        });
        packed
    }

    fn narrow(&self) -> Vec<T> {
        let Problem { input_channels: inputs, output_channels: outputs, .. } = *self.problem;
        let mut packed = Vec::with_capacity(self.taps() * inputs * self.channels.len());
        for row in 0..self.taps() / self.order.len().max(1) {
            for o in self.channels.clone() {
                for t in 0..self.order.len() {
                    let tap = self.tap(row * self.order.len() + t);
                    let at = |i| if self.weights.transposed { o * inputs + i } else { i * outputs + o };
                    packed.extend((0..inputs).map(|i| tap[at(i)]));
                }
            }
        }
        packed
    }
}

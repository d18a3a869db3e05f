//! The register tile for few output channels, which would leave most lanes of a vector of them empty.
//!
//! Here vectors lie along what an output reads: the numbers of all taps of a row and all input channels are one run, and
//! an output is the dot product of that run with the weights of its channel. The lanes are added up at the end.

use super::row::{OutputRow, RowTask};
use crate::simd::{LINE, Lanes, prefetch};
use std::array::from_fn;

/// The most channels of a tile.
pub(super) const MOST: usize = 2;

/// How many tiles ahead inputs are asked for.
const AHEAD: usize = 6;

/// Computes the outputs of `task.phase` in the row `out`, for `channels` channels: at least one and at most [`MOST`].
///
/// Each channel's weights for a source are `task.weights_stride` numbers after those of the channel before.
#[inline(always)]
pub(super) fn row<L: Lanes>(task: &RowTask<'_, L::Elem>, channels: usize, out: OutputRow<'_, L::Elem>) {
    match channels {
        1 => tiles::<L, 1>(task, out),
        _ => tiles::<L, MOST>(task, out),
    }
}

#[inline(always)]
fn tiles<L: Lanes, const NC: usize>(task: &RowTask<'_, L::Elem>, out: OutputRow<'_, L::Elem>) {
    task.check(out, NC);
    let length = task.phase.taps.len() * task.input_channels;
    for (_, offset) in task.sources {
        assert!(task.weights.len() >= offset + (NC - 1) * task.weights_stride + length);
    }
    let mut at = 0;
    while at < task.phase.count {
        // SAFETY: the tile's outputs are at most those that are left; the rest was asserted above.
        at += unsafe {
            if task.phase.count - at >= 6 {
                tile::<L, 6, NC>(task, at, out)
            } else {
                tile::<L, 1, NC>(task, at, out)
            }
        };
    }
}

/// The outputs `at..at + MR` of the phase; returns `MR`.
///
/// # Safety
/// What [`tiles`] asserts, and `at + MR <= task.phase.count`.
#[inline(always)]
unsafe fn tile<L: Lanes, const MR: usize, const NC: usize>(
    task: &RowTask<'_, L::Elem>,
    at: usize,
    out: OutputRow<'_, L::Elem>,
) -> usize {
    let zero = L::splat(num_traits::Zero::zero());
    let mut sums = [[zero; NC]; MR];
    let runs = task.runs(at, MR);
    for &(x, offset) in task.sources {
        for run in 0..runs.count {
            let inputs: [_; MR] = task.run_inputs(x, &runs, run);
            if task.fetch && runs.inside {
                // A tile takes less time than memory: what is asked for is read some tiles later.
                let (length, line) = (MR * runs.length, LINE / size_of::<L::Elem>());
                (AHEAD * length..(AHEAD + 1) * length)
                    .step_by(line)
                    .for_each(|i| prefetch(inputs[0].wrapping_add(i)));
            }
            let mut j = 0;
            while j < runs.length {
                let lanes = (runs.length - j).min(L::N);
                // SAFETY: numbers `j..j + lanes` of the run, of which there are `length` of each input and of each
                // channel's weights.
                unsafe {
                    let load =
                        |p: *const L::Elem| if lanes == L::N { L::load(p) } else { L::load_first(p, lanes) };
                    let weights = task.weights.as_ptr().add(offset + run * runs.length + j);
                    let w: [L; NC] = from_fn(
                        #[inline(always)]
                        |c| load(weights.add(c * task.weights_stride)),
                    );
                    for p in 0..MR {
                        let x = load(inputs[p].add(j));
                        for c in 0..NC {
                            sums[p][c] = x.mul_add(w[c], sums[p][c]);
                        }
                    }
                }
                j += lanes;
            }
        }
    }
    for (p, sums) in sums.into_iter().enumerate() {
        for (c, sum) in sums.into_iter().enumerate() {
            // SAFETY: channel `c` of an output of the row.
            unsafe {
                let to = out.output(task, at + p).add(c);
                let start = if task.starts { task.bias[c] } else { *to };
                let sum = start + sum.sum();
                *to =
                    if task.relu && sum <= num_traits::Zero::zero() { num_traits::Zero::zero() } else { sum };
            }
        }
    }
    MR
}

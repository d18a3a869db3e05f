//! The register tile: the one place where convolutions multiply.
//!
//! A tile is `MR` neighbouring outputs of a row by `NV` vectors of output channels, all in registers. Each input number
//! is broadcast and multiplied with `NV` vectors of packed weights; because channels lie innermost, the numbers that an
//! output reads for all taps of a row and all channels are one contiguous run, so the inner loop is that of a matrix
//! product whose left operand is read in place: no im2col.

use super::geometry::Phase;
use crate::simd::Lanes;

/// What the tiles of one row of outputs have in common.
pub(super) struct RowTask<'a, T> {
    /// The rows of inputs that the row reads, each with the offset of its weights in `weights`.
    pub(super) sources: &'a [(&'a [T], usize)],
    /// Voxels of each row of inputs.
    pub(super) inputs: usize,
    pub(super) input_channels: usize,
    pub(super) output_channels: usize,
    /// The first of the tile's output channels.
    pub(super) channel: usize,
    pub(super) phase: &'a Phase,
    /// Packed weights of this block of output channels and phase: `[tap of the row][input channel][NV * N]` at the
    /// offset of each source.
    pub(super) weights: &'a [T],
    /// One per lane of the tile.
    pub(super) bias: &'a [T],
    /// At least `input_channels` zeros, read in place of voxels outside the volume.
    pub(super) zeros: &'a [T],
    /// Whether the sums start at the bias; else they go on from what the outputs hold.
    pub(super) starts: bool,
    /// Whether negative sums become zero.
    pub(super) relu: bool,
}

/// Computes the outputs of `task.phase` in the row `out`, for `NV` vectors of channels.
#[inline(always)]
fn tiles<L: Lanes, const MR: usize, const NV: usize>(task: &RowTask<'_, L::Elem>, out: &mut [L::Elem]) {
    let Phase { first, step, count, ref taps, .. } = *task.phase;
    if count == 0 {
        return;
    }
    // Everything that `tile` relies on.
    let width = NV * L::N;
    assert!(out.len() >= (first + (count - 1) * step + 1) * task.output_channels);
    assert!(task.channel < task.output_channels && task.bias.len() >= width);
    assert!(task.output_channels - task.channel > (NV - 1) * L::N);
    assert!(task.zeros.len() >= task.input_channels);
    for (x, offset) in task.sources {
        assert!(x.len() >= task.inputs * task.input_channels);
        assert!(task.weights.len() >= offset + taps.len() * task.input_channels * width);
    }
    let mut at = 0;
    while at < count {
        let left = count - at;
        // Sixes and a rest of two are slower than fours.
        let fours = left % 4 == 0 && left > MR && left - MR < 4;
        // SAFETY: the tile's outputs are at most those that are left; the rest was asserted above.
        at += unsafe {
            if left >= MR && !fours {
                tile::<L, MR, NV>(task, at, out)
            } else if left >= 4 {
                tile::<L, 4, NV>(task, at, out)
            } else {
                tile::<L, 1, NV>(task, at, out)
            }
        };
    }
}

/// The most vectors of output channels in a tile, on a machine with this many registers, of numbers of this size.
pub(super) const fn most_vectors(registers: usize, size: usize) -> usize {
    match (size, registers) {
        (8, _) => 1,
        (_, 32..) => 4,
        _ => 2,
    }
}

/// Computes the outputs of `task.phase` in the row `out`, for `vectors` vectors of channels: at least one and at most
/// [`most_vectors`].
///
/// Tiles have as many outputs as leave registers for the weights and one input. Double precision is for checking: it
/// has one small tile, which saves the compiler a good deal of work.
#[inline(always)]
pub(super) fn row<L: Lanes>(task: &RowTask<'_, L::Elem>, vectors: usize, out: &mut [L::Elem]) {
    match const { most_vectors(L::REGISTERS, size_of::<L::Elem>()) } {
        1 => tiles::<L, 4, 1>(task, out),
        2 => match vectors {
            1 => tiles::<L, 12, 1>(task, out),
            _ => tiles::<L, 6, 2>(task, out),
        },
        _ => match vectors {
            1 => tiles::<L, 16, 1>(task, out),
            2 => tiles::<L, 12, 2>(task, out),
            3 => tiles::<L, 8, 3>(task, out),
            _ => tiles::<L, 6, 4>(task, out),
        },
    }
}

/// The outputs `at..at + MR` of the phase; returns `MR`.
///
/// # Safety
/// What [`tiles`] asserts, and `at + MR <= task.phase.count`.
#[inline(always)]
unsafe fn tile<L: Lanes, const MR: usize, const NV: usize>(
    task: &RowTask<'_, L::Elem>,
    at: usize,
    out: &mut [L::Elem],
) -> usize {
    let channels = task.input_channels;
    let Phase { first, step, start, stride, ref taps, .. } = *task.phase;
    // Lanes of the last vector that are channels of the output.
    let tail = (task.output_channels - task.channel - (NV - 1) * L::N).min(L::N);
    let begin = (first + at * step) * task.output_channels + task.channel;
    let output = |p: usize, v: usize| begin + p * step * task.output_channels + v * L::N;
    // SAFETY: the voxel `first + (at + p) * step` lies in `out`, and vectors before the last are full of channels.
    let held = |p: usize, v: usize, out: &[L::Elem]| unsafe {
        let at = out.as_ptr().add(output(p, v));
        if v + 1 < NV || tail == L::N { L::load(at) } else { L::load_first(at, tail) }
    };
    let mut sums = [[L::splat(num_traits::Zero::zero()); NV]; MR];
    for (p, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the bias holds `NV * N` numbers.
            *sum = if task.starts {
                unsafe { L::load(task.bias.as_ptr().add(v * L::N)) }
            } else {
                held(p, v, out)
            };
        }
    }

    let from = start + (at * stride) as isize;
    let last = from + ((MR - 1) * stride + taps.len()) as isize;
    // Away from the volume's sides all taps of the row are one run; near them each tap is a run of its own.
    let inside = from >= 0 && last <= task.inputs as isize;
    let (runs, length) = if inside { (1, taps.len() * channels) } else { (taps.len(), channels) };
    for &(x, offset) in task.sources {
        for run in 0..runs {
            let mut inputs = [task.zeros.as_ptr(); MR];
            for (p, input) in inputs.iter_mut().enumerate() {
                let voxel = from + (p * stride + run) as isize;
                if inside || (0..task.inputs as isize).contains(&voxel) {
                    // SAFETY: a voxel of the row `x`; if `inside`, so are all that the taps reach from here.
                    *input = unsafe { x.as_ptr().add(voxel as usize * channels) };
                }
            }
            // SAFETY: `length` numbers can be read from each input (all zeros, one voxel, or all taps inside the row);
            // the weights of the run follow those of the runs before it.
            unsafe {
                let weights = task.weights.as_ptr().add(offset + run * channels * NV * L::N);
                multiply::<L, MR, NV>(&mut sums, &inputs, weights, length);
            }
        }
    }

    for (p, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let sum = if task.relu { L::splat(num_traits::Zero::zero()).max(sum) } else { sum };
            // SAFETY: as for `held`.
            unsafe {
                let at = out.as_mut_ptr().add(output(p, v));
                if v + 1 < NV || tail == L::N { sum.store(at) } else { sum.store_first(at, tail) }
            }
        }
    }
    MR
}

/// `sums[p] += sum over j of inputs[p][j] * weights[j]`.
///
/// # Safety
/// `length` numbers can be read from each input, and `length * NV * N` from `weights`.
#[inline(always)]
unsafe fn multiply<L: Lanes, const MR: usize, const NV: usize>(
    sums: &mut [[L; NV]; MR],
    inputs: &[*const L::Elem; MR],
    weights: *const L::Elem,
    length: usize,
) {
    for j in 0..length {
        // SAFETY: `j < length`.
        let w: [L; NV] = std::array::from_fn(|v| unsafe { L::load(weights.add((j * NV + v) * L::N)) });
        for (sums, input) in sums.iter_mut().zip(inputs) {
            // SAFETY: `j < length`.
            let x = L::splat(unsafe { *input.add(j) });
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum = x.mul_add(w, *sum);
            }
        }
    }
}

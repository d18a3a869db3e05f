//! The register tile: the one place where convolutions multiply.
//!
//! A tile is `MR` neighbouring outputs of a row by `NV` vectors of output channels, all in registers. Each input number
//! is broadcast and multiplied with `NV` vectors of packed weights; because channels lie innermost, the numbers that an
//! output reads for all taps of a row and all channels are one contiguous run, so the inner loop is that of a matrix
//! product whose left operand is read in place: no im2col.
//!
//! The sizes of the tiles, over operands in the first-level cache, as shares of the measured FMA peak: on a Zen 5 core with
//! AVX-512 6x4, 8x3 and 12x2 reach 99 to 103 %, 16x1 88 to 92 % (it loads as many inputs as it multiplies vectors); with
//! AVX2 6x2 reaches 100 %, 12x1 92 %, and 4x3, which does not fit the registers, 50 %.
//!
//! Arrays of a tile are made with `from_fn` and indexed by plain loops: the compiler unrolls these, and keeps the arrays
//! in registers. Iterators over the same arrays left 12x2 in memory, at 37 % instead of 91 %.

use super::row::{OutputRow, RowTask};
use crate::simd::{LINE, Lanes, prefetch};
use std::array::from_fn;

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
pub(super) fn row<L: Lanes>(task: &RowTask<'_, L::Elem>, vectors: usize, out: OutputRow<'_, L::Elem>) {
    match const { most_vectors(L::REGISTERS, size_of::<L::Elem>()) } {
        1 => tiles::<L, 4, 1, false>(task, out),
        2 => match vectors {
            1 => tiles::<L, 12, 1, false>(task, out),
            _ => tiles::<L, 6, 2, false>(task, out),
        },
        _ => match vectors {
            1 if task.phase.stride == 1 && task.phase.taps.len() == 3 => tiles::<L, 16, 1, true>(task, out),
            1 => tiles::<L, 16, 1, false>(task, out),
            2 => tiles::<L, 12, 2, false>(task, out),
            3 => tiles::<L, 8, 3, false>(task, out),
            _ => tiles::<L, 6, 4, false>(task, out),
        },
    }
}

#[inline(always)]
fn tiles<L: Lanes, const MR: usize, const NV: usize, const SLIDE: bool>(
    task: &RowTask<'_, L::Elem>,
    out: OutputRow<'_, L::Elem>,
) {
    let (count, width) = (task.phase.count, NV * L::N);
    // Everything that `tile` relies on. At least one channel of the last vector exists.
    task.check(out, (NV - 1) * L::N + 1);
    assert!(task.bias.len() >= width);
    let length = task.phase.taps.len() * task.input_channels;
    assert!(task.sources.iter().all(|(_, offset)| task.weights.len() >= offset + length * width));
    let mut at = 0;
    while at < count {
        let left = count - at;
        // Sixes and a rest of two are slower than fours.
        let fours = left % 4 == 0 && left > MR && left - MR < 4;
        // SAFETY: the tile's outputs are at most those that are left; the rest was asserted above.
        at += unsafe {
            if left >= MR && !fours {
                tile::<L, MR, NV, SLIDE>(task, at, out)
            } else if left >= 4 {
                tile::<L, 4, NV, SLIDE>(task, at, out)
            } else {
                tile::<L, 1, NV, SLIDE>(task, at, out)
            }
        };
    }
}

/// The outputs `at..at + MR` of the phase; returns `MR`.
///
/// # Safety
/// What [`tiles`] asserts, and `at + MR <= task.phase.count`.
#[inline(always)]
unsafe fn tile<L: Lanes, const MR: usize, const NV: usize, const SLIDE: bool>(
    task: &RowTask<'_, L::Elem>,
    at: usize,
    out: OutputRow<'_, L::Elem>,
) -> usize {
    let mut sums = if task.starts {
        // SAFETY: the bias holds `NV * N` numbers.
        let bias: [L; NV] = from_fn(
            #[inline(always)]
            |v| unsafe { L::load(task.bias.as_ptr().add(v * L::N)) },
        );
        [bias; MR]
    } else {
        // SAFETY: the caller's promise.
        unsafe { held(task, at, out) }
    };
    // SAFETY: the caller's promise.
    unsafe {
        if SLIDE {
            slide::<L, MR, NV>(task, at, &mut sums);
        } else {
            sweep::<L, MR, NV>(task, at, &mut sums);
        }
    }
    let floor =
        L::splat(if task.relu { num_traits::Zero::zero() } else { num_traits::Float::neg_infinity() });
    let tail = tail::<L>(task, NV);
    let (first, step) = (out.output(task, at), task.phase.step * task.output_channels);
    for (p, sums) in sums.iter().enumerate() {
        let to = first.wrapping_add(p * step);
        for (v, &sum) in sums.iter().enumerate() {
            // SAFETY: the output `at + p` is in the row, and vectors before the last are full of its channels.
            unsafe {
                let (to, sum) = (to.wrapping_add(v * L::N), floor.max(sum));
                if v + 1 < NV || tail == L::N { sum.store(to) } else { sum.store_first(to, tail) }
            }
        }
    }
    MR
}

/// Lanes of the last of `vectors` vectors that are channels of the output.
#[inline(always)]
fn tail<L: Lanes>(task: &RowTask<'_, L::Elem>, vectors: usize) -> usize {
    (task.output_channels - task.channel - (vectors - 1) * L::N).min(L::N)
}

/// What a tile's outputs hold. An array of its own, which may lie in memory without the tile's sums doing so.
///
/// # Safety
/// That of [`tile`].
#[inline(always)]
unsafe fn held<L: Lanes, const MR: usize, const NV: usize>(
    task: &RowTask<'_, L::Elem>,
    at: usize,
    out: OutputRow<'_, L::Elem>,
) -> [[L; NV]; MR] {
    let tail = tail::<L>(task, NV);
    let mut held = [[L::splat(num_traits::Zero::zero()); NV]; MR];
    for (p, held) in held.iter_mut().enumerate() {
        for (v, held) in held.iter_mut().enumerate() {
            // SAFETY: as where they are written.
            *held = unsafe {
                let from = out.output(task, at + p).wrapping_add(v * L::N);
                if v + 1 < NV || tail == L::N { L::load(from) } else { L::load_first(from, tail) }
            };
        }
    }
    held
}

/// Adds the products of the outputs from `at` on with all sources, one run of taps and channels after another.
///
/// # Safety
/// What [`tiles`] asserts, and `at + MR <= task.phase.count`.
#[inline(always)]
unsafe fn sweep<L: Lanes, const MR: usize, const NV: usize>(
    task: &RowTask<'_, L::Elem>,
    at: usize,
    sums: &mut [[L; NV]; MR],
) {
    let runs = task.runs(at, MR);
    for &(x, offset) in task.sources {
        for run in 0..runs.count {
            let inputs: [_; MR] = task.run_inputs(x, &runs, run);
            if task.fetch && runs.inside {
                // What the next tile reads here follows.
                let (next, line) = (MR * runs.length, LINE / size_of::<L::Elem>());
                (next..2 * next).step_by(line).for_each(|i| prefetch(inputs[0].wrapping_add(i)));
            }
            // SAFETY: each input is a voxel of the row or zeros, and `length` numbers can be read from it: one voxel, or
            // all taps inside the row. The weights of the run follow those of the runs before it.
            unsafe {
                let weights = task.weights.as_ptr().add(offset + run * runs.length * NV * L::N);
                multiply::<L, MR, NV>(sums, &inputs, weights, runs.length);
            }
        }
    }
}

/// The same where three taps slide over neighbouring voxels with stride 1: each input is broadcast once for all its taps.
/// That pays where there is one vector of channels, so that [`sweep`] would load as many inputs as it multiplies vectors:
/// 72 instead of 65 % of the peak for the data gradient of 16 channels at 64^3.
///
/// # Safety
/// What [`tiles`] asserts, and three taps with stride 1.
#[inline(always)]
unsafe fn slide<L: Lanes, const MR: usize, const NV: usize>(
    task: &RowTask<'_, L::Elem>,
    at: usize,
    sums: &mut [[L; NV]; MR],
) {
    const TAPS: usize = 3;
    /// For the largest `MR`.
    const MOST: usize = 16 + TAPS - 1;
    let channels = task.input_channels;
    // As many voxels as the largest tile reads: near the row's end these are looked at one by one.
    let runs = task.runs(at, MOST);
    for &(x, offset) in task.sources {
        let inputs: [_; MOST] = from_fn(
            #[inline(always)]
            |i| task.input(x, &runs, 0, i),
        );
        for j in 0..channels {
            // SAFETY: `j < channels`, of which there are as many weights for each tap, and as many inputs or zeros.
            unsafe {
                let weights = task.weights.as_ptr().add(offset);
                let w: [[L; NV]; TAPS] = from_fn(
                    #[inline(always)]
                    |t| {
                        from_fn(
                            #[inline(always)]
                            |v| L::load(weights.add(((t * channels + j) * NV + v) * L::N)),
                        )
                    },
                );
                // The inputs that the first two taps see were loaded for the outputs before.
                let (mut first, mut second) = (L::splat(*inputs[0].add(j)), L::splat(*inputs[1].add(j)));
                for p in 0..MR {
                    let third = L::splat(*inputs[p + 2].add(j));
                    for v in 0..NV {
                        sums[p][v] = first.mul_add(w[0][v], sums[p][v]);
                        sums[p][v] = second.mul_add(w[1][v], sums[p][v]);
                        sums[p][v] = third.mul_add(w[2][v], sums[p][v]);
                    }
                    (first, second) = (second, third);
                }
            }
        }
    }
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
        let w: [L; NV] = from_fn(
            #[inline(always)]
            |v| unsafe { L::load(weights.add((j * NV + v) * L::N)) },
        );
        for p in 0..MR {
            // SAFETY: `j < length`.
            let x = L::splat(unsafe { *inputs[p].add(j) });
            for v in 0..NV {
                sums[p][v] = x.mul_add(w[v], sums[p][v]);
            }
        }
    }
}

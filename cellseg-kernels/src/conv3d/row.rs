//! A row of outputs, as the tiles see it.

use super::geometry::Phase;
use std::{array::from_fn, marker::PhantomData};

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
    /// The packed weights of the block and phase, see [`super::packed::Block`].
    pub(super) weights: &'a [T],
    /// Numbers between the weights of neighbouring output channels; of narrow blocks only.
    pub(super) weights_stride: usize,
    /// One per channel of the block.
    pub(super) bias: &'a [T],
    /// At least `input_channels` zeros, read in place of voxels outside the volume.
    pub(super) zeros: &'a [T],
    /// Whether inputs are asked for before the tile that reads them: where neighbouring outputs have none in common, no
    /// tile finds any in the cache that another has read. For the data gradient of a transposed convolution, 128 -> 64 at
    /// 32^3, that is 70 instead of 57 % of the peak.
    pub(super) fetch: bool,
    /// Whether the sums start at the bias; else they go on from what the outputs hold.
    pub(super) starts: bool,
    /// Whether negative sums become zero.
    pub(super) relu: bool,
}

/// What the outputs of a tile read of each source, as contiguous runs: all taps of the row at once away from the volume's
/// sides, and near them one tap after another.
pub(super) struct Runs {
    pub(super) count: usize,
    /// Numbers of a run.
    pub(super) length: usize,
    /// The voxel that the first output reads with its first tap.
    from: isize,
    /// Whether all taps of all outputs are voxels of the row.
    pub(super) inside: bool,
}

impl<'a, T> RowTask<'a, T> {
    /// Panics unless all that the tiles of `channels` output channels read and write is there, but for the weights.
    #[inline(always)]
    pub(super) fn check(&self, out: OutputRow<'_, T>, channels: usize) {
        let Phase { first, step, count, .. } = *self.phase;
        assert!(count == 0 || out.length >= (first + (count - 1) * step + 1) * self.output_channels);
        assert!(self.channel + channels <= self.output_channels && self.bias.len() >= channels);
        assert!(self.zeros.len() >= self.input_channels);
        assert!(self.sources.iter().all(|(x, _)| x.len() >= self.inputs * self.input_channels));
    }

    /// The runs of the outputs `at..at + outputs` of the phase.
    #[inline(always)]
    pub(super) fn runs(&self, at: usize, outputs: usize) -> Runs {
        let Phase { start, stride, ref taps, .. } = *self.phase;
        let from = start + (at * stride) as isize;
        let end = from + ((outputs - 1) * stride + taps.len()) as isize;
        let inside = from >= 0 && end <= self.inputs as isize;
        let (count, taps) = if inside { (1, taps.len()) } else { (taps.len(), 1) };
        Runs { count, length: taps * self.input_channels, from, inside }
    }

    /// Where the run `run` of the `p`-th output of a tile starts: in the row `x`, or at zeros.
    #[inline(always)]
    pub(super) fn input(&self, x: &'a [T], runs: &Runs, run: usize, p: usize) -> *const T {
        let voxel = runs.from + (p * self.phase.stride + run) as isize;
        if runs.inside || (0..self.inputs as isize).contains(&voxel) {
            x.as_ptr().wrapping_add(voxel as usize * self.input_channels)
        } else {
            self.zeros.as_ptr()
        }
    }

    /// [`RowTask::input`] of the first `MR` outputs of a tile.
    #[inline(always)]
    pub(super) fn run_inputs<const MR: usize>(&self, x: &'a [T], runs: &Runs, run: usize) -> [*const T; MR] {
        if runs.inside {
            // Without a look at each of them: where runs are short, that would take longer than the products.
            let first = x.as_ptr().wrapping_offset(runs.from * self.input_channels as isize);
            let step = self.phase.stride * self.input_channels;
            from_fn(
                #[inline(always)]
                |p| first.wrapping_add(p * step),
            )
        } else {
            from_fn(
                #[inline(always)]
                |p| self.input(x, runs, run, p),
            )
        }
    }
}

/// A row of outputs. Several tasks hold the same row, each of them for channels of its own.
#[derive(Clone, Copy)]
pub(super) struct OutputRow<'a, T> {
    start: *mut T,
    length: usize,
    lent: PhantomData<&'a mut [T]>,
}

impl<'a, T> OutputRow<'a, T> {
    /// The first channel of the task in the `j`-th output of its phase.
    #[inline(always)]
    pub(super) fn output(self, task: &RowTask<'_, T>, j: usize) -> *mut T {
        let voxel = task.phase.first + j * task.phase.step;
        self.start.wrapping_add(voxel * task.output_channels + task.channel)
    }

    /// Some channels of a voxel.
    ///
    /// # Safety
    /// They are in the row, and nothing else refers to them.
    #[inline(always)]
    pub(super) unsafe fn channels(self, at: usize, count: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), count) }
    }
}

/// All outputs, for tasks to share.
#[derive(Clone, Copy)]
pub(super) struct Outputs<'a, T>(OutputRow<'a, T>);

// SAFETY: a slice that may be written to from several threads; what keeps them apart is the promise of `row`.
unsafe impl<T: Send> Send for Outputs<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Outputs<'_, T> {}

impl<'a, T> Outputs<'a, T> {
    pub(super) fn new(out: &'a mut [T]) -> Self {
        Outputs(OutputRow { start: out.as_mut_ptr(), length: out.len(), lent: PhantomData })
    }

    /// The `i`-th row of `length` numbers.
    ///
    /// # Safety
    /// No other task writes to the channels of this row that the caller reads or writes.
    pub(super) unsafe fn row(self, i: usize, length: usize) -> OutputRow<'a, T> {
        assert!((i + 1) * length <= self.0.length);
        // SAFETY: the row lies in the slice, as just asserted.
        OutputRow { start: unsafe { self.0.start.add(i * length) }, length, lent: PhantomData }
    }
}

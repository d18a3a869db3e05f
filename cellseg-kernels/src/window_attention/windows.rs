//! How a volume is cut into windows, as in Swin Transformers.

use cellseg_core::{Error, Result};

/// A volume cut into windows that do not overlap, after a cyclic shift and padding with zeros at the far ends.
///
/// The semantics are those of MONAI's SwinUNETR (`get_window_size`, `compute_mask`): along an axis on which the volume is
/// no longer than the window, the window shrinks to the volume and nothing is shifted. The volume is padded, then shifted
/// towards zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    volume: [usize; 3],
    window: [usize; 3],
    shift: [usize; 3],
}

impl Windows {
    /// The windows of a volume `(d, h, w)`, of `window` voxels along each axis where the volume is longer, moved by
    /// `shift` voxels.
    ///
    /// # Errors
    /// Extents of zero; a shift that is not smaller than the window.
    pub fn new(volume: [usize; 3], window: [usize; 3], shift: [usize; 3]) -> Result<Self> {
        if volume.contains(&0) || window.contains(&0) || (0..3).any(|i| shift[i] >= window[i]) {
            return Err(Error::argument(
                "windows",
                format!(
                    "windows {window:?} with shift {shift:?} of a volume {volume:?}: extents start at 1, and a shift is \
                     smaller than the window"
                ),
            ));
        }
        let fits = |i: usize| volume[i] <= window[i];
        Ok(Windows {
            volume,
            window: std::array::from_fn(|i| if fits(i) { volume[i] } else { window[i] }),
            shift: std::array::from_fn(|i| if fits(i) { 0 } else { shift[i] }),
        })
    }

    /// The extents of a window, `(d, h, w)`.
    pub fn window(&self) -> [usize; 3] {
        self.window
    }

    /// Voxels of a window.
    pub fn tokens(&self) -> usize {
        self.window.iter().product()
    }

    /// How many windows there are along each axis.
    pub fn grid(&self) -> [usize; 3] {
        std::array::from_fn(|i| self.volume[i].div_ceil(self.window[i]))
    }

    /// How many windows a volume has.
    pub fn count(&self) -> usize {
        self.grid().iter().product()
    }

    pub(super) fn volume(&self) -> [usize; 3] {
        self.volume
    }

    pub(super) fn shift(&self) -> [usize; 3] {
        self.shift
    }

    /// The coordinate in the volume of voxel `at` of window `window` along an axis; none where there is padding.
    pub(super) fn source(&self, axis: usize, window: usize, at: usize) -> Option<usize> {
        let padded = self.grid()[axis] * self.window[axis];
        let place = (window * self.window[axis] + at + self.shift[axis]) % padded;
        (place < self.volume[axis]).then_some(place)
    }

    /// The window and the voxel in it along an axis of the voxel `place` of the volume: the inverse of
    /// [`Windows::source`].
    pub(super) fn place(&self, axis: usize, place: usize) -> [usize; 2] {
        let padded = self.grid()[axis] * self.window[axis];
        let moved = (place + padded - self.shift[axis]) % padded;
        [moved / self.window[axis], moved % self.window[axis]]
    }

    /// The window and the token in it with these places along the axes.
    pub(super) fn token(&self, [z, y, x]: [[usize; 2]; 3]) -> (usize, usize) {
        let flat = |extents: [usize; 3], i: usize| (z[i] * extents[1] + y[i]) * extents[2] + x[i];
        (flat(self.grid(), 0), flat(self.window, 1))
    }

    /// Which region each voxel of each window is from, `[count, tokens]`: voxels that the shift has brought together from
    /// opposite ends of the volume are from different regions, and do not attend to each other. None without a shift.
    pub fn regions(&self) -> Option<Regions> {
        if self.shift == [0; 3] {
            return None;
        }
        // Along an axis: the windows before the last, what was in the last before the shift, and what came from the start.
        let along = |axis: usize, place: usize| {
            let padded = self.grid()[axis] * self.window[axis];
            let is_from_start = place + self.shift[axis] >= padded;
            let is_last = place + self.window[axis] >= padded;
            if is_from_start { 2 } else { u8::from(is_last) }
        };
        let [grid, window] = [self.grid(), self.window];
        let places = |extents: [usize; 3]| {
            let [d, h, w] = extents;
            (0..d * h * w).map(move |i| [i / (h * w), i / w % h, i % w])
        };
        let region = |block: [usize; 3], voxel: [usize; 3]| {
            (0..3).fold(0, |region, i| 3 * region + along(i, block[i] * window[i] + voxel[i]))
        };
        let of =
            places(grid).flat_map(|block| places(window).map(move |voxel| region(block, voxel))).collect();
        Some(Regions { windows: *self, of })
    }
}

/// Which region each token of each window of a volume belongs to: see [`Windows::regions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    windows: Windows,
    of: Vec<u8>,
}

impl Regions {
    /// The regions of the tokens of window `window`, counted through all volumes of a batch, which have the same.
    pub(super) fn of_window(&self, window: usize) -> &[u8] {
        let at = window * self.tokens() % self.of.len();
        &self.of[at..][..self.tokens()]
    }

    /// The windows that these are the regions of.
    pub(super) fn windows_cut(&self) -> Windows {
        self.windows
    }

    /// Tokens of a window.
    pub fn tokens(&self) -> usize {
        self.windows.tokens()
    }

    /// Windows of a volume.
    pub fn windows(&self) -> usize {
        self.windows.count()
    }

    /// The regions of all tokens, window by window.
    pub fn as_slice(&self) -> &[u8] {
        &self.of
    }
}

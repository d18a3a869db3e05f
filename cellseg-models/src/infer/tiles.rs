//! Where the windows lie along one axis.

/// The windows along one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tiles {
    /// Where each begins.
    pub(super) starts: Vec<usize>,
    /// How long each is.
    pub(super) window: usize,
    /// Voxels of the volume.
    pub(super) extent: usize,
}

impl Tiles {
    /// Windows every `window * (1 - overlap)` voxels, rounded down; the last one is moved back so that it ends with the
    /// volume. This is MONAI's grid.
    pub(super) fn new(extent: usize, window: usize, overlap: f64) -> Self {
        let step = ((window as f64 * (1.0 - overlap)) as usize).max(1);
        let last = extent.saturating_sub(window);
        let starts = (0..=last.div_ceil(step)).map(|i| (i * step).min(last)).collect();
        Tiles { starts, window, extent }
    }

    /// How much of a window lies within the volume: all of it, unless the volume is shorter than a window.
    pub(super) fn visible(&self) -> usize {
        self.window.min(self.extent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_grid_is_that_of_monai() {
        // dense_patch_slices of MONAI 1.6.1 for these sizes.
        assert_eq!(Tiles::new(124, 64, 0.25).starts, [0, 48, 60]);
        assert_eq!(Tiles::new(64, 64, 0.25).starts, [0]);
        assert_eq!(Tiles::new(65, 64, 0.25).starts, [0, 1]);
        assert_eq!(Tiles::new(112, 64, 0.25).starts, [0, 48]);
        assert_eq!(Tiles::new(5, 64, 0.25).starts, [0]);
    }

    proptest! {
        #[test]
        fn every_voxel_is_in_a_window(extent in 1usize..300, window in 1usize..80, overlap in 0.0..0.99f64) {
            let tiles = Tiles::new(extent, window, overlap);
            let covered = (0..extent).all(|v| tiles.starts.iter().any(|&s| s <= v && v < s + window));
            prop_assert!(covered);
            prop_assert!(tiles.starts.iter().all(|&s| s + tiles.visible() <= extent));
            prop_assert!(tiles.starts.is_sorted_by(|a, b| a < b), "no window is there twice");
        }
    }
}

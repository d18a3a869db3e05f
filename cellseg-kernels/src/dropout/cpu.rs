//! Drawing the mask, sixteen counters at once, and multiplying by it.

use cellseg_core::{Real, philox};

/// Counters of [`philox`] that are worked on at once.
const LANES: usize = 16;

/// What decides over each number.
pub(super) struct Draw {
    key: u64,
    /// Numbers whose random word lies below are dropped.
    threshold: u32,
    scale: f64,
}

impl Draw {
    pub(super) fn new(p: f64, key: u64) -> Self {
        Draw { key, threshold: (p * 2f64.powi(32)).round() as u32, scale: 1.0 / (1.0 - p) }
    }

    /// Multiplies each number by zero or by the scale. `at` is the place of the first one in its tensor, a multiple of 4.
    #[inline(always)]
    pub(super) fn apply<T: Real>(&self, data: &mut [T], at: usize) {
        let scale = T::of(self.scale);
        for (i, data) in data.chunks_mut(4 * LANES).enumerate() {
            let first = (at / 4 + i * LANES) as u64;
            let words: [[u32; 4]; LANES] = std::array::from_fn(|l| philox(self.key, first + l as u64));
            for (x, word) in data.iter_mut().zip(words.as_flattened()) {
                *x *= if *word < self.threshold { T::zero() } else { scale };
            }
        }
    }
}

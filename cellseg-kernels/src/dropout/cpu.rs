//! Drawing the mask, many counters at once, and multiplying by it.

use crate::pointwise::wide;
use cellseg_core::philox_lanes;

/// Counters that are worked on at once: so many that the compiler keeps the loop over them and makes vector instructions
/// of it. With one counter at a time 2^24 numbers took 85 ms on one core with AVX-512, and take 20 ms with these.
const LANES: usize = 64;

/// What decides over each number.
#[derive(Clone, Copy)]
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
}

wide! {
    /// Multiplies each number by zero or by the scale. `at` is the place of the first one in its tensor, a multiple of 4.
    pub(super) fn apply<'a, T: Real>(draw: Draw, data: &'a mut [T], at: usize) -> () {
        let scale = T::of(draw.scale);
        for (i, data) in data.chunks_mut(4 * LANES).enumerate() {
            let words = philox_lanes::<LANES>(draw.key, (at / 4 + i * LANES) as u64);
            let factor = |l: usize, j: usize| if words[j][l] < draw.threshold { T::zero() } else { scale };
            let (fours, rest) = data.as_chunks_mut::<4>();
            if let Ok(fours) = <&mut [[T; 4]; LANES]>::try_from(&mut *fours) {
                for (l, four) in fours.iter_mut().enumerate() {
                    for (j, x) in four.iter_mut().enumerate() {
                        *x *= factor(l, j);
                    }
                }
                continue;
            }
            let after = fours.len();
            for (l, four) in fours.iter_mut().enumerate() {
                four.iter_mut().enumerate().for_each(|(j, x)| *x *= factor(l, j));
            }
            rest.iter_mut().enumerate().for_each(|(j, x)| *x *= factor(after, j));
        }
    }
}

//! Smooth random fields: value noise on a periodic lattice.

use super::random::{Stage, Stream};

/// Lattice points an axis: a power of two, and small enough (128 KiB) to stay in a core's cache.
const SIZE: usize = 32;

/// Value noise (Perlin 1985's lattice, with values at its points): random numbers of `[-1, 1)` on a cubic
/// lattice, blended with the quintic fade of Perlin (2002), which has continuous second derivatives.
///
/// The lattice repeats after [`SIZE`] points. Users shift and rotate it for every object, so no two show the
/// same part.
pub(super) struct LatticeNoise {
    values: Vec<f32>,
}

impl LatticeNoise {
    pub(super) fn new(seed: u64, stage: Stage) -> Self {
        let mut stream = Stream::new(seed, stage, 0);
        let values = (0..SIZE * SIZE * SIZE).map(|_| stream.uniform_in([-1.0, 1.0]) as f32).collect();
        Self { values }
    }

    /// The field at a point given in lattice steps, in `[-1, 1]`.
    pub(super) fn at(&self, point: [f64; 3]) -> f32 {
        let [z, y, x] = point.map(Corner::of);
        let row = |plane: usize, line: usize| {
            let start = (plane * SIZE + line) * SIZE;
            blend(self.values[start + x.low], self.values[start + x.high], x.weight)
        };
        let plane = |plane: usize| blend(row(plane, y.low), row(plane, y.high), y.weight);
        blend(plane(z.low), plane(z.high), z.weight)
    }

    /// Two octaves of the field, in `[-1, 1]`: grains of one lattice step, and finer ones at half the amplitude.
    pub(super) fn grains_at(&self, point: [f64; 3]) -> f32 {
        // The offset keeps the octaves' lattice points from coinciding, which would show as a grid.
        (self.at(point) + 0.5 * self.at(point.map(|p| 2.0 * p + 7.37))) / 1.5
    }
}

/// The two lattice points around a coordinate, and how far it has faded from the lower to the higher.
struct Corner {
    low: usize,
    high: usize,
    weight: f32,
}

impl Corner {
    fn of(coordinate: f64) -> Self {
        let floor = coordinate.floor();
        // The cast saturates; the mask is a modulo that is right for negative numbers too.
        let low = (floor as i64 as usize) & (SIZE - 1);
        let t = (coordinate - floor) as f32;
        Self { low, high: (low + 1) & (SIZE - 1), weight: t * t * t * (t * (t * 6.0 - 15.0) + 10.0) }
    }
}

fn blend(low: f32, high: f32, weight: f32) -> f32 {
    low + (high - low) * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_takes_the_lattice_values_at_the_points_and_is_periodic() {
        let noise = LatticeNoise::new(1, Stage::Texture);
        assert_eq!(noise.at([2.0, 3.0, 4.0]), noise.values[(2 * SIZE + 3) * SIZE + 4]);
        assert_eq!(noise.at([-30.0, 3.0, 36.0]), noise.values[(2 * SIZE + 3) * SIZE + 4]);
    }

    #[test]
    fn field_is_smooth_across_lattice_cells_and_bounded() {
        let noise = LatticeNoise::new(2, Stage::Texture);
        let step = 1.0 / 64.0f32;
        let line: Vec<f32> = (0..64 * 20).map(|i| noise.at([0.3, 5.7, f64::from(i as f32 * step)])).collect();
        for pair in line.windows(2) {
            assert!(pair[0].abs() <= 1.0);
            // The steepest the fade gets is 15/8 of the difference of two values in [-1, 1].
            assert!((pair[1] - pair[0]).abs() <= 2.0 * 1.875 * step + 1e-6);
        }
    }
}

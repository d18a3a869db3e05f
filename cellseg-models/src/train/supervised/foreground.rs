//! The voxels of foreground, to be drawn from.

use ndarray::{ArrayView3, Axis};
use rayon::prelude::*;

/// How many voxels of foreground lie before each row of a label volume, so that one is found by its number without a list of
/// all.
pub(super) struct Foreground {
    /// For each row `(z, y)` the voxels in all rows before it, and at the end all.
    before: Vec<usize>,
    rows: usize,
}

impl Foreground {
    pub(super) fn of(labels: ArrayView3<'_, u32>) -> Self {
        let (depth, rows, _) = labels.dim();
        let lines: Vec<[usize; 2]> = (0..depth).flat_map(|z| (0..rows).map(move |y| [z, y])).collect();
        let row = |&[z, y]: &[usize; 2]| {
            let plane = labels.index_axis(Axis(0), z);
            plane.index_axis(Axis(0), y).iter().filter(|&&l| l > 0).count()
        };
        let counts: Vec<usize> = lines.par_iter().map(row).collect();
        let mut before = vec![0];
        before.extend(counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        Foreground { before, rows }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.before.last().copied().unwrap_or(0)
    }

    /// The voxel `(z, y, x)` number `n`, counted in the order of memory; none beyond the last.
    pub(super) fn voxel(&self, labels: ArrayView3<'_, u32>, n: usize) -> Option<[usize; 3]> {
        if n >= self.count() {
            return None;
        }
        let row = self.before.partition_point(|&before| before <= n) - 1;
        let (z, y) = (row / self.rows, row % self.rows);
        let plane = labels.index_axis(Axis(0), z);
        let line = plane.index_axis(Axis(0), y);
        let (x, _) = line.indexed_iter().filter(|(_, l)| **l > 0).nth(n - self.before[row])?;
        Some([z, y, x])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cellseg_core::Rng;
    use ndarray::Array3;

    #[test]
    fn voxels_are_numbered_in_the_order_of_memory() {
        let mut rng = Rng::new(4);
        for share in [0.0, 0.05, 0.7, 1.0] {
            let labels = Array3::from_shape_simple_fn((3, 4, 5), || u32::from(rng.uniform() < share) * 7);
            let of = labels.indexed_iter().filter(|(_, l)| **l > 0);
            let expected: Vec<_> = of.map(|((z, y, x), _)| [z, y, x]).collect();
            let foreground = Foreground::of(labels.view());
            assert_eq!(foreground.count(), expected.len());
            let found: Vec<_> =
                (0..expected.len()).map(|n| foreground.voxel(labels.view(), n).unwrap()).collect();
            assert_eq!(found, expected);
            assert_eq!(foreground.voxel(labels.view(), expected.len()), None);
        }
    }
}

//! The symmetries of a patch: flips, and turns that map the voxel grid onto itself.

use cellseg_core::Rng;
use ndarray::{ArrayView3, Axis};

/// Spacings that differ by less than this share count as one.
const SAME_SPACING: f64 = 1e-3;

/// One way of laying a patch into the voxel grid: its axis `i` runs along the volume's axis `axes[i]`, backwards where
/// `flipped[i]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Symmetry {
    pub(crate) axes: [usize; 3],
    pub(crate) flipped: [bool; 3],
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl Symmetry {
    /// One at random. Axes are exchanged only where they have one spacing: turning a cell across axes of different
    /// spacing would make it one that the microscope never sees.
    pub(crate) fn random(spacing: [f64; 3], flips: bool, rotations: bool, rng: &mut Rng) -> Self {
        let same = |a: f64, b: f64| (a - b).abs() <= SAME_SPACING * a.max(b);
        let allowed: Vec<[usize; 3]> = ORDERS
            .into_iter()
            .filter(|order| order.iter().enumerate().all(|(i, &j)| same(spacing[i], spacing[j])))
            .collect();
        let order = allowed[rng.below(allowed.len())];
        let flipped = [(); 3].map(|()| rng.below(2) == 1);
        Symmetry {
            axes: if rotations { order } else { ORDERS[0] },
            flipped: if flips { flipped } else { [false; 3] },
        }
    }

    /// The extents in the volume of what becomes a patch of these extents.
    pub(crate) fn extents_in_volume(&self, patch: [usize; 3]) -> [usize; 3] {
        let mut extents = [0; 3];
        for (n, axis) in patch.into_iter().zip(self.axes) {
            extents[axis] = n;
        }
        extents
    }

    /// What was read from the volume as a patch.
    pub(crate) fn apply<'a, T>(&self, read: ArrayView3<'a, T>) -> ArrayView3<'a, T> {
        let mut patch = read.permuted_axes(self.axes);
        for (axis, flipped) in self.flipped.into_iter().enumerate() {
            if flipped {
                patch.invert_axis(Axis(axis));
            }
        }
        patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use std::collections::HashSet;

    fn all(spacing: [f64; 3], flips: bool, rotations: bool) -> HashSet<([usize; 3], [bool; 3])> {
        let mut rng = Rng::new(3);
        let draw = |_| Symmetry::random(spacing, flips, rotations, &mut rng);
        (0..2000).map(draw).map(|s| (s.axes, s.flipped)).collect()
    }

    #[test]
    fn only_axes_of_one_spacing_are_exchanged() {
        assert_eq!(all([1.0; 3], true, true).len(), 48, "all symmetries of the cube");
        let plane = all([2.0, 0.5, 0.5], true, true);
        assert_eq!(plane.len(), 16);
        assert!(plane.iter().all(|(axes, _)| axes[0] == 0));
        assert_eq!(all([3.0, 2.0, 1.0], true, true).len(), 8);
        assert_eq!(all([1.0; 3], false, false).len(), 1);
    }

    #[test]
    fn a_patch_has_its_extents_in_every_orientation() {
        for (axes, flipped) in all([1.0; 3], true, true) {
            let s = Symmetry { axes, flipped };
            let read = Array3::<f32>::zeros(s.extents_in_volume([8, 16, 24]));
            assert_eq!(s.apply(read.view()).dim(), (8, 16, 24));
        }
    }
}

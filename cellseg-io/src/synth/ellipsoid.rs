//! Nuclei as ellipsoids: inside and outside, extents, and how far apart two of them are.

use serde::{Deserialize, Serialize};

/// One nucleus of a synthetic volume: an ellipsoid with a brightness.
///
/// Positions are voxel index times spacing: the middle of the first voxel is the origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nucleus {
    /// Centre `(z, y, x)` in um.
    pub centre_um: [f64; 3],
    /// The three semi-axes in um.
    pub semi_axes_um: [f64; 3],
    /// Orientation: for each semi-axis its unit vector `(z, y, x)`.
    pub axes: [[f64; 3]; 3],
    /// Mean fluorescence inside, in photons a voxel, at the surface of the sample and without blur.
    pub brightness: f64,
}

impl Nucleus {
    /// The point, given in um, in the nucleus's own frame: zero at its centre, one at its surface along each
    /// semi-axis.
    pub(super) fn local(&self, point_um: [f64; 3]) -> [f64; 3] {
        let offset = difference(point_um, self.centre_um);
        std::array::from_fn(|k| dot(offset, self.axes[k]) / self.semi_axes_um[k])
    }

    /// Half the edges `(z, y, x)` in um of the box around the nucleus.
    pub(super) fn half_extent_um(&self) -> [f64; 3] {
        let matrix = self.shape_matrix();
        std::array::from_fn(|i| matrix[i][i].sqrt())
    }

    /// How far the neighbour is off, in units of the distance, along the line through both centres, at which the
    /// two ellipsoids would just touch: 1 is contact, less is overlap.
    ///
    /// It is the square root of the contact function of Perram & Wertheim (1985): the maximum over `t` in `[0, 1]`
    /// of `t (1 - t) rᵀ [(1 - t) A + t B]⁻¹ r` for the shape matrices `A`, `B` and the centres' difference `r`.
    pub(super) fn separation(&self, neighbour: &Self) -> f64 {
        let offset = difference(neighbour.centre_um, self.centre_um);
        contact_function(self.shape_matrix(), neighbour.shape_matrix(), offset).sqrt()
    }

    /// The distance of centres in um at which this nucleus and one of the given shape touch along a direction.
    pub(super) fn contact_distance_um(&self, neighbour: &Self, direction: [f64; 3]) -> f64 {
        1.0 / contact_function(self.shape_matrix(), neighbour.shape_matrix(), direction).sqrt()
    }

    /// The matrix whose eigenvectors are the axes, and whose eigenvalues are the squared semi-axes.
    fn shape_matrix(&self) -> [[f64; 3]; 3] {
        std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                (0..3)
                    .map(|k| self.semi_axes_um[k] * self.semi_axes_um[k] * self.axes[k][i] * self.axes[k][j])
                    .sum()
            })
        })
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `a - b`.
pub(super) fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| a[i] - b[i])
}

fn contact_function(a: [[f64; 3]; 3], b: [[f64; 3]; 3], offset: [f64; 3]) -> f64 {
    let value = |t: f64| {
        let mixed = std::array::from_fn(|i| std::array::from_fn(|j| (1.0 - t) * a[i][j] + t * b[i][j]));
        t * (1.0 - t) * inverse_form(mixed, offset)
    };
    // Concave in t, so golden-section search finds the maximum; its error is the square of the last interval's
    // length, 1e-5 after 24 steps.
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (0.0, 1.0);
    let (mut t_low, mut t_high) = (1.0 - GOLDEN, GOLDEN);
    let (mut at_low, mut at_high) = (value(t_low), value(t_high));
    for _ in 0..24 {
        if at_low < at_high {
            low = t_low;
            (t_low, at_low) = (t_high, at_high);
            t_high = low + GOLDEN * (high - low);
            at_high = value(t_high);
        } else {
            high = t_high;
            (t_high, at_high) = (t_low, at_low);
            t_low = high - GOLDEN * (high - low);
            at_low = value(t_low);
        }
    }
    at_low.max(at_high)
}

/// `rᵀ m⁻¹ r` of a symmetric positive definite matrix, by its adjugate.
fn inverse_form(m: [[f64; 3]; 3], r: [f64; 3]) -> f64 {
    let cofactor = |i: usize, j: usize| {
        let (i1, i2, j1, j2) = ((i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3);
        m[i1][j1] * m[i2][j2] - m[i1][j2] * m[i2][j1]
    };
    let cofactors: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| cofactor(i, j)));
    let adjugate_form: f64 = (0..3).map(|i| r[i] * dot(cofactors[i], r)).sum();
    adjugate_form / dot(m[0], cofactors[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::random::{Stage, Stream};

    fn nucleus(stream: &mut Stream, centre_um: [f64; 3]) -> Nucleus {
        let semi_axes_um = std::array::from_fn(|_| stream.uniform_in([2.0, 6.0]));
        Nucleus { centre_um, semi_axes_um, axes: stream.rotation(), brightness: 1.0 }
    }

    /// Whether some point of a dense sample of the surface of `a` lies inside `b`, `b` being `margin` larger.
    fn surface_reaches(a: &Nucleus, b: &Nucleus, margin: f64, stream: &mut Stream) -> bool {
        (0..40_000).any(|_| {
            let u = stream.direction();
            let point: [f64; 3] = std::array::from_fn(|i| {
                a.centre_um[i] + (0..3).map(|k| u[k] * a.semi_axes_um[k] * a.axes[k][i]).sum::<f64>()
            });
            dot(b.local(point), b.local(point)) < margin * margin
        })
    }

    #[test]
    fn contact_distance_is_where_two_ellipsoids_begin_to_overlap() {
        let mut stream = Stream::new(8, Stage::Placement, 0);
        for _ in 0..10 {
            let a = nucleus(&mut stream, [3.0, -1.0, 2.0]);
            let direction = stream.direction();
            let mut b = nucleus(&mut stream, [0.0; 3]);
            let distance = a.contact_distance_um(&b, direction);
            b.centre_um = std::array::from_fn(|i| a.centre_um[i] + direction[i] * distance);
            assert!((a.separation(&b) - 1.0).abs() < 1e-6);
            assert!(!surface_reaches(&a, &b, 0.999, &mut stream), "no point of one is inside the other");
            assert!(surface_reaches(&a, &b, 1.03, &mut stream), "grown by 3 %, the other is reached");
        }
    }

    #[test]
    fn separation_of_balls_is_distance_over_sum_of_radii() {
        let ball = |z, radius| Nucleus {
            centre_um: [z, 0.0, 0.0],
            semi_axes_um: [radius; 3],
            axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            brightness: 1.0,
        };
        assert!((ball(0.0, 2.0).separation(&ball(12.0, 6.0)) - 1.5).abs() < 1e-9);
        assert_eq!(ball(0.0, 2.0).separation(&ball(0.0, 2.0)), 0.0);
    }

    #[test]
    fn half_extent_is_the_farthest_surface_point_along_each_axis() {
        let mut stream = Stream::new(9, Stage::Placement, 0);
        let a = nucleus(&mut stream, [0.0; 3]);
        let mut farthest = [0.0f64; 3];
        for _ in 0..100_000 {
            let u = stream.direction();
            for (i, far) in farthest.iter_mut().enumerate() {
                *far = far.max((0..3).map(|k| u[k] * a.semi_axes_um[k] * a.axes[k][i]).sum());
            }
        }
        for (half, far) in a.half_extent_um().iter().zip(farthest) {
            assert!(far <= half + 1e-9 && far > half * 0.999);
        }
    }
}

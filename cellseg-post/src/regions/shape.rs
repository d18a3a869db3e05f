//! Shape from second moments.

use rayon::prelude::*;

use super::Region;
use crate::wide::wide;

type Matrix<T> = [[T; 3]; 3];

/// Puts the axes of objects in the place of the covariances that stand there, and their lengths and the sphericity.
pub(super) fn find_axes(regions: &mut [Region]) {
    regions.par_chunks_mut(LANES).with_min_len(16).for_each(|regions| {
        let mut covariances = [Matrix::default(); LANES];
        covariances.iter_mut().zip(&*regions).for_each(|(covariance, region)| *covariance = region.axes);
        for (region, (lengths, axes)) in regions.iter_mut().zip(principal_axes(&covariances)) {
            (region.axis_lengths, region.axes) = (lengths, axes);
            region.sphericity = ellipsoid_sphericity(lengths);
        }
    });
}

/// The full axis lengths, longest first, of an ellipsoid, and the axes' unit vectors; of both signs the one whose largest
/// component is positive.
type Axes = ([f64; 3], Matrix<f64>);

/// The axes of the ellipsoids whose voxels have these covariances, `sqrt(20 v)` long for the variances v along them.
fn principal_axes(covariances: &[Matrix<f64>; LANES]) -> [Axes; LANES] {
    let mut matrices: Matrix<[f64; LANES]> = Matrix::default();
    for (lane, covariance) in covariances.iter().enumerate() {
        each_entry(|row, column| matrices[row][column][lane] = covariance[row][column]);
    }
    let mut vectors: Matrix<[f64; LANES]> = Matrix::default();
    diagonalise(&mut matrices, &mut vectors);
    std::array::from_fn(|lane| {
        let mut directions: Matrix<f64> = Matrix::default();
        each_entry(|axis, part| directions[axis][part] = vectors[axis][part][lane]);
        sorted([0, 1, 2].map(|axis| matrices[axis][axis][lane]), directions)
    })
}

fn each_entry(mut change: impl FnMut(usize, usize)) {
    (0..9).for_each(|entry| change(entry / 3, entry % 3));
}

/// Axes from the variances along them and their directions, in any order.
fn sorted(variances: [f64; 3], directions: Matrix<f64>) -> Axes {
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]));
    let directions = order.map(|axis| {
        let axis = directions[axis];
        let largest =
            axis.iter().fold(0.0f64, |most, part| if part.abs() > most.abs() { *part } else { most });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        // Adding 0 turns -0 into 0.
        axis.map(|part| sign * part + 0.0)
    });
    // A solid ellipsoid of semi-axis a has variance a a / 5 along it.
    (order.map(|axis| (20.0 * variances[axis].max(0.0)).sqrt()), directions)
}

/// Matrices that are made diagonal together: one alone waits for its roots and divisions, one after the other.
const LANES: usize = 8;

wide! {
    /// Leaves the eigenvalues of symmetric matrices on their diagonals, and their unit vectors, by Jacobi's rotations.
    fn diagonalise(matrices: &mut Matrix<[f64; LANES]>, vectors: &mut Matrix<[f64; LANES]>) {
        for axis in 0..3 {
            vectors[axis][axis] = [1.0; LANES];
        }
        // Convergence is quadratic: a handful of sweeps reach the last bit.
        for _ in 0..12 {
            let mut turning = [false; LANES];
            for lane in 0..LANES {
                let squares = |entries: [f64; 3]| entries[0] * entries[0] + entries[1] * entries[1] + entries[2] * entries[2];
                let [xx, yy, zz] = [0, 1, 2].map(|axis| matrices[axis][axis][lane]);
                let beside = [matrices[0][1][lane], matrices[0][2][lane], matrices[1][2][lane]];
                // Squares, so that what is left is far below the last bit of the values.
                turning[lane] = squares(beside) > 1e-40 * squares([xx, yy, zz]);
            }
            if turning == [false; LANES] {
                break;
            }
            for (p, q) in [(0, 1), (0, 2), (1, 2)] {
                rotate(matrices, vectors, p, q, &turning);
            }
        }
    }
}

/// Rotates in the plane of axes p and q so that their covariance becomes 0; `vectors` turn with the axes.
///
/// Lanes that are not `turning` stay as they are, so that a matrix' values do not depend on those beside it.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "lanes of several arrays go together")]
fn rotate(
    matrices: &mut Matrix<[f64; LANES]>,
    vectors: &mut Matrix<[f64; LANES]>,
    p: usize,
    q: usize,
    turning: &[bool; LANES],
) {
    let third = 3 - p - q;
    let (mut sines, mut cosines) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        let beside = matrices[p][q][lane];
        let theta = (matrices[q][q][lane] - matrices[p][p][lane]) / (2.0 * beside);
        let tangent = 1.0f64.copysign(theta) / (theta.abs() + (theta * theta + 1.0).sqrt());
        let tangent = if turning[lane] && beside != 0.0 { tangent } else { 0.0 };
        cosines[lane] = 1.0 / (tangent * tangent + 1.0).sqrt();
        sines[lane] = tangent * cosines[lane];
        matrices[p][p][lane] -= tangent * beside;
        matrices[q][q][lane] += tangent * beside;
    }
    for lane in 0..LANES {
        let (sine, cosine) = (sines[lane], cosines[lane]);
        let (with_p, with_q) = (matrices[third][p][lane], matrices[third][q][lane]);
        let (new_p, new_q) = (cosine * with_p - sine * with_q, sine * with_p + cosine * with_q);
        (matrices[third][p][lane], matrices[p][third][lane]) = (new_p, new_p);
        (matrices[third][q][lane], matrices[q][third][lane]) = (new_q, new_q);
        let left = if turning[lane] { 0.0 } else { matrices[p][q][lane] };
        (matrices[p][q][lane], matrices[q][p][lane]) = (left, left);
    }
    for part in 0..3 {
        for lane in 0..LANES {
            let (sine, cosine) = (sines[lane], cosines[lane]);
            let (along_p, along_q) = (vectors[p][part][lane], vectors[q][part][lane]);
            vectors[p][part][lane] = cosine * along_p - sine * along_q;
            vectors[q][part][lane] = sine * along_p + cosine * along_q;
        }
    }
}

/// The sphericity of an ellipsoid with these axis lengths; `None` if one of them is 0.
///
/// Its surface is `4 pi (((ab)^p + (ac)^p + (bc)^p) / 3)^(1/p)` with p = 1.6075 (Thomsen 2004), within 1.1 %.
pub(super) fn ellipsoid_sphericity(axis_lengths: [f64; 3]) -> Option<f64> {
    const P: f64 = 1.6075;
    let [a, b, c] = axis_lengths;
    if a * b * c == 0.0 {
        return None;
    }
    let mean = ((a * b).powf(P) + (a * c).powf(P) + (b * c).powf(P)) / 3.0;
    Some((a * b * c).powf(2.0 / 3.0) / mean.powf(1.0 / P))
}

/// CellSeg3D's "Sphericity (axes)": that of the oblate spheroid with these longest and shortest axes.
///
/// `None` where its formula divides by 0: for equal axes and for flat objects.
pub(super) fn cellseg3d_sphericity(major: f64, minor: f64) -> Option<f64> {
    let (a, b) = (major / 2.0, minor / 2.0);
    let root = (a * a - b * b).sqrt();
    let sphericity = 2.0 * (a * b * b).cbrt() / (a + b * b / root * ((a + root) / b).ln());
    sphericity.is_finite().then_some(sphericity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture<D: ndarray::Dimension>(name: &str) -> ndarray::Array<f64, D> {
        let path = format!("{}/tests/fixtures/{name}.npy", env!("CARGO_MANIFEST_DIR"));
        ndarray_npy::read_npy(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn ellipsoid_sphericity_is_within_its_stated_error_of_the_elliptic_integral() {
        let exact: ndarray::Array1<f64> = fixture("ellipsoid_sphericity");
        for (axes, exact) in fixture::<ndarray::Ix2>("ellipsoid_axes").rows().into_iter().zip(exact) {
            let ours = ellipsoid_sphericity([axes[0], axes[1], axes[2]]).unwrap();
            assert!((ours / exact - 1.0).abs() < 0.011, "{ours} against {exact} for {axes}");
        }
    }

    #[test]
    fn axes_of_a_rotated_diagonal_are_its_entries_and_the_rotations_columns() {
        // Rotated by 30 degrees around z, then by 45 around x.
        let (c, s, r) = (0.75f64.sqrt(), 0.5, 0.5f64.sqrt());
        let rotation = [[c, -s, 0.0], [s * r, c * r, -r], [s * r, c * r, r]];
        let diagonal = [7.0, 0.25, 3.0];
        let mut matrix = [[0.0; 3]; 3];
        for i in 0..3 {
            for j in 0..3 {
                matrix[i][j] = (0..3).map(|k| rotation[i][k] * diagonal[k] * rotation[j][k]).sum();
            }
        }
        let (lengths, axes) = principal_axes(&[matrix; LANES])[0];
        for (axis, entry) in [(0, 0), (1, 2), (2, 1)] {
            approx::assert_relative_eq!(lengths[axis].powi(2) / 20.0, diagonal[entry], max_relative = 1e-14);
            // Column `entry` of the rotation, but for the sign.
            let column = [0, 1, 2].map(|part| rotation[part][entry]);
            let along: f64 = (0..3).map(|part| column[part] * axes[axis][part]).sum();
            approx::assert_relative_eq!(along.abs(), 1.0, max_relative = 1e-12);
        }
        assert!(axes.iter().all(|axis| axis.iter().any(|part| *part > 0.5)), "{axes:?}");
    }

    #[test]
    fn axes_have_the_same_bits_whatever_is_measured_beside_them() {
        // Some are diagonal from the start, some flat, some nearly balls: they take no sweep to many.
        let matrices: [Matrix<f64>; LANES] = std::array::from_fn(|number| {
            let along = |n: usize| ((number * n) as f64).sin() * [0.0, 1e-9, 1.0, 40.0][number % 4];
            let [zy, zx, yx] = [7, 11, 13].map(along);
            [[50.0, zy, zx], [zy, 50.0 + along(17), yx], [zx, yx, (number % 3) as f64]]
        });
        for (matrix, together) in matrices.into_iter().zip(principal_axes(&matrices)) {
            let bits =
                |(lengths, axes): Axes| (lengths.map(f64::to_bits), axes.map(|axis| axis.map(f64::to_bits)));
            assert!(together.1.iter().flatten().all(|part| *part != 0.0 || part.is_sign_positive()));
            assert_eq!(principal_axes(&[matrix; LANES]).map(bits), [together; LANES].map(bits));
        }
    }
}

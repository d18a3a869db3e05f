//! Shape from second moments.

/// The full axis lengths, longest first, of the ellipsoid whose voxels have this covariance, `sqrt(20 v)` each, and the
/// axes' unit vectors; of both signs the one whose largest component is positive.
pub(super) fn principal_axes(covariance: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let (variances, mut axes) = eigen(covariance);
    for axis in &mut axes {
        let largest =
            axis.iter().fold(0.0f64, |most, part| if part.abs() > most.abs() { *part } else { most });
        if largest < 0.0 {
            // Adding 0 turns -0 into 0.
            *axis = axis.map(|part| -part + 0.0);
        }
    }
    // A solid ellipsoid of semi-axis a has variance a a / 5 along it.
    (variances.map(|variance| (20.0 * variance.max(0.0)).sqrt()), axes)
}

/// The eigenvalues of a symmetric matrix, largest first, and their unit vectors, by Jacobi's rotations.
fn eigen(mut matrix: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    // Convergence is quadratic: a handful of sweeps reach the last bit.
    for _ in 0..12 {
        let squares = |entries: [f64; 3]| entries.iter().map(|entry| entry * entry).sum::<f64>();
        let beside = squares([matrix[0][1], matrix[0][2], matrix[1][2]]);
        // Squares, so that what is left is far below the last bit of the values.
        if beside <= 1e-40 * squares([matrix[0][0], matrix[1][1], matrix[2][2]]) {
            break;
        }
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            rotate(&mut matrix, &mut vectors, p, q);
        }
    }
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| matrix[b][b].total_cmp(&matrix[a][a]));
    (order.map(|axis| matrix[axis][axis]), order.map(|axis| vectors[axis]))
}

/// Rotates in the plane of axes p and q so that their covariance becomes 0; `vectors` turn with the axes.
fn rotate(matrix: &mut [[f64; 3]; 3], vectors: &mut [[f64; 3]; 3], p: usize, q: usize) {
    if matrix[p][q] == 0.0 {
        return;
    }
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let tangent = 1.0f64.copysign(theta) / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let third = 3 - p - q;
    let (with_p, with_q) = (matrix[third][p], matrix[third][q]);
    matrix[p][p] -= tangent * matrix[p][q];
    matrix[q][q] += tangent * matrix[p][q];
    (matrix[p][q], matrix[q][p]) = (0.0, 0.0);
    for (axis, value) in [(p, cosine * with_p - sine * with_q), (q, sine * with_p + cosine * with_q)] {
        (matrix[third][axis], matrix[axis][third]) = (value, value);
    }
    let (along_p, along_q) = (vectors[p], vectors[q]);
    vectors[p] = std::array::from_fn(|part| cosine * along_p[part] - sine * along_q[part]);
    vectors[q] = std::array::from_fn(|part| sine * along_p[part] + cosine * along_q[part]);
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
        let (values, vectors) = eigen(matrix);
        for (axis, entry) in [(0, 0), (1, 2), (2, 1)] {
            approx::assert_relative_eq!(values[axis], diagonal[entry], max_relative = 1e-14);
            // Column `entry` of the rotation, but for the sign.
            let column = [0, 1, 2].map(|part| rotation[part][entry]);
            let along: f64 = (0..3).map(|part| column[part] * vectors[axis][part]).sum();
            approx::assert_relative_eq!(along.abs(), 1.0, max_relative = 1e-12);
        }
        let (_, axes) = principal_axes(matrix);
        assert!(axes.iter().all(|axis| axis.iter().any(|part| *part > 0.5)), "{axes:?}");
    }
}

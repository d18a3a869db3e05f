//! The tiles that are fastest for a problem.
//!
//! Estimated times are compared, in units of a multiplication and addition of the direct kernels. The constants were fitted
//! to times of single layers from 4 to 512 channels and 4^3 to 64^3 voxels on a Zen 5 core, with every kind of tiles and
//! with the direct kernels (`CELLSEG_PRECISION=strict cargo bench --bench operations`): no layer that was tried is slower with
//! what is chosen than with the direct kernels. Numbers of threads and instructions play no part, so that they do not change
//! how sums are put together.

use super::{tiling::Tiling, weights::TAPS};
use crate::conv3d::{direct, geometry::Axis, weight_gradient};

/// What the transforms of one number at one point take.
const TRANSFORM: f64 = 25.0;

/// What one number of the transformed weights takes: about 15 where it is read from memory, about 130 where it is computed
/// as well, in a step of training. Which of them applies must not decide: results would differ between the two.
const WEIGHT: f64 = 60.0;

/// What one sum of a weight gradient takes for each block of tiles that is added to it.
const SUM: f64 = 30.0;

/// Outputs per axis and tile with which Winograd's algorithm is fastest for sums into voxels, where it applies and is
/// faster than the direct kernels.
pub(crate) fn fastest(problem: &direct::Problem) -> Option<[usize; 3]> {
    let outputs = problem.axes.map(|a| a.outputs(problem.direction));
    let [a, b] = [problem.input_channels, problem.output_channels].map(|c| c as f64);
    least(&problem.axes, problem.batch, outputs, a * b, |tiles| {
        tiles * (a * b + TRANSFORM * (a + b)) + WEIGHT * a * b
    })
}

/// The same for sums into taps.
pub(crate) fn fastest_weight_gradient(problem: &weight_gradient::Problem) -> Option<[usize; 3]> {
    let outputs = problem.axes.map(|a| a.coarse);
    let [a, b] = [problem.fine_channels, problem.coarse_channels].map(|c| c as f64);
    let blocks = |c: f64| (c / super::weight_gradient::BLOCK as f64).ceil();
    least(&problem.axes, problem.batch, outputs, a * b, |tiles| {
        let sums = (tiles / super::weight_gradient::TILES as f64).ceil();
        tiles * (a * b + TRANSFORM * (a * blocks(b) + b * blocks(a))) + SUM * sums * a * b
    })
}

/// The tiles of the least time, where that is less than the direct kernels'. `products` are the multiplications of one
/// voxel with one tap, and `time` is that of one point of so many tiles.
fn least(
    axes: &[Axis; 3],
    batch: usize,
    outputs: [usize; 3],
    products: f64,
    time: impl Fn(f64) -> f64,
) -> Option<[usize; 3]> {
    if axes.iter().any(|a| a.kernel != TAPS || a.stride != 1) {
        return None;
    }
    let voxels = (batch * outputs.iter().product::<usize>()) as f64;
    let direct = voxels * (TAPS * TAPS * TAPS) as f64 * products;
    let shapes = (0..8).map(|i| [0, 1, 2].map(|axis| if i >> axis & 1 == 0 { 4 } else { 2 }));
    let times = shapes.map(|m| {
        let tiling = Tiling::new(batch, outputs, m);
        (tiling.points() as f64 * time(tiling.count() as f64), m)
    });
    let (time, m) = times.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (time < direct).then_some(m)
}

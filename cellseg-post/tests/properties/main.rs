//! Properties on random volumes, most of them against a naive double loop.

mod blocks;
mod distances;
mod hierarchy;
mod labels;
mod measurements;
mod morphology;
mod peaks;
mod statistics;
mod surfaces;
mod threads;

use cellseg_post::Spacing;
use ndarray::Array3;
use proptest::prelude::*;

/// Volumes of up to `most` voxels along each axis, one-voxel-thin ones among them.
fn volume<T: Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T> + Clone,
    most: usize,
) -> impl Strategy<Value = Array3<T>> {
    (1..=most, 1..=most, 1..=most).prop_flat_map(move |(nz, ny, nx)| {
        prop::collection::vec(value.clone(), nz * ny * nx)
            .prop_map(move |voxels| Array3::from_shape_vec((nz, ny, nx), voxels).unwrap())
    })
}

/// Few values, so that neighbours are often equal.
fn steps(most: usize) -> impl Strategy<Value = Array3<f32>> {
    volume((0u8..5).prop_map(f32::from), most)
}

fn mask(density: f64, most: usize) -> impl Strategy<Value = Array3<bool>> {
    volume(prop::bool::weighted(density), most)
}

fn spacing() -> impl Strategy<Value = Spacing> {
    let side = prop_oneof![Just(1.0), Just(2.0), 0.1f64..5.0];
    (side.clone(), side.clone(), side).prop_map(|(z, y, x)| Spacing::new(z, y, x).unwrap())
}

fn squared_distance(a: (usize, usize, usize), b: (usize, usize, usize), spacing: Spacing) -> f64 {
    let [z, y, x] = spacing.to_array();
    let along = |a: usize, b: usize, side: f64| (a.abs_diff(b) as f64 * side).powi(2);
    along(a.0, b.0, z) + along(a.1, b.1, y) + along(a.2, b.2, x)
}

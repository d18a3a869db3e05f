//! What CellSeg3D computes, for those who need its numbers.

use super::{
    Progress,
    blend::importance_map,
    tiles::Tiles,
    windows::{Job, explicit},
};
use crate::{Network, PassMode, Result, intensity::FULL_SCALE};
use cellseg_core::Tensor;
use ndarray::{Array4, ArrayView3, Axis};

/// The overlap and the width of the importance map that CellSeg3D gives MONAI.
const OVERLAP: f64 = 0.25;
const SIGMA: f64 = 0.01;

/// The maps of all classes with CellSeg3D's scaling, window by window.
pub(super) fn run(
    network: &dyn Network,
    volume: ArrayView3<'_, f32>,
    window: [usize; 3],
    progress: &mut dyn Progress,
) -> Result<Array4<f32>> {
    let tiles: [Tiles; 3] = std::array::from_fn(|i| Tiles::new(volume.len_of(Axis(i)), window[i], OVERLAP));
    // MONAI puts half of the padding, rounded down, before the volume.
    let inset = std::array::from_fn(|i| (window[i] - tiles[i].visible()) / 2);
    let weights = explicit(importance_map(window, SIGMA), &tiles);
    let read = |origin: [isize; 3], extents: [usize; 3], out: &mut [f32]| {
        zero_padded(volume, origin, extents, out);
        rescale(out, FULL_SCALE);
    };
    let forward = |x: &Tensor| {
        let logits = network.logits(x, &PassMode::default())?;
        let mut values = logits.to_vec::<f32>()?;
        rescale(&mut values, 1.0);
        Ok(Tensor::from_slice(&values, logits.shape().dims())?)
    };
    let job = Job {
        device: &network.device(),
        channels: network.class_count(),
        multiple: network.extent_multiple(),
        read: &read,
        forward: &forward,
    };
    job.blend(&tiles, weights, inset, progress)
}

/// The range of `xs` to 0 to `top`. Where all are equal the original divides by zero; here they become 0.
fn rescale(xs: &mut [f32], top: f32) {
    let [low, high] = xs.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[a, b], &x| [a.min(x), b.max(x)]);
    let gain = if high > low { top / (high - low) } else { 0.0 };
    for x in xs {
        *x = (*x - low) * gain;
    }
}

fn zero_padded(volume: ArrayView3<'_, f32>, origin: [isize; 3], extents: [usize; 3], out: &mut [f32]) {
    let at = |axis: usize, i: usize| usize::try_from(origin[axis] + i as isize).unwrap_or(usize::MAX);
    let rows = extents[1];
    for (line, row) in out.chunks_mut(extents[2]).enumerate() {
        for (x, o) in row.iter_mut().enumerate() {
            let voxel = [at(0, line / rows), at(1, line % rows), at(2, x)];
            *o = volume.get(voxel).copied().unwrap_or(0.0);
        }
    }
}

//! Local mean and standard deviation.
//!
//! Both vary slowly, so they are kept on a coarse grid: means of blocks about half a sigma wide, smoothed there, and
//! interpolated linearly for each voxel. That takes a few kilobytes for a gigabyte of image, and one pass over it.

use ndarray::{Array3, ArrayView3, Axis, Zip, s};
use rayon::prelude::*;

/// This share of the standard deviation's mean over the volume is added to the local one: where there is nothing to be
/// seen, noise is not blown up to the size of a signal.
const TYPICAL_SHARE: f32 = 1.0;

/// Local mean and standard deviation of a volume, on a coarse grid.
#[derive(Debug, Clone)]
pub(super) struct LocalContrast {
    mean: Array3<f32>,
    /// One over the standard deviation and what is added to it.
    inverse: Array3<f32>,
    /// Voxels of a block along each axis.
    block: [usize; 3],
}

impl LocalContrast {
    /// `sigma` is the standard deviation of the Gaussian neighbourhood in voxels along each axis.
    pub(super) fn fit(volume: ArrayView3<'_, f32>, sigma: [f64; 3]) -> Self {
        let block = sigma.map(|s| ((s / 2.0) as usize).max(1));
        let dims: [usize; 3] = std::array::from_fn(|i| volume.len_of(Axis(i)).div_ceil(block[i]));
        let mut mean = Array3::<f64>::zeros(dims);
        let mut square = Array3::<f64>::zeros(dims);
        let slabs = mean.axis_iter_mut(Axis(0)).into_par_iter().zip(square.axis_iter_mut(Axis(0)));
        slabs.enumerate().for_each(|(z, (mean, square))| {
            let (z0, z1) = (z * block[0], ((z + 1) * block[0]).min(volume.len_of(Axis(0))));
            Zip::indexed(mean).and(square).for_each(|(y, x), mean, square| {
                let (y0, x0) = (y * block[1], x * block[2]);
                let (y1, x1) = (
                    (y0 + block[1]).min(volume.len_of(Axis(1))),
                    (x0 + block[2]).min(volume.len_of(Axis(2))),
                );
                let part = volume.slice(s![z0..z1, y0..y1, x0..x1]);
                let [sum, squares] = part.fold([0.0; 2], |[a, b], &v| {
                    let v = f64::from(v);
                    [a + v, b + v * v]
                });
                *mean = sum / part.len() as f64;
                *square = squares / part.len() as f64;
            });
        });
        for axis in 0..3 {
            let s = sigma[axis] / block[axis] as f64;
            smooth(&mut mean, axis, s);
            smooth(&mut square, axis, s);
        }
        let mut deviation = square;
        Zip::from(&mut deviation).and(&mean).for_each(|q, m| *q = (*q - m * m).max(0.0).sqrt());
        let typical = deviation.mean().unwrap_or(0.0) * f64::from(TYPICAL_SHARE);
        let added = if typical > 0.0 { typical } else { 1.0 };
        LocalContrast {
            mean: mean.mapv(|x| x as f32),
            inverse: deviation.mapv(|x| (1.0 / (x + added)) as f32),
            block,
        }
    }

    /// Replaces the intensities of the voxels `(z, y, columns)` by their contrast.
    pub(super) fn apply(&self, [z, y]: [usize; 2], columns: &[usize], row: &mut [f32]) {
        let (z, y) = (self.between(0, z), self.between(1, y));
        for (v, &x) in row.iter_mut().zip(columns) {
            let x = self.between(2, x);
            let at = |grid: &Array3<f32>| {
                let line = |z: usize, y: usize| mix(grid[[z, y, x.0]], grid[[z, y, x.1]], x.2);
                let plane = |z: usize| mix(line(z, y.0), line(z, y.1), y.2);
                mix(plane(z.0), plane(z.1), z.2)
            };
            *v = (*v - at(&self.mean)) * at(&self.inverse);
        }
    }

    /// The two blocks whose centres a voxel lies between, and how far along it lies.
    fn between(&self, axis: usize, i: usize) -> (usize, usize, f32) {
        let last = self.mean.len_of(Axis(axis)) - 1;
        let at = ((i as f32 + 0.5) / self.block[axis] as f32 - 0.5).clamp(0.0, last as f32);
        let below = at as usize;
        (below, (below + 1).min(last), at - below as f32)
    }
}

fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + t * (b - a)
}

/// Gaussian smoothing along one axis. At the border the weights that are left sum to one.
fn smooth(grid: &mut Array3<f64>, axis: usize, sigma: f64) {
    let reach = (4.0 * sigma).ceil() as usize;
    let weights: Vec<f64> = (0..=reach).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let mut line = Vec::new();
    for mut lane in grid.lanes_mut(Axis(axis)) {
        line.clear();
        line.extend(lane.iter().copied());
        for (i, out) in lane.iter_mut().enumerate() {
            let (from, to) = (i.saturating_sub(reach), (i + reach + 1).min(line.len()));
            let (mut sum, mut weight) = (0.0, 0.0);
            for (j, v) in line[from..to].iter().enumerate() {
                let w = weights[(from + j).abs_diff(i)];
                sum += w * v;
                weight += w;
            }
            *out = sum / weight;
        }
    }
}

//! The average of overlapping windows.

use super::{settings::Blending, tiles::Tiles};
use cellseg_core::Error as CoreError;
use ndarray::{Array3, Array4, Axis};
use rayon::prelude::*;

/// The least weight that a voxel of a window has, so that no average is over nothing.
const LEAST_WEIGHT: f32 = 1e-3;

/// The weights of a window's voxels along one axis.
pub(super) fn profile(window: usize, blending: Blending) -> Vec<f32> {
    match blending {
        Blending::Constant => vec![1.0; window],
        Blending::Gaussian { sigma } => {
            gaussian(window, sigma).into_iter().map(|w| (w as f32).max(LEAST_WEIGHT)).collect()
        }
    }
}

/// A Gaussian about the window's centre, 1 there; `sigma` is a share of the window.
fn gaussian(window: usize, sigma: f64) -> Vec<f64> {
    let (centre, sigma) = ((window as f64 - 1.0) / 2.0, sigma * window as f64);
    (0..window).map(|i| (-0.5 * ((i as f64 - centre) / sigma).powi(2)).exp()).collect()
}

/// MONAI's importance map of a window `(z, y, x)`: a Gaussian whose standard deviation is the share `sigma` of each
/// extent, with a floor of 0.001 under the product.
pub fn importance_map(window: [usize; 3], sigma: f64) -> Array3<f32> {
    let [z, y, x] = window.map(|n| gaussian(n, sigma));
    Array3::from_shape_fn(window, |(i, j, k)| ((z[i] * y[j] * x[k]) as f32).max(LEAST_WEIGHT))
}

/// What the windows weigh.
pub(super) enum Weights {
    /// A product of one profile for each axis. As the windows are a product too, how much weight the earlier windows
    /// have in a voxel follows from sums along the axes, and no volume of weights is needed.
    Separable([Vec<f32>; 3]),
    /// Any weights, and the sum of those of the windows so far.
    Any { window: Array3<f32>, sum: Array3<f32> },
}

/// The running weighted mean of the windows' outputs.
pub(super) struct Blender<'a> {
    mean: Array4<f32>,
    tiles: &'a [Tiles; 3],
    weights: Weights,
}

impl<'a> Blender<'a> {
    /// Maps of `channels` channels, `(c, z, y, x)`.
    pub(super) fn new(channels: usize, tiles: &'a [Tiles; 3], weights: Weights) -> Result<Self, CoreError> {
        let [d, h, w] = [0, 1, 2].map(|i| tiles[i].extent);
        Ok(Blender { mean: zeros(channels, [d, h, w])?, tiles, weights })
    }

    /// Adds the output `[d, h, w, c]` of the window number `index`, whose voxel `inset` is the first one that lies within
    /// the volume. Windows are added in the order of their index, the last axis fastest.
    pub(super) fn add(&mut self, index: [usize; 3], inset: [usize; 3], output: &[f32]) {
        let channels = self.mean.len_of(Axis(0));
        let [z0, y0, x0] = [0, 1, 2].map(|i| self.tiles[i].starts[index[i]]);
        let [d, h, w] = [0, 1, 2].map(|i| self.tiles[i].visible());
        let [_, wh, ww] = [0, 1, 2].map(|i| self.tiles[i].window);
        let mut box_of = self.mean.slice_mut(ndarray::s![.., z0..z0 + d, y0..y0 + h, x0..x0 + w]);
        let shares = self.weights.shares(self.tiles, index, inset);
        let slices = box_of.axis_iter_mut(Axis(1)).into_par_iter().enumerate();
        slices.for_each(|(z, mut slice)| {
            for y in 0..h {
                for x in 0..w {
                    let from = (((z + inset[0]) * wh + y + inset[1]) * ww + x + inset[2]) * channels;
                    let share = shares.at([z, y, x]);
                    for (c, v) in output[from..from + channels].iter().enumerate() {
                        let mean = &mut slice[[c, y, x]];
                        *mean += (v - *mean) * share;
                    }
                }
            }
        });
    }

    /// The mean over all windows, `(c, z, y, x)`.
    pub(super) fn finish(self) -> Array4<f32> {
        self.mean
    }
}

/// How much of the mean so far gives way to one window.
enum Shares {
    Separable([Vec<Along>; 3]),
    Any(Array3<f32>),
}

/// One axis of a voxel: the weight of this window, the sum of the earlier windows' and of all windows'.
#[derive(Clone, Copy)]
struct Along {
    own: f32,
    before: f32,
    all: f32,
}

impl Weights {
    fn shares(&mut self, tiles: &[Tiles; 3], index: [usize; 3], inset: [usize; 3]) -> Shares {
        match self {
            Weights::Separable(profiles) => Shares::Separable(std::array::from_fn(|axis| {
                along(&tiles[axis], &profiles[axis], index[axis], inset[axis])
            })),
            Weights::Any { window, sum } => {
                let dims: [usize; 3] = std::array::from_fn(|i| tiles[i].visible());
                let starts: [usize; 3] = std::array::from_fn(|i| tiles[i].starts[index[i]]);
                Shares::Any(Array3::from_shape_fn(dims, |(z, y, x)| {
                    let own = window[[z + inset[0], y + inset[1], x + inset[2]]];
                    let sum = &mut sum[[z + starts[0], y + starts[1], x + starts[2]]];
                    *sum += own;
                    own / *sum
                }))
            }
        }
    }
}

fn along(tiles: &Tiles, profile: &[f32], index: usize, inset: usize) -> Vec<Along> {
    let start = tiles.starts[index];
    (start..start + tiles.visible())
        .map(|v| {
            let weight = |s: usize| {
                let inside = s <= v && v - s < tiles.visible();
                if inside { profile[v - s + inset] } else { 0.0 }
            };
            Along {
                own: weight(start),
                before: tiles.starts[..index].iter().map(|&s| weight(s)).sum(),
                all: tiles.starts.iter().map(|&s| weight(s)).sum(),
            }
        })
        .collect()
}

impl Shares {
    fn at(&self, [z, y, x]: [usize; 3]) -> f32 {
        match self {
            Shares::Any(shares) => shares[[z, y, x]],
            Shares::Separable(axes) => {
                let [z, y, x] = [axes[0][z], axes[1][y], axes[2][x]];
                // Earlier windows: all of the rows of windows before this one, and those before it in its own row.
                let own = z.own * y.own * x.own;
                let before = z.before * y.all * x.all + z.own * (y.before * x.all + y.own * x.before);
                if before == 0.0 { 1.0 } else { own / (before + own) }
            }
        }
    }
}

fn zeros(channels: usize, [d, h, w]: [usize; 3]) -> Result<Array4<f32>, CoreError> {
    let count = [channels, d, h, w].iter().try_fold(1usize, |n, &e| n.checked_mul(e));
    let memory = || CoreError::Memory {
        bytes: count.unwrap_or(usize::MAX).saturating_mul(size_of::<f32>()),
        device: "the CPU".into(),
    };
    let count = count.ok_or_else(memory)?;
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| memory())?;
    values.resize(count, 0.0);
    Array4::from_shape_vec([channels, d, h, w], values).map_err(|_| memory())
}

//! The dense conditional random field: a probability map made to follow the edges of the image.
//!
//! Every voxel's class should be that of the voxels near it (smoothness), and even more that of voxels that are both
//! near it and as bright as it (appearance). Mean-field inference asks, in each round, for every voxel the sum of all
//! other voxels' opinions under two Gaussian kernels (Krahenbuehl and Koltun 2011):
//!
//! - smoothness is a blur of the volume, which is separable and taken as it is;
//! - appearance is a blur in four dimensions, place and brightness, on a coarse grid ([`grid`]).
//!
//! pydensecrf computes both with permutohedral lattices, whose hash tables take 260 to 290 bytes a voxel and most of the
//! time. Only differences of classes matter, so all is done on log-odds against the last class: one map for two classes.

mod brightness;
mod field;
mod grid;

use ndarray::{Array3, Array4, ArrayView3, ArrayView4, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::grid::{Grid, all_finite, raster, same_shape};
use crate::memory::zeros;
use crate::{Error, Spacing, percentiles};
use field::Field;

/// Probabilities are taken to be at least this, as pydensecrf does.
const LEAST_PROBABILITY: f32 = 1e-5;

/// The default `intensity_sigma` as a share of the image's range: CellSeg3D's 5 of 0 to 255.
const INTENSITY_SIGMA: f64 = 5.0 / 255.0;

/// The settings of [`dense_crf`]; the defaults are CellSeg3D's, with lengths in micrometres.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DenseCrf {
    /// How far, as a sigma in micrometres, voxels of equal brightness matter to each other.
    pub appearance_sigma: f64,
    /// How different, as a sigma in units of the image, voxels may be to matter to each other; by default a fiftieth of
    /// the range from the image's 1st to its 99th percentile.
    pub intensity_sigma: Option<f64>,
    /// How much the opinion of voxels near and equally bright counts.
    pub appearance_weight: f32,
    /// How far, as a sigma in micrometres, voxels matter to each other whatever their brightness.
    pub smoothness_sigma: f64,
    /// How much the opinion of near voxels counts.
    pub smoothness_weight: f32,
    /// The rounds of mean-field inference.
    pub iterations: usize,
}

impl Default for DenseCrf {
    fn default() -> Self {
        Self {
            appearance_sigma: 10.0,
            intensity_sigma: None,
            appearance_weight: 10.0,
            smoothness_sigma: 1.0,
            smoothness_weight: 5.0,
            iterations: 5,
        }
    }
}

/// Refines the probabilities of two classes and more (class, z, y, x) by the edges of `image` (z, y, x).
///
/// Mean-field inference in a fully connected conditional random field with Potts compatibility and symmetric
/// normalisation (Krahenbuehl and Koltun 2011), as pydensecrf's `DenseCRF` with two pairwise energies. The result is again
/// probabilities that sum to 1. Kernels are Gaussians in micrometres at the volume's spacing; CellSeg3D's own call
/// forgets to scale one axis.
///
/// Takes some 8 bytes a voxel for each class but the last, and 8 more, over inputs and result.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::Empty`], [`Error::NonFinite`]; [`Error::Argument`] for fewer than two classes,
/// values outside 0 to 1, settings out of range, and sigmas so small that the grid of places and brightnesses would be
/// larger than the volume.
pub fn dense_crf(
    probabilities: ArrayView4<f32>,
    image: ArrayView3<f32>,
    spacing: Spacing,
    settings: &DenseCrf,
) -> Result<Array4<f32>, Error> {
    let classes = probabilities.len_of(Axis(0));
    if classes < 2 {
        return Err(Error::Argument {
            name: "the number of classes (axis 0 of the probabilities)",
            given: classes.to_string(),
            expected: "at least 2; for a map of foreground alone use `dense_crf_foreground`",
        });
    }
    for class in probabilities.outer_iter() {
        check_probabilities(&class, &image)?;
    }
    let last = probabilities.index_axis(Axis(0), classes - 1);
    let last = raster(&last);
    let odds = probabilities
        .outer_iter()
        .take(classes - 1)
        .map(|class| log_odds(Grid::of(&image), &raster(&class), |at| last[at]));
    let odds = Field::new(image, spacing, settings)?.infer(odds.collect())?;
    let mut refined = Array4::zeros(probabilities.raw_dim());
    for (mut to, odds) in refined.outer_iter_mut().zip(&odds) {
        to.assign(odds);
    }
    drop(odds);
    let voxels = image.len();
    let values = refined.as_slice_mut().expect("a new array is stored in raster order");
    let mut classes: Vec<&mut [f32]> = values.chunks_exact_mut(voxels).collect();
    field::probabilities(&mut classes);
    Ok(refined)
}

/// Refines a map of the probability of foreground (z, y, x) by the edges of `image` (z, y, x): [`dense_crf`] for the two
/// classes foreground and background.
///
/// # Errors
/// Those of [`dense_crf`].
pub fn dense_crf_foreground(
    map: ArrayView3<f32>,
    image: ArrayView3<f32>,
    spacing: Spacing,
    settings: &DenseCrf,
) -> Result<Array3<f32>, Error> {
    check_probabilities(&map, &image)?;
    let voxels = raster(&map);
    let odds = log_odds(Grid::of(&image), &voxels, |at| 1.0 - voxels[at]);
    let mut odds = Field::new(image, spacing, settings)?.infer(vec![odds])?;
    let mut refined = odds.pop().expect("one map for two classes");
    let voxels = refined.as_slice_mut().expect("maps are made in raster order");
    voxels.par_iter_mut().with_min_len(PART).for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
    Ok(refined)
}

/// Voxels that one thread takes at least.
const PART: usize = 1 << 14;

/// The log-odds of each voxel's probability against another one.
fn log_odds(grid: Grid, probability: &[f32], other: impl Fn(usize) -> f32 + Sync) -> Array3<f32> {
    let mut odds = zeros(grid);
    let voxels = odds.as_slice_mut().expect("zeros are made in raster order");
    let voxels = voxels.par_iter_mut().with_min_len(PART).zip(probability).enumerate();
    voxels.for_each(|(at, (odds, &p))| *odds = log(p) - log(other(at)));
    odds
}

fn log(probability: f32) -> f32 {
    probability.max(LEAST_PROBABILITY).ln()
}

fn check_probabilities(map: &ArrayView3<f32>, image: &ArrayView3<f32>) -> Result<(), Error> {
    same_shape(("the probabilities", map), ("the image", image))?;
    let grid = Grid::of(map).not_empty()?;
    let voxels = raster(map);
    all_finite(grid, &voxels)?;
    let outside = voxels
        .par_chunks(PART)
        .find_map_first(|part| part.iter().find(|value| !(0.0..=1.0).contains(*value)));
    match outside {
        Some(outside) => Err(Error::Argument {
            name: "a probability",
            given: outside.to_string(),
            expected: "values from 0 to 1",
        }),
        None => Ok(()),
    }
}

impl DenseCrf {
    fn check(&self) -> Result<(), Error> {
        let above_zero = [
            ("appearance_sigma", Some(self.appearance_sigma)),
            ("intensity_sigma", self.intensity_sigma),
            ("smoothness_sigma", Some(self.smoothness_sigma)),
        ];
        for (name, value) in above_zero {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                return Err(Error::Argument {
                    name,
                    given: value.to_string(),
                    expected: "a finite number above 0",
                });
            }
        }
        let weights =
            [("appearance_weight", self.appearance_weight), ("smoothness_weight", self.smoothness_weight)];
        for (name, value) in weights {
            if !(value.is_finite() && value >= 0.0) {
                let expected = "a finite number of at least 0";
                return Err(Error::Argument { name, given: value.to_string(), expected });
            }
        }
        Ok(())
    }

    /// The sigma of brightness in units of the image.
    fn intensity_sigma(&self, image: ArrayView3<f32>) -> Result<f64, Error> {
        if let Some(sigma) = self.intensity_sigma {
            return Ok(sigma);
        }
        let range = percentiles(image, &[1.0, 99.0])?;
        let sigma = INTENSITY_SIGMA * (range[1] - range[0]);
        // Where all voxels are equally bright, any sigma says so.
        Ok(if sigma > 0.0 { sigma } else { 1.0 })
    }
}

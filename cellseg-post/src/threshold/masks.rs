//! Masks by two thresholds, and by one that follows the surroundings.

use ndarray::{Array3, ArrayView3, Zip};

use crate::components::Bodies;
use crate::grid::{Grid, raster};
use crate::memory::zeros;
use crate::{Connectivity, Error, gaussian, mask_above};

/// The voxels (z, y, x) above `low` that hang together with one above `high`.
///
/// As `skimage.filters.apply_hysteresis_threshold` with [`Connectivity::Six`]. NaN is never above.
///
/// # Errors
/// [`Error::Argument`] if `low` is above `high` or one is NaN; [`Error::TooManyLabels`].
pub fn hysteresis(
    map: ArrayView3<f32>,
    low: f32,
    high: f32,
    connectivity: Connectivity,
) -> Result<Array3<bool>, Error> {
    if low.is_nan() || high.is_nan() || low > high {
        return Err(Error::Argument {
            name: "the two thresholds (low, high)",
            given: format!("({low}, {high})"),
            expected: "two numbers, the first not above the second",
        });
    }
    let grid = Grid::of(&map);
    let above = mask_above(map, low);
    let bodies = Bodies::of_mask(grid, &raster(&above.view()), connectivity)?;
    drop(above);
    let values = raster(&map);
    let mut kept = vec![false; bodies.count as usize + 1];
    for slab in &bodies.slabs {
        let numbers = bodies.numbers(slab);
        for row in 0..slab.planes.len() * grid.ny {
            let line = grid.row(&values, slab.planes.start * grid.ny + row);
            for run in slab.runs.row(row) {
                let (start, end) = slab.runs.list[run];
                kept[numbers[run] as usize] |=
                    line[start as usize..end as usize].iter().any(|value| *value > high);
            }
        }
    }
    let mut mask = zeros(grid);
    let voxels = mask.as_slice_mut().expect("zeros are made in raster order");
    bodies.paint_into(voxels, |number| kept[number as usize].then_some(true));
    Ok(mask)
}

/// The voxels (z, y, x) that exceed the Gaussian mean of their surroundings by more than `offset`.
///
/// `sigma` (z, y, x) is in voxels. As `map > skimage.filters.threshold_local(map, method="gaussian", offset=-offset)`, but
/// for where the kernel ends.
///
/// # Errors
/// Those of [`gaussian`]; [`Error::Argument`] if the offset is NaN.
pub fn mask_above_local(map: ArrayView3<f32>, sigma: [f64; 3], offset: f32) -> Result<Array3<bool>, Error> {
    if offset.is_nan() {
        return Err(Error::Argument {
            name: "the offset above the local mean",
            given: offset.to_string(),
            expected: "a number",
        });
    }
    let mean = gaussian(map, sigma)?;
    Ok(Zip::from(&mean).and(map).map_collect(|&mean, &value| value > mean + offset))
}

//! Reconstruction: what of an image is connected to a marker.

use std::collections::VecDeque;

use ndarray::{Array3, ArrayView3};

use crate::grid::{Grid, Neighbourhood, all_finite, raster, same_shape};
use crate::memory::zeros;
use crate::{Connectivity, Error};

/// The highest image below `image` (z, y, x) that grows out of `marker` by steps over neighbours.
///
/// As `skimage.morphology.reconstruction` by dilation, with Vincent's hybrid algorithm (1993): one pass down, one up, and a
/// queue for what is left. Fills nothing that the marker does not reach: `image - h` as the marker levels peaks lower than
/// h, an erosion as the marker removes small bright objects and leaves the rest exactly as it is. Serial.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::NonFinite`], or [`Error::Argument`] if the marker is above the image somewhere.
pub fn reconstruct_by_dilation(
    marker: ArrayView3<f32>,
    image: ArrayView3<f32>,
    connectivity: Connectivity,
) -> Result<Array3<f32>, Error> {
    let expected = "a marker that is nowhere above the image";
    reconstruct(marker, image, connectivity, expected, |value| value)
}

/// The lowest image above `image` (z, y, x) that shrinks out of `marker` by steps over neighbours.
///
/// As `skimage.morphology.reconstruction` by erosion; fills dark holes that the marker does not reach. Serial.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::NonFinite`], or [`Error::Argument`] if the marker is below the image somewhere.
pub fn reconstruct_by_erosion(
    marker: ArrayView3<f32>,
    image: ArrayView3<f32>,
    connectivity: Connectivity,
) -> Result<Array3<f32>, Error> {
    let expected = "a marker that is nowhere below the image";
    reconstruct(marker, image, connectivity, expected, |value| -value)
}

/// Reconstruction by dilation of what `turn` makes of the values; `turn` undoes itself.
fn reconstruct(
    marker: ArrayView3<f32>,
    image: ArrayView3<f32>,
    connectivity: Connectivity,
    expected: &'static str,
    turn: impl Fn(f32) -> f32,
) -> Result<Array3<f32>, Error> {
    same_shape(("the marker", &marker), ("the image", &image))?;
    let grid = Grid::of(&image);
    let mut ceiling = raster(&image).into_owned();
    all_finite(grid, &ceiling)?;
    ceiling.iter_mut().for_each(|value| *value = turn(*value));
    let mut grown = zeros(grid);
    let levels = grown.as_slice_mut().expect("zeros are made in raster order");
    levels.copy_from_slice(&raster(&marker));
    all_finite(grid, levels)?;
    levels.iter_mut().for_each(|value| *value = turn(*value));
    if let Some(at) = (0..levels.len()).find(|&at| levels[at] > ceiling[at]) {
        return Err(Error::Argument {
            name: "the marker",
            given: format!(
                "{} at (z, y, x) = {:?}, where the image is {}",
                turn(levels[at]),
                grid.position(at),
                turn(ceiling[at])
            ),
            expected,
        });
    }
    grow(levels, &ceiling, &Neighbourhood::new(grid, connectivity));
    levels.iter_mut().for_each(|value| *value = turn(*value));
    Ok(grown)
}

fn grow(levels: &mut [f32], ceiling: &[f32], hood: &Neighbourhood) {
    let raise = |levels: &mut [f32], at: usize, before: bool| {
        let mut level = levels[at];
        hood.all(at, |other| {
            if (other < at) == before && levels[other] > level {
                level = levels[other];
            }
            true
        });
        levels[at] = level.min(ceiling[at]);
    };
    (0..levels.len()).for_each(|at| raise(levels, at, true));
    let mut queue = VecDeque::new();
    for at in (0..levels.len()).rev() {
        raise(levels, at, false);
        let can_rise = |other: usize| levels[other] < levels[at] && levels[other] < ceiling[other];
        if !hood.all(at, |other| other < at || !can_rise(other)) {
            queue.push_back(at);
        }
    }
    while let Some(at) = queue.pop_front() {
        let level = levels[at];
        hood.all(at, |other| {
            if levels[other] < level && levels[other] < ceiling[other] {
                levels[other] = level.min(ceiling[other]);
                queue.push_back(other);
            }
            true
        });
    }
}

//! Morphology of images and masks with any element.
//!
//! The highest value of a window is found by doubling: the highest of 2, 4, 8 ... neighbours are that of two shorter
//! windows, so a window of w takes about log2 w steps over contiguous memory, which become vector instructions. A box is
//! taken along one axis after the other, and a ball as the highest of its rows.

use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;

use super::element::{Element, Row};
use crate::Error;
use crate::grid::{Grid, all_finite, raster};
use crate::lanes::{LANES, StridedAxis, for_each_block};
use crate::memory::zeros;

/// A value of an image or a mask: `f32` or `bool`.
pub trait Level: Copy + Default + PartialOrd + Send + Sync + sealed::Sealed {}

impl Level for f32 {}
impl Level for bool {}

mod sealed {
    use super::{Error, Grid, all_finite};

    /// What morphology needs to know of a value.
    pub trait Sealed: Sized {
        const LEAST: Self;
        const GREATEST: Self;
        /// Refuses values of a volume (z, y, x) that have no order.
        fn check(shape: [usize; 3], values: &[Self]) -> Result<(), Error>;
    }

    impl Sealed for f32 {
        const LEAST: Self = f32::NEG_INFINITY;
        const GREATEST: Self = f32::INFINITY;

        fn check(shape: [usize; 3], values: &[Self]) -> Result<(), Error> {
            let [nz, ny, nx] = shape;
            all_finite(Grid { nz, ny, nx }, values)
        }
    }

    impl Sealed for bool {
        const LEAST: Self = false;
        const GREATEST: Self = true;

        fn check(_shape: [usize; 3], _values: &[Self]) -> Result<(), Error> {
            Ok(())
        }
    }
}

/// The highest value of the element around each voxel (z, y, x).
///
/// As `scipy.ndimage.grey_dilation` with its defaults: beyond the border lies nothing that could be higher. For a mask and
/// a ball [`crate::dilate`] does the same in a time that does not depend on the radius.
///
/// # Errors
/// [`Error::NonFinite`]; [`Error::Argument`] if the element is larger than 1024 voxels to a side, or not a size.
pub fn grey_dilate<T: Level>(image: ArrayView3<T>, element: Element) -> Result<Array3<T>, Error> {
    extreme(image, element, T::LEAST, |a, b| if b > a { b } else { a })
}

/// The lowest value of the element around each voxel (z, y, x).
///
/// As `scipy.ndimage.grey_erosion` with its defaults.
///
/// # Errors
/// Those of [`grey_dilate`].
pub fn grey_erode<T: Level>(image: ArrayView3<T>, element: Element) -> Result<Array3<T>, Error> {
    extreme(image, element, T::GREATEST, |a, b| if b < a { b } else { a })
}

/// An erosion and then a dilation: bright spots that the element does not fit into go.
///
/// # Errors
/// Those of [`grey_dilate`].
pub fn grey_open<T: Level>(image: ArrayView3<T>, element: Element) -> Result<Array3<T>, Error> {
    grey_dilate(grey_erode(image, element)?.view(), element)
}

/// A dilation and then an erosion: dark spots that the element does not fit into go.
///
/// # Errors
/// Those of [`grey_dilate`].
pub fn grey_close<T: Level>(image: ArrayView3<T>, element: Element) -> Result<Array3<T>, Error> {
    grey_erode(grey_dilate(image, element)?.view(), element)
}

/// The image less its opening: bright spots that the element does not fit into, on a dark ground.
///
/// # Errors
/// Those of [`grey_dilate`].
pub fn white_top_hat(image: ArrayView3<f32>, element: Element) -> Result<Array3<f32>, Error> {
    let mut hat = grey_open(image, element)?;
    hat.zip_mut_with(&image, |opened, &value| *opened = value - *opened);
    Ok(hat)
}

/// The image's closing less the image: dark spots that the element does not fit into, as bright ones.
///
/// # Errors
/// Those of [`grey_dilate`].
pub fn black_top_hat(image: ArrayView3<f32>, element: Element) -> Result<Array3<f32>, Error> {
    Ok(grey_close(image, element)? - image)
}

fn extreme<T: Level>(
    image: ArrayView3<T>,
    element: Element,
    neutral: T,
    pick: impl Fn(T, T) -> T + Copy + Sync + Send,
) -> Result<Array3<T>, Error> {
    let grid = Grid::of(&image);
    let values = raster(&image);
    T::check(grid.shape(), &values)?;
    let mut found = zeros(grid);
    if grid.len() == 0 {
        return Ok(found);
    }
    match element.check()? {
        Element::Box([z, y, x]) => {
            let rows = found.as_slice_mut().expect("zeros are made in raster order");
            rows.par_chunks_exact_mut(grid.nx).zip(values.par_chunks_exact(grid.nx)).for_each_init(
                Vec::new,
                |padded, (to, from)| {
                    windows(padded, from, 1, x, neutral, pick);
                    to.copy_from_slice(&padded[..grid.nx]);
                },
            );
            for (axis, radius) in [(StridedAxis::Y, y), (StridedAxis::Z, z)] {
                if radius > 0 {
                    for_each_block(&mut found, axis, Vec::new, |padded, block, _| {
                        windows(padded, block, LANES, radius, neutral, pick);
                        block.copy_from_slice(&padded[..block.len()]);
                    });
                }
            }
        }
        Element::Ball { radius, spacing } => {
            let element = Element::rows_of_ball(radius, spacing);
            let planes: Vec<_> = found.axis_iter_mut(Axis(0)).collect();
            planes.into_par_iter().enumerate().for_each_init(Vec::new, |padded, (z, mut plane)| {
                for (y, mut row) in plane.rows_mut().into_iter().enumerate() {
                    let to = row.as_slice_mut().expect("zeros are made in raster order");
                    to.fill(neutral);
                    for from in element.iter().filter_map(|row| row_beside(grid, [z, y], row)) {
                        windows(padded, grid.row(&values, from.0), 1, from.1, neutral, pick);
                        to.iter_mut().zip(&*padded).for_each(|(to, &from)| *to = pick(*to, from));
                    }
                }
            });
        }
    }
    Ok(found)
}

/// The number of the row beside row (z, y), if there is one, and the half window along it.
fn row_beside(grid: Grid, [z, y]: [usize; 2], row: &Row) -> Option<(usize, usize)> {
    let (z, y) = (z.wrapping_add_signed(row.z), y.wrapping_add_signed(row.y));
    (z < grid.nz && y < grid.ny).then(|| (z * grid.ny + y, row.half))
}

/// Fills the beginning of `padded` with the picks of windows of `2 radius + 1` steps, a step being `width` values.
fn windows<T: Copy>(
    padded: &mut Vec<T>,
    values: &[T],
    width: usize,
    radius: usize,
    neutral: T,
    pick: impl Fn(T, T) -> T,
) {
    // Windows longer than the line see all of it.
    let radius = radius.min(values.len() / width);
    padded.clear();
    padded.resize(radius * width, neutral);
    padded.extend_from_slice(values);
    padded.resize(values.len() + 2 * radius * width, neutral);
    let mut covered = 1;
    while covered < 2 * radius + 1 {
        let step = covered.min(2 * radius + 1 - covered);
        for at in 0..padded.len() - step * width {
            padded[at] = pick(padded[at], padded[at + step * width]);
        }
        covered += step;
    }
}

//! Volumes at another spacing.
//!
//! Voxels are boxes that fill space: the volume keeps its outer faces, and voxel i of the new grid has its centre at
//! `(i + 1/2) to - 1/2 from` along each axis, from the centre of the first old voxel.

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use crate::grid::{Grid, raster};
use crate::memory::zeros;
use crate::{Error, Spacing, gaussian};

/// A result may have this many voxels; more is a spacing given in the wrong unit.
const MOST: u64 = 1 << 40;

/// The shape (z, y, x) of a volume brought from one spacing to another: the nearest whole numbers, at least 1.
///
/// # Errors
/// [`Error::Empty`], or [`Error::TooLarge`] for more than 2^40 voxels.
pub fn resampled_shape(shape: [usize; 3], from: Spacing, to: Spacing) -> Result<[usize; 3], Error> {
    if shape.contains(&0) {
        return Err(Error::Empty { shape });
    }
    let (from, to) = (from.to_array(), to.to_array());
    let lengths: [f64; 3] =
        std::array::from_fn(|axis| (shape[axis] as f64 * from[axis] / to[axis]).round().max(1.0));
    let shape = lengths.map(|length| length as usize);
    if lengths.iter().product::<f64>() > MOST as f64 {
        return Err(Error::TooLarge { shape, limit: MOST });
    }
    Ok(shape)
}

/// Brings an image (z, y, x) to another spacing by linear interpolation.
///
/// Axes that become coarser are blurred first with a sigma of half the factor less one, so that nothing finer than the new
/// voxels turns into patterns; as `skimage.transform.resize(order=1)`, where the new spacing divides the volume evenly.
///
/// # Errors
/// Those of [`resampled_shape`] and [`gaussian`].
pub fn resample(image: ArrayView3<f32>, from: Spacing, to: Spacing) -> Result<Array3<f32>, Error> {
    let shape = resampled_shape(Grid::of(&image).shape(), from, to)?;
    let [z, y, x] = axes(image.dim().into(), shape, from, to);
    let factors: [f64; 3] = std::array::from_fn(|axis| to.to_array()[axis] / from.to_array()[axis]);
    if factors.iter().any(|&factor| factor > 1.0) {
        let blurred = gaussian(image, factors.map(|factor| ((factor - 1.0) / 2.0).max(0.0)))?;
        return Ok(interpolate(&blurred.view(), shape, [&z, &y, &x]));
    }
    Ok(interpolate(&image, shape, [&z, &y, &x]))
}

/// Brings labels (z, y, x) to another spacing: each new voxel has the id of the old voxel that its centre lies in.
///
/// # Errors
/// Those of [`resampled_shape`].
pub fn resample_labels(ids: ArrayView3<u32>, from: Spacing, to: Spacing) -> Result<Array3<u32>, Error> {
    let shape = resampled_shape(Grid::of(&ids).shape(), from, to)?;
    let nearest = axes(ids.dim().into(), shape, from, to).map(|axis| {
        let place = |p: &Place| if p.share < 0.5 { p.below } else { p.above };
        axis.iter().map(place).collect::<Vec<usize>>()
    });
    let [z, y, x] = nearest;
    Ok(Array3::from_shape_fn(shape, |(k, j, i)| ids[[z[k], y[j], x[i]]]))
}

/// A place between two voxels of an axis.
struct Place {
    below: usize,
    above: usize,
    /// How near to `above`, 0 to 1.
    share: f32,
}

/// The places of the new voxels' centres along each axis.
fn axes(old: [usize; 3], new: [usize; 3], from: Spacing, to: Spacing) -> [Vec<Place>; 3] {
    let (from, to) = (from.to_array(), to.to_array());
    std::array::from_fn(|axis| {
        let (last, factor) = (old[axis] - 1, to[axis] / from[axis]);
        let place = |index: usize| {
            let at = ((index as f64 + 0.5) * factor - 0.5).clamp(0.0, last as f64);
            let below = at.floor() as usize;
            Place { below, above: (below + 1).min(last), share: (at - below as f64) as f32 }
        };
        (0..new[axis]).map(place).collect()
    })
}

fn interpolate(image: &ArrayView3<f32>, shape: [usize; 3], [z, y, x]: [&[Place]; 3]) -> Array3<f32> {
    let grid = Grid::of(image);
    let values = raster(image);
    let [nz, ny, nx] = shape;
    let mut result = zeros(Grid { nz, ny, nx });
    let planes = result.as_slice_mut().expect("zeros are made in raster order");
    planes.par_chunks_exact_mut(ny * nx).zip(z).for_each_init(
        || (vec![0.0; grid.plane()], vec![0.0; grid.nx]),
        |(plane, row), (to, z)| {
            let of = |index: usize| &values[index * grid.plane()..(index + 1) * grid.plane()];
            blend(of(z.below), of(z.above), z.share, plane);
            for (to, y) in to.chunks_exact_mut(nx).zip(y) {
                blend(grid.row(plane, y.below), grid.row(plane, y.above), y.share, row);
                for (to, x) in to.iter_mut().zip(x) {
                    *to = row[x.below] + x.share * (row[x.above] - row[x.below]);
                }
            }
        },
    );
    result
}

fn blend(below: &[f32], above: &[f32], share: f32, to: &mut [f32]) {
    for ((to, below), above) in to.iter_mut().zip(below).zip(above) {
        *to = below + share * (above - below);
    }
}

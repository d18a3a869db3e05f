//! The measurements of label volumes that do not fit into memory.

use ndarray::Array3;
use rustc_hash::FxHashMap;

use super::moments::{Moments, gather};
use super::shape::find_axes;
use super::{Region, describe};
use crate::blocks::Block;
use crate::grid::{Grid, all_finite};
use crate::{Error, LabelSource, MapSource, Spacing};

/// [`crate::regions`] of a stored label volume, read in blocks of at most `block` (z, y, x) voxels.
///
/// Sizes, places and axes are those of the whole volume to the last bit, since places are summed as integers; intensities
/// differ by the rounding of sums in another order. Memory holds one block of labels, one of the image, and some 600 bytes
/// for each object.
///
/// # Errors
/// [`Error::Storage`]; [`Error::NonFinite`] for the image; [`Error::ShapeMismatch`]; [`Error::Argument`] if the block has no
/// voxels.
pub fn regions_in_blocks(
    labels: &impl LabelSource,
    image: Option<&dyn MapSource>,
    block: [usize; 3],
    spacing: Spacing,
) -> Result<Vec<Region>, Error> {
    let shape = labels.shape();
    if let Some(image) = image.filter(|image| image.shape() != shape) {
        return Err(Error::ShapeMismatch {
            first: "the labels",
            first_shape: shape,
            second: "the image",
            second_shape: image.shape(),
        });
    }
    let mut total: FxHashMap<u32, Moments> = FxHashMap::default();
    for Block { origin, shape: block } in Block::cover(shape, block)? {
        let [nz, ny, nx] = block;
        let grid = Grid { nz, ny, nx };
        let mut ids = Array3::zeros(block);
        labels.read(origin, ids.view_mut())?;
        let values = image.map(|image| values_of(image, origin, grid)).transpose()?;
        let ids = ids.as_slice().expect("a new array is stored in raster order");
        for (id, moments) in gather(grid, ids, values.as_deref(), |id, moments| (id, moments.moved(origin))) {
            match total.get_mut(&id) {
                Some(sums) => sums.merge(&moments),
                None => {
                    total.insert(id, moments);
                }
            }
        }
    }
    let mut regions: Vec<Region> =
        total.iter().map(|(id, moments)| describe(*id, moments, shape, spacing)).collect();
    regions.sort_unstable_by_key(|region| region.id);
    find_axes(&mut regions);
    Ok(regions)
}

/// The values of a block of the image, all of them finite.
fn values_of(image: &dyn MapSource, origin: [usize; 3], grid: Grid) -> Result<Vec<f32>, Error> {
    let mut values = Array3::zeros(grid.shape());
    image.read(origin, values.view_mut())?;
    let values = values.into_raw_vec_and_offset().0;
    all_finite(grid, &values).map_err(|error| error.in_box(origin))?;
    Ok(values)
}

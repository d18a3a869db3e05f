//! Any method in blocks, each object owned by one of them.

use ndarray::Array3;

use super::{Block, LabelStore, MapSource, numbered, renumber};
use crate::{Error, Labels, Spacing, regions};

/// Finds objects in blocks of at most `block` (z, y, x) voxels, each with `halo` voxels around it on all sides; returns how
/// many there are.
///
/// `segment` is asked for the objects of each block with its halo. An object belongs to the block that its centroid lies
/// in, and that block alone stores it, halo included; so no object is cut, joined or found twice at the borders of blocks
/// (Weigert et al. 2020 do so for StarDist). Where two blocks claim a voxel, the earlier one in raster order keeps it.
///
/// The labels are those of `segment` on the whole volume if its answer about an object depends on nothing that is further
/// than `halo` voxels from the object's centroid, and no object reaches further: then every block that sees the centroid
/// in its core sees all that matters. Thresholds, diameters and the like must be fixed beforehand, since a block would find
/// its own. Objects larger than the halo may be cut.
///
/// # Errors
/// Those of `segment`; [`Error::Storage`] from the source or the store; [`Error::Argument`] if a block has no voxels;
/// [`Error::TooManyLabels`].
pub fn instances_in_blocks(
    source: &impl MapSource,
    block: [usize; 3],
    halo: usize,
    segment: impl Fn(ndarray::ArrayView3<f32>) -> Result<Labels, Error>,
    store: &mut impl LabelStore,
) -> Result<u32, Error> {
    let volume = source.shape();
    let blocks = Block::cover(volume, block)?;
    let mut count = 0u32;
    for block in &blocks {
        let around = block.with_rim(halo, halo, volume);
        let mut map = Array3::zeros(around.shape);
        source.read(around.origin, map.view_mut())?;
        let labels = segment(map.view())?;
        drop(map);
        let mut numbers = vec![0; labels.count() as usize + 1];
        for region in regions(labels.ids(), None, Spacing::VOXELS)? {
            let centre = std::array::from_fn(|axis| {
                around.origin[axis] + (region.centroid_voxels[axis] + 0.5).floor() as usize
            });
            if block.contains(centre) {
                count = count.checked_add(1).ok_or(Error::TooManyLabels { count: 1 << 32 })?;
                numbers[region.id as usize] = count;
            }
        }
        let mut known = Array3::zeros(around.shape);
        store.read(around.origin, known.view_mut())?;
        ndarray::Zip::from(&mut known).and(labels.ids()).for_each(|known, &id| {
            if *known == 0 {
                *known = numbers[id as usize];
            }
        });
        store.write(around.origin, known.view())?;
    }
    // An object may have lost all its voxels to earlier blocks, so only what is stored counts.
    let mut firsts: Vec<Option<u64>> = vec![None; count as usize + 1];
    for block in &blocks {
        let mut ids = Array3::zeros(block.shape);
        store.read(block.origin, ids.view_mut())?;
        for ((z, y, x), &id) in ids.indexed_iter().filter(|(_, id)| **id != 0) {
            let row = (block.origin[0] + z) as u64 * volume[1] as u64 + (block.origin[1] + y) as u64;
            let index = row * volume[2] as u64 + (block.origin[2] + x) as u64;
            let first = &mut firsts[id as usize];
            *first = Some(first.map_or(index, |first| first.min(index)));
        }
    }
    let (numbers, count) = numbered(&firsts, |id| id);
    renumber(store, &blocks, &numbers)?;
    Ok(count)
}

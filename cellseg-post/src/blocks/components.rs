//! Connected components in blocks, exactly.

use ndarray::{Array3, s};

use super::{Block, LabelStore, MapSource, numbered, renumber};
use crate::union_find::UnionFind;
use crate::{Connectivity, Error, components, mask_above};

/// Labels the connected components of the voxels above `threshold` in blocks of at most `block` (z, y, x) voxels; returns
/// how many there are.
///
/// The labels are those of [`components`](crate::components()) on the whole volume, for any shape of the blocks: each block is read with one
/// voxel before it on each side, so that any two neighbours lie in one such box, and what the box unites is united with
/// what the blocks before it have stored. Memory is some 8 bytes a voxel of the block and 20 bytes for each component of
/// each block.
///
/// # Errors
/// [`Error::Storage`] from the source or the store; [`Error::Argument`] if a block has no voxels; [`Error::TooManyLabels`]
/// if the components of all blocks together do not fit into 32 bits.
pub fn components_in_blocks(
    source: &impl MapSource,
    threshold: f32,
    connectivity: Connectivity,
    block: [usize; 3],
    store: &mut impl LabelStore,
) -> Result<u32, Error> {
    let volume = source.shape();
    let blocks = Block::cover(volume, block)?;
    let mut sets = UnionFind::new(1);
    let mut firsts: Vec<Option<u64>> = vec![None];
    for block in &blocks {
        let around = block.with_rim(1, 0, volume);
        let mut map = Array3::zeros(around.shape);
        source.read(around.origin, map.view_mut())?;
        let labels = components(mask_above(map.view(), threshold).view(), connectivity)?;
        drop(map);
        let base = sets.len();
        let end = u64::from(base) + u64::from(labels.count());
        if end > u64::from(u32::MAX) {
            return Err(Error::TooManyLabels { count: end });
        }
        for _ in 0..labels.count() {
            sets.push();
        }
        firsts.resize(end as usize, None);
        let ids = labels.into_ids().mapv_into(|id| if id == 0 { 0 } else { base + id - 1 });
        let rim: [usize; 3] = std::array::from_fn(|axis| block.origin[axis] - around.origin[axis]);
        // The voxels before the block on each axis: the other blocks know them by other ids.
        for axis in (0..3).filter(|&axis| rim[axis] > 0) {
            let mut shape = around.shape;
            shape[axis] = 1;
            let mut known = Array3::zeros(shape);
            store.read(around.origin, known.view_mut())?;
            let here = ids.slice_axis(ndarray::Axis(axis), (0..1).into());
            for (&known, &here) in known.iter().zip(here).filter(|(known, _)| **known != 0) {
                sets.unite(known, here);
            }
        }
        let core = ids.slice(s![rim[0].., rim[1].., rim[2]..]);
        for ((z, y, x), &id) in core.indexed_iter().filter(|(_, id)| **id != 0) {
            let first = &mut firsts[id as usize];
            if first.is_none() {
                let row = (block.origin[0] + z) as u64 * volume[1] as u64 + (block.origin[1] + y) as u64;
                *first = Some(row * volume[2] as u64 + (block.origin[2] + x) as u64);
            }
        }
        store.write(block.origin, core)?;
    }
    let roots: Vec<u32> = (0..sets.len()).map(|id| sets.find(id)).collect();
    let (numbers, count) = numbered(&firsts, |id| roots[id] as usize);
    renumber(store, &blocks, &numbers)?;
    Ok(count)
}

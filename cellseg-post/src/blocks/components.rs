//! Connected components in blocks, exactly.

use ndarray::{Array3, Axis, s};

use super::{Block, LabelSource, LabelStore, MapSource, numbered, renumber};
use crate::union_find::UnionFind;
use crate::{Connectivity, Error, Labels, components, components_of_ids, mask_above};

/// Labels the connected components of the voxels above `threshold` in blocks of at most `block` (z, y, x) voxels; returns
/// how many there are; NaN is background, as for [`mask_above`].
///
/// The labels are those of [`components`](crate::components()) on the whole volume, for any shape of the blocks: each block is read with one
/// voxel before it on each side, so that any two neighbours lie in one such box, and what the box unites is united with
/// what the blocks before it have stored. Memory is some 14 bytes a voxel of the block and up to 64 bytes for each component of
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
    let components_of = |around: Block| {
        let mut map = Array3::zeros(around.shape);
        source.read(around.origin, map.view_mut())?;
        let mask = mask_above(map.view(), threshold);
        drop(map);
        components(mask.view(), connectivity)
    };
    stitched(source.shape(), block, components_of, store)
}

/// [`components_in_blocks`] of ids: neighbours are connected where theirs are equal, and 0 is background.
///
/// The labels are those of [`components_of_ids`](crate::components_of_ids()) on the whole volume.
///
/// # Errors
/// Those of [`components_in_blocks`].
pub fn components_of_ids_in_blocks(
    source: &impl LabelSource,
    connectivity: Connectivity,
    block: [usize; 3],
    store: &mut impl LabelStore,
) -> Result<u32, Error> {
    let components_of = |around: Block| {
        let mut ids = Array3::zeros(around.shape);
        source.read(around.origin, ids.view_mut())?;
        components_of_ids(ids.view(), connectivity)
    };
    stitched(source.shape(), block, components_of, store)
}

/// Unites the components that `components_of` finds in overlapping boxes.
fn stitched(
    volume: [usize; 3],
    block: [usize; 3],
    components_of: impl Fn(Block) -> Result<Labels, Error>,
    store: &mut impl LabelStore,
) -> Result<u32, Error> {
    let blocks = Block::cover(volume, block)?;
    let mut sets = UnionFind::new(1);
    let mut firsts: Vec<Option<u64>> = vec![None];
    for block in &blocks {
        let around = block.with_rim([1; 3], [0; 3], volume);
        let labels = components_of(around)?;
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
            let here = ids.slice_axis(Axis(axis), (0..1).into());
            for (&known, &here) in known.iter().zip(here).filter(|(known, _)| **known != 0) {
                sets.unite(known, here);
            }
        }
        let core = ids.slice(s![rim[0].., rim[1].., rim[2]..]);
        block.note_firsts(core, volume, &mut firsts);
        store.write(block.origin, core)?;
    }
    let roots: Vec<u32> = (0..sets.len()).map(|id| sets.find(id)).collect();
    let (numbers, count) = numbered(&firsts, |id| roots[id] as usize);
    renumber(store, &blocks, &numbers)?;
    Ok(count)
}

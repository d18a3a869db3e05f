//! Any method in blocks, each object owned by one of them, and larger ones stitched.

use std::collections::BTreeSet;

use ndarray::{Array3, ArrayView3, s};
use rustc_hash::FxHashMap;

use super::{Block, LabelStore, MapSource, numbered, renumber};
use crate::union_find::UnionFind;
use crate::{Error, Labels, Region, Spacing, regions};

/// Where number 0, the background, comes from.
const NOWHERE: usize = usize::MAX;

/// Finds objects in blocks of at most `block` (z, y, x) voxels, each with `halo` (z, y, x) voxels around it on both sides;
/// returns how many there are.
///
/// `segment` is asked for the objects of each block with its halo. An object belongs to the block that its centroid lies
/// in, and that block alone stores it, halo included; so no object is cut, joined or found twice at the borders of blocks
/// (Weigert et al. 2020 do so for StarDist). Where two blocks claim a voxel, the earlier one in raster order keeps it.
///
/// The labels are those of `segment` on the whole volume if its answer about an object depends on nothing that is further
/// than `halo` voxels from the object's centroid, and no object reaches further: then every block that sees the centroid
/// in its core sees all that matters. Thresholds, diameters and the like must be fixed beforehand, since a block would find
/// its own.
///
/// An object that ends at the side of a halo goes on behind it. Every block that it reaches stores its part, and parts of
/// two blocks are one object, by union-find, if they have half of their voxels in common where both blocks look
/// (intersection over union): so objects larger than the halo are found whole, as long as what blocks see of them agrees so
/// far.
///
/// # Errors
/// Those of `segment`, with places counted in the volume; [`Error::Storage`] from the source or the store; [`Error::Argument`] if a block has no voxels;
/// [`Error::TooManyLabels`].
pub fn instances_in_blocks(
    source: &impl MapSource,
    block: [usize; 3],
    halo: [usize; 3],
    segment: impl Fn(ArrayView3<f32>) -> Result<Labels, Error>,
    store: &mut impl LabelStore,
) -> Result<u32, Error> {
    let volume = source.shape();
    let blocks = Block::cover(volume, block)?;
    let mut sets = UnionFind::new(1);
    // The box that each block looked at, and which of them each number comes from.
    let mut boxes: Vec<Block> = Vec::new();
    let mut found_in = vec![NOWHERE];
    for block in &blocks {
        let around = block.with_rim(halo, halo, volume);
        boxes.push(around);
        let mut map = Array3::zeros(around.shape);
        source.read(around.origin, map.view_mut())?;
        let labels = segment(map.view()).map_err(|error| error.in_box(around.origin))?;
        drop(map);
        let mut numbers = vec![0; labels.count() as usize + 1];
        for id in claimed(*block, around, volume, labels.ids())? {
            if sets.len() == u32::MAX {
                return Err(Error::TooManyLabels { count: u64::from(u32::MAX) + 1 });
            }
            numbers[id as usize] = sets.push();
            found_in.push(boxes.len() - 1);
        }
        let here = labels.into_ids().mapv_into(|id| numbers[id as usize]);
        let mut known = Array3::zeros(around.shape);
        store.read(around.origin, known.view_mut())?;
        for (one, other) in alike(here.view(), known.view(), &boxes, &found_in) {
            sets.unite(one, other);
        }
        known.zip_mut_with(&here, |known, &here| {
            if *known == 0 {
                *known = here;
            }
        });
        store.write(around.origin, known.view())?;
    }
    // An object may have lost all its voxels to earlier blocks, so only what is stored counts.
    let mut firsts: Vec<Option<u64>> = vec![None; sets.len() as usize];
    for block in &blocks {
        let mut ids = Array3::zeros(block.shape);
        store.read(block.origin, ids.view_mut())?;
        block.note_firsts(ids.view(), volume, &mut firsts);
    }
    let roots: Vec<u32> = (0..sets.len()).map(|id| sets.find(id)).collect();
    let (numbers, count) = numbered(&firsts, |id| roots[id] as usize);
    renumber(store, &blocks, &numbers)?;
    Ok(count)
}

/// The objects of a box that its block stores: those whose centroid lies in it, and those that reach it and are cut.
fn claimed(block: Block, around: Block, volume: [usize; 3], ids: ArrayView3<u32>) -> Result<Vec<u32>, Error> {
    let start: [usize; 3] = std::array::from_fn(|axis| block.origin[axis] - around.origin[axis]);
    let end: [usize; 3] = std::array::from_fn(|axis| start[axis] + block.shape[axis]);
    let mut reaching = BTreeSet::new();
    let mut last = 0;
    for &id in ids.slice(s![start[0]..end[0], start[1]..end[1], start[2]..end[2]]) {
        if id != last {
            reaching.insert(id);
            last = id;
        }
    }
    let is_cut = |region: &Region| {
        (0..3).any(|axis| {
            let range = &region.bounding_box[axis];
            let cut_before = range.start == 0 && around.origin[axis] > 0;
            cut_before || range.end == around.shape[axis] && around.end(axis) < volume[axis]
        })
    };
    let holds_centroid = |region: &Region| {
        (0..3).all(|axis| {
            let centre = (region.centroid_voxels[axis] + 0.5).floor() as usize;
            (start[axis]..end[axis]).contains(&centre)
        })
    };
    let all = regions(ids, None, Spacing::VOXELS)?.into_iter();
    let claims = |region: &Region| match is_cut(region) {
        true => reaching.contains(&region.id),
        false => holds_centroid(region),
    };
    Ok(all.filter(claims).map(|region| region.id).collect())
}

/// The pairs of numbers from this box and from earlier ones that stand for one object: where both boxes look, the two have
/// at least half of their voxels in common.
fn alike(
    here: ArrayView3<u32>,
    known: ArrayView3<u32>,
    boxes: &[Block],
    found_in: &[usize],
) -> Vec<(u32, u32)> {
    let mut earlier = BTreeSet::new();
    let mut last = 0;
    for &number in known {
        if number != last && number != 0 {
            earlier.insert(found_in[number as usize]);
        }
        last = number;
    }
    let mut pairs = Vec::new();
    let around = boxes[boxes.len() - 1];
    for from in earlier {
        let other = boxes[from];
        let common: [_; 3] = std::array::from_fn(|axis| {
            let start = around.origin[axis].max(other.origin[axis]) - around.origin[axis];
            start..around.end(axis).min(other.end(axis)) - around.origin[axis]
        });
        let [z, y, x] = common;
        let (mut voxels, mut shared) = (FxHashMap::<u32, u64>::default(), FxHashMap::<_, u64>::default());
        let here = here.slice(s![z.clone(), y.clone(), x.clone()]);
        for (&here, &known) in here.iter().zip(known.slice(s![z, y, x])) {
            let known = if found_in[known as usize] == from { known } else { 0 };
            for number in [here, known].into_iter().filter(|number| *number != 0) {
                *voxels.entry(number).or_default() += 1;
            }
            if here != 0 && known != 0 {
                *shared.entry((here, known)).or_default() += 1;
            }
        }
        // The order does not matter: pairs are united.
        pairs.extend(shared.into_iter().filter_map(|((here, known), both)| {
            let either = voxels[&here] + voxels[&known] - both;
            (2 * both >= either).then_some((here, known))
        }));
    }
    pairs
}

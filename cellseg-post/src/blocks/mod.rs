//! Objects of volumes that do not fit into memory, block by block.
//!
//! A volume is a [`MapSource`] or a [`LabelSource`] that is read in boxes, and the labels go to a [`LabelStore`] that is
//! written in boxes too. Blocks are taken in raster order, each by all threads. Memory holds one block with its surroundings and a few
//! numbers for each object.

mod components;
mod instances;

use ndarray::{Array3, ArrayView3, ArrayViewMut3, s};

pub use components::{components_in_blocks, components_of_ids_in_blocks};
pub use instances::instances_in_blocks;

use crate::Error;

/// A volume that is read in boxes.
pub trait MapSource {
    /// The volume's shape (z, y, x).
    fn shape(&self) -> [usize; 3];

    /// Fills `into` with the box of its shape that begins at voxel `origin` (z, y, x).
    ///
    /// # Errors
    /// [`Error::Storage`] if it cannot be read.
    fn read(&self, origin: [usize; 3], into: ArrayViewMut3<f32>) -> Result<(), Error>;
}

/// Labels that are read in boxes.
pub trait LabelSource {
    /// The volume's shape (z, y, x).
    fn shape(&self) -> [usize; 3];

    /// Fills `into` with the box of its shape that begins at voxel `origin` (z, y, x).
    ///
    /// # Errors
    /// [`Error::Storage`] if it cannot be read.
    fn read(&self, origin: [usize; 3], into: ArrayViewMut3<u32>) -> Result<(), Error>;
}

/// Labels that are written and read in boxes; 0 everywhere at first.
pub trait LabelStore: LabelSource {
    /// Stores a box that begins at voxel `origin` (z, y, x).
    ///
    /// # Errors
    /// [`Error::Storage`] if it cannot be written.
    fn write(&mut self, origin: [usize; 3], labels: ArrayView3<u32>) -> Result<(), Error>;
}

impl MapSource for ArrayView3<'_, f32> {
    fn shape(&self) -> [usize; 3] {
        let (nz, ny, nx) = self.dim();
        [nz, ny, nx]
    }

    fn read(&self, origin: [usize; 3], mut into: ArrayViewMut3<f32>) -> Result<(), Error> {
        let shape = into.dim();
        into.assign(&part(self, origin, shape));
        Ok(())
    }
}

impl LabelSource for Array3<u32> {
    fn shape(&self) -> [usize; 3] {
        let (nz, ny, nx) = self.dim();
        [nz, ny, nx]
    }

    fn read(&self, origin: [usize; 3], mut into: ArrayViewMut3<u32>) -> Result<(), Error> {
        let shape = into.dim();
        into.assign(&part(&self.view(), origin, shape));
        Ok(())
    }
}

impl LabelStore for Array3<u32> {
    fn write(&mut self, [z, y, x]: [usize; 3], labels: ArrayView3<u32>) -> Result<(), Error> {
        let (nz, ny, nx) = labels.dim();
        self.slice_mut(s![z..z + nz, y..y + ny, x..x + nx]).assign(&labels);
        Ok(())
    }
}

fn part<'a, T>(
    volume: &'a ArrayView3<T>,
    [z, y, x]: [usize; 3],
    (nz, ny, nx): (usize, usize, usize),
) -> ArrayView3<'a, T> {
    volume.slice(s![z..z + nz, y..y + ny, x..x + nx])
}

/// A box of voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) origin: [usize; 3],
    pub(crate) shape: [usize; 3],
}

impl Block {
    /// The blocks of at most `size` that cover a volume, in raster order.
    pub(crate) fn cover(volume: [usize; 3], size: [usize; 3]) -> Result<Vec<Self>, Error> {
        if size.contains(&0) {
            return Err(Error::Argument {
                name: "the size of blocks (z, y, x) in voxels",
                given: format!("{size:?}"),
                expected: "at least 1 along each axis",
            });
        }
        let starts = |axis: usize| (0..volume[axis]).step_by(size[axis]);
        let mut blocks = Vec::new();
        for z in starts(0) {
            for y in starts(1) {
                for x in starts(2) {
                    let origin = [z, y, x];
                    let shape = std::array::from_fn(|axis| size[axis].min(volume[axis] - origin[axis]));
                    blocks.push(Self { origin, shape });
                }
            }
        }
        Ok(blocks)
    }

    /// The block and what lies within so many voxels (z, y, x) before and behind it, inside the volume.
    fn with_rim(self, before: [usize; 3], behind: [usize; 3], volume: [usize; 3]) -> Self {
        let origin: [usize; 3] = std::array::from_fn(|axis| self.origin[axis].saturating_sub(before[axis]));
        let shape = std::array::from_fn(|axis| {
            self.end(axis).saturating_add(behind[axis]).min(volume[axis]) - origin[axis]
        });
        Self { origin, shape }
    }

    /// The first voxel behind the block.
    fn end(self, axis: usize) -> usize {
        self.origin[axis] + self.shape[axis]
    }

    /// Puts into `firsts` the lowest index in raster order of each id that the block's voxels have.
    fn note_firsts(self, ids: ArrayView3<u32>, volume: [usize; 3], firsts: &mut [Option<u64>]) {
        for ((z, y), row) in
            (0..self.shape[0]).flat_map(|z| (0..self.shape[1]).map(move |y| (z, y))).zip(ids.rows())
        {
            let row_index = (self.origin[0] + z) as u64 * volume[1] as u64 + (self.origin[1] + y) as u64;
            let start = row_index * volume[2] as u64 + self.origin[2] as u64;
            let mut last = 0;
            for (index, &id) in (start..).zip(row) {
                if id != last && id != 0 {
                    let first = &mut firsts[id as usize];
                    *first = Some(first.map_or(index, |first| first.min(index)));
                }
                last = id;
            }
        }
    }
}

/// Replaces each stored id by `numbers[id]`.
fn renumber(store: &mut impl LabelStore, blocks: &[Block], numbers: &[u32]) -> Result<(), Error> {
    for block in blocks {
        let mut ids = Array3::zeros(block.shape);
        store.read(block.origin, ids.view_mut())?;
        ids.mapv_inplace(|id| numbers.get(id as usize).copied().unwrap_or(0));
        store.write(block.origin, ids.view())?;
    }
    Ok(())
}

/// Numbers 1, 2, ... by rising first voxels for those that stand for themselves, and for the others that of whom they
/// stand for; `root(id)` is not above `id`, and a first voxel of `None` gets 0.
fn numbered(firsts: &[Option<u64>], root: impl Fn(usize) -> usize) -> (Vec<u32>, u32) {
    let mut of_root = vec![None; firsts.len()];
    for (id, first) in firsts.iter().enumerate() {
        if let Some(first) = *first {
            let least = &mut of_root[root(id)];
            *least = Some(least.map_or(first, |least: u64| least.min(first)));
        }
    }
    let mut order: Vec<(u64, usize)> =
        of_root.iter().enumerate().filter_map(|(id, first)| first.map(|first| (first, id))).collect();
    order.sort_unstable();
    let mut numbers = vec![0; firsts.len()];
    for (number, &(_, id)) in (1..).zip(&order) {
        numbers[id] = number;
    }
    let all = (0..firsts.len()).map(|id| numbers[root(id)]).collect();
    (all, order.len() as u32)
}

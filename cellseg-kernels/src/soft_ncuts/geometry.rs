//! Extents, and how a batch is divided among threads.

use super::SoftNCuts;
use cellseg_core::{Result, Shape};
use std::ops::Range;

/// The extents of a batch, and how far a window reaches.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    /// Items of the batch.
    pub n: usize,
    /// Planes.
    pub d: usize,
    /// Rows of a plane.
    pub h: usize,
    /// Voxels of a row.
    pub w: usize,
    /// Classes.
    pub k: usize,
    /// Image channels.
    pub c: usize,
    /// How many neighbours a voxel can have on one side along `[z, y, x]`: the radius, bounded by the extents.
    pub reach: [usize; 3],
}

impl Geometry {
    /// Of shapes that were checked.
    pub(super) fn new(settings: &SoftNCuts, [probabilities, image]: [Shape; 2]) -> Result<Self> {
        let [n, d, h, w, k] = probabilities.volumes(super::NAME)?;
        let reach = [d, h, w].map(|extent| settings.radius.min(extent - 1));
        Ok(Geometry { n, d, h, w, k, c: image.channels(), reach })
    }

    /// Numbers in a row of probabilities.
    pub(super) fn row(&self) -> usize {
        self.w * self.k
    }

    /// Numbers in a plane of probabilities.
    pub(super) fn plane(&self) -> usize {
        self.h * self.row()
    }

    /// Numbers in one item's probabilities.
    pub(super) fn volume(&self) -> usize {
        self.d * self.plane()
    }

    /// Numbers in a row of the image.
    pub(super) fn image_row(&self) -> usize {
        self.w * self.c
    }

    /// Numbers in a plane of the image.
    pub(super) fn image_plane(&self) -> usize {
        self.h * self.image_row()
    }

    /// Numbers in one item's image.
    pub(super) fn image_volume(&self) -> usize {
        self.d * self.image_plane()
    }

    /// The planes of each item in slabs of at most `thickness`: the pieces of work, in an order that is fixed by the
    /// shape alone.
    pub(super) fn slabs(&self, thickness: usize) -> Vec<Slab> {
        let of_item = |item| {
            (0..self.d).step_by(thickness).map(move |z| Slab { item, z: z..(z + thickness).min(self.d) })
        };
        (0..self.n).flat_map(of_item).collect()
    }
}

/// Some planes of one item.
#[derive(Clone)]
pub(super) struct Slab {
    /// Which item of the batch.
    pub item: usize,
    /// Which of its planes.
    pub z: Range<usize>,
}

/// Cuts `data`, which holds `plane` numbers for each plane of a batch, into the pieces that belong to `slabs`.
pub(super) fn cut<'a, T>(slabs: &[Slab], plane: usize, mut data: &'a mut [T]) -> Vec<(Slab, &'a mut [T])> {
    let cut_one = |slab: &Slab| {
        let (piece, rest) = std::mem::take(&mut data).split_at_mut(slab.z.len() * plane);
        data = rest;
        (slab.clone(), piece)
    };
    slabs.iter().map(cut_one).collect()
}

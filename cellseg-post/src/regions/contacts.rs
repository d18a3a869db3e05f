//! Which objects touch, and along how large a face.

use ndarray::ArrayView3;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::Spacing;
use crate::grid::{Grid, raster};
use crate::wide::wide;

/// Two objects that have voxels side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contact {
    /// The ids of both, the smaller one first.
    pub ids: [u32; 2],
    /// Over how many voxel faces across z, y and x they touch.
    pub faces: [u64; 3],
    /// The total area of these faces in square micrometres.
    ///
    /// Faces of voxels make stairs of slanted borders, so this is up to the root of 3 too large.
    pub area: f64,
}

/// The pairs of objects of a label volume (z, y, x) that share voxel faces, by rising ids; 0 is background.
pub fn contacts(ids: ArrayView3<u32>, spacing: Spacing) -> Vec<Contact> {
    let grid = Grid::of(&ids);
    if grid.len() == 0 {
        return Vec::new();
    }
    let voxels = raster(&ids);
    let parts: Vec<Faces> = grid
        .slabs()
        .into_par_iter()
        .map(|planes| {
            let mut faces = Faces::default();
            for row in planes.start * grid.ny..planes.end * grid.ny {
                let here = grid.row(&voxels, row);
                add_faces(&here[..grid.nx - 1], &here[1..], 2, &mut faces);
                if row % grid.ny > 0 {
                    add_faces(grid.row(&voxels, row - 1), here, 1, &mut faces);
                }
                if row >= grid.ny {
                    add_faces(grid.row(&voxels, row - grid.ny), here, 0, &mut faces);
                }
            }
            faces.finish();
            faces
        })
        .collect();
    let mut total: FxHashMap<[u32; 2], [u64; 3]> = FxHashMap::default();
    for (ids, faces) in parts.into_iter().flat_map(|part| part.of_pair) {
        total.entry(ids).or_default().iter_mut().zip(faces).for_each(|(sum, part)| *sum += part);
    }
    let [z, y, x] = spacing.to_array();
    let area =
        |faces: [u64; 3]| faces.iter().zip([y * x, z * x, z * y]).map(|(&n, area)| n as f64 * area).sum();
    let mut contacts: Vec<Contact> =
        total.into_iter().map(|(ids, faces)| Contact { ids, faces, area: area(faces) }).collect();
    contacts.sort_unstable_by_key(|contact| contact.ids);
    contacts
}

/// Faces by pair of objects.
#[derive(Default)]
struct Faces {
    of_pair: FxHashMap<[u32; 2], [u64; 3]>,
    /// The pair seen last, its axis and how often in a row: it often comes again.
    last: ([u32; 2], usize),
    repeats: u64,
}

impl Faces {
    #[inline]
    fn add(&mut self, a: u32, b: u32, axis: usize) {
        let pair = ([a.min(b), a.max(b)], axis);
        if pair != self.last {
            self.finish();
            self.last = pair;
        }
        self.repeats += 1;
    }

    fn finish(&mut self) {
        if self.repeats > 0 {
            self.of_pair.entry(self.last.0).or_default()[self.last.1] += self.repeats;
            self.repeats = 0;
        }
    }
}

wide! {
    /// Adds the faces between two rows of voxels that lie side by side along an axis.
    fn add_faces(a: &[u32], b: &[u32], axis: usize, faces: &mut Faces) {
        let (blocks_a, rest_a) = a.as_chunks::<32>();
        let (blocks_b, rest_b) = b.as_chunks::<32>();
        for (a, b) in blocks_a.iter().zip(blocks_b) {
            let mut touching = 0u32;
            for lane in 0..32 {
                // Without a branch: neither is 0 and they differ.
                let touch = (a[lane] != b[lane]) & (a[lane] != 0) & (b[lane] != 0);
                touching |= u32::from(touch) << lane;
            }
            while touching != 0 {
                let lane = touching.trailing_zeros() as usize;
                touching &= touching - 1;
                faces.add(a[lane], b[lane], axis);
            }
        }
        for (&a, &b) in rest_a.iter().zip(rest_b) {
            if a != b && a != 0 && b != 0 {
                faces.add(a, b, axis);
            }
        }
    }
}

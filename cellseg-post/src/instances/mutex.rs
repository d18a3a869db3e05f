//! Mutex watershed: agglomeration by affinities that attract and repel.

use ndarray::{ArrayView3, ArrayView4, Axis};
use rayon::prelude::*;
use rustc_hash::FxHashSet;

use crate::float_order::key;
use crate::grid::{Grid, raster, same_shape};
use crate::union_find::UnionFind;
use crate::{Error, Labels};

/// What an affinity between two voxels means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// A high value says that both are of one object.
    Attractive,
    /// A high value says that they are of different objects.
    Repulsive,
}

/// A channel of affinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// The step (z, y, x) in voxels from a voxel to its partner.
    pub step: [isize; 3],
    /// What the channel's values mean.
    pub bond: Bond,
}

/// Divides the voxels of `mask` (z, y, x) into objects by affinities (channel, z, y, x), one channel for each offset.
///
/// Bonds are taken by falling value, the strongest first: an attractive one unites its two objects unless they exclude each
/// other, a repulsive one makes them exclude each other unless they are one (Wolf et al. 2018 and 2020). No threshold and
/// no seeds are needed. Of equal bonds the one of the earlier channel comes first, then the one of the earlier voxel. Bonds
/// to voxels outside the mask or the volume count for nothing.
///
/// # Errors
/// [`Error::Argument`] if the channels are not as many as the offsets, or a step is zero; [`Error::ShapeMismatch`];
/// [`Error::NonFinite`]; [`Error::TooLarge`] for 2^32 - 1 voxels times channels and more.
pub fn mutex_watershed(
    affinities: ArrayView4<f32>,
    offsets: &[Offset],
    mask: ArrayView3<bool>,
) -> Result<Labels, Error> {
    if affinities.len_of(Axis(0)) != offsets.len() {
        return Err(Error::Argument {
            name: "the number of affinity channels",
            given: format!("{} for {} offsets", affinities.len_of(Axis(0)), offsets.len()),
            expected: "one channel for each offset",
        });
    }
    if offsets.iter().any(|offset| offset.step == [0; 3]) {
        return Err(Error::Argument {
            name: "an offset's step (z, y, x)",
            given: "[0, 0, 0]".into(),
            expected: "a step to another voxel",
        });
    }
    let grid = Grid::of(&mask).fits_u32()?;
    // Bonds are numbered by channel and voxel.
    Grid { nz: grid.nz.saturating_mul(offsets.len().max(1)), ..grid }.fits_u32()?;
    let inside = raster(&mask);
    let mut bonds = Vec::new();
    for (channel, (values, offset)) in affinities.outer_iter().zip(offsets).enumerate() {
        same_shape(("the mask", &mask), ("a channel of the affinities", &values))?;
        bonds.par_extend(bonds_of(grid, &values, &inside, channel, offset)?);
    }
    bonds.par_sort_unstable();
    let mut objects = Objects { sets: UnionFind::new(grid.len() as u32), enemies: vec![None; grid.len()] };
    for bond in bonds {
        let (channel, from) = (bond as u32 as usize / grid.len(), bond as u32 as usize % grid.len());
        let step = offsets[channel].step;
        let to =
            from.wrapping_add_signed((step[0] * grid.ny as isize + step[1]) * grid.nx as isize + step[2]);
        match offsets[channel].bond {
            Bond::Attractive => objects.unite(from as u32, to as u32),
            Bond::Repulsive => objects.part(from as u32, to as u32),
        }
    }
    let Objects { mut sets, enemies } = objects;
    drop(enemies);
    let ids = ndarray::Array3::from_shape_fn(grid.shape(), |(z, y, x)| {
        let index = (z * grid.ny + y) * grid.nx + x;
        if inside[index] { sets.find(index as u32) + 1 } else { 0 }
    });
    Ok(Labels::from_ids(ids.view()))
}

/// The bonds of a channel: the negated key of the value above the number of channel and voxel.
fn bonds_of(
    grid: Grid,
    values: &ArrayView3<f32>,
    inside: &[bool],
    channel: usize,
    offset: &Offset,
) -> Result<Vec<u64>, Error> {
    let values = raster(values);
    let mut bonds = Vec::new();
    for (index, &value) in values.iter().enumerate().filter(|(index, _)| inside[*index]) {
        let at = grid.position(index);
        let to: [usize; 3] = std::array::from_fn(|axis| at[axis].wrapping_add_signed(offset.step[axis]));
        if to.iter().zip(grid.shape()).any(|(to, len)| *to >= len) {
            continue;
        }
        if !value.is_finite() {
            return Err(Error::NonFinite { position: at, value });
        }
        if inside[(to[0] * grid.ny + to[1]) * grid.nx + to[2]] {
            bonds.push(u64::from(!key(value)) << 32 | (channel * grid.len() + index) as u64);
        }
    }
    Ok(bonds)
}

/// Objects in the making and which of them exclude each other.
struct Objects {
    sets: UnionFind,
    /// For the root of an object the roots, some of them former ones, of those that it excludes.
    enemies: Vec<Option<Box<FxHashSet<u32>>>>,
}

impl Objects {
    fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.sets.find(a), self.sets.find(b));
        if a == b || self.exclude(a, b) {
            return;
        }
        self.sets.unite(a, b);
        let (kept, gone) = (a.min(b), a.max(b));
        let moved = self.enemies[gone as usize].take();
        // Whoever excluded the object that is gone excludes the united one from now on.
        for &enemy in moved.iter().flat_map(|set| set.iter()) {
            if let Some(set) = &mut self.enemies[enemy as usize] {
                set.remove(&gone);
                set.insert(kept);
            }
        }
        let (larger, smaller) = match (self.enemies[kept as usize].take(), moved) {
            (Some(a), Some(b)) if a.len() < b.len() => (Some(b), Some(a)),
            (Some(a), b) => (Some(a), b),
            (None, b) => (b, None),
        };
        self.enemies[kept as usize] = larger.map(|mut larger| {
            larger.extend(smaller.iter().flat_map(|set| set.iter()));
            larger
        });
    }

    fn part(&mut self, a: u32, b: u32) {
        let (a, b) = (self.sets.find(a), self.sets.find(b));
        if a != b {
            self.enemies[a as usize].get_or_insert_default().insert(b);
            self.enemies[b as usize].get_or_insert_default().insert(a);
        }
    }

    fn exclude(&self, a: u32, b: u32) -> bool {
        self.enemies[a as usize].as_ref().is_some_and(|set| set.contains(&b))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use proptest::prelude::*;

    use super::*;

    /// The definition: lists of members, all pairs of exclusions looked through.
    fn naive(affinities: &Array4<f32>, offsets: &[Offset], mask: &Array3<bool>) -> Array3<u32> {
        let (nz, ny, nx) = mask.dim();
        let mut bonds = Vec::new();
        for ((channel, z, y, x), &value) in affinities.indexed_iter() {
            let step = offsets[channel].step;
            let to = [
                z.wrapping_add_signed(step[0]),
                y.wrapping_add_signed(step[1]),
                x.wrapping_add_signed(step[2]),
            ];
            if mask[[z, y, x]] && mask.get(to) == Some(&true) {
                bonds.push((value, channel, (z * ny + y) * nx + x, (to[0] * ny + to[1]) * nx + to[2]));
            }
        }
        bonds.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut object: Vec<usize> = (0..nz * ny * nx).collect();
        let mut apart: Vec<(usize, usize)> = Vec::new();
        for (_, channel, from, to) in bonds {
            let (a, b) = (object[from], object[to]);
            let excluded = apart.iter().any(|&(p, q)| {
                let (p, q) = (object[p], object[q]);
                (p, q) == (a, b) || (q, p) == (a, b)
            });
            match offsets[channel].bond {
                Bond::Attractive if !excluded => {
                    object.iter_mut().filter(|id| **id == a).for_each(|id| *id = b)
                }
                Bond::Repulsive if a != b => apart.push((from, to)),
                _ => {}
            }
        }
        let ids = Array3::from_shape_fn(mask.dim(), |(z, y, x)| {
            if mask[[z, y, x]] { object[(z * ny + y) * nx + x] as u32 + 1 } else { 0 }
        });
        Labels::from_ids(ids.view()).into_ids()
    }

    const OFFSETS: [Offset; 6] = [
        Offset { step: [-1, 0, 0], bond: Bond::Attractive },
        Offset { step: [0, -1, 0], bond: Bond::Attractive },
        Offset { step: [0, 0, -1], bond: Bond::Attractive },
        Offset { step: [-2, 0, 0], bond: Bond::Repulsive },
        Offset { step: [0, 3, 0], bond: Bond::Repulsive },
        Offset { step: [0, 1, -2], bond: Bond::Repulsive },
    ];

    proptest! {
        #[test]
        fn objects_are_those_of_the_definition(values in prop::collection::vec((0u8..40, 0u8..8), 6 * 4 * 5 * 6)) {
            let shape = (6, 4, 5, 6);
            let affinities = Array4::from_shape_vec(shape, values.iter().map(|value| f32::from(value.0)).collect()).unwrap();
            let mask = Array3::from_shape_fn((4, 5, 6), |(z, y, x)| values[(z * 5 + y) * 6 + x].1 != 0);
            let ours = mutex_watershed(affinities.view(), &OFFSETS, mask.view()).unwrap();
            prop_assert_eq!(ours.into_ids(), naive(&affinities, &OFFSETS, &mask));
        }
    }

    #[test]
    fn channels_without_offsets_steps_to_nowhere_and_nan_are_errors() {
        let mask = Array3::from_elem((2, 2, 2), true);
        let mut affinities = Array4::<f32>::zeros((1, 2, 2, 2));
        let one = [OFFSETS[0]];
        assert!(matches!(
            mutex_watershed(affinities.view(), &OFFSETS, mask.view()),
            Err(Error::Argument { .. })
        ));
        let nowhere = [Offset { step: [0; 3], bond: Bond::Attractive }];
        assert!(matches!(
            mutex_watershed(affinities.view(), &nowhere, mask.view()),
            Err(Error::Argument { .. })
        ));
        affinities[[0, 1, 0, 1]] = f32::NAN;
        let error = mutex_watershed(affinities.view(), &one, mask.view()).unwrap_err();
        assert!(matches!(error, Error::NonFinite { position: [1, 0, 1], .. }));
        let other = Array3::from_elem((2, 2, 3), true);
        assert!(matches!(
            mutex_watershed(affinities.view(), &one, other.view()),
            Err(Error::ShapeMismatch { .. })
        ));
    }
}

//! Raster order, neighbourhoods and slabs of a volume.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::wide::wide;

/// Which neighbours of a voxel count as connected to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// The 6 voxels that share a face.
    Six,
    /// The 18 voxels that share a face or an edge.
    Eighteen,
    /// The 26 voxels that share a face, an edge or a corner.
    #[default]
    TwentySix,
}

impl Connectivity {
    /// How many of the three coordinates may differ by one.
    fn reach(self) -> usize {
        match self {
            Self::Six => 1,
            Self::Eighteen => 2,
            Self::TwentySix => 3,
        }
    }
}

/// The shape (z, y, x) of a volume whose voxels are numbered in raster order, x fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) nz: usize,
    pub(crate) ny: usize,
    pub(crate) nx: usize,
}

impl Grid {
    pub(crate) fn of<T>(volume: &ArrayView3<T>) -> Self {
        let (nz, ny, nx) = volume.dim();
        Self { nz, ny, nx }
    }

    pub(crate) fn shape(self) -> [usize; 3] {
        [self.nz, self.ny, self.nx]
    }

    pub(crate) fn len(self) -> usize {
        self.nz * self.ny * self.nx
    }

    pub(crate) fn plane(self) -> usize {
        self.ny * self.nx
    }

    /// Row `row` of the volume's voxels in raster order, counted from its first row.
    #[inline]
    pub(crate) fn row<T>(self, voxels: &[T], row: usize) -> &[T] {
        &voxels[row * self.nx..(row + 1) * self.nx]
    }

    pub(crate) fn position(self, index: usize) -> [usize; 3] {
        let row = index / self.nx;
        [row / self.ny, row % self.ny, index % self.nx]
    }

    /// Refuses volumes without voxels.
    pub(crate) fn not_empty(self) -> Result<Self, Error> {
        if self.len() == 0 { Err(Error::Empty { shape: self.shape() }) } else { Ok(self) }
    }

    /// Refuses volumes whose voxels cannot be numbered in 32 bits with one number to spare.
    pub(crate) fn fits_u32(self) -> Result<Self, Error> {
        if u32::try_from(self.len()).is_ok_and(|len| len < u32::MAX) {
            Ok(self)
        } else {
            Err(Error::TooLarge { shape: self.shape(), limit: u64::from(u32::MAX) })
        }
    }

    /// Cuts the z axis into at most 16 ranges that depend on the shape alone, never on the number of threads.
    pub(crate) fn slabs(self) -> Vec<Range<usize>> {
        let planes = self.nz.div_ceil(16).max(1);
        (0..self.nz).step_by(planes).map(|z| z..(z + planes).min(self.nz)).collect()
    }
}

/// Refuses two volumes of different shape.
pub(crate) fn same_shape<A, B>(
    (first, a): (&'static str, &ArrayView3<A>),
    (second, b): (&'static str, &ArrayView3<B>),
) -> Result<(), Error> {
    let (first_shape, second_shape) = (Grid::of(a).shape(), Grid::of(b).shape());
    if first_shape == second_shape {
        Ok(())
    } else {
        Err(Error::ShapeMismatch { first, first_shape, second, second_shape })
    }
}

/// The voxels in raster order: borrowed where they lie so in memory, copied otherwise.
pub(crate) fn raster<'a, T: Clone>(volume: &'a ArrayView3<'_, T>) -> Cow<'a, [T]> {
    match volume.as_slice() {
        Some(voxels) => Cow::Borrowed(voxels),
        None => Cow::Owned(volume.iter().cloned().collect()),
    }
}

/// Refuses NaN and infinite voxels; names the first.
pub(crate) fn all_finite(grid: Grid, voxels: &[f32]) -> Result<(), Error> {
    use rayon::prelude::*;
    const PART: usize = 1 << 14;
    let Some(part) = voxels.par_chunks(PART).position_first(|part| !finite(part)) else { return Ok(()) };
    let found = voxels.iter().enumerate().skip(part * PART).find(|(_, value)| !value.is_finite());
    found.map_or(Ok(()), |(index, &value)| Err(Error::NonFinite { position: grid.position(index), value }))
}

wide! {
    /// Whether all values are finite.
    fn finite(values: &[f32]) -> bool {
        // The largest exponent stands for infinity and NaN alone.
        values.iter().fold(0, |most, value| most.max(value.to_bits() & 0x7fff_ffff)) < 0x7f80_0000
    }
}

/// The neighbours of a voxel, nearest first and in raster order among equally near ones.
///
/// That is the order in which scikit-image's watershed visits them.
pub(crate) struct Neighbourhood {
    grid: Grid,
    steps: Vec<([isize; 3], isize)>,
}

impl Neighbourhood {
    pub(crate) fn new(grid: Grid, connectivity: Connectivity) -> Self {
        let mut steps = Vec::with_capacity(26);
        for dz in -1isize..=1 {
            for dy in -1isize..=1 {
                for dx in -1isize..=1 {
                    let differing = [dz, dy, dx].iter().filter(|d| **d != 0).count();
                    if (1..=connectivity.reach()).contains(&differing) {
                        let jump = (dz * grid.ny as isize + dy) * grid.nx as isize + dx;
                        steps.push((differing, ([dz, dy, dx], jump)));
                    }
                }
            }
        }
        steps.sort_by_key(|(differing, _)| *differing);
        Self { grid, steps: steps.into_iter().map(|(_, step)| step).collect() }
    }

    /// The steps alone, for places that have all their neighbours.
    pub(crate) fn into_jumps(self) -> Jumps {
        Jumps(self.steps.into_iter().map(|(_, jump)| jump).collect())
    }

    /// Calls `visit` with the raster index of each neighbour inside the volume until it returns false.
    ///
    /// Returns whether every neighbour was visited.
    #[inline]
    pub(crate) fn all(&self, index: usize, mut visit: impl FnMut(usize) -> bool) -> bool {
        let Grid { nz, ny, nx } = self.grid;
        let [z, y, x] = self.grid.position(index);
        let inside = |c: usize, n: usize| c > 0 && c + 1 < n;
        if inside(z, nz) && inside(y, ny) && inside(x, nx) {
            return self.steps.iter().all(|(_, jump)| visit(index.wrapping_add_signed(*jump)));
        }
        self.steps
            .iter()
            .filter(|([dz, dy, dx], _)| {
                z.wrapping_add_signed(*dz) < nz
                    && y.wrapping_add_signed(*dy) < ny
                    && x.wrapping_add_signed(*dx) < nx
            })
            .all(|(_, jump)| visit(index.wrapping_add_signed(*jump)))
    }
}

/// Who has neighbours.
pub(crate) trait Around {
    /// Calls `visit` with the index of each neighbour, nearest first.
    fn each(&self, index: usize, visit: impl FnMut(usize));
}

impl Around for Neighbourhood {
    /// Those outside the volume are left out.
    #[inline]
    fn each(&self, index: usize, mut visit: impl FnMut(usize)) {
        self.all(index, |neighbour| {
            visit(neighbour);
            true
        });
    }
}

/// The differences of index between a voxel and its neighbours.
pub(crate) struct Jumps(Vec<isize>);

impl Around for Jumps {
    #[inline]
    fn each(&self, index: usize, mut visit: impl FnMut(usize)) {
        for jump in &self.0 {
            visit(index.wrapping_add_signed(*jump));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_volume_that_32_bits_can_index_leaves_one_number_to_spare() {
        let grid = |nz| Grid { nz, ny: 65_536, nx: 65_537 };
        // 2^32 - 1 is 65535 * 65537.
        assert!(Grid { nz: 1, ny: 65_535, nx: 65_536 }.fits_u32().is_ok());
        assert!(Grid { nz: 1, ny: 65_535, nx: 65_537 }.fits_u32().is_err());
        assert!(matches!(grid(2).fits_u32(), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn slabs_cover_the_planes_once_and_are_few() {
        for nz in [0, 1, 15, 16, 17, 31, 100, 1000] {
            let slabs = Grid { nz, ny: 1, nx: 1 }.slabs();
            assert!(slabs.len() <= 16);
            assert!(slabs.into_iter().flatten().eq(0..nz), "{nz} planes");
        }
    }
}

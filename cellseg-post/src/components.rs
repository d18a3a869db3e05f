//! Connected components of a mask, by runs.
//!
//! Each row of the mask is cut into runs of foreground voxels; runs of neighbouring rows that touch are united in a
//! union-find. Only cutting and painting look at voxels, all else costs one step a run (Wu, Otoo & Suzuki 2009 give
//! the two-pass scheme; runs are He, Chao & Suzuki 2008). Slabs of planes are cut in parallel and joined along their
//! borders afterwards. The root of a set is its first run in raster order, so components are numbered by their first
//! voxel: the order of `scipy.ndimage.label` and cc3d.

use std::ops::Range;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use crate::grid::{Grid, raster};
use crate::memory::zeros;
use crate::runs::{
    Run, Runs, cut_above, cut_ids, cut_mask, cut_mask_within, cut_outside, number_of_runs, rows_fit,
};
use crate::union_find::UnionFind;
use crate::{Connectivity, Error, Labels};

/// Labels the connected components of a mask (z, y, x), numbered in raster order of their first voxels.
///
/// # Errors
/// [`Error::TooManyLabels`] if the mask has more runs of voxels than 32 bits can number.
pub fn components(mask: ArrayView3<bool>, connectivity: Connectivity) -> Result<Labels, Error> {
    let grid = Grid::of(&mask);
    let bodies = Bodies::of_mask(grid, &raster(&mask), connectivity)?;
    Ok(Labels::from_dense(bodies.paint(), bodies.count))
}

/// Labels the connected components of equal ids (z, y, x), 0 being background: voxels of one id that do not hang together
/// become several objects, different ids never become one. Numbered in raster order of their first voxels.
///
/// # Errors
/// [`Error::TooManyLabels`] if there are more runs of voxels than 32 bits can number.
pub fn components_of_ids(ids: ArrayView3<u32>, connectivity: Connectivity) -> Result<Labels, Error> {
    let grid = Grid::of(&ids);
    let bodies = Bodies::of_ids(grid, &raster(&ids), connectivity)?;
    Ok(Labels::from_dense(bodies.paint(), bodies.count))
}

/// Connected components by their runs, without a volume of ids.
pub(crate) struct Bodies {
    pub(crate) grid: Grid,
    pub(crate) slabs: Vec<Slab>,
    /// The number of each run's component, 1 to `count`, slab after slab.
    numbers: Vec<u32>,
    pub(crate) count: u32,
}

/// The runs of some planes.
pub(crate) struct Slab {
    pub(crate) planes: Range<usize>,
    pub(crate) runs: Runs,
    /// Where the slab's runs begin in [`Bodies::numbers`].
    first: usize,
}

impl Bodies {
    /// The components of the true voxels.
    pub(crate) fn of_mask(grid: Grid, mask: &[bool], connectivity: Connectivity) -> Result<Self, Error> {
        Self::of_rows(grid, connectivity, |row, runs| cut_mask(grid.row(mask, row), runs), |_, _| true)
    }

    /// The components of the voxels above a threshold.
    pub(crate) fn above(
        grid: Grid,
        map: &[f32],
        threshold: f32,
        connectivity: Connectivity,
    ) -> Result<Self, Error> {
        let cut = |row, runs: &mut Vec<Run>| cut_above(grid.row(map, row), threshold, runs);
        Self::of_rows(grid, connectivity, cut, |_, _| true)
    }

    /// The components of the true voxels that lie in these ones.
    pub(crate) fn marked(&self, marks: &[bool], connectivity: Connectivity) -> Result<Self, Error> {
        let grid = self.grid;
        let planes = self.slabs.first().map_or(1, |slab| slab.planes.len());
        let cut = |row: usize, runs: &mut Vec<Run>| {
            let slab = &self.slabs[row / grid.ny / planes];
            let within = slab.runs.of_row(row - slab.planes.start * grid.ny);
            cut_mask_within(grid.row(marks, row), within, runs);
        };
        Self::of_rows(grid, connectivity, cut, |_, _| true)
    }

    /// The components of the false voxels.
    pub(crate) fn of_outside(grid: Grid, mask: &[bool], connectivity: Connectivity) -> Result<Self, Error> {
        Self::of_rows(grid, connectivity, |row, runs| cut_outside(grid.row(mask, row), runs), |_, _| true)
    }

    /// The components of voxels of equal ids.
    pub(crate) fn of_ids(grid: Grid, ids: &[u32], connectivity: Connectivity) -> Result<Self, Error> {
        let cut = |row, runs: &mut Vec<Run>| cut_ids(grid.row(ids, row), runs);
        let id = |(row, run): (usize, Run)| ids[row * grid.nx + run.0 as usize];
        Self::of_rows(grid, connectivity, cut, |a, b| id(a) == id(b))
    }

    /// The components of the runs that `cut(row, runs)` finds, where touching runs for which `alike` is true, given each
    /// with its row's number, are one.
    fn of_rows(
        grid: Grid,
        connectivity: Connectivity,
        cut: impl Fn(usize, &mut Vec<Run>) + Sync,
        alike: impl Fn((usize, Run), (usize, Run)) -> bool + Sync,
    ) -> Result<Self, Error> {
        if grid.len() == 0 {
            return Ok(Self { grid, slabs: Vec::new(), numbers: Vec::new(), count: 0 });
        }
        let grid = rows_fit(grid)?;
        let unite = Unite { grid, connectivity, alike };
        let parts: Vec<(Range<usize>, Runs, UnionFind)> = grid
            .slabs()
            .into_par_iter()
            .map(|planes| {
                let runs = Runs::cut(grid, planes.clone(), &cut)?;
                let mut sets = UnionFind::new(number_of_runs(runs.list.len())?);
                unite.within(&runs, &planes, &mut sets);
                Ok((planes, runs, sets))
            })
            .collect::<Result<_, _>>()?;
        number_of_runs(parts.iter().map(|(_, runs, _)| runs.list.len()).sum())?;
        let (mut sets, mut slabs) = (UnionFind::default(), Vec::with_capacity(parts.len()));
        let mut first = 0;
        for (planes, runs, part) in parts {
            sets.append(&part);
            let slab = Slab { planes, runs, first };
            first += slab.runs.list.len();
            if let Some(above) = slabs.last() {
                unite.across(above, &slab, &mut sets);
            }
            slabs.push(slab);
        }
        let (numbers, count) = sets.numbered();
        Ok(Self { grid, slabs, numbers, count })
    }

    /// The component of each run of a slab.
    pub(crate) fn numbers(&self, slab: &Slab) -> &[u32] {
        &self.numbers[slab.first..slab.first + slab.runs.list.len()]
    }

    /// The component of each voxel (z, y, x), which must lie in one; voxels come in raster order.
    pub(crate) fn homes(&self, voxels: impl Iterator<Item = (usize, usize, u32)>) -> Vec<u32> {
        let mut slabs = self.slabs.iter().peekable();
        let mut homes = Vec::new();
        for (z, y, x) in voxels {
            while slabs.next_if(|slab| slab.planes.end <= z).is_some() {}
            let Some(slab) = slabs.peek() else { break };
            let row = slab.runs.row((z - slab.planes.start) * self.grid.ny + y);
            let runs = &slab.runs.list[row.clone()];
            let run = runs.partition_point(|&(_, end)| end <= x);
            homes.push(self.numbers(slab)[row.start + run]);
        }
        homes
    }

    /// The number of voxels of each component; entry 0 is 0.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let mut sizes = vec![0; self.count as usize + 1];
        for slab in &self.slabs {
            for (&(start, end), &number) in slab.runs.list.iter().zip(self.numbers(slab)) {
                sizes[number as usize] += u64::from(end - start);
            }
        }
        sizes
    }

    /// Which components have a voxel at the border of the volume; entry 0 is false.
    pub(crate) fn touching_border(&self) -> Vec<bool> {
        let Grid { nz, ny, nx } = self.grid;
        let mut touching = vec![false; self.count as usize + 1];
        for slab in &self.slabs {
            let numbers = self.numbers(slab);
            for row in 0..slab.planes.len() * ny {
                let (z, y) = (slab.planes.start + row / ny, row % ny);
                let outermost = z == 0 || z + 1 == nz || y == 0 || y + 1 == ny;
                for run in slab.runs.row(row) {
                    let (start, end) = slab.runs.list[run];
                    if outermost || start == 0 || end as usize == nx {
                        touching[numbers[run] as usize] = true;
                    }
                }
            }
        }
        touching
    }

    /// The component of each run, in raster order.
    pub(crate) fn all_numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The volume with each voxel's component, 0 outside.
    fn paint(&self) -> Array3<u32> {
        let mut ids = zeros(self.grid);
        self.paint_into(ids.as_slice_mut().expect("zeros are made in raster order"), Some);
        ids
    }

    /// Writes `value(number)`, where it is something, over the voxels of each component.
    pub(crate) fn paint_into<T: Copy + Send>(
        &self,
        mut voxels: &mut [T],
        value: impl Fn(u32) -> Option<T> + Sync,
    ) {
        let grid = self.grid;
        let mut parts = Vec::with_capacity(self.slabs.len());
        for slab in &self.slabs {
            let (part, rest) = voxels.split_at_mut(slab.planes.len() * grid.plane());
            parts.push((slab, part));
            voxels = rest;
        }
        parts.into_par_iter().for_each(|(slab, part)| {
            let numbers = self.numbers(slab);
            for (row, line) in part.chunks_exact_mut(grid.nx).enumerate() {
                for run in slab.runs.row(row) {
                    let (start, end) = slab.runs.list[run];
                    if let Some(value) = value(numbers[run]) {
                        line[start as usize..end as usize].fill(value);
                    }
                }
            }
        });
    }
}

/// A run that is to be united with those of other rows.
struct Pending {
    run: Run,
    number: u32,
    /// Whether one run of another row lies along all of it.
    covered: bool,
}

/// Which runs are united.
struct Unite<F> {
    grid: Grid,
    connectivity: Connectivity,
    alike: F,
}

impl<F: Fn((usize, Run), (usize, Run)) -> bool> Unite<F> {
    /// Unites the touching runs of some planes.
    fn within(&self, runs: &Runs, planes: &Range<usize>, sets: &mut UnionFind) {
        let ny = self.grid.ny;
        let origin = planes.start * ny;
        let mut pending = Vec::new();
        let line =
            |row: usize| Line { row: origin + row, runs: runs.of_row(row), first: runs.row(row).start };
        for row in 0..planes.len() * ny {
            let here = line(row);
            if here.runs.is_empty() {
                continue;
            }
            let (above, y) = (row.checked_sub(ny), row % ny);
            let before = (y > 0).then(|| line(row - 1));
            let plane_above =
                above.map(|row| self.beside(y).map(|dy| dy.map(|dy| line(row.wrapping_add_signed(dy)))));
            self.row(here, plane_above.unwrap_or_default(), before, &mut pending, sets);
        }
    }

    /// Unites the touching runs of the last plane of one slab and the first of the next.
    fn across(&self, above: &Slab, below: &Slab, sets: &mut UnionFind) {
        let ny = self.grid.ny;
        let last_plane = (above.planes.len() - 1) * ny;
        let mut pending = Vec::new();
        for y in 0..ny {
            let plane_above = self
                .beside(y)
                .map(|dy| dy.map(|dy| above.line(last_plane + y.wrapping_add_signed(dy), self.grid)));
            self.row(below.line(y, self.grid), plane_above, None, &mut pending, sets);
        }
    }

    /// The steps along y to the rows of the plane before that row `y` may touch: to its own, the next, the one before.
    fn beside(&self, y: usize) -> [Option<isize>; 3] {
        let diagonal = self.connectivity != Connectivity::Six;
        [Some(0), (diagonal && y + 1 < self.grid.ny).then_some(1), (diagonal && y > 0).then_some(-1)]
    }

    /// Unites the runs of a row with those of three rows of the plane before, in the order of [`Self::beside`], and with
    /// those of the row before.
    ///
    /// With 26 neighbours a voxel of the row `above` touches all that the voxel below it touches in the other rows, and
    /// one of the row `before` all of these but those of the row `next`: runs that are covered by theirs are already
    /// united with the others (Wu, Otoo & Suzuki 2009 decide so voxel by voxel).
    fn row(
        &self,
        here: Line,
        [above, next, previous]: [Option<Line>; 3],
        before: Option<Line>,
        pending: &mut Vec<Pending>,
        sets: &mut UnionFind,
    ) {
        let full = self.connectivity == Connectivity::TwentySix;
        let face = u32::from(self.connectivity != Connectivity::Six);
        let edge = u32::from(full);
        pending.clear();
        pending.extend((here.first as u32..).zip(here.runs).map(|(number, &run)| Pending {
            run,
            number,
            covered: false,
        }));
        for (other, slack, covers) in
            [(above, face, full), (next, edge, false), (before, face, full), (previous, edge, false)]
        {
            if let Some(other) = other {
                self.meet(other, here.row, pending, slack, covers, sets);
            }
            if covers {
                pending.retain(|run| !run.covered);
            }
        }
    }

    /// Unites the runs of `a` with the touching ones of another row.
    ///
    /// Runs may be `slack` apart: 0 where they must overlap, 1 where ends may meet diagonally.
    #[inline]
    fn meet(&self, a: Line, row: usize, b: &mut [Pending], slack: u32, covers: bool, sets: &mut UnionFind) {
        let mut touch = |i: usize, b: &mut Pending| {
            let (above, below) = (a.runs[i], b.run);
            let near = above.0 < below.1 + slack && below.0 < above.1 + slack;
            if near && (self.alike)((a.row, above), (row, below)) {
                sets.unite((a.first + i) as u32, b.number);
                b.covered |= covers && above.0 <= below.0 && below.1 <= above.1;
            }
        };
        let (mut i, mut j) = (0, 0);
        while i < a.runs.len() && j < b.len() {
            touch(i, &mut b[j]);
            let (end, other_end) = (a.runs[i].1, b[j].run.1);
            // Two that end together may each touch, by a corner, the one after the other: runs of ids follow without a gap.
            if end == other_end && i + 1 < a.runs.len() {
                touch(i + 1, &mut b[j]);
            }
            if end < other_end { i += 1 } else { j += 1 }
        }
    }
}

/// The runs of one row.
#[derive(Clone, Copy)]
struct Line<'a> {
    /// The row's number in the volume.
    row: usize,
    runs: &'a [Run],
    /// The number of its first run.
    first: usize,
}

impl Slab {
    fn line(&self, row: usize, grid: Grid) -> Line<'_> {
        let first = self.first + self.runs.row(row).start;
        Line { row: self.planes.start * grid.ny + row, runs: self.runs.of_row(row), first }
    }
}

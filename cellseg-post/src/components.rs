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
use crate::union_find::UnionFind;
use crate::{Connectivity, Error, Labels};

/// Labels the connected components of a mask (z, y, x), numbered in raster order of their first voxels.
///
/// # Errors
/// [`Error::TooManyLabels`] if the mask has more runs of voxels than 32 bits can number.
pub fn components(mask: ArrayView3<bool>, connectivity: Connectivity) -> Result<Labels, Error> {
    let grid = Grid::of(&mask);
    if grid.len() == 0 {
        return Ok(Labels::none(grid.shape()));
    }
    if u32::try_from(grid.nx).is_err() {
        return Err(Error::TooLarge { shape: grid.shape(), limit: 1 << 32 });
    }
    let voxels = raster(&mask);
    let slabs: Vec<Slab> = grid
        .slabs()
        .into_par_iter()
        .map(|planes| Slab::cut(&voxels, grid, planes, connectivity))
        .collect::<Result<_, _>>()?;
    let sets = join(&slabs, grid, connectivity)?;
    let (numbers, count) = sets.numbered();
    Ok(Labels::from_dense(paint(&slabs, grid, &numbers), count))
}

/// A run of foreground voxels `start..end` of one row.
type Run = (u32, u32);

/// The runs of some planes and their sets.
struct Slab {
    planes: Range<usize>,
    /// Where each row's runs begin in `runs`; one more entry than rows.
    rows: Vec<u32>,
    runs: Vec<Run>,
    sets: UnionFind,
}

impl Slab {
    fn cut(
        mask: &[bool],
        grid: Grid,
        planes: Range<usize>,
        connectivity: Connectivity,
    ) -> Result<Self, Error> {
        let mut runs = Vec::new();
        let mut rows = vec![0];
        for row in mask[planes.start * grid.plane()..planes.end * grid.plane()].chunks_exact(grid.nx) {
            cut_row(row, &mut runs);
            rows.push(run_number(runs.len())?);
        }
        let mut slab = Self { planes, rows, sets: UnionFind::new(run_number(runs.len())?), runs };
        for z in 0..slab.planes.len() {
            for y in 0..grid.ny {
                slab.unite_with_earlier_rows(z, y, grid, connectivity);
            }
        }
        Ok(slab)
    }

    fn row(&self, row: usize) -> Range<usize> {
        self.rows[row] as usize..self.rows[row + 1] as usize
    }

    /// Unites the runs of row (z, y) of this slab with the touching ones of the rows before it.
    fn unite_with_earlier_rows(&mut self, z: usize, y: usize, grid: Grid, connectivity: Connectivity) {
        let here = self.row(z * grid.ny + y);
        if here.is_empty() {
            return;
        }
        let before = (y > 0).then(|| (z * grid.ny + y - 1, slack(connectivity, 1)));
        let plane_before = (z > 0)
            .then(|| touching_rows(y, grid, connectivity).map(|(y, slack)| ((z - 1) * grid.ny + y, slack)));
        for (row, slack) in before.into_iter().chain(plane_before.into_iter().flatten()) {
            if let Some(slack) = slack {
                let there = self.row(row);
                unite_rows(
                    (&self.runs[there.clone()], there.start),
                    (&self.runs[here.clone()], here.start),
                    slack,
                    &mut self.sets,
                );
            }
        }
    }
}

fn run_number(runs: usize) -> Result<u32, Error> {
    u32::try_from(runs).map_err(|_| Error::TooManyLabels { count: runs as u64 })
}

/// Appends the runs of true voxels of one row.
fn cut_row(row: &[bool], runs: &mut Vec<Run>) {
    let mut x = 0;
    while let Some(skip) = row[x..].iter().position(|&inside| inside) {
        let start = x + skip;
        let end = row[start..].iter().position(|&inside| !inside).map_or(row.len(), |length| start + length);
        runs.push((start as u32, end as u32));
        x = end;
    }
}

/// How far apart in x two runs may be and still touch, where `differing` of their coordinates z and y differ.
///
/// 0: they must overlap; 1: ends may meet diagonally; `None`: such rows are never connected.
fn slack(connectivity: Connectivity, differing: usize) -> Option<u32> {
    match (connectivity, differing) {
        (Connectivity::Six, 1) | (Connectivity::Eighteen, 2) => Some(0),
        (Connectivity::Six, _) => None,
        _ => Some(1),
    }
}

/// The rows of the neighbouring plane that can touch row `y`, with their slack.
fn touching_rows(
    y: usize,
    grid: Grid,
    connectivity: Connectivity,
) -> impl Iterator<Item = (usize, Option<u32>)> {
    (y.saturating_sub(1)..(y + 2).min(grid.ny))
        .map(move |other| (other, slack(connectivity, if other == y { 1 } else { 2 })))
}

/// Unites the touching runs of two rows, each given with the number of its first run.
fn unite_rows(
    (a, a_first): (&[Run], usize),
    (b, b_first): (&[Run], usize),
    slack: u32,
    sets: &mut UnionFind,
) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i].0 < b[j].1 + slack && b[j].0 < a[i].1 + slack {
            sets.unite((a_first + i) as u32, (b_first + j) as u32);
        }
        if a[i].1 < b[j].1 { i += 1 } else { j += 1 }
    }
}

/// The sets of all slabs in one forest, with the runs that touch across slab borders united.
fn join(slabs: &[Slab], grid: Grid, connectivity: Connectivity) -> Result<UnionFind, Error> {
    run_number(slabs.iter().map(|slab| slab.runs.len()).sum())?;
    let mut sets = UnionFind::default();
    for slab in slabs {
        sets.append(&slab.sets);
    }
    let mut first = 0;
    for pair in slabs.windows(2) {
        let (above, below) = (&pair[0], &pair[1]);
        let last_plane = (above.planes.len() - 1) * grid.ny;
        let below_first = first + above.runs.len();
        for y in 0..grid.ny {
            let here = below.row(y);
            for (other, slack) in touching_rows(y, grid, connectivity) {
                if let Some(slack) = slack {
                    let there = above.row(last_plane + other);
                    unite_rows(
                        (&above.runs[there.clone()], first + there.start),
                        (&below.runs[here.clone()], below_first + here.start),
                        slack,
                        &mut sets,
                    );
                }
            }
        }
        first = below_first;
    }
    Ok(sets)
}

/// Writes each run's number into a volume of zeros.
fn paint(slabs: &[Slab], grid: Grid, numbers: &[u32]) -> Array3<u32> {
    let mut ids = vec![0u32; grid.len()];
    let (mut ids_left, mut numbers_left) = (ids.as_mut_slice(), numbers);
    let mut parts = Vec::with_capacity(slabs.len());
    for slab in slabs {
        let (voxels, ids_rest) = ids_left.split_at_mut(slab.planes.len() * grid.plane());
        let (numbers, numbers_rest) = numbers_left.split_at(slab.runs.len());
        parts.push((slab, voxels, numbers));
        (ids_left, numbers_left) = (ids_rest, numbers_rest);
    }
    parts.into_par_iter().for_each(|(slab, voxels, numbers)| {
        for (row, line) in voxels.chunks_exact_mut(grid.nx).enumerate() {
            for run in slab.row(row) {
                let (start, end) = slab.runs[run];
                line[start as usize..end as usize].fill(numbers[run]);
            }
        }
    });
    Array3::from_shape_vec(grid.shape(), ids).expect("one id for each voxel of the grid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_runs_than_32_bits_can_number_are_an_error() {
        assert_eq!(run_number(u32::MAX as usize), Ok(u32::MAX));
        let count = u64::from(u32::MAX) + 1;
        assert_eq!(run_number(count as usize), Err(Error::TooManyLabels { count }));
    }
}

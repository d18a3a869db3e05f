//! Components of a mask one by one.

use std::ops::Range;

use crate::Connectivity;
use crate::components::Bodies;
use crate::grid::{Grid, Jumps, Neighbourhood};

/// The runs of each component together.
pub(crate) struct BodyRuns {
    grid: Grid,
    /// Where the runs of each component begin; component `n` is entry `n - 1`.
    first: Vec<u32>,
    runs: Vec<BodyRun>,
}

/// A run of a component.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BodyRun {
    /// The number of its row in the volume.
    pub(crate) row: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl BodyRun {
    /// The raster indices of its voxels.
    #[inline]
    pub(crate) fn voxels(self, grid: Grid) -> Range<usize> {
        let row = self.row as usize * grid.nx;
        row + self.start as usize..row + self.end as usize
    }

    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

impl BodyRuns {
    /// Sorts the runs by component, those of one in raster order. The volume's rows must have numbers of 32 bits.
    pub(crate) fn new(bodies: Bodies) -> Self {
        let grid = bodies.grid;
        let mut first = vec![0u32; bodies.count as usize + 1];
        bodies.all_numbers().iter().for_each(|&number| first[number as usize] += 1);
        let mut total = 0;
        for entry in &mut first {
            total += std::mem::replace(entry, total);
        }
        let mut runs = vec![BodyRun::default(); bodies.all_numbers().len()];
        // Each component's next free place; in the end where the next component begins.
        let mut place = first.clone();
        for slab in &bodies.slabs {
            let numbers = bodies.numbers(slab);
            for row in 0..slab.planes.len() * grid.ny {
                for run in slab.runs.row(row) {
                    let (start, end) = slab.runs.list[run];
                    let free = &mut place[numbers[run] as usize];
                    let row = (slab.planes.start * grid.ny + row) as u32;
                    runs[*free as usize] = BodyRun { row, start, end };
                    *free += 1;
                }
            }
        }
        first.remove(0);
        first.push(total);
        Self { grid, first, runs }
    }

    /// The numbers of all components.
    pub(crate) fn all(&self) -> Range<u32> {
        1..self.first.len() as u32
    }

    /// The runs of a component in raster order.
    pub(crate) fn of(&self, body: u32) -> &[BodyRun] {
        let at = body as usize - 1;
        &self.runs[self.first[at] as usize..self.first[at + 1] as usize]
    }

    /// The components that are worked on in place, and those that are copied into boxes of their own.
    ///
    /// A box may have a sixteenth of the volume's voxels, so that a thread's copy costs less than a byte a voxel.
    pub(crate) fn large_and_small(&self) -> (Vec<u32>, Vec<u32>) {
        const CHEAP: usize = 1 << 21;
        let most = (self.grid.len() / 16).max(CHEAP);
        self.all().partition(|&body| self.box_len(body) > most)
    }

    /// The number of voxels of the smallest box that holds a component, its rim included.
    fn box_len(&self, body: u32) -> usize {
        BoxGrid::around(self.grid, self.of(body)).len()
    }
}

/// The grid of the smallest box that holds some runs, with a rim of voxels that belong to none.
///
/// One plane, row and column lie before the box; the next row's or plane's lie behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoxGrid {
    volume: Grid,
    /// The volume's voxel (z, y, x) that is the first of the box.
    origin: [usize; 3],
    padded: Grid,
}

impl Default for BoxGrid {
    fn default() -> Self {
        let none = Grid { nz: 0, ny: 0, nx: 0 };
        Self { volume: none, origin: [0; 3], padded: none }
    }
}

impl BoxGrid {
    /// The box around runs in raster order.
    pub(crate) fn around(volume: Grid, runs: &[BodyRun]) -> Self {
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for run in runs {
            let (z, y) = (run.row as usize / volume.ny, run.row as usize % volume.ny);
            let ranges = [(z, z + 1), (y, y + 1), (run.start as usize, run.end as usize)];
            for (axis, (start, end)) in ranges.into_iter().enumerate() {
                low[axis] = low[axis].min(start);
                high[axis] = high[axis].max(end);
            }
        }
        let [nz, ny, nx] = std::array::from_fn(|axis| high[axis].saturating_sub(low[axis]));
        Self { volume, origin: low, padded: Grid { nz: nz + 2, ny: ny + 1, nx: nx + 1 } }
    }

    /// How many places the box and its rim have.
    pub(crate) fn len(&self) -> usize {
        // Two more, so that four voxels can be read where three are meant.
        self.padded.len() + self.padded.nx + 3
    }

    /// Where a run begins.
    #[inline]
    pub(crate) fn place(&self, run: &BodyRun) -> usize {
        let (z, y) = (run.row as usize / self.volume.ny, run.row as usize % self.volume.ny);
        let row = (z - self.origin[0] + 1) * self.padded.ny + y - self.origin[1] + 1;
        row * self.padded.nx + run.start as usize - self.origin[2] + 1
    }

    /// The voxel (z, y, x) of the volume that lies at a place of the box.
    pub(crate) fn position(&self, place: usize) -> [usize; 3] {
        let at = self.padded.position(place);
        std::array::from_fn(|axis| at[axis] + self.origin[axis] - 1)
    }

    /// The steps from a place to the first voxels of the nine rows of three around it.
    pub(crate) fn rows_around(&self) -> [isize; 9] {
        let (row, plane) = (self.padded.nx as isize, self.padded.plane() as isize);
        std::array::from_fn(|n| (n as isize / 3 - 1) * plane + (n as isize % 3 - 1) * row - 1)
    }

    /// The steps from a place to its neighbours.
    pub(crate) fn jumps(&self, connectivity: Connectivity) -> Jumps {
        Neighbourhood::new(self.padded, connectivity).into_jumps()
    }
}

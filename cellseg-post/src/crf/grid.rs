//! The bilateral grid (Chen, Paris and Durand 2007): a blur over place and brightness.
//!
//! Voxels are spread over the 16 corners of the cell they lie in, along four axes (z, y, x, brightness), the grid is
//! blurred, and read at the voxels again. Spreading and reading are linear and blur by a sixth of a cell's square each, so
//! that the grid's own blur has the rest of the variance to make it one sigma's square. Beside the exact sums over all
//! pairs of voxels, cells of one sigma err half as much as pydensecrf's lattice, and those of two thirds a quarter as much.
//!
//! All voxels between the same eight corners in space are taken together. Their brightnesses select a slot of 16 values,
//! the corners of both bins: one voxel is one multiply-add of a vector of 16.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;

use super::brightness::{Brightness, REACH};
use crate::Error;
use crate::gaussian::{Beyond, TRUNCATE, gaussian_within};
use crate::grid::{Grid, raster};
use crate::wide::wide;

/// Cells in the width of one sigma.
const CELLS_PER_SIGMA: f64 = 1.5;

/// Planes that are spread together: few enough that there are many parts for threads.
const PLANES: usize = 16;

/// Parts whose sums are held before they are added to the grid.
const PARTS: usize = 16;

/// The grid may have this many cells for each voxel, or [`ALWAYS`].
const CELLS_PER_VOXEL: usize = 2;
const ALWAYS: usize = 1 << 22;

/// A spatial axis of the grid.
struct Cells {
    /// Ranges of coordinates between two neighbouring cells, with the first cell's number.
    spans: Vec<(usize, Range<usize>)>,
    /// For each coordinate the share that belongs to the next cell.
    shares: Vec<f32>,
    count: usize,
}

impl Cells {
    fn new(len: usize, cell_width: f64, most: usize) -> Self {
        let mut spans: Vec<(usize, Range<usize>)> = Vec::new();
        let mut shares = Vec::with_capacity(len);
        for at in 0..len {
            let position = at as f64 / cell_width;
            let cell = position as usize;
            shares.push((position - cell as f64) as f32);
            match spans.last_mut() {
                Some((last, span)) if *last == cell && span.len() < most => span.end = at + 1,
                _ => spans.push((cell, at..at + 1)),
            }
        }
        let count = spans.last().map_or(0, |(cell, _)| cell + 2);
        Self { spans, shares, count }
    }
}

/// The grid of one image.
pub(super) struct BilateralGrid<'a> {
    volume: Grid,
    image: Cow<'a, [f32]>,
    brightness: Brightness,
    z: Cells,
    y: Cells,
    x: Cells,
    /// For each x the shares of both cells along x, repeated for the four corners along z and y.
    x_lanes: Vec<[f32; 8]>,
}

impl<'a> BilateralGrid<'a> {
    pub(super) fn new(
        image: ArrayView3<'a, f32>,
        sigma: [f64; 3],
        intensity_sigma: f64,
    ) -> Result<Self, Error> {
        let volume = Grid::of(&image);
        let image = match image.to_slice() {
            Some(voxels) => Cow::Borrowed(voxels),
            None => Cow::Owned(raster(&image).into_owned()),
        };
        let brightness = Brightness::new(&image, intensity_sigma / CELLS_PER_SIGMA)?;
        let cell = sigma.map(|sigma| sigma / CELLS_PER_SIGMA);
        let cells_along = |axis: usize| (volume.shape()[axis] as f64 / cell[axis]).ceil() + 2.0;
        let cells = (0..3).map(cells_along).product::<f64>() * brightness.bins() as f64;
        if cells > (CELLS_PER_VOXEL * volume.len()).max(ALWAYS) as f64 {
            return Err(Error::Argument {
                name: "the sigmas of the appearance kernel",
                given: format!(
                    "(z, y, x) {sigma:?} voxels and {intensity_sigma} of brightness, which need a grid of {cells:.0} \
                     cells for {} voxels",
                    volume.len()
                ),
                expected: "a larger appearance_sigma (3 voxels and more) or a larger intensity_sigma",
            });
        }
        let x = Cells::new(volume.nx, cell[2], usize::MAX);
        let x_lanes = x
            .shares
            .iter()
            .map(|&share| std::array::from_fn(|k| if k % 2 == 0 { 1.0 - share } else { share }));
        Ok(Self {
            volume,
            image,
            brightness,
            z: Cells::new(volume.nz, cell[0], PLANES),
            y: Cells::new(volume.ny, cell[1], usize::MAX),
            x_lanes: x_lanes.collect(),
            x,
        })
    }

    /// `sums = keep sums + add norm K (norm values)` for `[keep, add]`, where K is the Gaussian of place and brightness.
    pub(super) fn add_filtered(
        &self,
        values: &Array3<f32>,
        norm: &Array3<f32>,
        weights: [f32; 2],
        sums: &mut Array3<f32>,
    ) -> Result<(), Error> {
        let values = values.as_slice().expect("maps are made in raster order");
        let norm = norm.as_slice().expect("maps are made in raster order");
        let sums = sums.as_slice_mut().expect("maps are made in raster order");
        let blurred = self.blur(self.spread(values, norm))?;
        self.read(&blurred, norm, weights, sums);
        Ok(())
    }

    /// The cells of a plane of the grid, with all brightnesses.
    fn plane(&self) -> usize {
        self.y.count * self.x.count * self.brightness.bins()
    }

    fn spread(&self, values: &[f32], norm: &[f32]) -> Vec<f32> {
        let mut cells = vec![0.0; self.z.count * self.plane()];
        // Neighbouring parts share a plane of the grid: each has two of its own, added in their order.
        for parts in self.z.spans.chunks(PARTS) {
            let spread: Vec<Vec<f32>> =
                parts.par_iter().map(|(_, planes)| self.spread_planes(planes, values, norm)).collect();
            for ((cell, _), planes) in parts.iter().zip(spread) {
                let to = &mut cells[cell * self.plane()..(cell + 2) * self.plane()];
                to.iter_mut().zip(planes).for_each(|(to, from)| *to += from);
            }
        }
        cells
    }

    /// Two planes of the grid: what some planes of the volume between them give to both.
    fn spread_planes(&self, planes: &Range<usize>, values: &[f32], norm: &[f32]) -> Vec<f32> {
        let mut cells = vec![0.0; 2 * self.plane()];
        let bins = self.brightness.bins();
        let mut slots = vec![[0.0; 16]; bins];
        for cube in self.cubes(planes) {
            slots.fill([0.0; 16]);
            spread_cube(self, &cube, values, norm, &mut slots);
            for (corner, start) in self.corners(&cube).into_iter().enumerate() {
                let to = &mut cells[start..start + bins];
                for (bin, slot) in slots[..bins - 1].iter().enumerate() {
                    to[bin] += slot[corner];
                    to[bin + 1] += slot[8 + corner];
                }
            }
        }
        cells
    }

    fn blur(&self, cells: Vec<f32>) -> Result<Vec<f32>, Error> {
        let sigma = (CELLS_PER_SIGMA * CELLS_PER_SIGMA - 1.0 / 3.0).sqrt();
        debug_assert_eq!((TRUNCATE * sigma + 0.5) as usize, REACH);
        let (planes, rows, bins) = (self.z.count, self.y.count, self.brightness.bins());
        // The filter knows three axes: first each plane by itself, then all planes with the rest as one.
        let shape = (planes * rows, self.x.count, bins);
        let cells = Array3::from_shape_vec(shape, cells).expect("one value for each cell");
        let cells = gaussian_within(cells.view(), [0.0, sigma, sigma], Beyond::Zero)?;
        let shape = (planes, rows, self.x.count * bins);
        let cells = cells.into_shape_with_order(shape).expect("the same number of cells");
        let cells = gaussian_within(cells.view(), [sigma, sigma, 0.0], Beyond::Zero)?;
        Ok(cells.into_raw_vec_and_offset().0)
    }

    fn read(&self, cells: &[f32], norm: &[f32], weights: [f32; 2], sums: &mut [f32]) {
        let (mut rest, mut parts) = (sums, Vec::with_capacity(self.z.spans.len()));
        for (cell, planes) in &self.z.spans {
            let (part, after) = rest.split_at_mut(planes.len() * self.volume.plane());
            parts.push((*cell, planes, part));
            rest = after;
        }
        parts.into_par_iter().for_each(|(cell, planes, sums)| {
            let bins = self.brightness.bins();
            let cells = &cells[cell * self.plane()..(cell + 2) * self.plane()];
            let mut slots = vec![[0.0; 8]; bins];
            for cube in self.cubes(planes) {
                for (corner, start) in self.corners(&cube).into_iter().enumerate() {
                    slots
                        .iter_mut()
                        .zip(&cells[start..start + bins])
                        .for_each(|(slot, cell)| slot[corner] = *cell);
                }
                read_cube(self, &cube, &slots, norm, weights, sums);
            }
        });
    }

    /// The voxels of some planes, cut where cells begin.
    fn cubes<'c>(&'c self, planes: &'c Range<usize>) -> impl Iterator<Item = Cube> + 'c {
        self.y.spans.iter().flat_map(move |(y_cell, y)| {
            self.x.spans.iter().map(move |(x_cell, x)| Cube {
                z: planes.clone(),
                y: y.clone(),
                x: x.clone(),
                corner: (y_cell * self.x.count + x_cell) * self.brightness.bins(),
            })
        })
    }

    /// Where the bins of a cube's corners begin in two planes of the grid; z counts 4, y 2, x 1.
    fn corners(&self, cube: &Cube) -> [usize; 8] {
        let bins = self.brightness.bins();
        std::array::from_fn(|k| {
            cube.corner + (k >> 2) * self.plane() + (k >> 1 & 1) * self.x.count * bins + (k & 1) * bins
        })
    }

    /// The shares of the four corners along z and y of a row, each twice for both corners along x.
    #[inline(always)]
    fn row_lanes(&self, z: usize, y: usize) -> [f32; 8] {
        let (z, y) = (self.z.shares[z], self.y.shares[y]);
        let (z, y) = ([1.0 - z, z], [1.0 - y, y]);
        std::array::from_fn(|k| z[k >> 2] * y[k >> 1 & 1])
    }
}

/// Voxels between the same eight corners.
struct Cube {
    z: Range<usize>,
    y: Range<usize>,
    x: Range<usize>,
    /// Where the bins of the first corner begin in a plane of the grid.
    corner: usize,
}

wide! {
    fn spread_cube(grid: &BilateralGrid, cube: &Cube, values: &[f32], norm: &[f32], slots: &mut [[f32; 16]]) {
        let x_lanes = &grid.x_lanes[cube.x.clone()];
        for z in cube.z.clone() {
            for y in cube.y.clone() {
                let row = (z * grid.volume.ny + y) * grid.volume.nx;
                let row = row + cube.x.start..row + cube.x.end;
                let row_lanes = grid.row_lanes(z, y);
                let voxels = values[row.clone()].iter().zip(&norm[row.clone()]).zip(&grid.image[row]);
                for (((value, norm), &brightness), x_lanes) in voxels.zip(x_lanes) {
                    let (bin, share) = grid.brightness.place(brightness);
                    let value = value * norm;
                    let (low, high) = (value * (1.0 - share), value * share);
                    let slot = &mut slots[bin];
                    for lane in 0..8 {
                        let weight = row_lanes[lane] * x_lanes[lane];
                        slot[lane] += low * weight;
                        slot[8 + lane] += high * weight;
                    }
                }
            }
        }
    }
}

wide! {
    fn read_cube(grid: &BilateralGrid, cube: &Cube, slots: &[[f32; 8]], norm: &[f32], weights: [f32; 2], sums: &mut [f32]) {
        let x_lanes = &grid.x_lanes[cube.x.clone()];
        for (plane, z) in cube.z.clone().enumerate() {
            for y in cube.y.clone() {
                let row = |plane: usize| {
                    let start = (plane * grid.volume.ny + y) * grid.volume.nx;
                    start + cube.x.start..start + cube.x.end
                };
                let row_lanes = grid.row_lanes(z, y);
                let voxels = sums[row(plane)].iter_mut().zip(&norm[row(z)]).zip(&grid.image[row(z)]);
                for (((sum, norm), &brightness), x_lanes) in voxels.zip(x_lanes) {
                    let (bin, share) = grid.brightness.place(brightness);
                    let (low, high) = (&slots[bin], &slots[bin + 1]);
                    let mut lanes = [0.0; 8];
                    for lane in 0..8 {
                        let there = low[lane] + share * (high[lane] - low[lane]);
                        lanes[lane] = there * (row_lanes[lane] * x_lanes[lane]);
                    }
                    let four: [f32; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
                    let there = (four[0] + four[2]) + (four[1] + four[3]);
                    *sum = weights[0] * *sum + weights[1] * norm * there;
                }
            }
        }
    }
}

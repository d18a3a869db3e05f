//! The surface of each object by Crofton's formula.
//!
//! A surface's area is the mean, over all directions, of how often lines cross it. On a grid lines run along the 13 pairs
//! of opposite neighbours (Ohser & Muecklich 2000; Lehmann & Legland 2012). Their weights are usually the shares of the
//! sphere around each direction, for cubic voxels whatever the voxels are: for flat voxels that is up to 27 % wrong. Here
//! the weights are fitted for the true spacing, by least squares, so that planes of all orientations get their area.
//!
//! All crossings of a cell of 2 x 2 x 2 voxels follow from which of its corners are inside, so one look at a cell counts
//! all directions: its 256 patterns have their sums of weights in a table. The table holds integers, so areas do not
//! depend on the order of sums.

use ndarray::ArrayView3;
use rayon::prelude::*;

use super::places::Places;
use crate::Spacing;
use crate::grid::{Grid, raster};
use crate::runs::differing;
use crate::wide::wide;

/// The surface area in square micrometres of each object of a label volume (z, y, x), by rising id.
///
/// Any ids may be used; 0 is background, and so is the outside of the volume. On 60 random ellipsoids of 6 to 12 voxels'
/// semi-axes the error is 2.1 % at most with cubic voxels, 2.0 % at 5 x 1.5 x 1.5 um and 3.3 % at 3 x 1 x 1 um; objects of
/// few voxels are less exact. Divide by the area of the ball of equal volume for a sphericity ([`surface_sphericity`]).
pub fn surface_areas(ids: ArrayView3<u32>, spacing: Spacing) -> Vec<(u32, f64)> {
    let grid = Grid::of(&ids);
    if grid.len() == 0 {
        return Vec::new();
    }
    let voxels = raster(&ids);
    let table = Table::new(spacing);
    // Cells lie between planes, one more than there are planes.
    let cells = Grid { nz: grid.nz + 1, ..grid };
    let parts: Vec<Areas> = cells
        .slabs()
        .into_par_iter()
        .map(|slab| {
            let mut areas = Areas::default();
            let outside = vec![0; grid.nx];
            let row = |z: usize, y: usize| match (z.checked_sub(1), y.checked_sub(1)) {
                (Some(z), Some(y)) if z < grid.nz && y < grid.ny => grid.row(&voxels, z * grid.ny + y),
                _ => &outside,
            };
            for z in slab {
                for y in 0..=grid.ny {
                    let rows = [row(z, y), row(z, y + 1), row(z + 1, y), row(z + 1, y + 1)];
                    add_cells(rows, &table.patterns, &mut areas);
                }
            }
            areas
        })
        .collect();
    let mut total = Areas::default();
    for (id, area) in parts.into_iter().flat_map(|part| part.list) {
        total.add(id, area);
    }
    total.list.sort_unstable();
    total.list.into_iter().map(|(id, area)| (id, area as f64 * table.unit)).collect()
}

/// The surface of the ball of a volume over a surface area: 1 for a ball, less for all else but for errors of the area.
pub fn surface_sphericity(volume: f64, area: f64) -> f64 {
    std::f64::consts::PI.cbrt() * (6.0 * volume).powf(2.0 / 3.0) / area
}

/// The areas so far, in units of the table.
#[derive(Default)]
struct Areas {
    places: Places,
    list: Vec<(u32, i64)>,
}

impl Areas {
    #[inline(always)]
    fn add(&mut self, id: u32, area: i64) {
        match self.places.of(id) {
            Some(place) => self.list[place].1 += area,
            None => self.begin(id, area),
        }
    }

    #[cold]
    fn begin(&mut self, id: u32, area: i64) {
        self.places.add(id, self.list.len());
        self.list.push((id, area));
    }
}

wide! {
    /// Adds the cells between four rows: those at (z, y), (z, y + 1), (z + 1, y) and (z + 1, y + 1).
    fn add_cells(rows: [&[u32]; 4], patterns: &[i64; 256], areas: &mut Areas) {
        let nx = rows[0].len();
        let rows = rows.map(|row| &row[..nx]);
        let corners = |x: usize| rows.map(|row| row[x]);
        add_cell([0; 4], corners(0), patterns, areas);
        // The cell between voxels x and x + 1 is of one id if all four rows are so at x and x + 1 and between.
        let blocks = (nx - 1) / 32;
        let mut at = 0;
        for _ in 0..blocks {
            let [a, b, c, d] = rows.map(|row| block(row, at));
            let [e, f, g, h] = rows.map(|row| block(row, at + 1));
            let mut mixed = differing(a, b) | differing(a, c) | differing(a, d) | differing(a, e);
            mixed |= differing(e, f) | differing(e, g) | differing(e, h);
            while mixed != 0 {
                let x = at + mixed.trailing_zeros() as usize;
                mixed &= mixed - 1;
                add_cell(corners(x), corners(x + 1), patterns, areas);
            }
            at += 32;
        }
        for x in at..nx - 1 {
            add_cell(corners(x), corners(x + 1), patterns, areas);
        }
        add_cell(corners(nx - 1), [0; 4], patterns, areas);
    }
}

#[inline(always)]
fn block(row: &[u32], at: usize) -> &[u32; 32] {
    row[at..].first_chunk().expect("blocks end inside the row")
}

/// Adds one cell: four voxels and those after them along x.
#[inline(always)]
fn add_cell(before: [u32; 4], after: [u32; 4], patterns: &[i64; 256], areas: &mut Areas) {
    let mut cell = [0; 8];
    cell[..4].copy_from_slice(&before);
    cell[4..].copy_from_slice(&after);
    let with = |id: u32| {
        let mut bits = 0u32;
        for (corner, other) in cell.iter().enumerate() {
            bits |= u32::from(*other == id) << corner;
        }
        bits
    };
    let mut left = !with(0) & 0xff;
    while left != 0 {
        let id = cell[left.trailing_zeros() as usize];
        let pattern = with(id);
        left &= !pattern;
        areas.add(id, patterns[pattern as usize]);
    }
}

/// The area of each pattern of a cell, as integers.
struct Table {
    patterns: [i64; 256],
    /// The area in square micrometres that 1 stands for.
    unit: f64,
}

/// A cell's corner as steps (z, y, x) from its first one: bits 1, 0 and 2 of its number, as [`add_cell`] orders them.
fn corner(number: usize) -> [i8; 3] {
    [(number >> 1 & 1) as i8, (number & 1) as i8, (number >> 2 & 1) as i8]
}

/// Steps to neighbours are alike if they go along the same axes: z is bit 0, y bit 1, x bit 2 of a number from 1 to 7.
fn class(step: [i8; 3]) -> usize {
    step.iter().enumerate().map(|(axis, along)| usize::from(*along != 0) << axis).sum()
}

impl Table {
    fn new(spacing: Spacing) -> Self {
        let weights = fitted_weights(spacing);
        let mut areas = [0.0; 256];
        for (pattern, area) in areas.iter_mut().enumerate() {
            for a in 0..8 {
                for b in a + 1..8 {
                    if (pattern >> a ^ pattern >> b) & 1 == 1 {
                        let (from, to) = (corner(a), corner(b));
                        let step = std::array::from_fn(|axis| to[axis] - from[axis]);
                        // The pair lies in as many cells as there are ways to move it along the axes it does not use.
                        let shared = 1 << step.iter().filter(|along| **along == 0).count();
                        *area += weights[class(step)] / f64::from(shared);
                    }
                }
            }
        }
        let largest = areas.iter().copied().fold(0.0, f64::max);
        // 2^31 a cell: sums of 2^32 cells stay below 2^63, and rounding is 1e-9 of a cell.
        let unit = largest / f64::from(1u32 << 30);
        Self { patterns: areas.map(|area| (area / unit).round() as i64), unit }
    }
}

/// How many directions the fit looks at; more change the weights by less than 1e-4.
const SAMPLES: usize = 4096;

/// The area that one crossing along each class of steps stands for.
///
/// A plane of normal n and area A is crossed `A |n . v| / voxel volume` times by steps v. The weights w minimise the
/// squared error of `sum of w |n . v| / voxel volume` against 1 over all n, none of them negative.
fn fitted_weights(spacing: Spacing) -> [f64; 8] {
    let sides = spacing.to_array();
    let mut products = [[0.0; 8]; 8];
    let mut totals = [0.0; 8];
    for sample in 0..SAMPLES {
        // Fibonacci's lattice on the sphere.
        let z = 1.0 - (2 * sample + 1) as f64 / SAMPLES as f64;
        let angle = std::f64::consts::PI * (3.0 - 5f64.sqrt()) * sample as f64;
        let radius = (1.0 - z * z).sqrt();
        let normal = [z, radius * angle.sin(), radius * angle.cos()];
        let mut crossings = [0.0; 8];
        // Of two opposite steps one counts.
        for number in 14..27 {
            let step = [number / 9 - 1, number / 3 % 3 - 1, number % 3 - 1].map(|along: i32| along as i8);
            let along: f64 = (0..3).map(|axis| normal[axis] * sides[axis] * f64::from(step[axis])).sum();
            crossings[class(step)] += along.abs() / spacing.voxel_volume();
        }
        for a in 1..8 {
            totals[a] += crossings[a];
            for b in 1..8 {
                products[a][b] += crossings[a] * crossings[b];
            }
        }
    }
    // Coordinate descent, which keeps every weight at 0 or above.
    let mut weights = [0.0f64; 8];
    for _ in 0..20_000 {
        for a in 1..8 {
            let others: f64 = (1..8).filter(|&b| b != a).map(|b| products[a][b] * weights[b]).sum();
            weights[a] = ((totals[a] - others) / products[a][a]).max(0.0);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_all_orientations_get_their_area_within_a_few_per_cent() {
        for (sides, most) in [([1.0, 1.0, 1.0], 0.055), ([2.0, 1.0, 1.0], 0.06), ([5.0, 1.5, 1.5], 0.11)] {
            let spacing = Spacing::new(sides[0], sides[1], sides[2]).unwrap();
            let weights = fitted_weights(spacing);
            let mut worst = 0.0f64;
            for sample in 0..2000 {
                let z = 1.0 - (2 * sample + 1) as f64 / 2000.0;
                let (radius, angle) = ((1.0 - z * z).sqrt(), 2.4 * sample as f64);
                let normal = [z, radius * angle.sin(), radius * angle.cos()];
                let mut area = 0.0;
                for number in 14..27 {
                    let step = [number / 9 - 1, number / 3 % 3 - 1, number % 3 - 1];
                    let along: f64 = (0..3).map(|a| normal[a] * sides[a] * f64::from(step[a])).sum();
                    area += weights[class(step.map(|along: i32| along as i8))] * along.abs();
                }
                worst = worst.max((area / spacing.voxel_volume() - 1.0).abs());
            }
            assert!(worst < most, "{worst} at {sides:?}");
        }
    }
}

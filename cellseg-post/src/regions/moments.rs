//! Sums over the voxels of each object.
//!
//! Places are summed as integers, run by run in closed form, so the sums are exact and nothing depends on the order.
//! Intensities are f64 sums in a fixed order: slabs of the volume one after another, whichever thread made them.

use std::ops::Range;

use rayon::prelude::*;

use super::Intensity;
use super::places::Places;
use crate::grid::Grid;
use crate::runs::{EachRun, each_run_of_ids};
use crate::wide::wide;

/// The sums over one object's voxels.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    pub(super) voxels: u64,
    /// Lowest and highest index along each axis.
    pub(super) first: [usize; 3],
    pub(super) last: [usize; 3],
    /// Sums of z, y, x.
    places: [u64; 3],
    /// Sums of zz, yy, xx, zy, zx, yx.
    products: [u128; 6],
    pub(super) intensity: Option<IntensitySums>,
}

/// The axes of each entry of `products`.
const PAIRS: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)];

impl Moments {
    /// The sums of a part of the object, with places counted from `origin` along z.
    fn of_part(part: &PartSums, origin: usize) -> Self {
        let [n, z, y, x, zz, yy, xx, zy, zx, yx] = part.sums;
        let (wide, plane) = (u128::from, origin as u64);
        Self {
            voxels: n,
            first: [part.first[0] as usize + origin, part.first[1] as usize, part.first[2] as usize],
            last: [part.last[0] as usize + origin, part.last[1] as usize, part.last[2] as usize],
            places: [n * plane + z, y, x],
            products: [
                wide(n) * wide(plane) * wide(plane) + 2 * wide(plane) * wide(z) + wide(zz),
                wide(yy),
                wide(xx),
                wide(plane) * wide(y) + wide(zy),
                wide(plane) * wide(x) + wide(zx),
                wide(yx),
            ],
            intensity: part.intensity.clone(),
        }
    }

    /// Counts places from another origin: those of the first voxel of a block in its volume.
    pub(super) fn moved(mut self, origin: [usize; 3]) -> Self {
        let by = origin.map(|start| start as u128);
        for (&(a, b), product) in PAIRS.iter().zip(&mut self.products) {
            let (sum_a, sum_b) = (u128::from(self.places[a]), u128::from(self.places[b]));
            *product += by[a] * sum_b + by[b] * sum_a + u128::from(self.voxels) * by[a] * by[b];
        }
        for (axis, start) in origin.into_iter().enumerate() {
            self.places[axis] += self.voxels * start as u64;
            self.first[axis] += start;
            self.last[axis] += start;
        }
        if let Some(intensity) = &mut self.intensity {
            let total = intensity.above + intensity.origin.unwrap_or_default() * self.voxels as f64;
            for (weighted, start) in intensity.weighted.iter_mut().zip(origin) {
                *weighted += total * start as f64;
            }
        }
        self
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if let (Some(mine), Some(others)) = (&mut self.intensity, &other.intensity) {
            mine.merge(others, other.voxels);
        }
        self.voxels += other.voxels;
        for axis in 0..3 {
            self.first[axis] = self.first[axis].min(other.first[axis]);
            self.last[axis] = self.last[axis].max(other.last[axis]);
            self.places[axis] += other.places[axis];
        }
        self.products.iter_mut().zip(other.products).for_each(|(sum, product)| *sum += product);
    }

    /// The smallest ranges of voxels along z, y and x that hold the object.
    pub(super) fn bounding_box(&self) -> [Range<usize>; 3] {
        std::array::from_fn(|axis| self.first[axis]..self.last[axis] + 1)
    }

    /// The mean place (z, y, x) in voxels.
    pub(super) fn centroid(&self) -> [f64; 3] {
        self.places.map(|sum| sum as f64 / self.voxels as f64)
    }

    /// The covariance matrix of the voxel centres for voxels of the given sides.
    pub(super) fn covariance(&self, sides: [f64; 3]) -> [[f64; 3]; 3] {
        let mut matrix = [[0.0; 3]; 3];
        let n = u128::from(self.voxels);
        for (&(a, b), &product) in PAIRS.iter().zip(&self.products) {
            // The difference is taken between integers: nothing cancels far from the origin.
            let spread =
                (n * product) as i128 - (u128::from(self.places[a]) * u128::from(self.places[b])) as i128;
            let entry = spread as f64 / (self.voxels as f64).powi(2) * sides[a] * sides[b];
            matrix[a][b] = entry;
            matrix[b][a] = entry;
        }
        matrix
    }
}

/// The sums over the values of an image inside one object.
#[derive(Debug, Clone, Default)]
pub(super) struct IntensitySums {
    /// The first value, subtracted from all others so that large offsets do not eat the deviation's digits.
    origin: Option<f64>,
    above: f64,
    above_squared: f64,
    min: f32,
    max: f32,
    /// Sums of value times z, y, x.
    weighted: [f64; 3],
}

impl IntensitySums {
    /// Adds the values of the voxels of row (z, y) from x = `start` on.
    fn add_run(&mut self, z: usize, y: usize, start: usize, values: &[f32]) {
        let origin = *self.origin.get_or_insert_with(|| {
            (self.min, self.max) = (values[0], values[0]);
            f64::from(values[0])
        });
        let mut total = 0.0;
        for (x, &value) in (start..).zip(values) {
            let above = f64::from(value) - origin;
            self.above += above;
            self.above_squared += above * above;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            total += f64::from(value);
            self.weighted[2] += f64::from(value) * x as f64;
        }
        self.weighted[0] += total * z as f64;
        self.weighted[1] += total * y as f64;
    }

    /// Adds the sums of another part of the object, of `voxels` voxels.
    fn merge(&mut self, other: &Self, voxels: u64) {
        let (Some(mine), Some(others)) = (self.origin, other.origin) else {
            if self.origin.is_none() {
                *self = other.clone();
            }
            return;
        };
        let shift = others - mine;
        self.above += other.above + voxels as f64 * shift;
        self.above_squared += other.above_squared + 2.0 * shift * other.above + voxels as f64 * shift * shift;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.weighted.iter_mut().zip(other.weighted).for_each(|(sum, part)| *sum += part);
    }

    pub(super) fn describe(&self, voxels: u64, sides: [f64; 3]) -> Intensity {
        let n = voxels as f64;
        let mean_above = self.above / n;
        let mean = self.origin.unwrap_or_default() + mean_above;
        let sum = mean * n;
        Intensity {
            sum,
            mean,
            min: self.min,
            max: self.max,
            std: (self.above_squared / n - mean_above * mean_above).max(0.0).sqrt(),
            weighted_centroid: (sum != 0.0)
                .then(|| std::array::from_fn(|axis| self.weighted[axis] / sum * sides[axis])),
        }
    }
}

/// The sums over the voxels of an object in some planes.
#[derive(Debug, Clone)]
struct PartSums {
    /// Sums of 1, z, y, x, zz, yy, xx, zy, zx and yx, z counted from the first plane.
    sums: [u64; 10],
    /// Lowest and highest index along each axis.
    first: [u32; 3],
    last: [u32; 3],
    intensity: Option<IntensitySums>,
}

impl PartSums {
    fn new(has_image: bool) -> Self {
        Self {
            sums: [0; 10],
            first: [u32::MAX; 3],
            last: [0; 3],
            intensity: has_image.then(IntensitySums::default),
        }
    }

    /// Adds the voxels `start..end` of row (z, y).
    #[inline(always)]
    fn add_run(&mut self, z: u32, y: u32, start: u32, end: u32) {
        let [n, z_, y_, x] = [end - start, z, y, start].map(u64::from);
        // Sums of k and k k for k in 0..n.
        let ramp = n * (n - 1) / 2;
        let squares = ramp * (2 * n - 1) / 3;
        let sum_x = n * x + ramp;
        let sum_xx = x * (n * x + 2 * ramp) + squares;
        let row =
            [n, n * z_, n * y_, sum_x, n * z_ * z_, n * y_ * y_, sum_xx, n * z_ * y_, z_ * sum_x, y_ * sum_x];
        for (sum, part) in self.sums.iter_mut().zip(row) {
            *sum += part;
        }
        for (first, low) in self.first.iter_mut().zip([z, y, start]) {
            *first = (*first).min(low);
        }
        for (last, high) in self.last.iter_mut().zip([z, y, end - 1]) {
            *last = (*last).max(high);
        }
    }
}

/// How many planes can be summed in 64 bits: no sum exceeds the voxels times the largest square of an index.
fn planes_in_64_bits(grid: Grid) -> usize {
    let fits = |planes: usize| {
        let longest = planes.max(grid.ny).max(grid.nx) as u128;
        (planes * grid.plane()) as u128 * longest * longest <= u128::from(u64::MAX)
    };
    let mut planes = 1;
    while planes < grid.nz && fits(2 * planes) {
        planes *= 2;
    }
    planes
}

/// The sums of every object, by rising id.
pub(super) fn gather(grid: Grid, ids: &[u32], image: Option<&[f32]>) -> Vec<(u32, Moments)> {
    if grid.len() == 0 {
        return Vec::new();
    }
    let most = planes_in_64_bits(grid);
    let parts = grid.slabs().into_iter().flat_map(|slab| {
        let end = slab.end;
        slab.step_by(most).map(move |first| first..(first + most).min(end))
    });
    let slabs: Vec<(usize, Objects)> = parts
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|planes| {
            let mut objects = Objects::default();
            for row in planes.start * grid.ny..planes.end * grid.ny {
                let at = [(row / grid.ny - planes.start) as u32, (row % grid.ny) as u32];
                let weighted_at = [row / grid.ny, row % grid.ny];
                match image {
                    None => add_row(&mut objects, at, grid.row(ids, row)),
                    Some(image) => {
                        add_row_with_values(
                            &mut objects,
                            at,
                            weighted_at,
                            grid.row(ids, row),
                            grid.row(image, row),
                        );
                    }
                }
            }
            (planes.start, objects)
        })
        .collect();
    let mut total: Vec<(u32, Moments)> = Vec::new();
    let mut places = Places::default();
    for (origin, slab) in slabs {
        for (id, part) in slab.list {
            let moments = Moments::of_part(&part, origin);
            match places.of(id) {
                Some(place) => total[place].1.merge(&moments),
                None => {
                    places.add(id, total.len());
                    total.push((id, moments));
                }
            }
        }
    }
    total.sort_unstable_by_key(|(id, _)| *id);
    total
}

/// The objects of a part of the volume, in the order in which they were met.
#[derive(Default)]
struct Objects {
    places: Places,
    list: Vec<(u32, PartSums)>,
}

impl Objects {
    #[inline(always)]
    fn part(&mut self, id: u32, has_image: bool) -> &mut PartSums {
        let place = match self.places.of(id) {
            Some(place) => place,
            None => self.add(id, has_image),
        };
        &mut self.list[place].1
    }

    #[cold]
    fn add(&mut self, id: u32, has_image: bool) -> usize {
        self.places.add(id, self.list.len());
        self.list.push((id, PartSums::new(has_image)));
        self.list.len() - 1
    }
}

wide! {
    /// Adds row (z, y) of the part.
    fn add_row(objects: &mut Objects, at: [u32; 2], ids: &[u32]) {
        each_run_of_ids(ids, &mut Row { objects, at });
    }
}

/// Row (z, y) of a part, whose runs are added to its objects.
struct Row<'a> {
    objects: &'a mut Objects,
    at: [u32; 2],
}

impl EachRun for Row<'_> {
    #[inline(always)]
    fn run(&mut self, id: u32, start: u32, end: u32) {
        self.objects.part(id, false).add_run(self.at[0], self.at[1], start, end);
    }
}

/// Adds row (z, y) of the part, which is row `weighted_at` of the volume, with the image's values.
fn add_row_with_values(
    objects: &mut Objects,
    at: [u32; 2],
    weighted_at: [usize; 2],
    ids: &[u32],
    values: &[f32],
) {
    each_run_of_ids(ids, &mut |id, start: u32, end: u32| {
        let part = objects.part(id, true);
        part.add_run(at[0], at[1], start, end);
        if let Some(sums) = &mut part.intensity {
            let values = &values[start as usize..end as usize];
            sums.add_run(weighted_at[0], weighted_at[1], start as usize, values);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sum_of_64_bits_overflows_in_the_largest_part() {
        for (grid, expected) in [
            (Grid { nz: 512, ny: 512, nx: 512 }, 512),
            // 2^31 voxels a plane, indices below 2^16: 2^63.
            (Grid { nz: 64, ny: 1 << 15, nx: 1 << 16 }, 1),
            (Grid { nz: 100_000, ny: 1, nx: 1 }, 1 << 17),
        ] {
            assert_eq!(planes_in_64_bits(grid), expected, "{grid:?}");
            let planes = expected.min(grid.nz);
            let longest = planes.max(grid.ny).max(grid.nx) as u128;
            assert!((planes * grid.plane()) as u128 * longest * longest <= u128::from(u64::MAX));
        }
    }

    #[test]
    fn moving_the_origin_moves_every_voxel() {
        let mut here = PartSums::new(false);
        here.add_run(1, 2, 3, 6);
        let mut there = PartSums::new(false);
        there.add_run(11, 22, 33, 36);
        let moved = Moments::of_part(&here, 0).moved([10, 20, 30]);
        let expected = Moments::of_part(&there, 0);
        assert_eq!((moved.places, moved.products), (expected.places, expected.products));
        assert_eq!(moved.bounding_box(), expected.bounding_box());
    }

    #[test]
    fn parts_far_from_the_origin_have_exact_sums() {
        let mut part = PartSums::new(false);
        part.add_run(3, 5, 7, 11);
        let moments = Moments::of_part(&part, 1_000_000);
        let z = 1_000_003u128;
        assert_eq!(moments.places, [4 * z as u64, 20, 7 + 8 + 9 + 10]);
        assert_eq!(moments.products, [4 * z * z, 100, 49 + 64 + 81 + 100, 20 * z, 34 * z, 170]);
    }
}

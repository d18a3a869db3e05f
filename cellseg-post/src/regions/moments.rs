//! Sums over the voxels of each object.
//!
//! Places are summed as integers, run by run in closed form, so the sums are exact and nothing depends on the order.

use std::ops::Range;

use rayon::prelude::*;

use super::intensity::IntensitySums;
use super::places::Places;
use crate::grid::Grid;
use crate::runs::{Run, cut_ids_into, room_for_runs};
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
    fn of_part(part: &PartSums, intensity: Option<&IntensitySums>, origin: usize) -> Self {
        let [n, z, y, zz, yy, zy, zx, yx] = part.sums;
        let (x, xx) = (part.x, part.xx);
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
            intensity: intensity.cloned(),
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
            intensity.move_by(origin, self.voxels);
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

/// The sums over the voxels of an object in a box, y and x counted from its first voxel: two cache lines.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct PartSums {
    /// Sums of 1, z, y, zz, yy, zy, zx and yx, z counted from the first plane.
    sums: [u64; 8],
    /// Sums of x and xx.
    x: u64,
    xx: u64,
    /// Lowest and highest index along each axis.
    first: [u32; 3],
    last: [u32; 3],
}

impl Default for PartSums {
    fn default() -> Self {
        Self { sums: [0; 8], x: 0, xx: 0, first: [u32::MAX; 3], last: [0; 3] }
    }
}

/// A row of a part of the volume, whose voxels share z and y.
#[derive(Clone, Copy)]
struct Row {
    at: [u32; 2],
    /// What the number of voxels (six times) and the sum of x (twice) are multiplied with for [`PartSums::sums`].
    factors: [u64; 8],
}

impl Row {
    /// Row (z, y), z counted from the part's first plane.
    #[inline(always)]
    fn new(at: [u32; 2]) -> Self {
        let [z, y] = at.map(u64::from);
        Self { at, factors: [1, z, y, z * z, y * y, z * y, z, y] }
    }
}

impl PartSums {
    /// Adds the voxels `start..end` of a row.
    #[inline(always)]
    fn add_run(&mut self, row: &Row, (start, end): Run) {
        let [n, x] = [end - start, start].map(u64::from);
        // Sums of k and k k for k in 0..n.
        let ramp = n * (n - 1) / 2;
        let squares = ramp * (2 * n - 1) / 3;
        let sum_x = n * x + ramp;
        self.x += sum_x;
        self.xx += x * (n * x + 2 * ramp) + squares;
        let of_row = [n, n, n, n, n, n, sum_x, sum_x];
        for ((sum, of_row), factor) in self.sums.iter_mut().zip(of_row).zip(row.factors) {
            *sum += of_row * factor;
        }
        let [z, y] = row.at;
        for (first, low) in self.first.iter_mut().zip([z, y, start]) {
            *first = (*first).min(low);
        }
        for (last, high) in self.last.iter_mut().zip([z, y, end - 1]) {
            *last = (*last).max(high);
        }
    }
}

/// The sides (z, y, x) of a box that can be summed in 64 bits: no sum exceeds the voxels times the largest square of an
/// index.
///
/// It has whole planes, unless one plane is too large.
fn box_in_64_bits(grid: Grid) -> [usize; 3] {
    let fits = |[nz, ny, nx]: [usize; 3]| {
        let longest = nz.max(ny).max(nx) as u128;
        (nz * ny * nx) as u128 * longest * longest <= u128::from(u64::MAX)
    };
    let whole = [1, grid.ny, grid.nx];
    let [mut nz, ny, nx] = if fits(whole) { whole } else { [1, grid.ny.min(1 << 15), grid.nx.min(1 << 16)] };
    while nz < grid.nz && fits([2 * nz, ny, nx]) {
        nz *= 2;
    }
    [nz, ny, nx]
}

/// What `describe` says of the id and the sums of every object, by rising id.
pub(super) fn gather<T: Send>(
    grid: Grid,
    ids: &[u32],
    image: Option<&[f32]>,
    describe: impl Fn(u32, Moments) -> T + Sync,
) -> Vec<T> {
    if grid.len() == 0 {
        return Vec::new();
    }
    let most = box_in_64_bits(grid);
    let boxes: Vec<Ranges> = grid
        .slabs()
        .into_iter()
        .flat_map(|slab| cut(slab, most[0]))
        .flat_map(|z| cut(0..grid.ny, most[1]).map(move |y| (z.clone(), y)))
        .flat_map(|(z, y)| cut(0..grid.nx, most[2]).map(move |x| [z.clone(), y.clone(), x]))
        .collect();
    let parts: Vec<Part> = boxes.into_par_iter().map(|ranges| Part::new(grid, ranges, ids, image)).collect();
    // Each object's place in each part where it is, an object's parts in order.
    let mut places: Vec<(u32, u32, u32)> = Vec::with_capacity(parts.iter().map(|part| part.ids.len()).sum());
    for (number, part) in (0..).zip(&parts) {
        places.extend((0..).zip(&part.ids).map(|(place, &id)| (id, number, place)));
    }
    places.par_sort_unstable();
    let objects: Vec<&[(u32, u32, u32)]> = places.chunk_by(|a, b| a.0 == b.0).collect();
    objects
        .into_par_iter()
        .map(|places| {
            let mut sums =
                places.iter().map(|&(_, part, place)| parts[part as usize].moments(place as usize));
            let first = sums.next().expect("an object is somewhere");
            let total = sums.fold(first, |mut total, part| {
                total.merge(&part);
                total
            });
            describe(places[0].0, total)
        })
        .collect()
}

/// The voxels of a box along z, y and x.
type Ranges = [Range<usize>; 3];

/// Cuts a range into ranges of at most so many voxels.
fn cut(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(most).map(move |first| first..(first + most).min(end))
}

/// The objects of a box, in the order in which they were met.
struct Part {
    /// The first voxel (z, y, x).
    origin: [usize; 3],
    places: Places,
    ids: Vec<u32>,
    sums: Vec<PartSums>,
    /// As many as sums if there is an image, else none.
    intensities: Vec<IntensitySums>,
}

impl Part {
    fn new(grid: Grid, [planes, rows, columns]: Ranges, ids: &[u32], image: Option<&[f32]>) -> Self {
        let (places, origin) = (Places::default(), [planes.start, rows.start, columns.start]);
        let mut part = Self { origin, places, ids: Vec::new(), sums: Vec::new(), intensities: Vec::new() };
        let mut runs = vec![(0, 0); room_for_runs(columns.len())];
        for (z, y) in planes.flat_map(|z| rows.clone().map(move |y| (z, y))) {
            let row = z * grid.ny + y;
            let voxels = &grid.row(ids, row)[columns.clone()];
            let found = cut_ids_into(voxels, &mut runs);
            let y = y - origin[1];
            add_runs(&mut part, [(z - origin[0]) as u32, y as u32], voxels, &runs[..found]);
            if let Some(image) = image {
                part.intensities.resize_with(part.sums.len(), IntensitySums::default);
                let values = &grid.row(image, row)[columns.clone()];
                add_values(&mut part, [z, y], voxels, values, &runs[..found]);
            }
        }
        part
    }

    #[inline(always)]
    fn sums_of(&mut self, id: u32) -> &mut PartSums {
        let place = match self.places.of(id) {
            Some(place) => place,
            None => self.add(id),
        };
        &mut self.sums[place]
    }

    #[cold]
    fn add(&mut self, id: u32) -> usize {
        self.places.add(id, self.ids.len());
        self.ids.push(id);
        self.sums.push(PartSums::default());
        self.ids.len() - 1
    }

    /// The sums of the object at a place.
    fn moments(&self, place: usize) -> Moments {
        let [z, y, x] = self.origin;
        Moments::of_part(&self.sums[place], self.intensities.get(place), z).moved([0, y, x])
    }
}

wide! {
    /// Adds the values of the image in a row to the part's objects, which are all known; z is counted from the volume's
    /// first plane, y from the part's first row.
    fn add_values(part: &mut Part, at: [usize; 2], ids: &[u32], values: &[f32], runs: &[Run]) {
        for &run in runs {
            if let Some(place) = part.places.of(ids[run.0 as usize]) {
                part.intensities[place].add_run(at, values, run);
            }
        }
    }
}

wide! {
    /// Adds the runs of row (z, y) of the part.
    fn add_runs(part: &mut Part, at: [u32; 2], ids: &[u32], runs: &[Run]) {
        let row = Row::new(at);
        for &run in runs {
            part.sums_of(ids[run.0 as usize]).add_run(&row, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sum_of_64_bits_overflows_in_the_largest_part() {
        for (grid, expected) in [
            (Grid { nz: 512, ny: 512, nx: 512 }, [512, 512, 512]),
            // 2^31 voxels a plane, indices below 2^16: 2^63.
            (Grid { nz: 64, ny: 1 << 15, nx: 1 << 16 }, [1, 1 << 15, 1 << 16]),
            (Grid { nz: 100_000, ny: 1, nx: 1 }, [1 << 17, 1, 1]),
            // The cube root of 2^64 is 2 642 245.
            (Grid { nz: 1, ny: 1, nx: 2_642_245 }, [1, 1, 2_642_245]),
            (Grid { nz: 1, ny: 1, nx: 2_642_246 }, [1, 1, 1 << 16]),
            (Grid { nz: 1, ny: 4_000_000, nx: 1 }, [1, 1 << 15, 1]),
            (Grid { nz: 2, ny: 1 << 16, nx: 1 << 16 }, [1, 1 << 15, 1 << 16]),
        ] {
            let most = box_in_64_bits(grid);
            assert_eq!(most, expected, "{grid:?}");
            let [nz, ny, nx] = [most[0].min(grid.nz), most[1], most[2]];
            let longest = nz.max(ny).max(nx) as u128;
            assert!((nz * ny * nx) as u128 * longest * longest <= u128::from(u64::MAX));
        }
    }

    #[test]
    fn a_row_of_millions_of_voxels_is_as_long_as_it_is() {
        for shape in [(1, 1, 3_000_000), (1, 4_000_000, 1)] {
            let ids = ndarray::Array3::from_elem(shape, 7);
            let image = ndarray::Array3::from_elem(shape, 2.0);
            let regions = crate::regions(ids.view(), Some(image.view()), crate::Spacing::VOXELS).unwrap();
            let n = ids.len() as f64;
            let exact = (20.0 * (n * n - 1.0) / 12.0).sqrt();
            assert_eq!(regions.len(), 1);
            approx::assert_relative_eq!(regions[0].axis_lengths[0], exact, max_relative = 1e-9);
            assert_eq!(regions[0].bounding_box, [0..shape.0, 0..shape.1, 0..shape.2]);
            let middle = [shape.0, shape.1, shape.2].map(|length| (length as f64 - 1.0) / 2.0);
            assert_eq!(regions[0].centroid_voxels, middle);
            let weighted = regions[0].intensity.unwrap().weighted_centroid.unwrap();
            for (weighted, middle) in weighted.into_iter().zip(middle) {
                approx::assert_relative_eq!(weighted, middle, max_relative = 1e-9);
            }
        }
    }

    #[test]
    fn moving_the_origin_moves_every_voxel() {
        let mut here = PartSums::default();
        here.add_run(&Row::new([1, 2]), (3, 6));
        let mut there = PartSums::default();
        there.add_run(&Row::new([11, 22]), (33, 36));
        let moved = Moments::of_part(&here, None, 0).moved([10, 20, 30]);
        let expected = Moments::of_part(&there, None, 0);
        assert_eq!((moved.places, moved.products), (expected.places, expected.products));
        assert_eq!(moved.bounding_box(), expected.bounding_box());
    }

    #[test]
    fn parts_far_from_the_origin_have_exact_sums() {
        let mut part = PartSums::default();
        part.add_run(&Row::new([3, 5]), (7, 11));
        let moments = Moments::of_part(&part, None, 1_000_000);
        let z = 1_000_003u128;
        assert_eq!(moments.places, [4 * z as u64, 20, 7 + 8 + 9 + 10]);
        assert_eq!(moments.products, [4 * z * z, 100, 49 + 64 + 81 + 100, 20 * z, 34 * z, 170]);
    }
}

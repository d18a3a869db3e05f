//! Sums over the voxels of each object.
//!
//! Places are summed as integers, run by run in closed form, so the sums are exact and nothing depends on the order.
//! Intensities are f64 sums in a fixed order: slabs of the volume one after another, whichever thread made them.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::Intensity;
use crate::grid::Grid;

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
    fn new(has_image: bool) -> Self {
        Self {
            voxels: 0,
            first: [usize::MAX; 3],
            last: [0; 3],
            places: [0; 3],
            products: [0; 6],
            intensity: has_image.then(IntensitySums::default),
        }
    }

    /// Adds the voxels `start..end` of row (z, y).
    fn add_run(&mut self, z: usize, y: usize, start: usize, end: usize) {
        let n = (end - start) as u64;
        let (row_z, row_y, row_x) = (z as u64, y as u64, start as u64);
        // Sums of k and k k for k in 0..n.
        let ramp = n * (n - 1) / 2;
        let squares = u128::from(ramp) * u128::from(2 * n - 1) / 3;
        let sum_x = n * row_x + ramp;
        self.voxels += n;
        for (axis, (low, high)) in [(z, z), (y, y), (start, end - 1)].into_iter().enumerate() {
            self.first[axis] = self.first[axis].min(low);
            self.last[axis] = self.last[axis].max(high);
        }
        for (sum, place) in self.places.iter_mut().zip([n * row_z, n * row_y, sum_x]) {
            *sum += place;
        }
        let wide = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let products = [
            wide(n * row_z, row_z),
            wide(n * row_y, row_y),
            wide(row_x, n * row_x + 2 * ramp) + squares,
            wide(n * row_z, row_y),
            wide(row_z, sum_x),
            wide(row_y, sum_x),
        ];
        self.products.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
    }

    fn merge(&mut self, other: &Self) {
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

/// The sums of every object, by rising id.
pub(super) fn gather(grid: Grid, ids: &[u32], image: Option<&[f32]>) -> Vec<(u32, Moments)> {
    if grid.len() == 0 {
        return Vec::new();
    }
    let slabs: Vec<Objects> = grid
        .slabs()
        .into_par_iter()
        .map(|planes| {
            let mut objects = Objects::default();
            for row in planes.start * grid.ny..planes.end * grid.ny {
                let voxels = row * grid.nx..(row + 1) * grid.nx;
                let values = image.map(|image| &image[voxels.clone()]);
                objects.add_row(row / grid.ny, row % grid.ny, &ids[voxels], values);
            }
            objects
        })
        .collect();
    let mut total = Objects::default();
    for slab in slabs {
        for (id, moments) in slab.list {
            match total.places.get(&id) {
                Some(&place) => total.list[place].1.merge(&moments),
                None => {
                    total.places.insert(id, total.list.len());
                    total.list.push((id, moments));
                }
            }
        }
    }
    total.list.sort_unstable_by_key(|(id, _)| *id);
    total.list
}

/// The objects of a part of the volume, in the order in which they were met.
#[derive(Default)]
struct Objects {
    places: FxHashMap<u32, usize>,
    list: Vec<(u32, Moments)>,
}

impl Objects {
    fn add_row(&mut self, z: usize, y: usize, ids: &[u32], values: Option<&[f32]>) {
        let mut start = 0;
        for run in ids.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            if run[0] != 0 {
                let moments = self.moments(run[0], values.is_some());
                moments.add_run(z, y, start, end);
                if let (Some(sums), Some(values)) = (&mut moments.intensity, values) {
                    sums.add_run(z, y, start, &values[start..end]);
                }
            }
            start = end;
        }
    }

    fn moments(&mut self, id: u32, has_image: bool) -> &mut Moments {
        let place = *self.places.entry(id).or_insert_with(|| {
            self.list.push((id, Moments::new(has_image)));
            self.list.len() - 1
        });
        &mut self.list[place].1
    }
}

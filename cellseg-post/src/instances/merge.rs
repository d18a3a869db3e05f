//! Merging objects that were divided too far, by the strength of the borders between them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ndarray::ArrayView3;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::grid::{Grid, all_finite, raster, same_shape};
use crate::union_find::UnionFind;
use crate::{Error, Labels};

/// The sum of a border's values in fixed point and its number of faces.
type Border = (i128, u64);

/// Values are summed in these units of the largest value's power of two, so that sums do not depend on their order.
const FRACTION: i32 = 60;

/// Merges touching objects (z, y, x) whose common border is weak: the mean of `border` over its voxel faces, each face
/// counting the higher of its two voxels, is below `threshold`.
///
/// The weakest border goes first; borders that fall together are joined and their means with them (average linkage, as
/// in GASP; Bailoni et al. 2022), until none below the threshold is left. Of equally weak ones the one of the lower ids goes
/// first. `border` is high where objects end: an edge map, or 1 less a probability map.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::NonFinite`], or [`Error::Argument`] if the threshold is NaN.
pub fn merge_weak_borders(labels: &Labels, border: ArrayView3<f32>, threshold: f32) -> Result<Labels, Error> {
    let ids = labels.ids();
    same_shape(("the labels", &ids), ("the border map", &border))?;
    if threshold.is_nan() {
        return Err(Error::Argument {
            name: "the border strength to merge below",
            given: threshold.to_string(),
            expected: "a number",
        });
    }
    let grid = Grid::of(&ids);
    let values = raster(&border);
    all_finite(grid, &values)?;
    let mut graph = Graph::new(labels, grid, &values);
    let mut sets = graph.merge(f64::from(threshold) / graph.unit);
    let roots: Vec<u32> = (0..=labels.count()).map(|id| sets.find(id)).collect();
    let merged = ids.mapv(|id| roots[id as usize]);
    Ok(Labels::from_ids(merged.view()))
}

/// Objects and the borders between them.
struct Graph {
    count: u32,
    /// For each object its neighbours and their common borders.
    borders: Vec<FxHashMap<u32, Border>>,
    /// The value that 1 in a border's sum stands for.
    unit: f64,
}

impl Graph {
    fn new(labels: &Labels, grid: Grid, values: &[f32]) -> Self {
        let largest = values.par_iter().map(|value| value.abs()).reduce(|| 0.0, f32::max);
        let unit = 2f64.powi(f64::from(largest).log2().ceil().max(-200.0) as i32 - FRACTION);
        let ids = labels.voxels();
        let parts: Vec<FxHashMap<(u32, u32), Border>> = grid
            .slabs()
            .into_par_iter()
            .map(|planes| {
                let mut borders: FxHashMap<(u32, u32), Border> = FxHashMap::default();
                let mut face = |a: usize, b: usize| {
                    let (low, high) = (ids[a].min(ids[b]), ids[a].max(ids[b]));
                    if low != 0 && low != high {
                        let value = (f64::from(values[a].max(values[b])) / unit).round() as i128;
                        let border = borders.entry((low, high)).or_default();
                        *border = (border.0 + value, border.1 + 1);
                    }
                };
                for index in planes.start * grid.plane()..planes.end * grid.plane() {
                    let [z, y, x] = grid.position(index);
                    if x > 0 {
                        face(index - 1, index);
                    }
                    if y > 0 {
                        face(index - grid.nx, index);
                    }
                    if z > 0 {
                        face(index - grid.plane(), index);
                    }
                }
                borders
            })
            .collect();
        let mut borders = vec![FxHashMap::<u32, Border>::default(); labels.count() as usize + 1];
        for ((a, b), (sum, faces)) in parts.into_iter().flatten() {
            for (a, b) in [(a, b), (b, a)] {
                let border = borders[a as usize].entry(b).or_default();
                *border = (border.0 + sum, border.1 + faces);
            }
        }
        Self { count: labels.count(), borders, unit }
    }

    /// Merges while a border's mean is below `limit`; returns the objects' sets.
    fn merge(&mut self, limit: f64) -> UnionFind {
        let mut sets = UnionFind::new(self.count + 1);
        // Entries of borders that have changed since are passed over.
        let mut weakest = BinaryHeap::new();
        let mean = |(sum, faces): Border| sum as f64 / faces as f64;
        for (a, borders) in (0u32..).zip(&self.borders) {
            for (&b, &border) in borders.iter().filter(|(b, _)| a < **b) {
                weakest.push(Reverse((ordered(mean(border)), a, b, border.0, border.1)));
            }
        }
        while let Some(Reverse((_, a, b, sum, faces))) = weakest.pop() {
            if self.borders[a as usize].get(&b) != Some(&(sum, faces)) {
                continue;
            }
            if mean((sum, faces)) >= limit {
                break;
            }
            // The object of the lower id takes over the other one's borders.
            sets.unite(a, b);
            self.borders[a as usize].remove(&b);
            let mut others: Vec<(u32, Border)> =
                std::mem::take(&mut self.borders[b as usize]).into_iter().collect();
            others.sort_unstable_by_key(|(other, _)| *other);
            for (other, border) in others.into_iter().filter(|(other, _)| *other != a) {
                self.borders[other as usize].remove(&b);
                let joined = self.borders[a as usize].entry(other).or_default();
                *joined = (joined.0 + border.0, joined.1 + border.1);
                let joined = *joined;
                self.borders[other as usize].insert(a, joined);
                weakest.push(Reverse((
                    ordered(mean(joined)),
                    a.min(other),
                    a.max(other),
                    joined.0,
                    joined.1,
                )));
            }
        }
        sets
    }
}

/// A number that orders as the value does; -0 and 0 have the same.
fn ordered(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, arr3};

    use super::*;

    #[test]
    fn weak_borders_go_and_strong_ones_stay() {
        let labels = Labels::from_ids(arr3(&[[[1, 1, 2, 2, 3, 3, 0, 4]]]).view());
        let border = arr3(&[[[0.0, 0.1, 0.1, 0.9, 0.2, 0.0, 0.0, 0.0]]]);
        let merged = |threshold| merge_weak_borders(&labels, border.view(), threshold).unwrap().into_ids();
        assert_eq!(merged(0.05), arr3(&[[[1, 1, 2, 2, 3, 3, 0, 4]]]));
        assert_eq!(merged(0.5), arr3(&[[[1, 1, 1, 1, 2, 2, 0, 3]]]));
        assert_eq!(merged(1.0), arr3(&[[[1, 1, 1, 1, 1, 1, 0, 2]]]), "background never joins objects");
        assert!(matches!(merge_weak_borders(&labels, border.view(), f32::NAN), Err(Error::Argument { .. })));
    }

    #[test]
    fn the_mean_of_joined_borders_decides() {
        // 1 and 2 merge over 0.1; 3 touches 1 over 0.2 and 2 over 0.9, so both together over 0.55.
        let labels = Labels::from_ids(arr3(&[[[1, 2], [3, 3]]]).view());
        let border = arr3(&[[[0.1f32, 0.1], [0.2, 0.9]]]);
        let count = |threshold| merge_weak_borders(&labels, border.view(), threshold).unwrap().count();
        assert_eq!([count(0.1), count(0.15), count(0.5), count(0.6)], [3, 2, 2, 1]);
    }

    #[test]
    fn the_order_of_means_is_that_of_numbers() {
        let values = [-2.5, -1e-9, 0.0, 1e-12, 0.3, 7.0, 1e30];
        assert!(values.windows(2).all(|pair| ordered(pair[0]) < ordered(pair[1])));
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    #[test]
    fn no_objects_and_one_object_stay_as_they_are() {
        for id in [0, 1] {
            let labels = Labels::from_ids(Array3::from_elem((2, 3, 4), id).view());
            let border = Array3::from_elem((2, 3, 4), 0.5f32);
            assert_eq!(merge_weak_borders(&labels, border.view(), 1.0).unwrap(), labels);
        }
    }
}

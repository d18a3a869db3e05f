//! From ellipsoids to labels.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, ArrayView3, ArrayViewMut2, Axis, s};

use super::ellipsoid::Nucleus;

/// Labels every voxel whose middle lies in a nucleus, and puts the list of nuclei into the order of the labels.
///
/// Where ellipsoids overlap, a voxel belongs to the one in whose scale it lies deeper, so neighbours meet in a
/// facet. Every label is one piece (6-connected), and labels are numbered from 1 in the raster order of their first
/// voxels: nucleus `i` of the list has the label `i + 1`. A nucleus without any voxel is taken off the list.
pub(super) fn rasterize(labels: &mut Array3<u32>, nuclei: &mut Vec<Nucleus>, spacing_um: [f64; 3]) {
    let [depth, height, width] = [0, 1, 2].map(|i| labels.len_of(Axis(i)));
    let boxes: Vec<[Range<usize>; 3]> =
        nuclei.iter().map(|n| bounding_box(n, [depth, height, width], spacing_um)).collect();
    let mut in_slice = vec![Vec::new(); depth];
    for (id, bounds) in boxes.iter().enumerate() {
        in_slice[bounds[0].clone()].iter_mut().for_each(|ids| ids.push(id));
    }
    labels.axis_iter_mut(Axis(0)).into_par_iter().zip(&in_slice).enumerate().for_each(|(z, (slice, ids))| {
        let shapes = ids.iter().map(|&id| (id as u32 + 1, &nuclei[id], &boxes[id]));
        fill_slice(slice, z, shapes, spacing_um);
    });

    let strays: Vec<Vec<[usize; 3]>> = boxes
        .par_iter()
        .enumerate()
        .map(|(id, bounds)| strays(labels.view(), id as u32 + 1, bounds))
        .collect();
    strays.into_iter().flatten().for_each(|voxel| labels[voxel] = 0);
    number_in_raster_order(labels, nuclei);
}

/// The voxels, as ranges `(z, y, x)`, that a nucleus can cover.
fn bounding_box(nucleus: &Nucleus, shape: [usize; 3], spacing_um: [f64; 3]) -> [Range<usize>; 3] {
    let half = nucleus.half_extent_um();
    std::array::from_fn(|i| {
        // Casts to usize saturate at zero, which is the border.
        let low = ((nucleus.centre_um[i] - half[i]) / spacing_um[i]).ceil() as usize;
        let high = ((nucleus.centre_um[i] + half[i]) / spacing_um[i] + 1.0).max(0.0) as usize;
        let high = high.min(shape[i]);
        low.min(high)..high
    })
}

fn fill_slice<'a>(
    mut slice: ArrayViewMut2<u32>,
    z: usize,
    shapes: impl Iterator<Item = (u32, &'a Nucleus, &'a [Range<usize>; 3])>,
    spacing_um: [f64; 3],
) {
    let mut depth_inside = Array2::from_elem(slice.dim(), 1.0f64);
    for (label, nucleus, [_, ys, xs]) in shapes {
        for y in ys.clone() {
            for x in xs.clone() {
                let point = [z as f64 * spacing_um[0], y as f64 * spacing_um[1], x as f64 * spacing_um[2]];
                let squared = nucleus.local(point).iter().map(|c| c * c).sum::<f64>();
                if squared < depth_inside[[y, x]] {
                    depth_inside[[y, x]] = squared;
                    slice[[y, x]] = label;
                }
            }
        }
    }
}

/// The voxels of a label outside its largest 6-connected piece: a neighbour, or the grid at a pointed end, can cut
/// a few off. Of pieces of the same size the first in raster order stays.
fn strays(labels: ArrayView3<u32>, label: u32, bounds: &[Range<usize>; 3]) -> Vec<[usize; 3]> {
    let [zs, ys, xs] = bounds.clone();
    let window = labels.slice(s![zs, ys, xs]);
    let mut seen = Array3::from_elem(window.dim(), false);
    let mut pieces: Vec<Vec<[usize; 3]>> = Vec::new();
    for ((z, y, x), &value) in window.indexed_iter() {
        if value == label && !seen[[z, y, x]] {
            pieces.push(flood(window, label, [z, y, x], &mut seen));
        }
    }
    let largest = (0..pieces.len()).rev().max_by_key(|&i| pieces[i].len());
    let others = pieces.into_iter().enumerate().filter(|(i, _)| Some(*i) != largest);
    others.flat_map(|(_, piece)| piece).map(|v| std::array::from_fn(|i| v[i] + bounds[i].start)).collect()
}

/// The 6-connected piece of a label around a voxel.
fn flood(window: ArrayView3<u32>, label: u32, start: [usize; 3], seen: &mut Array3<bool>) -> Vec<[usize; 3]> {
    let mut piece = vec![start];
    seen[start] = true;
    let mut next = 0;
    while next < piece.len() {
        let voxel = piece[next];
        next += 1;
        for axis in 0..3 {
            for step in [usize::MAX, 1] {
                let mut neighbour = voxel;
                neighbour[axis] = voxel[axis].wrapping_add(step);
                if window.get(neighbour) == Some(&label) && !seen[neighbour] {
                    seen[neighbour] = true;
                    piece.push(neighbour);
                }
            }
        }
    }
    piece
}

fn number_in_raster_order(labels: &mut Array3<u32>, nuclei: &mut Vec<Nucleus>) {
    let mut number = vec![0; nuclei.len() + 1];
    let mut ordered = Vec::with_capacity(nuclei.len());
    for &label in labels.iter() {
        if label > 0 && number[label as usize] == 0 {
            ordered.push(nuclei[label as usize - 1].clone());
            number[label as usize] = ordered.len() as u32;
        }
    }
    labels.par_mapv_inplace(|label| number[label as usize]);
    *nuclei = ordered;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_largest_piece_of_a_label_stays() {
        let mut labels = Array3::zeros((1, 4, 4));
        labels.slice_mut(s![0, 0..2, 0..2]).fill(7);
        labels[[0, 2, 2]] = 7;
        labels[[0, 3, 3]] = 7;
        labels[[0, 3, 0]] = 5;
        assert_eq!(strays(labels.view(), 7, &[0..1, 0..4, 0..4]), [[0, 2, 2], [0, 3, 3]]);
        assert!(strays(labels.view(), 5, &[0..1, 0..4, 0..4]).is_empty());
    }
}

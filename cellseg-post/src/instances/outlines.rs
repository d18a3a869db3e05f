//! Where each object ends: at a share of its own brightness over the background around it, without thin parts.

use ndarray::{Array3, ArrayView3, Zip};

use crate::{
    Connectivity, Error, Spacing, components_of_ids, distance_transform, distance_transform_of_ids, gaussian,
    intensity_quantiles,
};

/// An object ends where it is darker than this share of its brightness, from the background around it to the
/// [`BRIGHT`]-quantile of its own voxels.
const END: f64 = 0.3;
const BRIGHT: f64 = 0.9;

/// The Gaussian's sigma with which the background is averaged, as a share of the objects' diameter.
///
/// In tissue nuclei lie in cytoplasm, which is brighter than what surrounds the tissue; one background for the volume
/// would draw them too wide.
pub(super) const AROUND: f64 = 0.5;

/// Below this share of background among the voxels averaged, the volume's background is taken instead.
const SCARCE: f32 = 1e-3;

/// Takes from each object (ids 1 to `count`) the voxels that are too dark for it.
///
/// `background` is the level of the whole volume, below which no object's own is taken to be; outside `mask` lies background.
pub(super) fn end_objects(
    ids: &mut Array3<u32>,
    count: u32,
    map: ArrayView3<f32>,
    mask: ArrayView3<bool>,
    background: f64,
    sigma: [f64; 3],
) -> Result<(), Error> {
    let around = background_around(ids.view(), count, map, mask, background, sigma)?;
    let mut ends = vec![f32::INFINITY; count as usize + 1];
    for (id, bright) in intensity_quantiles(ids.view(), map, &[BRIGHT])? {
        let dark = around[id as usize];
        ends[id as usize] = (dark + END * (bright[0] - dark)) as f32;
    }
    Zip::from(ids).and(map).for_each(|id, &value| {
        if value <= ends[*id as usize] {
            *id = 0;
        }
    });
    Ok(())
}

/// The level of the background around each object, entry 0 left out of account.
fn background_around(
    ids: ArrayView3<u32>,
    count: u32,
    map: ArrayView3<f32>,
    mask: ArrayView3<bool>,
    background: f64,
    sigma: [f64; 3],
) -> Result<Vec<f64>, Error> {
    let level = background as f32;
    let dark =
        Zip::from(map).and(mask).map_collect(|&value, &inside| if inside { 0.0 } else { value - level });
    let dark = gaussian(dark.view(), sigma)?;
    let share = gaussian(mask.mapv(|inside| if inside { 0.0 } else { 1.0 }).view(), sigma)?;
    let mut sums = vec![(0.0, 0u64); count as usize + 1];
    Zip::from(ids).and(&dark).and(&share).for_each(|&id, &dark, &share| {
        let (sum, voxels) = &mut sums[id as usize];
        *sum += f64::from(dark / share.max(SCARCE));
        *voxels += 1;
    });
    Ok(sums.into_iter().map(|(sum, voxels)| background + (sum / voxels.max(1) as f64).max(0.0)).collect())
}

/// Opens each object by a ball of `radius` micrometres and keeps the largest of its pieces.
///
/// What a ball of that radius does not fit in is no part of a nucleus: bridges of noise, walls and fibres.
pub(super) fn round_off(mut ids: Array3<u32>, radius: f64, spacing: Spacing) -> Result<Array3<u32>, Error> {
    let radius = radius as f32;
    let outside_cores = distance_transform_of_ids(ids.view(), spacing).mapv(|distance| distance <= radius);
    // A core is further than the radius from all that is not its object, so no object reaches another's core.
    let to_core = distance_transform(outside_cores.view(), spacing);
    Zip::from(&mut ids).and(&to_core).for_each(|id, &distance| {
        if distance > radius {
            *id = 0;
        }
    });
    keep_largest_pieces(ids)
}

/// Keeps the largest 26-connected piece of each object, of equally large ones the first in raster order.
fn keep_largest_pieces(mut ids: Array3<u32>) -> Result<Array3<u32>, Error> {
    let pieces = components_of_ids(ids.view(), Connectivity::TwentySix)?;
    let sizes = pieces.sizes();
    let most = ids.iter().max().map_or(0, |&id| id as usize);
    // The size and the number of each object's largest piece.
    let mut largest = vec![(0, 0); most + 1];
    Zip::from(&ids).and(pieces.ids()).for_each(|&id, &piece| {
        let (size, which) = &mut largest[id as usize];
        if id != 0 && piece != *which && sizes[piece as usize] > *size {
            (*size, *which) = (sizes[piece as usize], piece);
        }
    });
    Zip::from(&mut ids).and(pieces.ids()).for_each(|id, &piece| {
        if piece != largest[*id as usize].1 {
            *id = 0;
        }
    });
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two balls of brightness 200 over backgrounds of 0 and 80, each in a basin that reaches 3 voxels further.
    fn two_balls() -> (Array3<u32>, Array3<f32>, Array3<bool>) {
        let shape = (24, 24, 48);
        let distance = |(z, y, x): (usize, usize, usize)| {
            let place = [z as f32 - 12.0, y as f32 - 12.0, (x % 24) as f32 - 12.0];
            place.iter().map(|part| part * part).sum::<f32>().sqrt()
        };
        let ids = Array3::from_shape_fn(shape, |at| match distance(at) < 9.0 {
            true => 1 + u32::from(at.2 >= 24),
            false => 0,
        });
        let map = Array3::from_shape_fn(shape, |at| {
            let (ball, tissue) =
                (200.0 / (1.0 + (distance(at) - 6.0).exp()), if at.2 < 24 { 0.0 } else { 80.0 });
            f32::max(ball, tissue)
        });
        let mask = map.mapv(|value| value > 100.0);
        (ids, map, mask)
    }

    #[test]
    fn an_object_ends_above_the_background_around_it() {
        let (mut ids, map, mask) = two_balls();
        end_objects(&mut ids, 2, map.view(), mask.view(), 0.0, [6.0; 3]).unwrap();
        let size = |which: u32| ids.iter().filter(|&&id| id == which).count() as f64;
        // The background leaks over the border between the two, by which the first is a little smaller.
        assert!((1.0..1.6).contains(&(size(1) / size(2))), "{} and {} voxels", size(1), size(2));
        assert!(size(2) > 0.5 * 4.19 * 6f64.powi(3));
    }

    #[test]
    fn without_background_that_of_the_volume_counts() {
        let (ids, map, _) = two_balls();
        let mask = Array3::from_elem(ids.raw_dim(), true);
        let around = background_around(ids.view(), 2, map.view(), mask.view(), 7.0, [6.0; 3]).unwrap();
        assert_eq!(around[1..], [7.0, 7.0]);
    }

    #[test]
    fn thin_parts_are_taken_off_and_the_largest_piece_stays() {
        let mut ids = Array3::zeros((9, 9, 30));
        // A cube with a fibre to a smaller cube, all one object, beside a slab that is another.
        ids.slice_mut(ndarray::s![1..8, 1..8, 1..8]).fill(5);
        ids.slice_mut(ndarray::s![4, 4, 8..14]).fill(5);
        ids.slice_mut(ndarray::s![2..7, 2..7, 14..19]).fill(5);
        ids.slice_mut(ndarray::s![.., .., 19..29]).fill(2);
        let rounded = round_off(ids.clone(), 1.0, Spacing::VOXELS).unwrap();
        // The fibre keeps what a ball in the cube covers.
        assert_eq!(rounded.slice(ndarray::s![4, 4, 9..19]).iter().filter(|id| **id != 0).count(), 0);
        assert_eq!(rounded[[4, 4, 4]], 5);
        assert_eq!(rounded[[4, 4, 1]], 5, "faces stay where they were");
        assert_eq!(
            rounded.iter().filter(|id| **id == 2).count(),
            9 * 9 * 10,
            "the border of the volume cuts nothing off"
        );
    }
}

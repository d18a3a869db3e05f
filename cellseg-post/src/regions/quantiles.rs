//! Quantiles of the image inside each object.

use ndarray::{ArrayView3, Zip};
use rayon::prelude::*;

use crate::grid::{Grid, all_finite, raster, same_shape};
use crate::{Error, relabel_sequential};

/// The quantiles `q` (0 to 1) of the image's values inside each object of a label volume (z, y, x), by rising id.
///
/// 0.5 is the median. Between two values they are interpolated as by `numpy.quantile`. Holds the values of the foreground,
/// 4 bytes a voxel, besides new ids for all voxels.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::NonFinite`], or [`Error::Argument`] if a quantile is outside 0 to 1.
pub fn intensity_quantiles(
    ids: ArrayView3<u32>,
    image: ArrayView3<f32>,
    q: &[f64],
) -> Result<Vec<(u32, Vec<f64>)>, Error> {
    same_shape(("the labels", &ids), ("the image", &image))?;
    all_finite(Grid::of(&image), &raster(&image))?;
    if let Some(wrong) = q.iter().find(|q| !(0.0..=1.0).contains(*q)) {
        return Err(Error::Argument {
            name: "a quantile",
            given: wrong.to_string(),
            expected: "a number from 0 to 1",
        });
    }
    let dense = relabel_sequential(ids);
    let mut sizes = vec![0; dense.old_ids.len()];
    dense.ids.iter().for_each(|&id| sizes[id as usize] += 1);
    sizes[0] = 0;
    // Where the values of each object go.
    let mut next: Vec<usize> =
        sizes.iter().scan(0, |end, size| Some(std::mem::replace(end, *end + size))).collect();
    let mut values = vec![0.0f32; sizes.iter().sum()];
    Zip::from(&dense.ids).and(image).for_each(|&id, &value| {
        if id != 0 {
            values[next[id as usize]] = value;
            next[id as usize] += 1;
        }
    });
    let mut rest = &mut values[..];
    let mut objects = Vec::with_capacity(sizes.len());
    for (&id, &size) in dense.old_ids.iter().zip(&sizes).skip(1) {
        let (own, others) = rest.split_at_mut(size);
        objects.push((id, own));
        rest = others;
    }
    Ok(objects.into_par_iter().map(|(id, own)| (id, quantiles(own, q))).collect())
}

/// The quantiles of at least one value.
fn quantiles(values: &mut [f32], q: &[f64]) -> Vec<f64> {
    values.sort_unstable_by(f32::total_cmp);
    let value_at = |q: f64| {
        let rank = q * (values.len() - 1) as f64;
        let (below, share) = (rank.floor(), rank.fract());
        let low = f64::from(values[below as usize]);
        if share == 0.0 { low } else { low + share * (f64::from(values[below as usize + 1]) - low) }
    };
    q.iter().map(|&q| value_at(q)).collect()
}

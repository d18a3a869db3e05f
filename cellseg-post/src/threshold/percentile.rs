//! Exact percentiles without sorting the volume.
//!
//! Each f32 has an integer key of the same order. One pass counts the upper 16 bits of all keys and tells in which bin a
//! rank lies; a second pass counts the lower 16 bits of that bin's keys.

use ndarray::ArrayView3;

use super::histogram::count;
use crate::Error;
use crate::float_order::{key, value_of};
use crate::grid::{Grid, all_finite, raster};
use crate::wide::wide;

const HALF: usize = 1 << 16;

/// The percentiles `q` (0 to 100) of a volume's values, in the order given.
///
/// Exact order statistics with linear interpolation between neighbouring ones: `numpy.percentile`'s default.
///
/// # Errors
/// [`Error::Empty`], [`Error::NonFinite`], or [`Error::Argument`] if a percentile is outside 0 to 100.
pub fn percentiles(image: ArrayView3<f32>, q: &[f64]) -> Result<Vec<f64>, Error> {
    if let Some(wrong) = q.iter().find(|q| !(0.0..=100.0).contains(*q)) {
        return Err(Error::Argument {
            name: "percentile",
            given: wrong.to_string(),
            expected: "a number from 0 to 100",
        });
    }
    let grid = Grid::of(&image).not_empty()?;
    let values = raster(&image);
    all_finite(grid, &values)?;
    Ok(percentiles_of(&values, q))
}

/// [`percentiles`] of at least one value, all of them finite.
pub(super) fn percentiles_of(values: &[f32], q: &[f64]) -> Vec<f64> {
    let upper = count(values, HALF, upper_halves);
    let mut known: Vec<(usize, Vec<u64>)> = Vec::new();
    let mut value_at = |rank: u64| {
        let (bin, rank) = locate(&upper, rank);
        let at = known.iter().position(|(other, _)| *other == bin).unwrap_or_else(|| {
            known.push((bin, lower_counts(values, bin)));
            known.len() - 1
        });
        let (low, _) = locate(&known[at].1, rank);
        f64::from(value_of((bin << 16 | low) as u32))
    };
    q.iter()
        .map(|q| {
            let rank = q / 100.0 * (values.len() - 1) as f64;
            let (below, share) = (rank.floor(), rank.fract());
            let low = value_at(below as u64);
            if share == 0.0 { low } else { interpolate(low, value_at(below as u64 + 1), share) }
        })
        .collect()
}

/// From `low` to `high`, measured from the nearer end, as NumPy does.
fn interpolate(low: f64, high: f64, share: f64) -> f64 {
    if share < 0.5 { low + (high - low) * share } else { high - (high - low) * (1.0 - share) }
}

/// The bin that holds the value of `rank`, and the rank within it.
fn locate(counts: &[u64], mut rank: u64) -> (usize, u64) {
    for (bin, &count) in counts.iter().enumerate() {
        if rank < count {
            return (bin, rank);
        }
        rank -= count;
    }
    unreachable!("a rank is below the number of values")
}

/// How often each lower half occurs among the values of one upper half.
fn lower_counts(values: &[f32], upper: usize) -> Vec<u64> {
    // One bin more takes the values of all other upper halves.
    let mut counts = count(values, HALF + 1, |values, found| lower_halves(values, upper as u32, found));
    counts.truncate(HALF);
    counts
}

wide! {
    fn upper_halves(values: &[f32], found: &mut [u32]) {
        for (found, &value) in found.iter_mut().zip(values) {
            *found = key(value) >> 16;
        }
    }
}

wide! {
    /// The lower halves of the keys whose upper half is `upper`, and [`HALF`] for the others.
    fn lower_halves(values: &[f32], upper: u32, found: &mut [u32]) {
        for (found, &value) in found.iter_mut().zip(values) {
            let key = key(value);
            *found = if key >> 16 == upper { key & (HALF as u32 - 1) } else { HALF as u32 };
        }
    }
}

//! Counts of values in bins of equal width.

use ndarray::ArrayView3;
use rayon::prelude::*;

use crate::Error;
use crate::grid::{Grid, all_finite, raster};

/// How many values are counted into one table before tables are added.
const CHUNK: usize = 1 << 18;

/// The counts of a volume's values in bins of equal width between its lowest and highest value.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The bins' borders, one more than bins; the last bin includes its upper border.
    pub edges: Vec<f32>,
    /// How many voxels lie in each bin.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// The middle of each bin.
    pub fn centres(&self) -> Vec<f32> {
        self.edges.windows(2).map(|edge| (edge[0] + edge[1]) / 2.0).collect()
    }
}

/// Counts the values of a volume in `bins` bins, as `numpy.histogram` does for f32.
///
/// # Errors
/// [`Error::Empty`], [`Error::NonFinite`]; [`Error::Constant`] if the bins would have no width;
/// [`Error::Argument`] if there are no bins.
pub fn histogram(image: ArrayView3<f32>, bins: usize) -> Result<Histogram, Error> {
    if bins == 0 {
        return Err(Error::Argument { name: "bins", given: "0".into(), expected: "at least 1" });
    }
    let values = raster(&image);
    let (low, high) = range(Grid::of(&image), &values)?;
    Ok(between(&values, low, high, bins))
}

/// The histogram of values that are `low` at least, those above `high` taken as `high`.
pub(super) fn between(values: &[f32], low: f32, high: f32, bins: usize) -> Histogram {
    let step = (high - low) / bins as f32;
    let mut edges: Vec<f32> = (0..bins).map(|bin| bin as f32 * step + low).collect();
    edges.push(high);
    let counts = count(values, bins, |value| {
        let value = value.min(high);
        let guess = (((value - low) / (high - low)) * bins as f32) as usize;
        settle(&edges, value, guess.min(bins - 1))
    });
    Histogram { edges, counts }
}

/// The bin that holds `value`, near a guess that rounding may have put into a neighbour.
fn settle(edges: &[f32], value: f32, guess: usize) -> usize {
    let last = edges.len() - 2;
    if value < edges[guess] {
        guess - 1
    } else if guess < last && value >= edges[guess + 1] {
        guess + 1
    } else {
        guess
    }
}

/// The lowest and the highest value.
///
/// # Errors
/// [`Error::Empty`], [`Error::NonFinite`]; [`Error::Constant`] if both are the same.
pub(super) fn range(grid: Grid, values: &[f32]) -> Result<(f32, f32), Error> {
    grid.not_empty()?;
    all_finite(grid, values)?;
    let (low, high) = values
        .par_chunks(CHUNK)
        .map(|chunk| chunk.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v))))
        .reduce(|| (f32::MAX, f32::MIN), |a, b| (a.0.min(b.0), a.1.max(b.1)));
    if low == high {
        Err(Error::Constant { value: low })
    } else if (high - low).is_infinite() {
        Err(Error::Argument {
            name: "the range of the values",
            given: format!("{low} to {high}"),
            expected: "a range that is itself a finite f32",
        })
    } else {
        Ok((low, high))
    }
}

/// How many values `bin` puts into each of `bins` bins.
pub(super) fn count(values: &[f32], bins: usize, bin: impl Fn(f32) -> usize + Sync) -> Vec<u64> {
    values
        .par_chunks(CHUNK)
        .fold(
            || vec![0u64; bins],
            |mut counts, chunk| {
                chunk.iter().for_each(|&value| counts[bin(value)] += 1);
                counts
            },
        )
        .reduce(
            || vec![0; bins],
            |mut total, counts| {
                total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                total
            },
        )
}

//! Counts of values in bins of equal width.

use ndarray::ArrayView3;
use rayon::prelude::*;

use crate::Error;
use crate::grid::{Grid, all_finite, raster};
use crate::wide::wide;

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
/// [`Error::Argument`] if there are no bins or more than 2^24.
pub fn histogram(image: ArrayView3<f32>, bins: usize) -> Result<Histogram, Error> {
    if bins == 0 {
        return Err(Error::Argument { name: "bins", given: "0".into(), expected: "at least 1" });
    }
    // Numbers of bins are f32 on the way.
    if bins > 1 << 24 {
        let given = bins.to_string();
        return Err(Error::Argument { name: "bins", given, expected: "at most 16777216" });
    }
    let values = raster(&image);
    let (low, high) = range(Grid::of(&image), &values)?;
    Ok(between(&values, low, high, bins))
}

/// The histogram of values that are `low` at least, those above `high` taken as `high`.
pub(super) fn between(values: &[f32], low: f32, high: f32, bins: usize) -> Histogram {
    let scale = Scale { low, high, step: (high - low) / bins as f32, bins: bins as f32 };
    let mut edges: Vec<f32> = (0..bins).map(|bin| scale.edge(bin as f32)).collect();
    edges.push(high);
    let counts = count(values, bins, |values, found| scale.bins(values, found));
    Histogram { edges, counts }
}

/// Bins of equal width.
#[derive(Clone, Copy)]
struct Scale {
    low: f32,
    high: f32,
    step: f32,
    bins: f32,
}

impl Scale {
    /// The lower border of a bin.
    #[inline(always)]
    fn edge(self, bin: f32) -> f32 {
        bin * self.step + self.low
    }

    /// The bin that holds a value: a guess, moved where rounding has put it beside the borders.
    #[inline(always)]
    fn bin(self, value: f32) -> f32 {
        let value = if value > self.high { self.high } else { value };
        let last = self.bins - 1.0;
        let guess = (((value - self.low) / (self.high - self.low)) * self.bins).floor();
        let guess = if guess > last { last } else { guess };
        let below = value < self.edge(guess);
        let above = guess < last && value >= self.edge(guess + 1.0);
        guess + f32::from(i8::from(above)) - f32::from(i8::from(below))
    }

    fn bins(self, values: &[f32], found: &mut [u32]) {
        find_bins(self, values, found);
    }
}

wide! {
    fn find_bins(scale: Scale, values: &[f32], found: &mut [u32]) {
        for (found, &value) in found.iter_mut().zip(values) {
            *found = scale.bin(value) as i32 as u32;
        }
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
        .map(|chunk| {
            let (mut low, mut high) = (f32::MAX, f32::MIN);
            extremes(chunk, &mut low, &mut high);
            (low, high)
        })
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

wide! {
    /// Lowers `lowest` to the lowest of finite values and raises `highest` to the highest.
    fn extremes(values: &[f32], lowest: &mut f32, highest: &mut f32) {
        let (blocks, rest) = values.as_chunks::<32>();
        let (mut low, mut high) = ([*lowest; 32], [*highest; 32]);
        for block in blocks {
            for lane in 0..32 {
                low[lane] = if block[lane] < low[lane] { block[lane] } else { low[lane] };
                high[lane] = if block[lane] > high[lane] { block[lane] } else { high[lane] };
            }
        }
        *lowest = low.iter().chain(rest).fold(f32::MAX, |a, b| a.min(*b));
        *highest = high.iter().chain(rest).fold(f32::MIN, |a, b| a.max(*b));
    }
}

/// How many values get their bins at once.
const BATCH: usize = 1024;

/// How many values `find` puts into each of `bins` bins; it writes the bins of up to [`BATCH`] values.
pub(super) fn count(values: &[f32], bins: usize, find: impl Fn(&[f32], &mut [u32]) + Sync) -> Vec<u64> {
    // Small tables are counted four times over, so that equal neighbours do not wait for each other.
    if bins <= 4096 { count_in::<4>(values, bins, find) } else { count_in::<1>(values, bins, find) }
}

fn count_in<const TABLES: usize>(
    values: &[f32],
    bins: usize,
    find: impl Fn(&[f32], &mut [u32]) + Sync,
) -> Vec<u64> {
    values
        .par_chunks(CHUNK)
        .fold(
            || vec![[0u64; TABLES]; bins],
            |mut counts, chunk| {
                let mut found = [0; BATCH];
                for batch in chunk.chunks(BATCH) {
                    let found = &mut found[..batch.len()];
                    find(batch, found);
                    let (groups, rest) = found.as_chunks::<TABLES>();
                    for group in groups {
                        for (table, &bin) in group.iter().enumerate() {
                            counts[bin as usize][table] += 1;
                        }
                    }
                    rest.iter().for_each(|&bin| counts[bin as usize][0] += 1);
                }
                counts
            },
        )
        .map(|counts| counts.iter().map(|tables| tables.iter().sum()).collect())
        .reduce(
            || vec![0; bins],
            |mut total: Vec<u64>, counts: Vec<u64>| {
                total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                total
            },
        )
}

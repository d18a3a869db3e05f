//! Thresholds after Liao, Li and Zack: more than two classes, least cross entropy, the corner of the histogram.

use ndarray::ArrayView3;
use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::histogram::{between, range};
use crate::Error;
use crate::grid::{Grid, raster};

const BINS: usize = 256;

/// The `classes - 1` thresholds that separate a volume's values best into so many classes (Liao, Chen & Chung 2001).
///
/// On 256 bins, as `skimage.filters.threshold_multiotsu`, whose sums in f32 sometimes take a neighbouring bin for the best;
/// here they are f64.
///
/// # Errors
/// [`Error::Empty`], [`Error::NonFinite`], [`Error::Constant`]; [`Error::Argument`] if there are fewer than two classes, or
/// fewer bins with voxels than classes.
pub fn multi_otsu(image: ArrayView3<f32>, classes: usize) -> Result<Vec<f32>, Error> {
    let values = raster(&image);
    let (low, high) = range(Grid::of(&image), &values)?;
    let histogram = between(&values, low, high, BINS);
    let centres = histogram.centres();
    let filled: Vec<usize> = (0..BINS).filter(|&bin| histogram.counts[bin] > 0).collect();
    if classes < 2 || filled.len() < classes {
        return Err(Error::Argument {
            name: "the number of classes",
            given: format!("{classes} for values in {} of {BINS} bins", filled.len()),
            expected: "at least 2, and no more than there are bins with values",
        });
    }
    if filled.len() == classes {
        return Ok(filled[..classes - 1].iter().map(|&bin| centres[bin]).collect());
    }
    let total: u64 = histogram.counts.iter().sum();
    // Sums of shares and of shares times bin numbers up to each bin.
    let mut sums = vec![(0.0, 0.0)];
    for (bin, &count) in histogram.counts.iter().enumerate() {
        let share = count as f64 / total as f64;
        let (weight, moment) = sums[bin];
        sums.push((weight + share, moment + share * bin as f64));
    }
    let spread = |start: usize, end: usize| {
        let (weight, moment) = (sums[end].0 - sums[start].0, sums[end].1 - sums[start].1);
        if weight > 0.0 { moment * moment / weight } else { 0.0 }
    };
    // best[k][b]: the largest sum for k + 1 classes in the bins from b on, and where its first class ends.
    let mut best: Vec<Vec<(f64, usize)>> = vec![(0..BINS).map(|start| (spread(start, BINS), BINS)).collect()];
    for more in 1..classes {
        let of_rest = &best[more - 1];
        let split = |start: usize| {
            (start + 1..=BINS - more).fold((f64::NEG_INFINITY, BINS), |best, end| {
                let sum = spread(start, end) + of_rest[end].0;
                if sum > best.0 { (sum, end) } else { best }
            })
        };
        let row =
            (0..BINS).map(|start| if start + more < BINS { split(start) } else { (f64::NEG_INFINITY, BINS) });
        best.push(row.collect());
    }
    let mut start = 0;
    Ok((1..classes)
        .rev()
        .map(|more| {
            start = best[more][start].1;
            centres[start - 1]
        })
        .collect())
}

/// Li's threshold: where the cross entropy between the volume and its two classes' means is least (Li & Tam 1998).
///
/// As `skimage.filters.threshold_li`: iterated from the mean until the threshold moves by at most half the least difference
/// of two values. Where more than 65,536 values differ that is too little to matter, and no voxel may change its class.
///
/// # Errors
/// [`Error::Empty`], [`Error::NonFinite`], or [`Error::Constant`].
pub fn li(image: ArrayView3<f32>) -> Result<f32, Error> {
    let values = raster(&image);
    let (low, _) = range(Grid::of(&image), &values)?;
    let tolerance = least_difference(&values).map_or(0.0, |difference| difference / 2.0);
    let low = f64::from(low);
    let [all, total] = sums_above(&values, f64::NEG_INFINITY, low);
    let mut threshold = total / all;
    // The threshold moves one way only, so it settles; the limit is for the rounding of its last steps.
    for _ in 0..1000 {
        let [count, sum] = sums_above(&values, threshold, low);
        let (bright, dark) = (sum / count, (total - sum) / (all - count));
        // Also where one class is empty.
        if !(bright > dark && dark > 0.0) {
            break;
        }
        let before = threshold;
        threshold = (dark - bright) / (dark.ln() - bright.ln());
        if (threshold - before).abs() <= tolerance {
            break;
        }
    }
    Ok((threshold + low) as f32)
}

/// The least difference of two values, unless more of them differ than 16 bits can tell apart.
fn least_difference(values: &[f32]) -> Option<f64> {
    let mut distinct = FxHashSet::default();
    let mut last = None;
    for value in values.iter().map(|value| value.to_bits()) {
        if last.replace(value) != Some(value) && distinct.insert(value) && distinct.len() > 1 << 16 {
            return None;
        }
    }
    let mut distinct: Vec<f64> = distinct.into_iter().map(|bits| f64::from(f32::from_bits(bits))).collect();
    distinct.sort_unstable_by(f64::total_cmp);
    let gaps = distinct.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0);
    gaps.min_by(f64::total_cmp)
}

/// The number and the sum of the values, each less `low`, that are above a threshold.
fn sums_above(values: &[f32], threshold: f64, low: f64) -> [f64; 2] {
    let parts: Vec<[f64; 2]> = values
        .par_chunks(1 << 18)
        .map(|part| {
            part.iter()
                .map(|&value| f64::from(value) - low)
                .filter(|value| *value > threshold)
                .fold([0.0, 0.0], |[count, sum], value| [count + 1.0, sum + value])
        })
        .collect();
    parts.into_iter().fold([0.0, 0.0], |a, b| [a[0] + b[0], a[1] + b[1]])
}

/// The triangle threshold: the bin furthest from the line between the histogram's peak and its longer end (Zack, Rogers
/// & Latt 1977).
///
/// On 256 bins, as `skimage.filters.threshold_triangle`.
///
/// # Errors
/// [`Error::Empty`], [`Error::NonFinite`], or [`Error::Constant`].
pub fn triangle(image: ArrayView3<f32>) -> Result<f32, Error> {
    let values = raster(&image);
    let (low, high) = range(Grid::of(&image), &values)?;
    let histogram = between(&values, low, high, BINS);
    let centres = histogram.centres();
    let mut counts: Vec<f64> = histogram.counts.iter().map(|&count| count as f64).collect();
    let first_largest = |values: &[f64]| {
        values
            .iter()
            .enumerate()
            .fold(0, |best, (place, value)| if *value > values[best] { place } else { best })
    };
    let peak = first_largest(&counts);
    // The lowest and the highest value fill the outermost bins.
    let flipped = peak < BINS - 1 - peak;
    if flipped {
        counts.reverse();
    }
    let width = if flipped { BINS - 1 - peak } else { peak };
    let height = counts[width];
    let norm = height.hypot(width as f64);
    let distances: Vec<f64> =
        (0..width).map(|bin| height / norm * bin as f64 - width as f64 / norm * counts[bin]).collect();
    let level = first_largest(&distances);
    Ok(centres[if flipped { BINS - 1 - level } else { level }])
}

//! Means and variances of groups.
//!
//! A piece's squares are taken of the distances from about its own mean, and the pieces are put together by the formula of
//! Chan, Golub and LeVeque ("Algorithms for computing the sample variance", The American Statistician 37, 1983), all of
//! whose terms are positive: nothing cancels, however far the numbers lie from zero and wherever an outlier stands.

use super::{
    pieces::Pieces,
    rows::{folded, moments, repeated, width as wide_row},
};
use cellseg_core::{Real, Result, Tensor};

/// How many numbers there are, their mean, and the sum of the squares of their distances from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

/// Wide rows of a piece whose mean the squares' distances are taken from. An outlier among them moves that mean by its
/// size over their number, so what is lost of the squares is at most the rows of a piece over the square of this number.
const SAMPLE: usize = 16;

/// The moments of each group of the numbers of a piece.
pub(super) fn of_piece<T: Real>(x: &[T], channels: usize, groups: usize) -> Vec<Moments> {
    let width = channels / groups;
    let count = (x.len() / groups) as f64;
    let by_group = |sums: Vec<T>| -> Vec<f64> {
        folded(channels, &sums).chunks(width).map(|sums| sums.iter().sum()).collect()
    };
    let sample = &x[..x.len().min(SAMPLE * wide_row(channels))];
    let [sums, _] = moments(sample, &repeated(channels, |_| T::zero()));
    let mean = |sum: f64| T::of(sum / (sample.len() / groups) as f64);
    let rough: Vec<T> = by_group(sums).into_iter().map(mean).collect();
    let [distances, squares] = moments(x, &repeated(channels, |c| rough[c / width])).map(by_group);
    let moments = |((rough, distance), squares): ((&T, f64), f64)| {
        let shift = distance / count;
        Moments { count, mean: rough.wide() + shift, squares: squares - distance * shift }
    };
    rough.iter().zip(distances).zip(squares).map(moments).collect()
}

/// The moments of what several pieces hold.
fn together(parts: impl Iterator<Item = Moments> + Clone) -> Moments {
    let count: f64 = parts.clone().map(|p| p.count).sum();
    let mean = parts.clone().map(|p| p.count * p.mean).sum::<f64>() / count;
    let squares = parts.map(|p| p.squares + p.count * (p.mean - mean) * (p.mean - mean)).sum();
    Moments { count, mean, squares }
}

/// Means and reciprocal standard deviations, `[n, 2, groups]`, from the moments of all pieces.
pub(super) fn of_groups<T: Real>(
    pieces: &Pieces,
    groups: usize,
    eps: f64,
    parts: &[Vec<Moments>],
) -> Result<Tensor> {
    Tensor::build(&[pieces.samples, 2, groups], |out: &mut [T]| {
        for (n, out) in out.chunks_exact_mut(2 * groups).enumerate() {
            let parts = &parts[n * pieces.per_sample()..][..pieces.per_sample()];
            let (means, factors) = out.split_at_mut(groups);
            for (g, (mean, factor)) in means.iter_mut().zip(factors).enumerate() {
                let all = together(parts.iter().map(|part| part[g]));
                *mean = T::of(all.mean);
                *factor = T::of(1.0 / ((all.squares / all.count).max(0.0) + eps).sqrt());
            }
        }
        Ok(())
    })
}

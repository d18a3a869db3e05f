//! Loops over rows of channels.
//!
//! Where channels are few, several rows are taken as one wide row, with the coefficients of the channels repeated, so
//! that vector instructions find enough to do.

use crate::pointwise::wide;
use cellseg_core::Real;

/// Rows that are added up at once, so that sums stay in registers; the sums of blocks are added up in turn, which rounds
/// less than one long sum.
const BLOCK: usize = 4;

/// The least numbers of a wide row.
const WIDE: usize = 64;

/// The width of a wide row of whole rows.
fn width(channels: usize) -> usize {
    channels * (WIDE / channels).max(1)
}

/// Coefficients of the channels for each number of a wide row.
pub(super) fn repeated<T: Real>(channels: usize, of: impl Fn(usize) -> T) -> Vec<T> {
    (0..width(channels)).map(|i| of(i % channels)).collect()
}

/// The sums over the channel's columns of a wide row, for each channel.
pub(super) fn folded<T: Real>(channels: usize, sums: &[T]) -> Vec<f64> {
    let mut folded = vec![0.0; channels];
    for row in sums.chunks(channels) {
        folded.iter_mut().zip(row).for_each(|(f, s)| *f += s.wide());
    }
    folded
}

/// The sums of each column of wide rows, of which the last may be shorter: of the two terms that `term` forms from the
/// numbers of the inputs at one place and the centre of its column. A wide row is as long as there are centres.
#[inline(always)]
fn columns<T: Real, const K: usize>(
    inputs: [&[T]; K],
    centres: &[T],
    term: impl Fn([T; K], T) -> [T; 2],
) -> [Vec<T>; 2] {
    let w = centres.len();
    let mut sums = [vec![T::zero(); w], vec![T::zero(); w]];
    let [first, second] = sums.each_mut().map(|s| &mut s[..w]);
    let rows = inputs[0].len() / w;
    let row = |r: usize| inputs.map(|x| &x[r * w..][..w]);
    for block in 0..rows / BLOCK {
        let rows: [_; BLOCK] = std::array::from_fn(|r| row(block * BLOCK + r));
        for i in 0..w {
            let mut sum = [T::zero(); 2];
            for row in rows {
                let [a, b] = term(row.map(|x| x[i]), centres[i]);
                sum[0] += a;
                sum[1] += b;
            }
            first[i] += sum[0];
            second[i] += sum[1];
        }
    }
    let rest = inputs.map(|x| &x[rows / BLOCK * BLOCK * w..]);
    for at in (0..rest[0].len()).step_by(w) {
        let row = rest.map(|x| &x[at..x.len().min(at + w)]);
        for (i, (first, second)) in first.iter_mut().zip(&mut *second).enumerate().take(row[0].len()) {
            let [a, b] = term(row.map(|x| x[i]), centres[i]);
            *first += a;
            *second += b;
        }
    }
    sums
}

wide! {
    /// The columns' sums of `x - shift` and of its square.
    pub(super) fn moments<'a, T: Real>(x: &'a [T], shift: &'a [T]) -> [Vec<T>; 2] {
        columns([x], shift, |[x], shift| [x - shift, (x - shift) * (x - shift)])
    }
}

wide! {
    /// The columns' sums of `g` and of `g * (x - mean)`.
    pub(super) fn products<'a, T: Real>(g: &'a [T], x: &'a [T], mean: &'a [T]) -> [Vec<T>; 2] {
        columns([g, x], mean, |[g, x], mean| [g, g * (x - mean)])
    }
}

wide! {
    /// `x = (x - mean) * factor + shift`.
    pub(super) fn normalise<'a, T: Real>(coefficients: &'a [Vec<T>; 3], x: &'a mut [T]) -> () {
        let [mean, factor, shift] = coefficients;
        for x in x.chunks_mut(mean.len()) {
            for (((x, m), f), s) in x.iter_mut().zip(mean).zip(factor).zip(shift) {
                *x = (*x - *m) * *f + *s;
            }
        }
    }
}

wide! {
    /// `grad = grad * a + ((x - mean) * b + s)`.
    pub(super) fn combine<'a, T: Real>(x: &'a [T], coefficients: &'a [Vec<T>; 4], grad: &'a mut [T]) -> () {
        let [mean, a, b, s] = coefficients;
        let w = mean.len();
        for (grad, x) in grad.chunks_mut(w).zip(x.chunks(w)) {
            for (((((g, x), m), a), b), s) in grad.iter_mut().zip(x).zip(mean).zip(a).zip(b).zip(s) {
                *g = *g * *a + ((*x - *m) * *b + *s);
            }
        }
    }
}

wide! {
    /// `x = x + y`.
    pub(super) fn add<'a, T: Real>(x: &'a mut [T], y: &'a [T]) -> () {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += *y);
    }
}

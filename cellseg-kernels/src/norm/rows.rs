//! Loops over rows of channels.
//!
//! Where channels are few, several rows are taken as one wide row, with the coefficients of the channels repeated, so
//! that vector instructions find enough to do.

use crate::{
    pointwise::wide,
    simd::{Isa, Lanes, Routine},
};
use cellseg_core::{Element, Real};
use std::{array::from_fn, ops::Range};

/// Rows whose sums are added up on their own before they are added to the others, which rounds less than one long sum.
const BLOCK: usize = 16;

/// Vectors of columns whose sums are held in registers: with the sums of a block, of two terms each, and the centres.
const VECTORS: usize = 2;

/// The least numbers of a wide row.
const WIDE: usize = 64;

/// The width of a wide row of whole rows.
pub(super) fn width(channels: usize) -> usize {
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

/// Two terms that are formed from the numbers of `K` inputs in one place.
trait Terms<const K: usize>: Copy {
    fn of<L: Lanes>(self, x: [L; K], centre: L) -> [L; 2];
}

/// `x - centre`, and its square.
#[derive(Clone, Copy)]
struct Moments;

impl Terms<1> for Moments {
    #[inline(always)]
    fn of<L: Lanes>(self, [x]: [L; 1], centre: L) -> [L; 2] {
        let d = x - centre;
        [d, d * d]
    }
}

/// `g`, and `g * (x - centre)`.
#[derive(Clone, Copy)]
struct Products;

impl Terms<2> for Products {
    #[inline(always)]
    fn of<L: Lanes>(self, [g, x]: [L; 2], centre: L) -> [L; 2] {
        [g, g * (x - centre)]
    }
}

/// The sums of each column of wide rows, of which the last may be shorter, of two terms. A wide row is as long as there are
/// centres. Each column's numbers are added in the same order whatever the instruction set.
struct Columns<'a, T, F, const K: usize> {
    inputs: [&'a [T]; K],
    centres: &'a [T],
    terms: F,
}

impl<T: Real, F: Terms<K>, const K: usize> Routine<T> for Columns<'_, T, F, K> {
    type Output = [Vec<T>; 2];

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> [Vec<T>; 2] {
        let w = self.centres.len();
        let mut sums = [vec![T::zero(); w], vec![T::zero(); w]];
        for first in (0..w).step_by(VECTORS * L::N) {
            let columns = first..w.min(first + VECTORS * L::N);
            let found = self.columns::<L>(columns.clone());
            for (sums, found) in sums.iter_mut().zip(found) {
                for (sums, found) in sums[columns.clone()].chunks_mut(L::N).zip(found) {
                    found.write(sums);
                }
            }
        }
        sums
    }
}

impl<T: Real, F: Terms<K>, const K: usize> Columns<'_, T, F, K> {
    /// The sums of at most `VECTORS` vectors of columns.
    #[inline(always)]
    fn columns<L: Lanes<Elem = T>>(&self, columns: Range<usize>) -> [[L; VECTORS]; 2] {
        let (w, zero, length) = (self.centres.len(), L::splat(T::zero()), self.inputs[0].len());
        let centres: [L; VECTORS] = from_fn(
            #[inline(always)]
            |v| vector::<L, false>(&self.centres[columns.clone()], v),
        );
        let is_full = columns.len() == VECTORS * L::N;
        let mut sums = [[zero; VECTORS]; 2];
        for block in (0..length).step_by(BLOCK * w) {
            let mut part = [[zero; VECTORS]; 2];
            for at in (block..length.min(block + BLOCK * w)).step_by(w) {
                // The last row may end within these columns, or before them.
                let end = length.min(at + columns.end);
                let row = end.min(at + columns.start)..end;
                if is_full && row.len() == columns.len() {
                    self.add::<L, true>(row, &centres, &mut part);
                } else {
                    self.add::<L, false>(row, &centres, &mut part);
                }
            }
            for (sums, part) in sums.iter_mut().zip(part) {
                for v in 0..VECTORS {
                    sums[v] = sums[v] + part[v];
                }
            }
        }
        sums
    }

    /// Adds the terms of a part of a row, which is as long as there are vectors if it is `FULL`.
    #[inline(always)]
    fn add<L: Lanes<Elem = T>, const FULL: bool>(
        &self,
        row: Range<usize>,
        centres: &[L; VECTORS],
        part: &mut [[L; VECTORS]; 2],
    ) {
        for v in 0..VECTORS {
            let mut x = [centres[v]; K];
            for (x, input) in x.iter_mut().zip(self.inputs) {
                *x = vector::<L, FULL>(&input[row.clone()], v);
            }
            let [a, b] = self.terms.of(x, centres[v]);
            let count = row.len().saturating_sub(v * L::N);
            let [a, b] = if FULL { [a, b] } else { [first_of(a, count), first_of(b, count)] };
            part[0][v] = part[0][v] + a;
            part[1][v] = part[1][v] + b;
        }
    }
}

/// The `v`-th vector of a row; zeros where it has ended.
#[inline(always)]
fn vector<L: Lanes, const FULL: bool>(x: &[L::Elem], v: usize) -> L {
    if FULL { L::from_slice(&x[v * L::N..][..L::N]) } else { L::from_slice(&x[x.len().min(v * L::N)..]) }
}

/// The first lanes of a vector, and zeros: what stands beyond the end of a row is no term.
#[inline(always)]
fn first_of<L: Lanes>(x: L, count: usize) -> L {
    if count >= L::N {
        return x;
    }
    let mut lanes = [L::Elem::of(0.0); 16];
    x.write(&mut lanes[..count]);
    L::from_slice(&lanes[..L::N])
}

/// The columns' sums of `x - shift` and of its square.
pub(super) fn moments<T: Real>(x: &[T], shift: &[T]) -> [Vec<T>; 2] {
    Isa::best().run(Columns { inputs: [x], centres: shift, terms: Moments })
}

/// The columns' sums of `g` and of `g * (x - mean)`.
pub(super) fn products<T: Real>(g: &[T], x: &[T], mean: &[T]) -> [Vec<T>; 2] {
    Isa::best().run(Columns { inputs: [g, x], centres: mean, terms: Products })
}

wide! {
    /// `out = (x - mean) * factor + shift`.
    pub(super) fn normalise_from<'a, T: Real>(coefficients: &'a [Vec<T>; 3], x: &'a [T], out: &'a mut [T]) -> () {
        let [mean, factor, shift] = coefficients;
        for (out, x) in out.chunks_mut(mean.len()).zip(x.chunks(mean.len())) {
            for ((((o, x), m), f), s) in out.iter_mut().zip(x).zip(mean).zip(factor).zip(shift) {
                *o = (*x - *m) * *f + *s;
            }
        }
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

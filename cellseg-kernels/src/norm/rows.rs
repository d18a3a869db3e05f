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
        let (w, zero) = (self.centres.len(), L::splat(T::zero()));
        let centres = vectors::<L>(&self.centres[columns.clone()]);
        let mut sums = [[zero; VECTORS]; 2];
        for block in (0..self.inputs[0].len()).step_by(BLOCK * w) {
            let rows = self.inputs.map(|x| &x[block..x.len().min(block + BLOCK * w)]);
            let mut part = [[zero; VECTORS]; 2];
            for at in (0..rows[0].len()).step_by(w) {
                // The last row may end within these columns, or before them.
                let end = rows[0].len().min(at + columns.end);
                let start = end.min(at + columns.start);
                let x = rows.map(|x| vectors::<L>(&x[start..end]));
                for v in 0..VECTORS {
                    let present = (end - start).saturating_sub(v * L::N);
                    if present == 0 {
                        continue;
                    }
                    let terms = self.terms.of(x.map(|x| x[v]), centres[v]);
                    for (part, term) in part.iter_mut().zip(terms) {
                        part[v] = part[v] + first_of(term, present);
                    }
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
}

/// At most `VECTORS` vectors of numbers; zeros where there are none.
#[inline(always)]
fn vectors<L: Lanes>(x: &[L::Elem]) -> [L; VECTORS] {
    from_fn(
        #[inline(always)]
        |v| L::from_slice(&x[x.len().min(v * L::N)..]),
    )
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

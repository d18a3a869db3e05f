//! Softmax of rows, many at once where they are short.
//!
//! A network that tells a few classes apart has rows of two to eight numbers, shorter than a vector register. Many such
//! rows are therefore turned around, so that vector lanes run along the numbers of one channel. Long rows are worked on
//! one by one, with interleaved maxima and sums.

use crate::pointwise::{
    exponential::exp,
    lanes::{max, sum, sum_of_pairs},
    wide,
};
use cellseg_core::Real;

/// Short rows that are worked on at once.
const LANES: usize = 64;

/// The widest row that is short.
const SHORT: usize = 8;

/// What is computed from a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `exp(x) / sum(exp(x))`.
    Plain,
    /// The logarithm of that.
    Log,
}

wide! {
    /// Replaces rows of `c` numbers by their softmax.
    pub(super) fn forward<'a, T: Real>(data: &'a mut [T], c: usize, form: Form) -> () {
        if c > SHORT {
            data.chunks_exact_mut(c).for_each(|x| forward_long(x, form));
            return;
        }
        let mut columns = [[T::zero(); LANES]; SHORT];
        for data in data.chunks_mut(LANES * c) {
            turn(data, &mut columns[..c]);
            forward_short(&mut columns[..c], form);
            turn_back(&columns[..c], data);
        }
    }
}

wide! {
    /// Replaces gradients of rows of `c` numbers `y` by those of the rows that they were computed from.
    pub(super) fn backward<'a, T: Real>(grad: &'a mut [T], y: &'a [T], c: usize, form: Form) -> () {
        if c > SHORT {
            grad.chunks_exact_mut(c).zip(y.chunks_exact(c)).for_each(|(g, y)| backward_long(g, y, form));
            return;
        }
        let (mut of_g, mut of_y) = ([[T::zero(); LANES]; SHORT], [[T::zero(); LANES]; SHORT]);
        for (grad, y) in grad.chunks_mut(LANES * c).zip(y.chunks(LANES * c)) {
            turn(grad, &mut of_g[..c]);
            turn(&y[..grad.len()], &mut of_y[..c]);
            backward_short(&mut of_g[..c], &of_y[..c], form);
            turn_back(&of_g[..c], grad);
        }
    }
}

/// Puts the numbers of each channel of at most [`LANES`] rows together.
#[inline(always)]
fn turn<T: Real>(data: &[T], columns: &mut [[T; LANES]]) {
    for (l, row) in data.chunks_exact(columns.len()).enumerate() {
        for (column, x) in columns.iter_mut().zip(row) {
            column[l] = *x;
        }
    }
}

/// The inverse of [`turn`].
#[inline(always)]
fn turn_back<T: Real>(columns: &[[T; LANES]], data: &mut [T]) {
    for (l, row) in data.chunks_exact_mut(columns.len()).enumerate() {
        for (x, column) in row.iter_mut().zip(columns) {
            *x = column[l];
        }
    }
}

#[inline(always)]
fn forward_short<T: Real>(columns: &mut [[T; LANES]], form: Form) {
    let mut most = columns[0];
    for column in &columns[1..] {
        for (m, x) in most.iter_mut().zip(column) {
            *m = if *x > *m { *x } else { *m };
        }
    }
    let mut sum = [T::zero(); LANES];
    for column in &mut *columns {
        for ((x, m), s) in column.iter_mut().zip(&most).zip(&mut sum) {
            let shifted = *x - *m;
            let e = exp(shifted);
            *s += e;
            *x = if form == Form::Plain { e } else { shifted };
        }
    }
    for s in &mut sum {
        *s = if form == Form::Plain { T::one() / *s } else { s.ln() };
    }
    for column in columns {
        for (x, s) in column.iter_mut().zip(&sum) {
            *x = if form == Form::Plain { *x * *s } else { *x - *s };
        }
    }
}

#[inline(always)]
fn backward_short<T: Real>(g: &mut [[T; LANES]], y: &[[T; LANES]], form: Form) {
    let mut sum = [T::zero(); LANES];
    for (g, y) in g.iter().zip(y) {
        for ((s, g), y) in sum.iter_mut().zip(g).zip(y) {
            *s += if form == Form::Plain { *g * *y } else { *g };
        }
    }
    for (g, y) in g.iter_mut().zip(y) {
        for ((g, y), s) in g.iter_mut().zip(y).zip(&sum) {
            *g = if form == Form::Plain { *y * (*g - *s) } else { *g - exp(*y) * *s };
        }
    }
}

#[inline(always)]
fn forward_long<T: Real>(x: &mut [T], form: Form) {
    let most = max(x);
    match form {
        Form::Plain => {
            x.iter_mut().for_each(|x| *x = exp(*x - most));
            let factor = T::one() / sum(x, |x| x);
            x.iter_mut().for_each(|x| *x *= factor);
        }
        Form::Log => {
            x.iter_mut().for_each(|x| *x -= most);
            let shift = sum(x, exp).ln();
            x.iter_mut().for_each(|x| *x -= shift);
        }
    }
}

#[inline(always)]
fn backward_long<T: Real>(g: &mut [T], y: &[T], form: Form) {
    match form {
        Form::Plain => {
            let sum = sum_of_pairs(g, y, |g, y| g * y);
            g.iter_mut().zip(y).for_each(|(g, y)| *g = *y * (*g - sum));
        }
        Form::Log => {
            let sum = sum(g, |g| g);
            g.iter_mut().zip(y).for_each(|(g, y)| *g -= exp(*y) * sum);
        }
    }
}

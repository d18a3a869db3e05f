//! Softmax of rows, sixteen at once where they are short.
//!
//! A network that tells a few classes apart has rows of two to eight numbers, shorter than a vector register. Sixteen
//! such rows are therefore turned around, so that vector lanes run along the numbers of one channel. Long rows are
//! worked on one by one, with sixteen interleaved maxima and sums.

use crate::pointwise::{
    exponential::exp,
    lanes::{LANES, max, sum, sum_of_pairs},
};
use cellseg_core::Real;

/// What is computed from a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `exp(x) / sum(exp(x))`.
    Plain,
    /// The logarithm of that.
    Log,
}

/// Runs a function for short rows with their width as a constant, or one for long rows.
macro_rules! by_width {
    ($c:expr, $short:ident($($a:expr),*), $long:expr) => {
        match $c {
            1 => $short::<T, 1>($($a),*),
            2 => $short::<T, 2>($($a),*),
            3 => $short::<T, 3>($($a),*),
            4 => $short::<T, 4>($($a),*),
            5 => $short::<T, 5>($($a),*),
            6 => $short::<T, 6>($($a),*),
            7 => $short::<T, 7>($($a),*),
            8 => $short::<T, 8>($($a),*),
            _ => $long,
        }
    };
}

/// Replaces rows of `c` numbers by their softmax.
#[inline(always)]
pub(super) fn forward<T: Real>(data: &mut [T], c: usize, form: Form) {
    by_width!(c, forward_short(data, form), data.chunks_exact_mut(c).for_each(|x| forward_long(x, form)));
}

/// Replaces gradients of rows of `c` numbers `y` by those of the rows that they were computed from.
#[inline(always)]
pub(super) fn backward<T: Real>(grad: &mut [T], y: &[T], c: usize, form: Form) {
    by_width!(c, backward_short(grad, y, form), {
        grad.chunks_exact_mut(c).zip(y.chunks_exact(c)).for_each(|(g, y)| backward_long(g, y, form));
    });
}

/// `C` numbers of [`LANES`] rows, those of one channel together.
type Columns<T, const C: usize> = [[T; LANES]; C];

/// The rows that `data` starts with, the last one repeated where there are fewer than [`LANES`].
#[inline(always)]
fn turn<T: Real, const C: usize>(data: &[T]) -> Columns<T, C> {
    let mut columns = [[T::zero(); LANES]; C];
    let (rows, _) = data.as_chunks::<C>();
    if let Some(rows) = rows.first_chunk::<LANES>() {
        for (l, row) in rows.iter().enumerate() {
            for (column, x) in columns.iter_mut().zip(row) {
                column[l] = *x;
            }
        }
    } else {
        for (l, row) in rows.iter().enumerate() {
            for (column, x) in columns.iter_mut().zip(row) {
                column[l] = *x;
            }
        }
    }
    columns
}

/// The inverse of [`turn`].
#[inline(always)]
fn turn_back<T: Real, const C: usize>(columns: &Columns<T, C>, data: &mut [T]) {
    let (rows, _) = data.as_chunks_mut::<C>();
    if let Some(rows) = rows.first_chunk_mut::<LANES>() {
        for (l, row) in rows.iter_mut().enumerate() {
            for (x, column) in row.iter_mut().zip(columns) {
                *x = column[l];
            }
        }
    } else {
        for (l, row) in rows.iter_mut().enumerate() {
            for (x, column) in row.iter_mut().zip(columns) {
                *x = column[l];
            }
        }
    }
}

#[inline(always)]
fn forward_short<T: Real, const C: usize>(data: &mut [T], form: Form) {
    for data in data.chunks_mut(LANES * C) {
        let mut x = turn::<T, C>(data);
        let mut most = x[0];
        for column in &x[1..] {
            most.iter_mut().zip(column).for_each(|(m, x)| *m = if *x > *m { *x } else { *m });
        }
        let mut sum = [T::zero(); LANES];
        for column in &mut x {
            for l in 0..LANES {
                let shifted = column[l] - most[l];
                let e = exp(shifted);
                sum[l] += e;
                column[l] = if form == Form::Plain { e } else { shifted };
            }
        }
        match form {
            Form::Plain => {
                sum.iter_mut().for_each(|s| *s = T::one() / *s);
                for column in &mut x {
                    column.iter_mut().zip(&sum).for_each(|(x, s)| *x *= *s);
                }
            }
            Form::Log => {
                sum.iter_mut().for_each(|s| *s = s.ln());
                for column in &mut x {
                    column.iter_mut().zip(&sum).for_each(|(x, s)| *x -= *s);
                }
            }
        }
        turn_back(&x, data);
    }
}

#[inline(always)]
fn backward_short<T: Real, const C: usize>(grad: &mut [T], y: &[T], form: Form) {
    for (grad, y) in grad.chunks_mut(LANES * C).zip(y.chunks(LANES * C)) {
        let (mut g, y) = (turn::<T, C>(grad), turn::<T, C>(y));
        let mut sum = [T::zero(); LANES];
        for (g, y) in g.iter().zip(&y) {
            for l in 0..LANES {
                sum[l] += if form == Form::Plain { g[l] * y[l] } else { g[l] };
            }
        }
        for (g, y) in g.iter_mut().zip(&y) {
            for l in 0..LANES {
                g[l] = if form == Form::Plain { y[l] * (g[l] - sum[l]) } else { g[l] - exp(y[l]) * sum[l] };
            }
        }
        turn_back(&g, grad);
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

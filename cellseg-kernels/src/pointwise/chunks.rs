//! How work on long rows of numbers is cut up: into pieces of a fixed size, which are spread over the threads.
//!
//! The pieces depend on the numbers' count only. What is computed per piece and then put together in order is therefore
//! the same for any number of threads.

use cellseg_core::Real;
use rayon::prelude::*;

/// Numbers of one piece: 64 KiB of `f32`, so that a piece of two inputs stays in a second-level cache, and far more work
/// than a thread needs to take it up.
pub(crate) const CHUNK: usize = 1 << 14;

/// Numbers of one piece that holds whole rows of `row` numbers.
pub(crate) fn whole_rows(row: usize) -> usize {
    let row = row.max(1);
    (CHUNK / row).max(1) * row
}

/// Runs `piece` on the pieces of `out`; `offset` is where a piece starts. Pieces hold whole rows of `row` numbers.
pub(crate) fn each<T: Send>(out: &mut [T], row: usize, piece: impl Fn(usize, &mut [T]) + Sync) {
    let size = whole_rows(row);
    if out.is_empty() {
        return;
    }
    if out.len() <= size {
        // Not worth waking a thread.
        return piece(0, out);
    }
    out.par_chunks_mut(size).enumerate().for_each(|(i, out)| piece(i * size, out));
}

/// Runs `piece` on the pieces of a copy of `x`, as [`each`] does.
pub(crate) fn each_copied<T: Real>(
    x: &[T],
    out: &mut [T],
    row: usize,
    piece: impl Fn(usize, &mut [T]) + Sync,
) {
    each(out, row, |at, out| {
        out.copy_from_slice(&x[at..][..out.len()]);
        piece(at, out);
    });
}

/// The sum of `piece` over the pieces of `count` numbers, given as ranges, in their order.
pub(crate) fn sum(count: usize, piece: impl Fn(std::ops::Range<usize>) -> f64 + Sync) -> f64 {
    let range = |i: usize| i * CHUNK..count.min((i + 1) * CHUNK);
    let pieces = count.div_ceil(CHUNK);
    if pieces <= 1 {
        return piece(0..count);
    }
    let parts: Vec<f64> = (0..pieces).into_par_iter().map(|i| piece(range(i))).collect();
    parts.iter().sum()
}

/// `out = f(a, b)`, number by number.
pub(crate) fn zip<T: Real>(a: &[T], b: &[T], out: &mut [T], f: impl Fn(T, T) -> T + Sync) {
    each(out, 1, |at, out| {
        for ((o, a), b) in out.iter_mut().zip(&a[at..]).zip(&b[at..]) {
            *o = f(*a, *b);
        }
    });
}

/// `a = f(a, b)`, number by number.
pub(crate) fn zip_in_place<T: Real>(a: &mut [T], b: &[T], f: impl Fn(T, T) -> T + Sync) {
    each(a, 1, |at, a| {
        for (a, b) in a.iter_mut().zip(&b[at..]) {
            *a = f(*a, *b);
        }
    });
}

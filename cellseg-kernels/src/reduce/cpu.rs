//! Sums over one axis of a `[outer, count, inner]` array, in double precision.
//!
//! A sum over several axes is a chain of these. Work is cut up by the shape alone and partial sums are added in order,
//! so the result is the same bits for any number of threads.

use crate::pointwise::chunks::CHUNK;
use cellseg_core::Element;
use rayon::prelude::*;

/// Columns from which on a thread takes some columns of the whole sum rather than some rows of all columns.
const WIDE: usize = 1024;

/// The sums over the middle axis of `[outer, count, inner]` numbers, `[outer, inner]`.
pub(super) fn sum_middle<A: Element>(xs: &[A], outer: usize, count: usize, inner: usize) -> Vec<f64> {
    let mut sums = vec![0.0; outer * inner];
    let block = count * inner;
    if block == 0 || sums.is_empty() {
        return sums;
    }
    if block <= CHUNK {
        let many = (CHUNK / block).max(1);
        sums.par_chunks_mut(many * inner).zip(xs.par_chunks(many * block)).for_each(|(sums, xs)| {
            for (sums, xs) in sums.chunks_exact_mut(inner).zip(xs.chunks_exact(block)) {
                add_rows(sums, xs);
            }
        });
    } else if inner >= WIDE {
        for (sums, xs) in sums.chunks_exact_mut(inner).zip(xs.chunks_exact(block)) {
            sums.par_chunks_mut(WIDE).enumerate().for_each(|(i, sums)| {
                for row in xs.chunks_exact(inner) {
                    add_rows(sums, &row[i * WIDE..][..sums.len()]);
                }
            });
        }
    } else {
        let rows = CHUNK / inner;
        for (sums, xs) in sums.chunks_exact_mut(inner).zip(xs.chunks_exact(block)) {
            let parts: Vec<f64> = xs
                .par_chunks(rows * inner)
                .flat_map_iter(|xs| {
                    let mut part = vec![0.0; inner];
                    add_rows(&mut part, xs);
                    part
                })
                .collect();
            add_rows(sums, &parts);
        }
    }
    sums
}

/// Adds rows as long as `sums` to it.
fn add_rows<A: Element>(sums: &mut [f64], xs: &[A]) {
    if let [sum] = sums {
        *sum += sum_of(xs);
        return;
    }
    for row in xs.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(s, x)| *s += x.wide());
    }
}

/// The sum of a row, in eight interleaved parts that vector lanes can hold.
fn sum_of<A: Element>(xs: &[A]) -> f64 {
    let mut parts = [0.0; 8];
    let (rows, rest) = xs.as_chunks::<8>();
    for row in rows {
        parts.iter_mut().zip(row).for_each(|(p, x)| *p += x.wide());
    }
    let rest: f64 = rest.iter().map(|x| x.wide()).sum();
    parts.iter().sum::<f64>() + rest
}

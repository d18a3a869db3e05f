//! Weighted sums of voxels, row by row.
//!
//! An output row along `x` is a sum over rows of the input, taken in a buffer that stays in the first-level cache, and
//! then a sum along the buffer. Nothing between the axes goes to memory.

use super::taps::Taps;
use crate::pointwise::wide;
use cellseg_core::Real;
use rayon::prelude::*;

/// Rows that are added up in one pass over the buffer.
const ROWS: usize = 4;

/// Resizes `x`, volumes of `[d, h, w, c]` with extents `(d, h, w)` of `from`, by the taps of each axis.
pub(super) fn resize<T: Real>(taps: &[Taps; 3], from: [usize; 3], c: usize, x: &[T], out: &mut [T]) {
    let [_, h, w] = from;
    let [along_z, along_y, along_x] = taps;
    let (row, volume) = (w * c, from.iter().product::<usize>() * c);
    let weights: Vec<Vec<(usize, T)>> = (0..along_x.len())
        .map(|i| along_x.at(i).iter().map(|(place, weight)| (place * c, T::of(*weight))).collect())
        .collect();
    let rows = along_z.len() * along_y.len();
    out.par_chunks_mut((along_x.len() * c).max(1)).enumerate().for_each_init(
        || (vec![T::zero(); row], Vec::new()),
        |(buffer, sources), (i, out)| {
            let x = &x[i / rows * volume..][..volume];
            let (z, y) = (i % rows / along_y.len(), i % along_y.len());
            sources.clear();
            for (z, of_z) in along_z.at(z) {
                for (y, of_y) in along_y.at(y) {
                    sources.push((&x[(z * h + y) * row..][..row], T::of(of_z * of_y)));
                }
            }
            sum_of_rows(sources, buffer);
            sums_along(&weights, c, buffer, out);
        },
    );
}

wide! {
    /// The sum of rows times their weights.
    fn sum_of_rows<'a, T: Real>(sources: &'a [(&'a [T], T)], out: &'a mut [T]) -> () {
        let (fours, rest) = sources.as_chunks::<ROWS>();
        let is_first = fours.is_empty();
        for (i, [(a, p), (b, q), (c, r), (d, s)]) in fours.iter().enumerate() {
            let rows = out.iter_mut().zip(*a).zip(*b).zip(*c).zip(*d);
            for ((((o, a), b), c), d) in rows {
                let sum = (*a * *p + *b * *q) + (*c * *r + *d * *s);
                *o = if i == 0 { sum } else { *o + sum };
            }
        }
        if is_first {
            out.fill(T::zero());
        }
        for (a, p) in rest {
            out.iter_mut().zip(*a).for_each(|(o, a)| *o += *a * *p);
        }
    }
}

wide! {
    /// The sums along a row: of voxels of `c` numbers, given by where they start, times their weights.
    fn sums_along<'a, T: Real>(weights: &'a [Vec<(usize, T)>], c: usize, x: &'a [T], out: &'a mut [T]) -> () {
        for (out, weights) in out.chunks_exact_mut(c.max(1)).zip(weights) {
            if let [(a, p), (b, q)] = weights[..] {
                for ((o, a), b) in out.iter_mut().zip(&x[a..]).zip(&x[b..]) {
                    *o = *a * p + *b * q;
                }
                continue;
            }
            out.fill(T::zero());
            for (a, p) in weights {
                out.iter_mut().zip(&x[*a..]).for_each(|(o, a)| *o += *a * *p);
            }
        }
    }
}

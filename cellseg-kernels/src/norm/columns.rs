//! Sums over the rows of `[samples, rows, channels]` arrays, and maps of their columns.

use crate::pointwise::chunks::whole_rows;
use cellseg_core::Real;
use rayon::prelude::*;
use std::ops::Range;

/// Rows that are added up in the numbers' own type before the sum is widened: few enough to round little.
const BLOCK: usize = 8;

/// The extents of an array of samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extents {
    pub(super) samples: usize,
    pub(super) rows: usize,
    pub(super) channels: usize,
}

impl Extents {
    /// Of `[n, .., c]`.
    pub(super) fn of(dims: &[usize]) -> Self {
        let (samples, channels) = (dims[0], dims[dims.len() - 1]);
        Extents { samples, rows: dims[1..dims.len() - 1].iter().product(), channels }
    }

    /// Numbers of one sample.
    pub(super) fn sample(&self) -> usize {
        self.rows * self.channels
    }

    /// For each sample two sums per channel, `[samples, 2, channels]`, of what `add` adds for a range of numbers, which
    /// holds whole rows of one sample. Pieces are added in order.
    pub(super) fn sums(&self, add: impl Fn(usize, Range<usize>, &mut [f64]) + Sync) -> Vec<f64> {
        let (size, width) = (whole_rows(self.channels), 2 * self.channels);
        let pieces = self.sample().div_ceil(size);
        let mut sums = vec![0.0; self.samples * width];
        let part = |i: usize, sums: &mut [f64]| {
            let (sample, piece) = (i / pieces, i % pieces);
            let first = sample * self.sample();
            let end = self.sample().min((piece + 1) * size);
            add(sample, first + piece * size..first + end, sums);
        };
        if pieces == 1 {
            sums.par_chunks_mut(width).enumerate().for_each(|(i, sums)| part(i, sums));
            return sums;
        }
        let parts: Vec<f64> = (0..self.samples * pieces)
            .into_par_iter()
            .flat_map_iter(|i| {
                let mut sums = vec![0.0; width];
                part(i, &mut sums);
                sums
            })
            .collect();
        for (i, part) in parts.chunks_exact(width).enumerate() {
            let sums = &mut sums[i / pieces * width..][..width];
            sums.iter_mut().zip(part).for_each(|(s, p)| *s += *p);
        }
        sums
    }

    /// Runs `piece` on pieces of `out` that hold whole rows of one sample, given with the place of the first number.
    pub(super) fn each<T: Real>(&self, out: &mut [T], piece: impl Fn(usize, usize, &mut [T]) + Sync) {
        let (sample, size) = (self.sample().max(1), whole_rows(self.channels));
        out.par_chunks_mut(sample).enumerate().for_each(|(n, out)| {
            out.par_chunks_mut(size).enumerate().for_each(|(i, out)| piece(n, n * sample + i * size, out));
        });
    }
}

/// Adds the columns' sums of two terms to the two halves of `sums`. A term is formed from the numbers of the inputs at
/// one place, and its column.
#[inline(always)]
pub(super) fn add_terms<T: Real, const K: usize>(
    inputs: [&[T]; K],
    sums: &mut [f64],
    term: impl Fn([T; K], usize) -> [T; 2],
) {
    let c = sums.len() / 2;
    let (first, second) = sums.split_at_mut(c);
    let rows = inputs[0].len() / c;
    let row = |r: usize| inputs.map(|x| &x[r * c..][..c]);
    for block in 0..rows / BLOCK {
        let rows: [_; BLOCK] = std::array::from_fn(|r| row(block * BLOCK + r));
        for i in 0..c {
            let mut sum = [T::zero(); 2];
            for row in rows {
                let [a, b] = term(row.map(|x| x[i]), i);
                sum[0] += a;
                sum[1] += b;
            }
            first[i] += sum[0].wide();
            second[i] += sum[1].wide();
        }
    }
    for r in rows / BLOCK * BLOCK..rows {
        let row = row(r);
        for i in 0..c {
            let [a, b] = term(row.map(|x| x[i]), i);
            first[i] += a.wide();
            second[i] += b.wide();
        }
    }
}

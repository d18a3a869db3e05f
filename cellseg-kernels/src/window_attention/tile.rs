//! The register tiles: products of rows of one operand with columns of another.
//!
//! Arrays are made with `from_fn` and indexed by plain loops, which the compiler unrolls, so that they stay in registers.

#![allow(clippy::needless_range_loop, reason = "iterators leave the arrays of a tile in memory")]

use crate::simd::Lanes;
use cellseg_core::Element;
use std::array::from_fn;

#[inline(always)]
fn zero<L: Lanes>() -> L {
    L::splat(L::Elem::of(0.0))
}

/// The products of `MR` rows with `NV` vectors of columns: `rows` is `[MR, row]`, of which `dim` numbers count, and
/// `columns` is `[dim, NV * N]`.
#[inline(always)]
pub(super) fn products<L: Lanes, const MR: usize, const NV: usize>(
    rows: &[L::Elem],
    row: usize,
    dim: usize,
    columns: &[L::Elem],
) -> [[L; NV]; MR] {
    let mut sums = [[zero::<L>(); NV]; MR];
    let mut numbers = [&rows[..dim]; MR];
    for p in 1..MR {
        numbers[p] = &rows[p * row..][..dim];
    }
    let columns = &columns[..dim * NV * L::N];
    for (i, column) in columns.chunks_exact(NV * L::N).enumerate().take(dim) {
        let column = vectors::<L, NV>(column, 0);
        for p in 0..MR {
            let x = L::splat(numbers[p][i]);
            for v in 0..NV {
                sums[p][v] = x.mul_add(column[v], sums[p][v]);
            }
        }
    }
    sums
}

/// Sums over the columns of `scores`, `[blocks, MR, NV * N]`, times `ND` vectors of the rows of `values`,
/// `[columns, dim]`, from number `at` of a row on.
#[inline(always)]
pub(super) fn mix<L: Lanes, const MR: usize, const NV: usize, const ND: usize>(
    scores: &[L::Elem],
    values: &[L::Elem],
    dim: usize,
    at: usize,
) -> [[L; ND]; MR] {
    let width = NV * L::N;
    assert!(at + ND * L::N <= dim);
    let mut sums = [[zero::<L>(); ND]; MR];
    for (scores, values) in scores.chunks_exact(MR * width).zip(values.chunks_exact(width * dim)) {
        for j in 0..width {
            // SAFETY: the block holds `width` rows of `dim` numbers, and the vectors end in row `j`, as asserted above.
            let value: [L; ND] = unsafe { load(values.as_ptr().add(j * dim + at)) };
            for p in 0..MR {
                // SAFETY: the block holds `MR * width` scores. A check of each took as long as the arithmetic.
                let x = L::splat(unsafe { *scores.get_unchecked(p * width + j) });
                for v in 0..ND {
                    sums[p][v] = x.mul_add(value[v], sums[p][v]);
                }
            }
        }
    }
    sums
}

/// Adds to each row of `out`, `[columns, dim]`, from number `at` of a row on, the sum over the rows of its column of
/// `scores`, `[blocks, MR, NV * N]`, times `ND` vectors of `rows`, `[MR, dim]`.
#[inline(always)]
pub(super) fn spread<L: Lanes, const MR: usize, const NV: usize, const ND: usize>(
    scores: &[L::Elem],
    rows: &[L::Elem],
    dim: usize,
    at: usize,
    out: &mut [L::Elem],
) {
    let width = NV * L::N;
    assert!(at + ND * L::N <= dim);
    let mut factors = [[zero::<L>(); ND]; MR];
    for (factors, row) in factors.iter_mut().zip(rows.chunks_exact(dim)) {
        *factors = vectors::<L, ND>(row, at);
    }
    for (scores, out) in scores.chunks_exact(MR * width).zip(out.chunks_exact_mut(width * dim)) {
        for j in 0..width {
            // SAFETY: as in `mix`.
            let mut sums: [L; ND] = unsafe { load(out.as_ptr().add(j * dim + at)) };
            for p in 0..MR {
                // SAFETY: as in `mix`.
                let x = L::splat(unsafe { *scores.get_unchecked(p * width + j) });
                for v in 0..ND {
                    sums[v] = x.mul_add(factors[p][v], sums[v]);
                }
            }
            for v in 0..ND {
                // SAFETY: the place that the vector was loaded from.
                unsafe { sums[v].store(out.as_mut_ptr().add(j * dim + at + v * L::N)) }
            }
        }
    }
}

/// `ND` vectors from `p` on.
///
/// # Safety
/// `p` is valid for reads of their numbers.
#[inline(always)]
unsafe fn load<L: Lanes, const ND: usize>(p: *const L::Elem) -> [L; ND] {
    from_fn(
        #[inline(always)]
        // SAFETY: the caller's promise.
        |v| unsafe { L::load(p.add(v * L::N)) },
    )
}

/// `ND` vectors of a row from number `at` on.
#[inline(always)]
fn vectors<L: Lanes, const ND: usize>(row: &[L::Elem], at: usize) -> [L; ND] {
    let row = &row[at..][..ND * L::N];
    from_fn(
        #[inline(always)]
        |v| L::from_slice(&row[v * L::N..][..L::N]),
    )
}

/// The regions of a tile's rows and of its columns.
pub(super) type RegionsOfTile<'a, T, const MR: usize> = ([T; MR], &'a [T]);

/// What is added to the scores of a tile: the bias, `[MR, NV * N]`, and a penalty between regions.
#[inline(always)]
pub(super) fn add_bias<L: Lanes, const MR: usize, const NV: usize>(
    scores: &mut [[L; NV]; MR],
    bias: &[L::Elem],
    regions: Option<RegionsOfTile<'_, L::Elem, MR>>,
) {
    for p in 0..MR {
        for v in 0..NV {
            scores[p][v] = scores[p][v] + L::from_slice(&bias[(p * NV + v) * L::N..][..L::N]);
        }
    }
    let Some((rows, columns)) = regions else { return };
    let (none, penalty) = (L::splat(L::Elem::of(-1.0)), L::splat(L::Elem::of(PENALTY)));
    for v in 0..NV {
        let columns = L::from_slice(&columns[v * L::N..][..L::N]);
        for p in 0..MR {
            // Regions are whole numbers, so that the square of a difference is zero or at least one.
            let difference = columns - L::splat(rows[p]);
            let differ = (difference * none).mul_add(difference, zero::<L>()).max(none);
            scores[p][v] = differ.mul_add(penalty, scores[p][v]);
        }
    }
}

/// What the score of two tokens from different regions loses, as in the original of Swin.
pub(super) const PENALTY: f64 = 100.0;

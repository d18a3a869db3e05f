//! The products at the points: for each point a matrix of tiles by input channels times one of input by output channels.

use super::{shared::Shared, weights::Transformed};
use crate::{
    scratch::Scratch,
    simd::{Lanes, Routine, prefetch_later},
};
use cellseg_core::{Real, Result};
use std::{array::from_fn, ops::Range};

/// Vectors of output channels in a register tile, for numbers of this size.
pub(super) const fn panel_vectors(size: usize) -> usize {
    if size == 8 { 1 } else { 2 }
}

/// Multiplies at some points, for a block of tiles.
pub(super) struct Products<'a, T> {
    pub(super) points: Range<usize>,
    pub(super) tiles: usize,
    /// `[tile][point][slot]`: inputs before, products after. The outputs of a point take the place of its inputs.
    pub(super) values: Shared<'a, T>,
    pub(super) slot: usize,
    pub(super) weights: &'a Transformed<T>,
}

impl<T: Real> Routine<T> for Products<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Result<()> {
        let Products { tiles, slot, weights, .. } = self;
        let layout = weights.layout;
        let (inputs, step) = (layout.inputs, layout.points() * slot);
        assert!(
            self.points.end <= layout.points()
                && slot >= inputs.next_multiple_of(L::N)
                && slot >= layout.width()
        );
        assert!(self.values.len() >= tiles * step && layout.lanes == L::N);
        // The inputs of a point are gathered first: then the register tiles read them from one short stretch of memory,
        // and their outputs may take their place.
        let row = inputs.next_multiple_of(L::N);
        let mut gathered = Scratch::<T>::unspecified(tiles * row)?;
        for point in self.points {
            for (tile, to) in gathered.chunks_exact_mut(row).enumerate() {
                let from = self.values.at(tile * step + point * slot);
                for i in (0..row).step_by(L::N) {
                    // SAFETY: a slot has room for whole vectors of inputs, as asserted, as has `to`; this task alone has
                    // this point.
                    unsafe { L::load(from.add(i)).store(to.as_mut_ptr().add(i)) }
                }
            }
            for panel in 0..layout.panels() {
                let (channel, matrix) = weights.panel(point, panel);
                let to = self.values.at(point * slot + channel);
                // SAFETY: there are `inputs` inputs for each tile in `gathered` and `inputs` rows in `matrix`; the slot of
                // the point of each tile has room for all vectors of outputs, as asserted, and is this task's alone.
                unsafe {
                    match (matrix.len() / (inputs * L::N), const { panel_vectors(size_of::<T>()) }) {
                        (_, 1) => rows::<L, 4, 1>(&gathered, row, matrix, to, step),
                        (1, _) => rows::<L, 12, 1>(&gathered, row, matrix, to, step),
                        _ if L::REGISTERS < 32 => rows::<L, 6, 2>(&gathered, row, matrix, to, step),
                        _ => rows::<L, 12, 2>(&gathered, row, matrix, to, step),
                    }
                }
            }
        }
        Ok(())
    }
}

/// `out[row * step] = x[row] * matrix` for all rows of `x`, of `length` numbers each, by `NV` vectors.
///
/// # Safety
/// `matrix` has `NV` vectors for each of the first numbers of a row of `x`, and each row of `out` has room for as many.
#[inline(always)]
unsafe fn rows<L: Lanes, const MR: usize, const NV: usize>(
    x: &[L::Elem],
    length: usize,
    matrix: &[L::Elem],
    out: *mut L::Elem,
    step: usize,
) {
    let count = x.len() / length;
    let mut row = 0;
    while row < count {
        let (from, to) = (&x[row * length..], out.wrapping_add(row * step));
        // The next panel follows this one. Only the first rows ask for it; the others have this one already.
        let ahead = if row == 0 { matrix.as_ptr_range().end } else { matrix.as_ptr() };
        // SAFETY: a tile has at most the rows that are left; the rest is the caller's promise.
        row += unsafe {
            match count - row {
                left if left >= MR => tile::<L, MR, NV>(from, length, matrix, ahead, to, step),
                8.. => tile::<L, 8, NV>(from, length, matrix, ahead, to, step),
                4.. => tile::<L, 4, NV>(from, length, matrix, ahead, to, step),
                2.. => tile::<L, 2, NV>(from, length, matrix, ahead, to, step),
                _ => tile::<L, 1, NV>(from, length, matrix, ahead, to, step),
            }
        };
    }
}

/// `MR` rows of the product; returns `MR`. As many numbers from `ahead` on as the matrix has are fetched for later.
///
/// # Safety
/// What [`rows`] demands, for `MR` rows from `x` and `out` on.
#[inline(always)]
unsafe fn tile<L: Lanes, const MR: usize, const NV: usize>(
    x: &[L::Elem],
    length: usize,
    matrix: &[L::Elem],
    ahead: *const L::Elem,
    out: *mut L::Elem,
    step: usize,
) -> usize {
    let mut sums = [[L::splat(num_traits::Zero::zero()); NV]; MR];
    let rows: [_; MR] = from_fn(
        #[inline(always)]
        |p| x.as_ptr().wrapping_add(p * length),
    );
    for j in 0..matrix.len() / (NV * L::N) {
        // SAFETY: there are as many vectors of `matrix`, and at least as many numbers in a row.
        let w: [L; NV] = from_fn(
            #[inline(always)]
            |v| unsafe { L::load(matrix.as_ptr().add((j * NV + v) * L::N)) },
        );
        for v in 0..NV {
            prefetch_later(ahead.wrapping_add((j * NV + v) * L::N));
        }
        for p in 0..MR {
            // SAFETY: as above.
            let x = L::splat(unsafe { *rows[p].add(j) });
            for v in 0..NV {
                sums[p][v] = x.mul_add(w[v], sums[p][v]);
            }
        }
    }
    for (p, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: the row has room for `NV` vectors.
            unsafe { sum.store(out.add(p * step + v * L::N)) }
        }
    }
    MR
}

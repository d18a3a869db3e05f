//! Planes within reach of each other, a quantity at a time, in rows that can be read beyond their ends.

use super::super::{geometry::Geometry, scratch::Scratch};
use cellseg_core::{Real, Result};
use std::ops::Range;

/// A ring of planes, each of several quantities. A row has `margin` zeros before it and at least as many after it, so
/// that a neighbour's place always exists.
pub(super) struct Window<T> {
    numbers: Scratch<T>,
    /// Planes in the ring.
    slots: usize,
    quantities: usize,
    h: usize,
    /// Numbers that are worked on of each row: the voxels, rounded up to whole vectors.
    length: usize,
    margin: usize,
}

impl<T: Real> Window<T> {
    /// For vectors of `lanes` numbers.
    pub(super) fn new(geometry: &Geometry, quantities: usize, lanes: usize) -> Result<Self> {
        let [rz, _, rx] = geometry.reach;
        let (slots, length) = (rz + 1, geometry.w.next_multiple_of(lanes));
        // Rows begin where vectors do. The zeros after a row are those before the next one.
        let margin = rx.next_multiple_of(lanes);
        let count = slots * quantities * geometry.h * (margin + length) + margin;
        Ok(Window { numbers: Scratch::new(count)?, slots, quantities, h: geometry.h, length, margin })
    }

    /// From one row of a quantity to the next.
    pub(super) fn stride(&self) -> usize {
        self.margin + self.length
    }

    #[inline(always)]
    fn start(&self, z: usize, quantity: usize, y: usize, dx: isize) -> usize {
        let row = (z % self.slots * self.quantities + quantity) * self.h + y;
        (row * self.stride() + self.margin).wrapping_add_signed(dx)
    }

    /// The numbers from the row of a quantity on, moved by `dx` voxels, to the end of `rows` of them.
    #[inline(always)]
    pub(super) fn rows(&self, z: usize, quantity: usize, y: Range<usize>, dx: isize) -> &[T] {
        let start = self.start(z, quantity, y.start, dx);
        &self.numbers[start..start + (y.len() - 1) * self.stride() + self.length]
    }

    /// The twin of [`Window::rows`] to write to.
    #[inline(always)]
    pub(super) fn rows_mut(&mut self, z: usize, quantity: usize, y: Range<usize>, dx: isize) -> &mut [T] {
        let (start, count) =
            (self.start(z, quantity, y.start, dx), (y.len() - 1) * self.stride() + self.length);
        &mut self.numbers[start..start + count]
    }

    /// One row of a quantity.
    #[inline(always)]
    pub(super) fn row(&self, z: usize, quantity: usize, y: usize) -> &[T] {
        self.rows(z, quantity, y..y + 1, 0)
    }

    /// One row of a quantity, to write to.
    #[inline(always)]
    pub(super) fn row_mut(&mut self, z: usize, quantity: usize, y: usize) -> &mut [T] {
        self.rows_mut(z, quantity, y..y + 1, 0)
    }

    /// Puts plane `z` of `values`, `[y][x][quantity]`, into its slot.
    #[inline(always)]
    pub(super) fn load(&mut self, z: usize, values: &[T]) {
        let (h, quantities) = (self.h, self.quantities);
        for (y, values) in values.chunks_exact(values.len() / h).enumerate() {
            for q in 0..quantities {
                let row = self.row_mut(z, q, y);
                for (o, x) in row.iter_mut().zip(values[q..].iter().step_by(quantities)) {
                    *o = *x;
                }
            }
        }
    }

    /// Adds `quantities.len()` quantities of plane `z`, from the first of them on, to `out`, `[y][x][quantity]`, and sets
    /// them to zero.
    #[inline(always)]
    pub(super) fn unload(&mut self, z: usize, first: usize, count: usize, out: &mut [T]) {
        let h = self.h;
        for (y, out) in out.chunks_exact_mut(out.len() / h).enumerate() {
            for q in 0..count {
                let row = self.row_mut(z, first + q, y);
                for (o, x) in out[q..].iter_mut().step_by(count).zip(&*row) {
                    *o += *x;
                }
                row.fill(T::zero());
            }
        }
    }
}

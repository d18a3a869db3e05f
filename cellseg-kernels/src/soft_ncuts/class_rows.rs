//! Rows of probabilities, in which the classes of one voxel lie side by side.
//!
//! A row is worked on as `w * k` numbers, whatever `k` is: what belongs to a voxel is spread over its classes, what
//! belongs to a class is repeated over the voxels, and sums are kept for each place of the row until a plane is done.

use super::scratch::Scratch;
use cellseg_core::{Real, Result};

/// Gives each of the `k` classes of a voxel the voxel's value: `out[x * k + j] = values[x]`.
#[inline(always)]
pub(super) fn spread<'a, T: Copy + 'a>(out: &mut [T], values: impl Iterator<Item = &'a T>, k: usize) {
    #[inline(always)]
    fn by<'a, const K: usize, T: Copy + 'a>(out: &mut [T], values: impl Iterator<Item = &'a T>) {
        for (o, x) in out.as_chunks_mut::<K>().0.iter_mut().zip(values) {
            *o = [*x; K];
        }
    }
    match k {
        1 => by::<1, T>(out, values),
        2 => by::<2, T>(out, values),
        3 => by::<3, T>(out, values),
        4 => by::<4, T>(out, values),
        _ => out.chunks_exact_mut(k).zip(values).for_each(|(o, x)| o.fill(*x)),
    }
}

/// One channel of an image row of `c` channels, spread over `k` classes.
#[inline(always)]
pub(super) fn spread_channel<T: Copy>(out: &mut [T], image: &[T], channel: usize, c: usize, k: usize) {
    if c == 1 {
        spread(out, image.iter(), k);
    } else {
        spread(out, image[channel..].iter().step_by(c), k);
    }
}

/// The classes' values for each of `w` voxels: `[x * k + j]` is `of_class[j]`.
pub(super) fn repeat<T: Real>(of_class: impl Iterator<Item = f64>, w: usize) -> Vec<T> {
    of_class.map(T::of).collect::<Vec<_>>().repeat(w)
}

/// Sums over voxels of several quantities for each class.
///
/// The numbers of a plane are added place by place of the row in their own type, which keeps many partial sums and so
/// the rounding small; [`ClassSums::end_plane`] moves them to double precision.
pub(super) struct ClassSums<T> {
    rows: Scratch<T>,
    k: usize,
    sums: Vec<f64>,
}

impl<T: Real> ClassSums<T> {
    /// No sums yet of `quantities` in rows of `row` numbers for `k` classes.
    pub(super) fn new(quantities: usize, row: usize, k: usize) -> Result<Self> {
        Ok(ClassSums { rows: Scratch::new(quantities * row)?, k, sums: vec![0.0; quantities * k] })
    }

    /// Rows of running sums, a quantity after the other.
    #[inline(always)]
    pub(super) fn rows(&mut self) -> &mut [T] {
        &mut self.rows
    }

    /// Moves the running sums to double precision.
    #[inline(always)]
    pub(super) fn end_plane(&mut self) {
        let quantities = self.sums.len() / self.k;
        let row = self.rows.len() / quantities;
        for (sums, row) in self.sums.chunks_exact_mut(self.k).zip(self.rows.chunks_exact_mut(row)) {
            for voxel in row.chunks_exact_mut(self.k) {
                for (s, x) in sums.iter_mut().zip(voxel) {
                    *s += x.wide();
                    *x = T::zero();
                }
            }
        }
    }

    /// The sums `[quantity][class]`.
    pub(super) fn into_sums(self) -> Vec<f64> {
        self.sums
    }
}

/// The sums of an item from those of its slabs, in their order.
pub(super) fn add_up(slabs: &[Vec<f64>]) -> Vec<f64> {
    let mut total = slabs[0].clone();
    for slab in &slabs[1..] {
        total.iter_mut().zip(slab).for_each(|(t, s)| *t += s);
    }
    total
}

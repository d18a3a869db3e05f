//! The Gaussian window, one axis after the other.

use super::super::{geometry::Geometry, scratch::Scratch};
use crate::simd::Lanes;
use cellseg_core::{Real, Result};

/// The window's factors along each axis: `exp(-|x|^2 / (2 sigma^2))` on a cube is the product of its values on the axes,
/// so that three sums of `2 radius + 1` terms make one of `(2 radius + 1)^3`.
pub(super) struct Gaussian<T> {
    /// `[z, y, x]`, each from `-reach` to `reach`.
    factors: [Vec<T>; 3],
}

impl<T: Real> Gaussian<T> {
    pub(super) fn new(geometry: &Geometry, sigma: f64) -> Self {
        let factor = |distance: usize| T::of((-0.5 * (distance as f64 / sigma).powi(2)).exp());
        let factors = geometry.reach.map(|r| (0..=2 * r).map(|i| factor(i.abs_diff(r))).collect());
        Gaussian { factors }
    }

    /// The first place along `axis`, of `extent` places, that the window around `at` reaches, and the factors from there
    /// on to the last.
    #[inline(always)]
    pub(super) fn around(&self, axis: usize, at: usize, extent: usize) -> (usize, &[T]) {
        let factors = &self.factors[axis];
        let reach = factors.len() / 2;
        let (first, end) = (at.saturating_sub(reach), (at + reach + 1).min(extent));
        (first, &factors[first + reach - at..end + reach - at])
    }
}

/// Smooths planes, one at a time.
pub(super) struct Smoother<'a, T> {
    gaussian: &'a Gaussian<T>,
    geometry: Geometry,
    /// The plane after the sum over z.
    plane: Scratch<T>,
    /// A row after the sum over y, with zeros beyond both ends.
    padded: Scratch<T>,
    row: Scratch<T>,
    /// Where the terms of a sum over y and over x begin, from the first.
    steps: [Vec<usize>; 2],
}

impl<'a, T: Real> Smoother<'a, T> {
    pub(super) fn new(gaussian: &'a Gaussian<T>, geometry: Geometry) -> Result<Self> {
        let [_, ry, rx] = geometry.reach;
        let (row, k) = (geometry.row(), geometry.k);
        let steps = |r: usize, step: usize| (0..=2 * r).map(|t| t * step).collect();
        Ok(Smoother {
            gaussian,
            geometry,
            plane: Scratch::new(geometry.plane())?,
            padded: Scratch::new(row + 2 * rx * k)?,
            row: Scratch::new(row)?,
            steps: [steps(ry, row), steps(rx, k)],
        })
    }

    /// Hands the rows of one smoothed plane to `sink`, with their numbers. The planes that the window reaches begin at
    /// `planes` in `source` and count by `factors`.
    #[inline(always)]
    pub(super) fn plane<L: Lanes<Elem = T>>(
        &mut self,
        source: &[T],
        planes: &[usize],
        factors: &[T],
        mut sink: impl FnMut(usize, &[T]),
    ) {
        let (h, row, k) = (self.geometry.h, self.geometry.row(), self.geometry.k);
        let margin = self.geometry.reach[2] * k;
        weighted_sum::<L>(&mut self.plane, source, planes, factors);
        for y in 0..h {
            let (first, factors) = self.gaussian.around(1, y, h);
            let middle = &mut self.padded[margin..margin + row];
            weighted_sum::<L>(middle, &self.plane[first * row..], &self.steps[0], factors);
            weighted_sum::<L>(&mut self.row, &self.padded, &self.steps[1], &self.gaussian.factors[2]);
            sink(y, &self.row);
        }
    }
}

/// How many vectors are summed side by side, so that a factor is loaded once for all and no sum waits for the one before.
const ABREAST: usize = 4;

/// `out[i]` is the sum over `t` of `factors[t] * source[starts[t] + i]`.
#[inline(always)]
fn weighted_sum<L: Lanes>(out: &mut [L::Elem], source: &[L::Elem], starts: &[usize], factors: &[L::Elem]) {
    let n = out.len();
    let starts = &starts[..factors.len()];
    assert!(starts.iter().all(|s| s + n <= source.len()), "every term lies within the source");
    let zero = L::splat(<L::Elem as num_traits::Zero>::zero());
    let mut i = 0;
    while i + ABREAST * L::N <= n {
        let mut sums = [zero; ABREAST];
        for (s, f) in starts.iter().zip(factors) {
            let f = L::splat(*f);
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: at most `n - N` numbers lie before this vector within the term, which the source holds.
                let x = unsafe { L::load(source.as_ptr().add(s + i + v * L::N)) };
                *sum = x.mul_add(f, *sum);
            }
        }
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: `i + ABREAST * N <= n`.
            unsafe { sum.store(out.as_mut_ptr().add(i + v * L::N)) }
        }
        i += ABREAST * L::N;
    }
    for (place, out) in out[i..].chunks_mut(L::N).enumerate() {
        let mut sum = zero;
        for (s, f) in starts.iter().zip(factors) {
            let x = L::from_slice(&source[s + i + place * L::N..][..out.len()]);
            sum = x.mul_add(L::splat(*f), sum);
        }
        sum.write(out);
    }
}

//! The forward pass: means of the classes, then their associations.

use super::{
    super::{
        class_rows::{ClassSums, spread_channel},
        geometry::{Geometry, Slab},
        scratch::Scratch,
    },
    gaussian::{Gaussian, Smoother},
    weights::{Centres, WeightRow},
};
use crate::simd::{Lanes, Routine};
use cellseg_core::{Real, Result};

/// Sums for the means over one slab: `sum p_k`, then `sum p_k I` for each channel.
pub(super) struct MeanSums<'a, T> {
    pub geometry: Geometry,
    pub slab: Slab,
    /// The item's.
    pub probabilities: &'a [T],
    /// The item's.
    pub image: &'a [T],
}

impl<T: Real> Routine<T> for MeanSums<'_, T> {
    type Output = Result<Vec<f64>>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Result<Vec<f64>> {
        let g = self.geometry;
        let row = g.row();
        let mut sums = ClassSums::<T>::new(1 + g.c, row, g.k)?;
        let mut intensity = Scratch::<T>::new(row)?;
        for z in self.slab.z {
            let planes = &self.probabilities[z * g.plane()..][..g.plane()];
            let images = &self.image[z * g.image_plane()..][..g.image_plane()];
            for (p, image) in planes.chunks_exact(row).zip(images.chunks_exact(g.image_row())) {
                let (mass, weighted) = sums.rows().split_at_mut(row);
                for (s, p) in mass.iter_mut().zip(p) {
                    *s += *p;
                }
                for (channel, weighted) in weighted.chunks_exact_mut(row).enumerate() {
                    spread_channel(&mut intensity, image, channel, g.c, g.k);
                    for ((s, p), x) in weighted.iter_mut().zip(p).zip(&*intensity) {
                        *s += *p * *x;
                    }
                }
            }
            sums.end_plane();
        }
        Ok(sums.into_sums())
    }
}

/// The associations over one slab. With `q = G * p_k`, the sums over the volume
/// `<p_k, G * (p_k W_k)> = <p_k q, W_k>` and `<p_k, G * W_k> = <q, W_k>` need one smoothing, not two.
///
/// Quantities: `sum p q W`, `sum q W`; then, where the gradient is wanted, with `s = q W |I - m|^2` for each channel
/// `sum p s (I - m)`, `sum s (I - m)`.
pub(super) struct Associations<'a, T> {
    pub geometry: Geometry,
    pub slab: Slab,
    /// The item's.
    pub probabilities: &'a [T],
    /// The item's.
    pub image: &'a [T],
    pub gaussian: &'a Gaussian<T>,
    /// The item's.
    pub centres: &'a Centres<T>,
    /// Takes `q W_k` of the slab, where the gradient is wanted.
    pub weighted: Option<&'a mut [T]>,
}

impl<T: Real> Routine<T> for Associations<'_, T> {
    type Output = Result<Vec<f64>>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Result<Vec<f64>> {
        let g = self.geometry;
        let (row, plane) = (g.row(), g.plane());
        let slopes = if self.weighted.is_some() { g.c } else { 0 };
        let mut sums = ClassSums::<T>::new(2 + 2 * slopes, row, g.k)?;
        let mut seen = WeightRow::new(self.centres, g)?;
        let mut smoother = Smoother::new(self.gaussian, g)?;
        let mut product = Scratch::<T>::new(row)?;
        let mut weighted = self.weighted.map(|w| w.chunks_exact_mut(row));
        let mut planes = vec![];
        for z in self.slab.z {
            let (first, factors) = self.gaussian.around(0, z, g.d);
            planes.clear();
            planes.extend((first..first + factors.len()).map(|z| z * plane));
            smoother.plane::<L>(self.probabilities, &planes, factors, |y, q| {
                seen.set(&self.image[(z * g.h + y) * g.image_row()..][..g.image_row()]);
                let p = &self.probabilities[z * plane + y * row..][..row];
                for ((qw, q), w) in product.iter_mut().zip(q).zip(&*seen.weights) {
                    *qw = *q * *w;
                }
                let (totals, slopes) = sums.rows().split_at_mut(2 * row);
                add_with_and_without(totals, p, &product);
                let Some(out) = weighted.as_mut().and_then(Iterator::next) else { return };
                out.copy_from_slice(&product);
                for (s, square) in product.iter_mut().zip(&*seen.squares) {
                    *s *= *square;
                }
                let channels = slopes.chunks_exact_mut(2 * row).zip(seen.differences.chunks_exact_mut(row));
                for (sums, difference) in channels {
                    for (e, s) in difference.iter_mut().zip(&*product) {
                        *e *= *s;
                    }
                    add_with_and_without(sums, p, difference);
                }
            });
            sums.end_plane();
        }
        Ok(sums.into_sums())
    }
}

/// Adds `p x` to the first of two rows of sums and `x` to the second.
#[inline(always)]
fn add_with_and_without<T: Real>(sums: &mut [T], p: &[T], x: &[T]) {
    let (with, without) = sums.split_at_mut(x.len());
    for (((a, b), p), x) in with.iter_mut().zip(without).zip(p).zip(x) {
        *a += *p * *x;
        *b += *x;
    }
}

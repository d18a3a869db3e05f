//! The backward pass over one slab.

use super::{
    super::{
        geometry::{Geometry, Slab},
        scratch::Scratch,
    },
    gaussian::{Gaussian, Smoother},
    weights::{Centres, WeightRow},
};
use crate::simd::{Lanes, Routine};
use cellseg_core::{Real, Result};

/// The gradient `G * ((a p - b) W) + a q W + sum_c s_c (I_c - m_c)` of one slab. The smoothed term is computed plane by
/// plane into a ring, so that no volume of it ever exists.
pub(super) struct SlabGradient<'a, T> {
    pub geometry: Geometry,
    pub slab: Slab,
    /// The item's.
    pub probabilities: &'a [T],
    /// The item's.
    pub image: &'a [T],
    pub gaussian: &'a Gaussian<T>,
    /// The item's.
    pub centres: &'a Centres<T>,
    /// Rows of `a`, `b` and, for each channel, `s_c`.
    pub coefficients: &'a [Vec<T>],
    /// `q W` before, the gradient after.
    pub data: &'a mut [T],
}

impl<T: Real> Routine<T> for SlabGradient<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Result<()> {
        let g = self.geometry;
        let (row, plane) = (g.row(), g.plane());
        let [a, b, slopes @ ..] = self.coefficients else { return Ok(()) };
        let image_row = |z: usize, y: usize| &self.image[(z * g.h + y) * g.image_row()..][..g.image_row()];
        let slots = (2 * g.reach[0] + 1).min(g.d);
        let mut ring = Scratch::<T>::new(slots * plane)?;
        let mut seen = WeightRow::new(self.centres, g)?;
        let mut smoother = Smoother::new(self.gaussian, g)?;
        let mut planes = vec![];
        let mut next = self.slab.z.start.saturating_sub(g.reach[0]);
        for (z, data) in self.slab.z.zip(self.data.chunks_exact_mut(plane)) {
            let (first, factors) = self.gaussian.around(0, z, g.d);
            while next < first + factors.len() {
                let source = &mut ring[next % slots * plane..][..plane];
                let p = &self.probabilities[next * plane..][..plane];
                for (y, (o, p)) in source.chunks_exact_mut(row).zip(p.chunks_exact(row)).enumerate() {
                    seen.set(image_row(next, y));
                    for ((((o, p), w), a), b) in o.iter_mut().zip(p).zip(&*seen.weights).zip(a).zip(b) {
                        *o = (*a * *p - *b) * *w;
                    }
                }
                next += 1;
            }
            planes.clear();
            planes.extend((first..next).map(|z| z % slots * plane));
            smoother.plane::<L>(&ring, &planes, factors, |y, smoothed| {
                let out = &mut data[y * row..][..row];
                for ((o, u), a) in out.iter_mut().zip(smoothed).zip(a) {
                    *o = *u + *a * *o;
                }
                seen.set_differences(image_row(z, y));
                let channels = slopes.iter().zip(seen.differences.chunks_exact(row));
                for (slope, difference) in channels {
                    for ((o, s), e) in out.iter_mut().zip(slope).zip(difference) {
                        *o += *s * *e;
                    }
                }
            });
        }
        Ok(())
    }
}

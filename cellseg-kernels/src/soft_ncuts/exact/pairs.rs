//! The pairs of voxels whose first member lies in one slab.

use super::{
    super::{
        SoftNCuts,
        geometry::{Geometry, Slab},
        scratch::Scratch,
        weight::weight,
    },
    window::Window,
};
use crate::simd::{Lanes, Routine};
use cellseg_core::{Real, Result};
use std::ops::Range;

/// The sums around each voxel of the planes that a slab's pairs reach, which are added to.
pub(super) struct Sums<'a, T> {
    /// `sum_j w_ij p_k(j)`: `[z][y][x][class]`.
    pub within: &'a mut [T],
    /// `sum_j w_ij`: `[z][y][x]`.
    pub degree: &'a mut [T],
}

/// Sums over the pairs `(i, j)` with `i` in the slab and `j` after `i` in the order of `(z, y, x)`, each standing for
/// `(j, i)` as well, and over the voxels of the slab with themselves: for each class `sum w p(i) p(j)`, then for each
/// class `sum w p(i)`.
pub(super) struct PairSums<'a, T> {
    pub geometry: Geometry,
    pub settings: SoftNCuts,
    pub slab: Slab,
    /// The item's.
    pub probabilities: &'a [T],
    /// The item's.
    pub image: &'a [T],
    /// Where the gradient is wanted.
    pub sums: Option<Sums<'a, T>>,
}

impl<T: Real> Routine<T> for PairSums<'_, T> {
    type Output = Result<Vec<f64>>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(mut self) -> Result<Vec<f64>> {
        let g = self.geometry;
        let [rz, _, _] = g.reach;
        let mut pairs = Pairs {
            geometry: g,
            probabilities: Window::new(&g, g.k, L::N)?,
            image: Window::new(&g, g.c, L::N)?,
            sums: if self.sums.is_some() { Some(Window::new(&g, g.k + 1, L::N)?) } else { None },
            exponents: Exponents::new(&g, &self.settings, L::N)?,
            weights: Scratch::new((2 * g.reach[1] + 1) * g.w.next_multiple_of(L::N))?,
            length: g.w.next_multiple_of(L::N),
            later: Scratch::new((g.k + 1) * g.w.next_multiple_of(L::N))?,
            scale: T::of(-self.settings.sigma_intensity.powi(-2)),
        };
        let mut totals = vec![0.0; 2 * g.k];
        let slab = self.slab.z.clone();
        let end = (slab.end + rz).min(g.d);
        let mut next = slab.start;
        for z in slab.clone() {
            while next < (z + rz + 1).min(g.d) {
                pairs.probabilities.load(next, &self.probabilities[next * g.plane()..][..g.plane()]);
                pairs.image.load(next, &self.image[next * g.image_plane()..][..g.image_plane()]);
                next += 1;
            }
            for y in 0..g.h {
                pairs.row::<L>(z, y, &mut totals);
            }
            self.unload(&mut pairs, z, slab.start);
        }
        for z in slab.end..end {
            self.unload(&mut pairs, z, slab.start);
        }
        Ok(totals)
    }
}

impl<T: Real> PairSums<'_, T> {
    #[inline(always)]
    fn unload(&mut self, pairs: &mut Pairs<T>, z: usize, first: usize) {
        let Geometry { h, w, k, .. } = self.geometry;
        if let (Some(sums), Some(window)) = (&mut self.sums, &mut pairs.sums) {
            window.unload(z, 0, k, &mut sums.within[(z - first) * h * w * k..][..h * w * k]);
            window.unload(z, k, 1, &mut sums.degree[(z - first) * h * w..][..h * w]);
        }
    }
}

struct Pairs<T> {
    geometry: Geometry,
    probabilities: Window<T>,
    image: Window<T>,
    /// The classes' sums, then the degree.
    sums: Option<Window<T>>,
    exponents: Exponents<T>,
    /// Rows of weights, one for each `dy`.
    weights: Scratch<T>,
    /// Numbers in a row: the voxels, rounded up to whole vectors.
    length: usize,
    /// The sums of one row over later voxels: the classes', then the degree.
    later: Scratch<T>,
    /// `-1 / sigma_intensity^2`.
    scale: T,
}

impl<T: Real> Pairs<T> {
    /// All pairs that begin in one row.
    #[inline(always)]
    fn row<L: Lanes<Elem = T>>(&mut self, z: usize, y: usize, totals: &mut [f64]) {
        let g = self.geometry;
        let [rz, ry, rx] = g.reach;
        self.later.fill(T::zero());
        let end = (y + ry + 1).min(g.h);
        for z2 in z..(z + rz + 1).min(g.d) {
            for dx in -(rx as isize)..=rx as isize {
                // In the voxel's own plane only what comes after it.
                let first = match (z2 > z, dx > 0) {
                    (true, _) => y.saturating_sub(ry),
                    (false, true) => y,
                    (false, false) => y + 1,
                };
                if first < end {
                    self.step::<L>([z, y], z2, first..end, dx);
                }
            }
        }
        self.end_row(z, y, totals);
    }

    /// The pairs of the row `[z, y]` with rows `ys` of plane `z2` whose members are `dx` apart along x. Several rows at
    /// once keep the exponentials' many steps from waiting for each other.
    #[inline(always)]
    fn step<L: Lanes<Elem = T>>(&mut self, [z, y]: [usize; 2], z2: usize, ys: Range<usize>, dx: isize) {
        let Geometry { k, c, .. } = self.geometry;
        let (length, stride) = (self.length, self.image.stride());
        let weights = &mut self.weights[..ys.len() * length];
        let (along_x, along_z) = (self.exponents.along_x(dx), self.exponents.by_distance[z2 - z]);
        for channel in 0..c {
            let here = self.image.row(z, channel, y);
            let there = self.image.rows(z2, channel, ys.clone(), dx).chunks(stride);
            for ((weights, there), y2) in weights.chunks_exact_mut(length).zip(there).zip(ys.clone()) {
                let rest = along_z + self.exponents.by_distance[y2.abs_diff(y)];
                let image = [here, there];
                let scale = self.scale;
                match (channel == 0, channel + 1 == c) {
                    (true, true) => {
                        add_channel(weights, along_x, image, |_, s, d| weight(s + rest + d * scale))
                    }
                    (true, false) => add_channel(weights, along_x, image, |_, s, d| s + rest + d * scale),
                    (false, true) => {
                        add_channel(weights, along_x, image, |sum, _, d| weight(sum + d * scale))
                    }
                    (false, false) => add_channel(weights, along_x, image, |sum, _, d| sum + d * scale),
                }
            }
        }
        let (classes, degree) = self.later.split_at_mut(k * length);
        for (class, later) in classes.chunks_exact_mut(length).enumerate() {
            let there = self.probabilities.rows(z2, class, ys.clone(), dx);
            for (weights, there) in weights.chunks_exact(length).zip(there.chunks(stride)) {
                add_product::<L>(later, weights, there);
            }
        }
        for weights in weights.chunks_exact(length) {
            add::<L>(degree, weights);
        }
        let Some(sums) = &mut self.sums else { return };
        for class in 0..k {
            let here = self.probabilities.row(z, class, y);
            let there = sums.rows_mut(z2, class, ys.clone(), dx).chunks_mut(stride);
            for (weights, there) in weights.chunks_exact(length).zip(there) {
                add_product::<L>(there, weights, here);
            }
        }
        for (weights, there) in
            weights.chunks_exact(length).zip(sums.rows_mut(z2, k, ys, dx).chunks_mut(stride))
        {
            add::<L>(there, weights);
        }
    }

    /// Adds what was found of a row to the totals and, with each voxel's pair with itself, to the sums.
    #[inline(always)]
    fn end_row(&mut self, z: usize, y: usize, totals: &mut [f64]) {
        let Geometry { k, w, .. } = self.geometry;
        let length = self.length;
        let (classes, degree) = self.later.split_at(k * length);
        let (within, total) = totals.split_at_mut(k);
        for (class, later) in classes.chunks_exact(length).enumerate() {
            let p = &self.probabilities.row(z, class, y)[..w];
            let (mut n, mut d) = (T::zero(), T::zero());
            for ((p, later), degree) in p.iter().zip(later).zip(degree) {
                n += *p * (*later + *later + *p);
                d += *later + *p * (*degree + T::one());
            }
            within[class] += n.wide();
            total[class] += d.wide();
        }
        let Some(sums) = &mut self.sums else { return };
        for (class, later) in classes.chunks_exact(length).enumerate() {
            let p = self.probabilities.row(z, class, y);
            for ((s, later), p) in sums.row_mut(z, class, y).iter_mut().zip(later).zip(p) {
                *s += *later + *p;
            }
        }
        for (s, degree) in sums.row_mut(z, k, y).iter_mut().zip(degree) {
            *s += *degree + T::one();
        }
    }
}

/// The distance's part of the exponents: `-|X_i - X_j|^2 / sigma_space^2`.
struct Exponents<T> {
    /// Along x, `[dx][x]`: minus infinity, which makes the least of weights, where either is no voxel.
    along_x: Scratch<T>,
    length: usize,
    reach: isize,
    /// By distance, along z and y.
    by_distance: Vec<T>,
}

impl<T: Real> Exponents<T> {
    fn new(geometry: &Geometry, settings: &SoftNCuts, lanes: usize) -> Result<Self> {
        let [rz, ry, rx] = geometry.reach;
        let exponent = |distance: usize| T::of(-(distance as f64 / settings.sigma_space).powi(2));
        let length = geometry.w.next_multiple_of(lanes);
        let mut along_x = Scratch::new((2 * rx + 1) * length)?;
        along_x.fill(T::neg_infinity());
        for (i, row) in along_x.chunks_exact_mut(length).enumerate() {
            let (before, after) = (rx.saturating_sub(i), i.saturating_sub(rx));
            row[before..geometry.w - after].fill(exponent(i.abs_diff(rx)));
        }
        let by_distance = (0..=rz.max(ry)).map(exponent).collect();
        Ok(Exponents { along_x, length, reach: rx as isize, by_distance })
    }

    /// Along x, voxel by voxel.
    #[inline(always)]
    fn along_x(&self, dx: isize) -> &[T] {
        &self.along_x[(dx + self.reach) as usize * self.length..][..self.length]
    }
}

/// Has `put` say what a row of weights holds from what it held, from the exponents along x, and from the squared
/// differences of one image channel.
#[inline(always)]
fn add_channel<T: Real>(row: &mut [T], along_x: &[T], [here, there]: [&[T]; 2], put: impl Fn(T, T, T) -> T) {
    for (((o, s), a), b) in row.iter_mut().zip(along_x).zip(here).zip(there) {
        let difference = *a - *b;
        *o = put(*o, *s, difference * difference);
    }
}

/// `sum += a b`, in whole vectors.
#[inline(always)]
fn add_product<L: Lanes>(sum: &mut [L::Elem], a: &[L::Elem], b: &[L::Elem]) {
    for ((s, a), b) in sum.chunks_exact_mut(L::N).zip(a.chunks_exact(L::N)).zip(b.chunks_exact(L::N)) {
        L::from_slice(a).mul_add(L::from_slice(b), L::from_slice(s)).write(s);
    }
}

/// `sum += a`, in whole vectors.
#[inline(always)]
fn add<L: Lanes>(sum: &mut [L::Elem], a: &[L::Elem]) {
    for (s, a) in sum.chunks_exact_mut(L::N).zip(a.chunks_exact(L::N)) {
        (L::from_slice(s) + L::from_slice(a)).write(s);
    }
}

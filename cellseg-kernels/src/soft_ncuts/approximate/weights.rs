//! The weights `W_k` of the voxels: how near each is to the mean of each class.

use super::super::{
    class_rows::{repeat, spread_channel},
    geometry::Geometry,
    scratch::Scratch,
    weight::weight,
};
use cellseg_core::{Real, Result};

/// The means of the classes of one item, laid out as rows.
pub(super) struct Centres<T> {
    /// For each channel the mean rounded to `T`, and what rounding left of it. The first difference is exact for the
    /// voxels near the mean, which are those that count, so the mean does not lose what single precision cannot hold:
    /// the weights fall with its fourth power.
    channels: Vec<[Vec<T>; 2]>,
    /// `-1 / sigma_intensity^2`.
    factor: T,
}

impl<T: Real> Centres<T> {
    /// Of the means `[channel][class]`.
    pub(super) fn new(means: &[f64], geometry: &Geometry, sigma_intensity: f64) -> Self {
        let Geometry { w, k, .. } = *geometry;
        let channel = |means: &[f64]| {
            let rest = means.iter().map(|m| m - T::of(*m).wide());
            [repeat(means.iter().copied(), w), repeat(rest, w)]
        };
        Centres {
            channels: means.chunks_exact(k).map(channel).collect(),
            factor: T::of(-sigma_intensity.powi(-2)),
        }
    }
}

/// A row of the image as the classes see it.
pub(super) struct WeightRow<'a, T> {
    centres: &'a Centres<T>,
    geometry: Geometry,
    /// `I - m_k`: `[channel][row]`.
    pub differences: Scratch<T>,
    /// `|I - m_k|^2`.
    pub squares: Scratch<T>,
    /// `W_k`.
    pub weights: Scratch<T>,
}

impl<'a, T: Real> WeightRow<'a, T> {
    pub(super) fn new(centres: &'a Centres<T>, geometry: Geometry) -> Result<Self> {
        let row = geometry.row();
        Ok(WeightRow {
            centres,
            geometry,
            differences: Scratch::new(geometry.c * row)?,
            squares: Scratch::new(row)?,
            weights: Scratch::new(row)?,
        })
    }

    /// Computes the differences for a row of the image.
    #[inline(always)]
    pub(super) fn set_differences(&mut self, image: &[T]) {
        let Geometry { k, c, .. } = self.geometry;
        let row = self.geometry.row();
        let rows = self.differences.chunks_exact_mut(row).zip(&self.centres.channels);
        for (channel, (difference, [rounded, rest])) in rows.enumerate() {
            spread_channel(difference, image, channel, c, k);
            for ((e, m), s) in difference.iter_mut().zip(rounded).zip(rest) {
                *e = (*e - *m) - *s;
            }
        }
    }

    /// Computes everything for a row of the image.
    #[inline(always)]
    pub(super) fn set(&mut self, image: &[T]) {
        self.set_differences(image);
        let row = self.geometry.row();
        for (channel, difference) in self.differences.chunks_exact(row).enumerate() {
            for (s, e) in self.squares.iter_mut().zip(difference) {
                *s = if channel == 0 { *e * *e } else { *s + *e * *e };
            }
        }
        let factor = self.centres.factor;
        for (w, s) in self.weights.iter_mut().zip(&*self.squares) {
            *w = weight(*s * *s * factor);
        }
    }
}

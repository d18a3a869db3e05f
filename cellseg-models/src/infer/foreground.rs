//! Which class is the foreground.

use super::ForegroundClass;
use crate::{OutputActivation, intensity::Intensity};
use ndarray::{Array3, Array4, ArrayView3, ArrayView4, Axis};
use rayon::prelude::*;

/// A map of each class, and how bright each class is.
#[derive(Debug, Clone)]
pub struct ClassMaps {
    maps: Array4<f32>,
    brightness: Vec<f64>,
    foreground: ForegroundClass,
}

impl ClassMaps {
    pub(super) fn new(
        maps: Array4<f32>,
        volume: ArrayView3<'_, f32>,
        intensity: &Intensity,
        logits_of: Option<OutputActivation>,
    ) -> Self {
        let brightness = brightness(maps.view(), volume, intensity, logits_of);
        ClassMaps { maps, brightness, foreground: ForegroundClass::Brightest }
    }

    pub(super) fn with_foreground(self, foreground: ForegroundClass) -> Self {
        ClassMaps { foreground, ..self }
    }

    /// The maps `(class, z, y, x)`.
    pub fn maps(&self) -> ArrayView4<'_, f32> {
        self.maps.view()
    }

    /// The maps `(class, z, y, x)`, given away.
    pub fn into_maps(self) -> Array4<f32> {
        self.maps
    }

    /// The mean normalised intensity (0 to 100) of each class, every voxel weighted with the class's map.
    pub fn brightness(&self) -> &[f64] {
        &self.brightness
    }

    /// The classes from the brightest to the darkest.
    pub fn ranked(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = (0..self.brightness.len()).collect();
        classes.sort_by(|&a, &b| self.brightness[b].total_cmp(&self.brightness[a]));
        classes
    }

    /// The class that is the foreground, as [`super::Inference::foreground`] says.
    pub fn foreground(&self) -> usize {
        match self.foreground {
            ForegroundClass::Brightest => self.ranked()[0],
            ForegroundClass::Last => self.brightness.len() - 1,
        }
    }

    /// The map `(z, y, x)` of the foreground, given away.
    pub fn into_foreground(mut self) -> Array3<f32> {
        let class = self.foreground();
        if class > 0 {
            let (mut first, other) = self.maps.view_mut().split_at(Axis(0), class);
            first.index_axis_mut(Axis(0), 0).assign(&other.index_axis(Axis(0), 0));
        }
        let [_, d, h, w] = [0, 1, 2, 3].map(|i| self.maps.len_of(Axis(i)));
        let mut values = self.maps.into_raw_vec_and_offset().0;
        values.truncate(d * h * w);
        values.shrink_to_fit();
        Array3::from_shape_vec([d, h, w], values).expect("the first map is the beginning of all maps")
    }
}

/// `sum_v p_k(v) I(v) / sum_v p_k(v)` for each class `k`; of logits, `p` is what their activation makes.
fn brightness(
    maps: ArrayView4<'_, f32>,
    volume: ArrayView3<'_, f32>,
    intensity: &Intensity,
    logits_of: Option<OutputActivation>,
) -> Vec<f64> {
    let (d, h, w) = volume.dim();
    let classes = maps.len_of(Axis(0));
    // One sum a slice, the slices then in order: the same bits for any number of threads.
    let slices: Vec<Vec<[f64; 2]>> = (0..d)
        .into_par_iter()
        .map(|z| {
            let mut image = vec![0.0; h * w];
            intensity.read(volume, [z as isize, 0, 0], [1, h, w], &mut image);
            let mut sums = vec![[0.0; 2]; classes];
            let mut p = vec![0.0; classes];
            for (i, v) in image.iter().enumerate() {
                for (k, p) in p.iter_mut().enumerate() {
                    *p = f64::from(maps[[k, z, i / w, i % w]]);
                }
                if let Some(activation) = logits_of {
                    activation.of_voxel(&mut p);
                }
                for (sum, p) in sums.iter_mut().zip(&p) {
                    *sum = [sum[0] + p * f64::from(*v), sum[1] + p];
                }
            }
            sums
        })
        .collect();
    (0..classes)
        .map(|k| {
            let [weighted, sum] = slices.iter().fold([0.0; 2], |[a, b], s| [a + s[k][0], b + s[k][1]]);
            if sum > 0.0 { weighted / sum } else { 0.0 }
        })
        .collect()
}

//! From labels to light, and from light to what a camera counts.

use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};

use super::ellipsoid::Nucleus;
use super::lattice::LatticeNoise;
use super::options::SynthOptions;
use super::random::{Stage, Stream};

/// The largest value of a 16-bit camera.
const SATURATION: f64 = 65_535.0;

/// Paints every labelled voxel with its nucleus's textured fluorescence, in photons, before any blur.
pub(super) fn paint(
    image: &mut Array3<f32>,
    labels: &Array3<u32>,
    nuclei: &[Nucleus],
    options: &SynthOptions,
) {
    let grains = LatticeNoise::new(options.seed, Stage::Texture);
    let spacing = options.spacing_um;
    let slices = image.axis_iter_mut(Axis(0)).into_par_iter().zip(labels.axis_iter(Axis(0)));
    slices.enumerate().for_each(|(z, (mut slice, labels))| {
        for ((y, x), &label) in labels.indexed_iter() {
            let Some(index) = (label as usize).checked_sub(1) else { continue };
            let nucleus = &nuclei[index];
            let local = nucleus.local([z as f64 * spacing[0], y as f64 * spacing[1], x as f64 * spacing[2]]);
            // Each nucleus shows a part of the lattice of its own, turned with it: nuclei a few um apart are many
            // lattice periods apart.
            let grain = std::array::from_fn(|k| {
                let along_axis_um = local[k] * nucleus.semi_axes_um[k] + 97.3 * nucleus.centre_um[k];
                along_axis_um / options.texture_scale_um
            });
            let chromatin = 1.0 + options.texture * f64::from(steepened(grains.grains_at(grain)));
            slice[[y, x]] = (nucleus.brightness * chromatin) as f32;
        }
    });
}

/// Turns photons from the nuclei into camera counts: adds the background, takes off what is lost with depth, and
/// adds noise.
///
/// `counts = round(offset + gain · Poisson(light(z) · (nuclei + background)) + read noise)`, within 16 bits.
pub(super) fn expose(image: &mut Array3<f32>, options: &SynthOptions) {
    let noise = LatticeNoise::new(options.seed, Stage::Background);
    // Turned at random, for the lattice's axes must not coincide with the volume's.
    let turn = Stream::new(options.seed, Stage::Background, 1).rotation();
    let background = |point_um: [f64; 3]| {
        let steps =
            turn.map(|row| (0..3).map(|i| row[i] * point_um[i]).sum::<f64>() / options.background_scale_um);
        let field = f64::from(steepened(noise.at(steps)));
        options.background * (1.0 + options.unevenness * field)
    };
    let bottom = (options.shape[0] - 1).max(1) as f64;
    let loss = libm::log(options.light_at_bottom) / bottom;
    let spacing = options.spacing_um;
    image.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(z, mut slice)| {
        let mut stream = Stream::new(options.seed, Stage::Camera, z as u32);
        let light = libm::exp(loss * z as f64);
        for ((y, x), value) in slice.indexed_iter_mut() {
            let point = [z as f64 * spacing[0], y as f64 * spacing[1], x as f64 * spacing[2]];
            let photons = light * (f64::from(*value) + background(point));
            let counts = options.camera_offset
                + options.gain * stream.poisson(photons)
                + options.read_noise * stream.normal();
            *value = counts.round().clamp(0.0, SATURATION) as f32;
        }
    });
}

/// Pushes a value of `[-1, 1]` outward: blended lattice noise crowds around zero.
fn steepened(value: f32) -> f32 {
    value * (1.5 - 0.5 * value * value)
}

//! Another camera, another stain: changes of an image's intensities.

use super::Augmentation;
use crate::intensity::FULL_SCALE;
use cellseg_core::Rng;

/// Changes contrast, brightness and noise of `patch`, whose intensities are normalised, each in a share of the patches, and
/// clips what leaves the scale, as normalisation does.
pub(crate) fn change_intensities(patch: &mut [f32], settings: &Augmentation, rng: &mut Rng) {
    // All numbers are drawn in any case, so that one setting does not change what another draws.
    let mut draw = || (rng.uniform() < settings.share, 2.0 * rng.uniform() - 1.0);
    let [contrast, brightness, noise] = [draw(), draw(), draw()];
    let noise_key = rng.next_u64();
    let amount = |(chosen, x): (bool, f64), most: f64| if chosen { x * most } else { 0.0 };
    let gain = 1.0 + amount(contrast, settings.contrast);
    let shift = amount(brightness, settings.brightness) * f64::from(FULL_SCALE);
    let deviation = amount(noise, settings.noise).abs() * f64::from(FULL_SCALE);
    if [gain, shift, deviation] == [1.0, 0.0, 0.0] {
        return;
    }
    let mean = patch.iter().map(|&v| f64::from(v)).sum::<f64>() / patch.len().max(1) as f64;
    let mut noise = Rng::new(noise_key);
    for v in patch {
        let mut changed = (f64::from(*v) - mean) * gain + mean + shift;
        if deviation > 0.0 {
            changed += deviation * noise.normal();
        }
        *v = (changed as f32).clamp(0.0, FULL_SCALE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(settings: Augmentation) -> Vec<f32> {
        let mut patch: Vec<f32> = (0..1000).map(|i| 40.0 + (i % 21) as f32).collect();
        change_intensities(&mut patch, &settings, &mut Rng::new(5));
        patch
    }

    fn moments(xs: &[f32]) -> [f64; 2] {
        let mean = xs.iter().map(|&x| f64::from(x)).sum::<f64>() / xs.len() as f64;
        let variance = xs.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / xs.len() as f64;
        [mean, variance.sqrt()]
    }

    #[test]
    fn each_change_is_of_its_own_moment_and_within_its_bound() {
        let [mean, deviation] = moments(&changed(Augmentation::NONE));
        let only = Augmentation { share: 1.0, ..Augmentation::NONE };
        let contrast = moments(&changed(Augmentation { contrast: 0.5, ..only }));
        assert!((contrast[0] - mean).abs() < 1e-3);
        let factor = contrast[1] / deviation;
        assert!((0.5..=1.5).contains(&factor) && (factor - 1.0).abs() > 1e-3, "{factor}");
        let brightness = moments(&changed(Augmentation { brightness: 0.2, ..only }));
        assert!((brightness[1] - deviation).abs() < 1e-3);
        let shift = (brightness[0] - mean).abs();
        assert!(shift > 0.01 && shift <= 20.0, "{shift}");
        let noise = moments(&changed(Augmentation { noise: 0.1, ..only }));
        assert!((noise[0] - mean).abs() < 1.0 && noise[1] > deviation, "{noise:?}");
        assert!(noise[1] < (deviation * deviation + 110.0).sqrt());
    }

    #[test]
    fn nothing_leaves_the_scale_and_no_share_is_no_change() {
        let wild = Augmentation { contrast: 1.0, brightness: 1.0, noise: 1.0, ..Augmentation::NONE };
        let before = changed(Augmentation::NONE);
        assert_eq!(changed(wild), before);
        let after = changed(Augmentation { share: 1.0, ..wild });
        assert_ne!(after, before);
        assert!(after.iter().all(|v| (0.0..=FULL_SCALE).contains(v)));
    }
}

use ndarray::Axis;

use super::*;

/// Mean counts above the camera's offset of each nucleus, and of the background close by.
fn inside_and_around(synth: &Synth, offset: f64) -> Vec<(f64, f64)> {
    let shape = synth.labels.shape();
    let mean_of = |indices: &mut dyn Iterator<Item = [usize; 3]>| {
        let (sum, n) = indices.fold((0.0, 0.0), |(sum, n), v| (sum + f64::from(synth.image[v]), n + 1.0));
        if n > 0.0 { sum / n - offset } else { f64::NAN }
    };
    let measure = |voxels: &Vec<[usize; 3]>| {
        let window: [std::ops::Range<usize>; 3] = std::array::from_fn(|i| {
            let (low, high) = voxels.iter().fold((usize::MAX, 0), |(a, b), v| (a.min(v[i]), b.max(v[i])));
            low.saturating_sub(4)..(high + 5).min(shape[i])
        });
        let mut around = window[0].clone().flat_map(|z| {
            let xs = window[2].clone();
            window[1].clone().flat_map(move |y| xs.clone().map(move |x| [z, y, x]))
        });
        let mut background = around.by_ref().filter(|&v| synth.labels[v] == 0);
        (mean_of(&mut voxels.iter().copied()), mean_of(&mut background))
    };
    voxels(&synth.labels).iter().map(measure).collect()
}

#[test]
fn every_nucleus_of_the_default_volume_is_clearly_brighter_than_its_surroundings() {
    for seed in 0..4 {
        let options = SynthOptions { seed, ..Default::default() };
        for (i, (inside, around)) in
            inside_and_around(&make(&options), options.camera_offset).iter().enumerate()
        {
            assert!(inside / around > 1.5, "seed {seed}, nucleus {}: {inside} in {around}", i + 1);
        }
    }
}

/// Otsu's threshold of whole counts (Otsu 1979): the split with the largest variance between the classes.
fn otsu(image: &Array3<f32>) -> f32 {
    let mut histogram = vec![0.0f64; 65_536];
    image.iter().for_each(|&v| histogram[v as usize] += 1.0);
    let total: f64 = histogram.iter().zip(0..).map(|(n, v)| n * f64::from(v)).sum();
    let (mut below, mut sum, mut best) = (0.0, 0.0, (0.0, 0.0));
    for (n, v) in histogram.iter().zip(0..=u16::MAX) {
        below += n;
        sum += n * f64::from(v);
        let above = image.len() as f64 - below;
        let between = below * above * (sum / below - (total - sum) / above).powi(2);
        if between > best.0 {
            best = (between, f32::from(v));
        }
    }
    best.1
}

#[test]
fn otsu_threshold_loses_the_dim_nuclei_of_the_default_volume() {
    let synth = make(&SynthOptions::default());
    let threshold = otsu(&synth.image);
    let mostly_dark = |voxels: &&Vec<[usize; 3]>| {
        let bright = voxels.iter().filter(|&&v| synth.image[v] > threshold).count();
        2 * bright < voxels.len()
    };
    let lost = voxels(&synth.labels).iter().filter(mostly_dark).count();
    assert!((10..40).contains(&lost), "{lost} of 140 nuclei are mostly below the threshold of {threshold}");
}

#[test]
fn variance_grows_with_the_mean_as_photon_counting_says() {
    for (background, gain, read_noise) in
        [(0.0, 2.0, 3.0), (4.0, 2.0, 3.0), (35.0, 2.0, 3.0), (35.0, 0.5, 1.0), (900.0, 3.0, 12.0)]
    {
        let options = SynthOptions { gain, read_noise, ..flat(background) };
        let synth = make(&options);
        let n = synth.image.len() as f64;
        let (mean, variance) = mean_and_variance(synth.image.iter().copied());
        // Rounding to whole counts adds the variance of a uniform number of width one.
        let expected = gain * gain * background + read_noise * read_noise + 1.0 / 12.0;
        let standard_error = (expected / n).sqrt();
        assert!((mean - 100.0 - gain * background).abs() < 5.0 * standard_error + 0.01, "mean {mean}");
        assert!((variance / expected - 1.0).abs() < 0.03, "{variance} instead of {expected} at {background}");
    }
}

#[test]
fn noise_of_neighbouring_voxels_is_independent() {
    let image = make(&flat(35.0)).image;
    let (mean, variance) = mean_and_variance(image.iter().copied());
    for axis in 0..3 {
        let n = image.len_of(Axis(axis));
        let ahead = image.slice_axis(Axis(axis), (1..n).into());
        let behind = image.slice_axis(Axis(axis), (..n - 1).into());
        let products = ahead.iter().zip(behind).map(|(a, b)| (f64::from(*a) - mean) * (f64::from(*b) - mean));
        let correlation = products.sum::<f64>() / ahead.len() as f64 / variance;
        assert!(correlation.abs() < 0.015, "{correlation} along axis {axis}");
    }
}

#[test]
fn light_falls_off_exponentially_to_the_wanted_share() {
    let options = SynthOptions { shape: [33, 64, 64], light_at_bottom: 0.25, ..flat(200.0) };
    let image = make(&options).image;
    for (z, share) in [(0, 1.0), (8, 0.5f64.sqrt()), (16, 0.5), (32, 0.25)] {
        let (mean, _) = mean_and_variance(image.index_axis(Axis(0), z).iter().copied());
        assert!(((mean - 100.0) / 400.0 - share).abs() < 0.01, "slice {z}: {mean} counts");
    }
}

#[test]
fn background_varies_smoothly_within_its_bounds() {
    let noiseless =
        SynthOptions { gain: 0.001, read_noise: 0.0, background: 1e7, psf_sigma_um: [0.0; 3], ..flat(0.0) };
    let options = SynthOptions { unevenness: 0.6, background_scale_um: 10.0, ..noiseless };
    let image = make(&options).image.mapv(|v| (v - 100.0) / 1e4);
    let (low, high) = image.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
    assert!(low > 0.399 && high < 1.601, "{low}..{high} leaves 0.4..1.6");
    assert!(high - low > 0.6, "{low}..{high} is hardly uneven");
    let (ahead, behind) = (image.slice(s![.., .., 1..]), image.slice(s![.., .., ..-1]));
    // 0.5 um of 10 um, at most 0.6 · 2 · 15/8 · 3/2 a lattice step along each of three turned axes.
    let steepest = ahead.iter().zip(behind).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(steepest < 0.2, "a step of {steepest} between neighbours");
}

#[test]
fn inside_of_a_nucleus_has_its_brightness_and_texture_makes_it_grainy() {
    let bright =
        SynthOptions { gain: 0.001, read_noise: 0.0, psf_sigma_um: [0.0; 3], nuclei: 16, ..flat(0.0) };
    let base = SynthOptions { brightness: [1e7, 3e7], clustering: 0.0, ..bright };
    let plain = make(&SynthOptions { texture: 0.0, ..base.clone() });
    let grainy = make(&SynthOptions { texture: 0.7, ..base });
    assert_eq!(plain.labels, grainy.labels, "texture changes no shape");
    for (nucleus, voxels) in plain.nuclei.iter().zip(voxels(&plain.labels)) {
        let values = |synth: &Synth| voxels.iter().map(|&v| synth.image[v]).collect::<Vec<_>>();
        let (mean, variance) = mean_and_variance(values(&plain).into_iter());
        assert!((mean - 100.0 - nucleus.brightness * 0.001).abs() < 3.0);
        assert!(variance.sqrt() / mean < 0.002);
        let (mean, variance) = mean_and_variance(values(&grainy).into_iter());
        let contrast = variance.sqrt() / mean;
        assert!((0.1..0.6).contains(&contrast), "contrast of the texture: {contrast}");
    }
}

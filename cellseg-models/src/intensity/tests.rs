use super::*;
use ndarray::Array3;
use proptest::prelude::*;

fn ramp() -> Array3<f32> {
    Array3::from_shape_fn((4, 5, 6), |(z, y, x)| (30 * z + 6 * y + x) as f32)
}

fn whole(volume: &Array3<f32>, normalisation: &Normalisation, spacing: [f64; 3]) -> Vec<f32> {
    let fit = Intensity::fit("test", volume.view(), spacing, normalisation).unwrap();
    let (d, h, w) = volume.dim();
    let mut out = vec![0.0; volume.len()];
    fit.read(volume.view(), [0; 3], [d, h, w], &mut out);
    out
}

#[test]
fn the_range_becomes_0_to_100() {
    let out = whole(&ramp(), &Normalisation::MinMax, [1.0; 3]);
    assert_eq!((out[0], out[119]), (0.0, 100.0));
    assert!((out[60] - 60.0 / 119.0 * 100.0).abs() < 1e-4);
}

#[test]
fn percentiles_are_those_of_numpy_and_what_lies_beyond_is_clipped() {
    // numpy.percentile(numpy.arange(120), [1, 99.5]) is [1.19, 118.405].
    let out = whole(&ramp(), &Normalisation::PERCENTILE, [1.0; 3]);
    assert_eq!((out[0], out[1], out[119]), (0.0, 0.0, 100.0));
    assert!((out[60] - (60.0 - 1.19) / (118.405 - 1.19) * 100.0).abs() < 1e-3);
}

#[test]
fn local_contrast_takes_away_background_and_attenuation() {
    // The same spots everywhere, dimmer with depth on a slope of background.
    let spot = |z: usize, y: usize, x: usize| (z / 2 + y / 2 + x / 2).is_multiple_of(2);
    let volume = Array3::from_shape_fn((48, 40, 40), |(z, y, x)| {
        let light = (-(z as f32) / 40.0).exp();
        light * (if spot(z, y, x) { 100.0 } else { 0.0 }) + y as f32
    });
    let means = |out: &[f32]| {
        let of = |z0: usize, on: bool| {
            let (mut sum, mut n) = (0.0, 0);
            for z in z0..z0 + 8 {
                for y in 12..28 {
                    for x in 12..28 {
                        if spot(z, y, x) == on {
                            sum += out[(z * 40 + y) * 40 + x];
                            n += 1;
                        }
                    }
                }
            }
            sum / n as f32
        };
        [of(4, true), of(36, true), of(4, false), of(36, false)]
    };
    let local = Normalisation::LocalContrast { sigma: 5.0, low: 1.0, high: 99.5 };
    let [top, bottom, dark_top, dark_bottom] = means(&whole(&volume, &local, [1.0; 3]));
    assert!(top - dark_top > 60.0 && bottom - dark_bottom > 40.0, "the spots are still there");
    let [lit, dim, ..] = means(&whole(&volume, &Normalisation::PERCENTILE, [1.0; 3]));
    assert!(lit - dim > 25.0, "percentiles alone leave the loss of light: {lit} {dim}");
    assert!(top - bottom < 0.5 * (lit - dim), "local contrast does not: {top} {bottom}");
    assert!((dark_top - dark_bottom).abs() < 20.0, "and the ground is even: {dark_top} {dark_bottom}");
}

#[test]
fn outside_the_volume_is_its_mirror_image() {
    assert_eq!([-3, -2, -1, 0, 1, 2, 3, 4, 5].map(|i| mirror(i, 3)), [2, 1, 0, 0, 1, 2, 2, 1, 0]);
    assert_eq!([-5, 0, 7].map(|i| mirror(i, 1)), [0; 3]);
    let volume = ramp();
    let mut out = vec![0.0; 2 * 2 * 2];
    copy(volume.view(), [-1, -1, 5], [2; 3], &mut out);
    assert_eq!(out, [5.0; 8]);
}

#[test]
fn nothing_to_see_is_an_error_that_says_why() {
    let fit = |v: Array3<f32>| {
        let fit = Intensity::fit("a.tif", v.view(), [1.0; 3], &Normalisation::default());
        fit.unwrap_err().to_string()
    };
    assert!(fit(Array3::zeros((0, 4, 4))).contains("a.tif"));
    assert!(fit(Array3::from_elem((4, 4, 4), 7.0)).contains("all voxels are 7"));
    let mut v = ramp();
    v[[1, 2, 3]] = f32::NAN;
    let why = fit(v);
    assert!(why.contains("1 of 120") && why.contains("(1, 2, 3)"), "{why}");
}

#[test]
fn few_bright_voxels_on_black_are_still_seen() {
    let mut v = Array3::zeros((16, 16, 16));
    v[[8, 8, 8]] = 1000.0;
    for n in [Normalisation::PERCENTILE, Normalisation::LOCAL_CONTRAST] {
        let out = whole(&v, &n, [1.0; 3]);
        let brightest = out.iter().copied().fold(0.0, f32::max);
        assert!(brightest == out[(8 * 16 + 8) * 16 + 8] && brightest > 99.0, "{n:?}: {brightest}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let fit = |n, spacing| Intensity::fit("v", ramp().view(), spacing, &n).unwrap_err().to_string();
    assert!(fit(Normalisation::Percentile { low: 60.0, high: 50.0 }, [1.0; 3]).contains("percentiles"));
    let bad = Normalisation::LocalContrast { sigma: 0.0, low: 1.0, high: 99.0 };
    assert!(fit(bad, [1.0; 3]).contains("sigma"));
    assert!(fit(Normalisation::MinMax, [1.0, 0.0, 1.0]).contains("spacing"));
}

proptest! {
    #[test]
    fn a_window_is_what_the_whole_has_there(z in 0usize..3, y in 0usize..3, x in 0usize..3, seed in 0u64..50) {
        let mut rng = cellseg_core::Rng::new(seed);
        let volume = Array3::from_shape_fn((9, 11, 13), |_| rng.uniform() as f32);
        let n = Normalisation::LocalContrast { sigma: 3.0, low: 5.0, high: 95.0 };
        let all = whole(&volume, &n, [2.0, 1.0, 0.7]);
        let fit = Intensity::fit("test", volume.view(), [2.0, 1.0, 0.7], &n).unwrap();
        let mut out = vec![0.0; 4 * 5 * 6];
        fit.read(volume.view(), [z as isize, y as isize, x as isize], [4, 5, 6], &mut out);
        for (i, v) in out.iter().enumerate() {
            let (dz, dy, dx) = (i / 30, i / 6 % 5, i % 6);
            prop_assert_eq!(*v, all[((z + dz) * 11 + y + dy) * 13 + x + dx]);
        }
    }
}

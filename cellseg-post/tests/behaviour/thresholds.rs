use cellseg_post::{OtsuRule, mask_above, otsu, robust_otsu};
use ndarray::{Array3, s};

/// Repeatable noise of about a normal distribution, mean 0 and deviation 1.
fn noise(z: usize, y: usize, x: usize) -> f32 {
    let mut state = (z * 1_000_003 + y * 1009 + x) as u64;
    let mut uniform = || {
        state = (state ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 31;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..6).map(|_| uniform()).sum::<f32>() * 1.41 - 4.23
}

fn share_above(map: &Array3<f32>, threshold: f32) -> f64 {
    mask_above(map.view(), threshold).iter().filter(|&&inside| inside).count() as f64 / map.len() as f64
}

/// A dark background and objects that fill 6.25 % of it.
fn objects() -> Array3<f32> {
    let mut map = Array3::from_shape_fn((16, 64, 64), |(z, y, x)| 100.0 + 5.0 * noise(z, y, x));
    map.slice_mut(s![4..12, 16..48, 16..32]).map_inplace(|value| *value += 100.0);
    map
}

#[test]
fn hot_pixels_do_not_hide_the_objects_from_the_robust_threshold() {
    let mut map = objects();
    for n in 0..40 {
        map[[n % 16, (n * 7) % 64, (n * 13) % 64]] = 2_000.0;
    }
    assert!(
        share_above(&map, otsu(map.view(), OtsuRule::Skimage).unwrap()) < 0.001,
        "plain Otsu finds the hot pixels"
    );
    let share = share_above(&map, robust_otsu(map.view()).unwrap());
    assert!((share - 0.0625).abs() < 0.001, "{share}");
}

#[test]
fn without_outliers_the_robust_threshold_finds_the_same_voxels() {
    let map = objects();
    let plain = mask_above(map.view(), otsu(map.view(), OtsuRule::Skimage).unwrap());
    assert_eq!(mask_above(map.view(), robust_otsu(map.view()).unwrap()), plain);
}

#[test]
fn an_uneven_background_is_not_taken_for_foreground_by_the_robust_threshold() {
    // Few bright objects of different brightness on a background that is noisy and brighter on one side.
    let map = Array3::from_shape_fn((16, 64, 64), |(z, y, x)| {
        let object = y % 32 < 6 && x % 32 < 6 && z % 8 < 5;
        let brightness = 40.0 + 12.0 * (z / 8 + y / 32 + x / 32) as f32;
        100.0 + 0.15 * x as f32 + 8.0 * noise(z, y, x) + if object { brightness } else { 0.0 }
    });
    let plain = share_above(&map, otsu(map.view(), OtsuRule::Skimage).unwrap());
    let robust = share_above(&map, robust_otsu(map.view()).unwrap());
    assert!(plain < 0.06 && robust <= 1.5 * plain, "{plain} by plain Otsu, {robust} by robust");
}

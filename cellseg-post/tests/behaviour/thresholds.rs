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
fn a_bright_speck_with_a_wide_halo_does_not_hide_the_objects_from_the_robust_threshold() {
    let mut map = objects();
    map.indexed_iter_mut().for_each(|((z, y, x), value)| {
        let [z, y, x] = [z as f32 - 8.0, y as f32 - 52.0, x as f32 - 52.0];
        *value += 5_000.0 / (1.0 + z * z + y * y + x * x);
    });
    let found = |threshold| share_above(&map.slice(s![4..12, 16..48, 16..32]).to_owned(), threshold);
    let (plain, robust) = (otsu(map.view(), OtsuRule::Skimage).unwrap(), robust_otsu(map.view()).unwrap());
    assert!(found(plain) < 0.01, "plain Otsu finds the speck alone");
    assert!(
        found(robust) > 0.99 && share_above(&map, robust) < 0.2,
        "the objects, and the speck with its halo"
    );
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

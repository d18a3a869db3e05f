//! What `fixtures/make_fixtures.py` and these tests share.
#![allow(dead_code)] // each test program uses a part of it

use cellseg_core::{Gradients, Tensor};
use cellseg_models::{
    layers::{Module, Parameter},
    weights::{self, State},
};
use ndarray::{Array3, Array4, ArrayD, Axis, IxDyn};
use std::path::PathBuf;

/// The path of a fixture.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A stored array.
pub(crate) fn array(name: &str) -> ArrayD<f32> {
    ndarray_npy::read_npy(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Stored facts.
pub(crate) fn facts(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// `n` numbers in [0, 1) from SplitMix64 (Steele, Lea & Flood, 2014), seeded with the FNV-1a hash of the name.
pub(crate) fn splitmix(name: &str, n: usize) -> Vec<f64> {
    let seed =
        name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    (1..=n as u64)
        .map(|i| {
            let z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        })
        .collect()
}

/// Weights that depend on their names only, in the shapes of `net`: as `fill` in the script makes them.
pub(crate) fn filled(net: &impl Module) -> State {
    let mut state = weights::state(net).unwrap();
    for (name, array) in state.iter_mut().filter(|(_, array)| array.ndim() > 0) {
        let axis = usize::from(name.contains("conv_trans"));
        let (count, rank) = (array.len(), array.ndim());
        let scale = if rank == 5 { 1.0 / ((count / array.shape()[axis]) as f64).sqrt() } else { 0.25 };
        let around_one = rank == 1 && (name.ends_with("weight") || name.ends_with("running_var"));
        let shift = if around_one { 1.0 } else { 0.0 };
        let values = splitmix(name, count).into_iter().map(|u| ((2.0 * u - 1.0) * scale + shift) as f32);
        *array = ArrayD::from_shape_vec(IxDyn(array.shape()), values.collect()).unwrap();
    }
    state
}

/// Blobs and noise, 0 to 100: as `image` in the script makes them.
pub(crate) fn image(name: &str, dims: [usize; 3]) -> Array3<f32> {
    let noise = splitmix(name, dims.iter().product());
    Array3::from_shape_fn(dims, |(z, y, x)| {
        let wave = ((0.7 * z as f64).sin() + (0.5 * y as f64).sin() + (0.9 * x as f64).sin() + 3.0) / 6.0;
        (80.0 * wave + 20.0 * noise[(z * dims[1] + y) * dims[2] + x]) as f32
    })
}

/// A volume as a batch of one.
pub(crate) fn as_batch(volume: &Array3<f32>) -> Tensor {
    Tensor::from_ndarray(volume.view().insert_axis(Axis(0)).insert_axis(Axis(4))).unwrap()
}

/// The norm of an array in PyTorch's layout and its projection along random numbers are the two in `expected`, to within
/// `tolerance` of the norm or `floor`.
pub(crate) fn check_along(
    name: &str,
    array: &ArrayD<f32>,
    expected: &serde_json::Value,
    tolerance: f64,
    floor: f64,
) {
    let [norm, along] = [0, 1].map(|i| expected[i].as_f64().unwrap());
    let most = floor.max(tolerance * norm);
    let found = array.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    assert!((found - norm).abs() <= most, "{name}: norm {found}, PyTorch has {norm}");
    let v = splitmix(&format!("along.{name}"), array.len());
    let found: f64 = array.iter().zip(v).map(|(g, v)| f64::from(*g) * (2.0 * v - 1.0)).sum();
    assert!((found - along).abs() <= most, "{name}: projection {found}, PyTorch has {along}");
}

/// Compares norm and projection of every gradient, see [`check_along`].
pub(crate) fn check_gradients(
    net: &impl Module,
    expected: &serde_json::Value,
    gradients: &Gradients,
    tolerance: f64,
    floor: f64,
) {
    let mut count = 0;
    net.each("", &mut |name, p| {
        if p.is_trainable() {
            check_along(&name, &exported(p, gradients), &expected[&name], tolerance, floor);
            count += 1;
        }
    });
    assert_eq!(count, expected.as_object().unwrap().len());
}

/// The gradient of a parameter in PyTorch's layout.
pub(crate) fn exported(p: &Parameter, gradients: &Gradients) -> ArrayD<f32> {
    p.export(gradients.get(p.tensor()).unwrap()).unwrap()
}

/// `[c, d, h, w]` of the first of `[n, d, h, w, c]`.
pub(crate) fn channels_first(t: &Tensor) -> Array4<f32> {
    let a = t.to_ndarray::<f32>().unwrap().into_dimensionality::<ndarray::Ix5>().unwrap();
    a.index_axis_move(ndarray::Axis(0), 0).permuted_axes([3, 0, 1, 2]).as_standard_layout().into_owned()
}

/// The largest difference, as a share of the largest number.
pub(crate) fn difference<'a>(
    a: impl IntoIterator<Item = &'a f32>,
    b: impl IntoIterator<Item = &'a f32>,
) -> f64 {
    let (mut worst, mut largest) = (0f64, 0f64);
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    loop {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) => {
                worst = worst.max(f64::from(a - b).abs());
                largest = largest.max(f64::from(*b).abs());
            }
            (None, None) => return worst / largest,
            _ => panic!("one of the arrays is longer"),
        }
    }
}

/// Balls on a dark ground, and their labels.
pub(crate) fn balls(seed: u64, dims: [usize; 3]) -> (Array3<f32>, Array3<u32>) {
    let mut rng = cellseg_core::Rng::new(seed);
    let count = dims.iter().product::<usize>() / 2000;
    let centres: Vec<[f64; 3]> = (0..count).map(|_| dims.map(|n| rng.uniform() * n as f64)).collect();
    let labels = Array3::from_shape_fn(dims, |(z, y, x)| {
        let near =
            |c: &[f64; 3]| [z, y, x].iter().zip(c).map(|(&a, c)| (a as f64 - c).powi(2)).sum::<f64>() < 16.0;
        centres.iter().position(near).map_or(0, |i| i as u32 + 1)
    });
    let image = labels.mapv(|l| (if l > 0 { 300.0 } else { 100.0 } + 25.0 * rng.normal()) as f32);
    (image, labels)
}

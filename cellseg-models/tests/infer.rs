//! Sliding windows: against MONAI, against the whole, and what they promise.

mod support;

use cellseg_core::Tensor;
use cellseg_models::{
    Error, Result, VolumeView, WNet3d, WNet3dConfig,
    infer::{
        Blending, Compat, Inference, Output, Progress, Windows, class_maps, importance_map, sliding_window,
    },
    intensity::Normalisation,
    wnet3d::PassMode,
};
use ndarray::{Array3, Array4, Axis};
use proptest::prelude::*;
use std::ops::ControlFlow;
use support::{array, channels_first, difference, facts, image};

fn identity(x: &Tensor) -> Result<Tensor> {
    Ok(x.clone())
}

fn tiny(seed: u64) -> WNet3d {
    WNet3d::new(&WNet3dConfig { width: 4, ..WNet3dConfig::small() }, seed).unwrap()
}

#[test]
fn importance_maps_are_those_of_monai() {
    for (sigma, expected) in facts("importance.json").as_object().unwrap() {
        let window: [usize; 3] = serde_json::from_value(expected["window"].clone()).unwrap();
        let map = importance_map(window, sigma.parse().unwrap());
        let close = |a: f64, key: &str| (a - expected[key].as_f64().unwrap()).abs() < 1e-5 * a;
        assert!(close(map.iter().map(|&w| f64::from(w)).sum(), "sum"));
        assert!(close(map.iter().fold(0.0, |m, &w| f64::max(m, w.into())), "max"));
        assert_eq!(map.iter().filter(|&&w| w > 1e-3).count() as u64, expected["above_floor"]);
        let line = map.slice(ndarray::s![window[0] / 2, window[1] / 2, ..]);
        let expected: Vec<f32> = serde_json::from_value(expected["line"].clone()).unwrap();
        assert!(difference(line, &expected) < 1e-5);
    }
}

#[test]
fn compat_gives_the_maps_of_cellseg3d() {
    let state = pth("width4.pth");
    let net = WNet3d::from_state(&state).unwrap();
    let volume = array("windows.volume.npy").into_dimensionality::<ndarray::Ix3>().unwrap();
    let settings = Inference {
        compat: Compat::CellSeg3D,
        windows: Windows { window: [16; 3], ..Windows::default() },
        ..Inference::default()
    };
    let maps = class_maps(&net, &VolumeView::isotropic("v", volume.view()), &settings, &mut ()).unwrap();
    assert!(difference(maps.maps(), &array("windows.cellseg3d.npy")) < 1e-4);
}

#[test]
fn a_pth_file_gives_pytorchs_logits() {
    let net = WNet3d::from_state(&pth("width4.pth")).unwrap();
    let volume = array("windows.volume.npy").into_dimensionality::<ndarray::Ix3>().unwrap();
    let mut padded = Array3::<f32>::zeros((16, 24, 24));
    padded.slice_mut(ndarray::s![..12, ..20, ..]).assign(&volume);
    let x = Tensor::from_ndarray(padded.view().insert_axis(Axis(0)).insert_axis(Axis(4))).unwrap();
    let logits = net.logits(&x, &PassMode::default()).unwrap();
    assert!(difference(&channels_first(&logits), &array("width4.logits.npy")) < 1e-4);
}

fn pth(name: &str) -> cellseg_models::weights::State {
    cellseg_io::Weights::open(support::path(name)).unwrap().tensors
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_network_that_does_nothing_gives_the_volume_back_exactly(
        d in 1usize..30, h in 1usize..30, w in 1usize..30,
        window in prop::array::uniform3(1usize..20),
        overlap in 0.0..0.9f64,
        gaussian in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut rng = cellseg_core::Rng::new(seed);
        let volume = Array3::from_shape_fn((d, h, w), |_| (rng.normal() * 1000.0) as f32);
        let blending = if gaussian { Blending::Gaussian { sigma: 0.25 } } else { Blending::Constant };
        let windows = Windows { window, overlap, blending };
        let view = VolumeView::isotropic("v", volume.view());
        let out = sliding_window(&view, 1, &windows, &identity, &mut ()).unwrap();
        prop_assert_eq!(out.index_axis(Axis(0), 0), volume);
    }
}

#[test]
fn overlapping_windows_are_averaged_with_their_weights() {
    // Each window puts out its own number; an average over explicit weights is the truth.
    let volume = Array3::from_shape_fn((20, 13, 9), |(z, y, x)| (z * 100 + y * 10 + x) as f32);
    let windows = Windows { window: [8, 8, 8], overlap: 0.4, blending: Blending::Gaussian { sigma: 0.2 } };
    let first = |x: &Tensor| -> Result<Tensor> {
        let value = x.to_vec::<f32>()?[0];
        Ok(Tensor::full(value, x.shape().dims())?)
    };
    let view = VolumeView::isotropic("v", volume.view());
    let out = sliding_window(&view, 1, &windows, &first, &mut ()).unwrap();
    let starts = |n: usize| -> Vec<usize> {
        // int(8 * 0.6) = 4
        (0..)
            .map(|i| (4 * i).min(n - 8))
            .take_while({
                let mut done = false;
                move |&s| !std::mem::replace(&mut done, s == n - 8)
            })
            .collect()
    };
    let weight = |v: usize, s: usize| {
        if v < s || v >= s + 8 {
            return 0.0;
        }
        let t = ((v - s) as f64 - 3.5) / 1.6;
        (-0.5 * t * t).exp().max(1e-3)
    };
    for ((z, y, x), found) in out.index_axis(Axis(0), 0).indexed_iter() {
        let (mut sum, mut total) = (0.0, 0.0);
        for a in starts(20) {
            for b in starts(13) {
                for c in starts(9) {
                    let w = weight(z, a) * weight(y, b) * weight(x, c);
                    sum += w * f64::from(volume[[a, b, c]]);
                    total += w;
                }
            }
        }
        assert!(
            (f64::from(*found) - sum / total).abs() < 1e-3 * (1.0 + sum / total),
            "{found} {}",
            sum / total
        );
    }
}

#[test]
fn one_window_is_the_whole_and_windows_come_near_it() {
    let net = tiny(3);
    let volume = image("whole", [24, 32, 40]);
    let view = VolumeView::isotropic("v", volume.view());
    let run = |window, overlap| {
        let windows = Windows { window, overlap, ..Windows::default() };
        let settings = Inference { windows, normalisation: Normalisation::MinMax, ..Inference::default() };
        class_maps(&net, &view, &settings, &mut ()).unwrap().into_maps()
    };
    let whole = run([64; 3], 0.25);
    let fit = view.fit(&Normalisation::MinMax).unwrap();
    let x = Tensor::build(&[1, 24, 32, 40, 1], |out: &mut [f32]| {
        fit.read(volume.view(), [0; 3], [24, 32, 40], out);
        Ok(())
    });
    let direct = channels_first(&net.classes(&x.unwrap(), &PassMode::default()).unwrap());
    assert_eq!(whole, direct);
    // The group norms of a window see fewer voxels, so the maps cannot agree better than about a tenth of their range.
    let windows = run([24, 24, 32], 0.5);
    let centred = |maps: &Array4<f32>| maps.mapv(|p| p - maps.index_axis(Axis(0), 1).mean().unwrap());
    let (a, b) = (centred(&windows), centred(&whole));
    let [a, b] = [a, b].map(|m| m.index_axis_move(Axis(0), 1));
    let correlation = (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt();
    assert!(correlation > 0.9, "the maps agree: {correlation}");
}

#[test]
fn any_size_comes_back_in_its_size_and_probabilities_sum_to_one() {
    let net = tiny(1);
    for dims in [[1, 1, 2], [3, 17, 5], [9, 33, 20]] {
        let volume = image("size", dims);
        let windows = Windows { window: [16; 3], ..Windows::default() };
        let settings = Inference { windows, ..Inference::default() };
        let view = VolumeView::isotropic("v", volume.view());
        let maps = class_maps(&net, &view, &settings, &mut ()).unwrap().into_maps();
        assert_eq!(maps.shape(), [2, dims[0], dims[1], dims[2]]);
        let sums = maps.sum_axis(Axis(0));
        assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-5));
    }
}

#[test]
fn logits_are_what_the_softmax_is_of() {
    let net = tiny(2);
    let volume = image("logits", [16, 16, 16]);
    let view = VolumeView::isotropic("v", volume.view());
    let run =
        |output| class_maps(&net, &view, &Inference { output, ..Inference::default() }, &mut ()).unwrap();
    let (p, logits) = (run(Output::Probabilities), run(Output::Logits));
    let sigmoid = (&logits.maps().index_axis(Axis(0), 1) - &logits.maps().index_axis(Axis(0), 0))
        .mapv(|d| 1.0 / (1.0 + (-d).exp()));
    assert!(difference(&sigmoid, p.maps().index_axis(Axis(0), 1)) < 1e-5);
    assert_eq!(p.foreground(), logits.foreground());
    for (a, b) in p.brightness().iter().zip(logits.brightness()) {
        assert!((a - b).abs() < 1e-3, "the brightness of a class does not depend on what the maps hold");
    }
}

#[test]
fn the_foreground_is_the_brightest_class_whatever_its_number() {
    let volume = image("foreground", [16, 16, 24]);
    let view = VolumeView::isotropic("v", volume.view());
    let settings = Inference { normalisation: Normalisation::MinMax, ..Inference::default() };
    let mut net = tiny(0);
    let maps = class_maps(&net, &view, &settings, &mut ()).unwrap();
    let class = maps.foreground();
    let mean = |k: usize| {
        let p = maps.maps().index_axis(Axis(0), k).to_owned();
        (&p * &volume).sum() / p.sum()
    };
    assert!(mean(class) > mean(1 - class));
    assert_eq!(maps.ranked(), [class, 1 - class]);
    let foreground = maps.maps().index_axis(Axis(0), class).to_owned();
    // The two classes exchanged: the other number, the same map.
    let mut state = net.state().unwrap();
    for name in ["encoder.out_b.module.8.weight", "encoder.out_b.module.8.bias"] {
        state.get_mut(name).unwrap().invert_axis(Axis(0));
    }
    net.load(&state).unwrap();
    let exchanged = class_maps(&net, &view, &settings, &mut ()).unwrap();
    assert_eq!(exchanged.foreground(), 1 - class);
    assert!(difference(&exchanged.into_foreground(), &foreground) < 1e-6);
}

struct StopAfter(usize, Vec<(usize, usize)>);

impl Progress for StopAfter {
    fn windows(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        self.1.push((done, total));
        if done >= self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn progress_counts_every_window_and_can_stop() {
    let volume = image("progress", [16, 16, 40]);
    let windows = Windows { window: [16; 3], overlap: 0.0, ..Windows::default() };
    let view = VolumeView::isotropic("v", volume.view());
    let mut all = StopAfter(9, vec![]);
    sliding_window(&view, 1, &windows, &identity, &mut all).unwrap();
    assert_eq!(all.1, [(1, 3), (2, 3), (3, 3)]);
    let stopped = sliding_window(&view, 1, &windows, &identity, &mut StopAfter(2, vec![]));
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let net = tiny(7);
    let volume = image("threads", [20, 30, 25]);
    let windows = Windows { window: [16; 3], ..Windows::default() };
    let settings = Inference { windows, ..Inference::default() };
    let run = |threads| -> Array4<f32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let view = VolumeView::isotropic("v", volume.view());
        pool.install(|| class_maps(&net, &view, &settings, &mut ()).unwrap().into_maps())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn settings_out_of_range_are_named() {
    let volume = image("bad", [8; 3]);
    let view = VolumeView::isotropic("v", volume.view());
    let fails = |windows: Windows| {
        let settings = Inference { windows, ..Inference::default() };
        match class_maps(&tiny(0), &view, &settings, &mut ()) {
            Err(Error::Setting { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fails(Windows { window: [16, 12, 16], ..Windows::default() }), "window");
    assert_eq!(fails(Windows { window: [0, 16, 16], ..Windows::default() }), "window");
    assert_eq!(fails(Windows { overlap: 1.0, ..Windows::default() }), "overlap");
    assert_eq!(fails(Windows { overlap: f64::NAN, ..Windows::default() }), "overlap");
    let blending = Blending::Gaussian { sigma: 0.0 };
    assert_eq!(fails(Windows { blending, ..Windows::default() }), "blending.sigma");
}

#[test]
fn weights_that_give_no_numbers_are_an_error() {
    let mut net = tiny(0);
    let mut state = net.state().unwrap();
    state.get_mut("encoder.out_b.module.8.bias").unwrap()[0] = f32::NAN;
    net.load(&state).unwrap();
    let volume = image("nan", [8; 3]);
    let view = VolumeView::isotropic("v", volume.view());
    let why = class_maps(&net, &view, &Inference::default(), &mut ()).unwrap_err().to_string();
    assert!(why.contains("undamaged weights"), "{why}");
}

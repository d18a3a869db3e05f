//! Whole volumes through each of the networks.

use cellseg_core::Tensor;
use cellseg_models::{
    Error, Network, PassMode, SegResNet, SegResNetConfig, Trailmap, TrailmapConfig, VNet, VNetConfig,
    VolumeView,
    infer::{Inference, Output, Windows, class_maps, sliding_window},
    network_of, weights,
};
use ndarray::Array3;

/// Small networks for images of one channel.
fn networks() -> Vec<Box<dyn Network>> {
    let trailmap = TrailmapConfig { width: 4, ..TrailmapConfig::default() };
    let vnet = VNetConfig { width: 2, ..VNetConfig::default() };
    vec![
        Box::new(Trailmap::new(&trailmap, 3).unwrap()),
        Box::new(SegResNet::new(&SegResNetConfig::default(), 3).unwrap()),
        Box::new(VNet::new(&vnet, 3).unwrap()),
    ]
}

fn volume() -> Array3<f32> {
    crate::support::image("whole", [10, 20, 17])
}

#[test]
fn maps_are_the_logistic_function_of_the_logits_in_every_voxel() {
    let volume = volume();
    let view = VolumeView::isotropic("whole", volume.view());
    // One for the whole volume, so that nothing is averaged.
    let windows = Windows { window: [16, 32, 32], ..Windows::default() };
    for network in networks() {
        let map = |output| {
            let settings = Inference { output, windows, ..Inference::default() };
            class_maps(&*network, &view, &settings, &mut ()).unwrap().maps().to_owned()
        };
        let (p, logits) = (map(Output::Probabilities), map(Output::Logits));
        assert_eq!(p.dim(), (1, 10, 20, 17), "{}", network.architecture());
        for (p, logit) in p.iter().zip(&logits) {
            let expected = 1.0 / (1.0 + (-f64::from(*logit)).exp());
            assert!((f64::from(*p) - expected).abs() < 1e-6, "{}: {p} of {logit}", network.architecture());
        }
        assert!(logits.iter().any(|l| *l != logits[[0, 0, 0, 0]]));
    }
}

#[test]
fn one_window_gives_what_the_network_gives() {
    let volume = crate::support::image("whole", [16, 32, 16]);
    let view = VolumeView::isotropic("whole", volume.view());
    let windows = Windows { window: [16, 32, 16], ..Windows::default() };
    for network in networks() {
        let forward = |x: &Tensor| network.logits(x, &PassMode::default());
        let maps = sliding_window(&view, 1, &windows, &forward, &mut ()).unwrap();
        let expected = forward(&crate::support::as_batch(&volume)).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(maps.into_raw_vec_and_offset().0, expected, "{}", network.architecture());
    }
}

#[test]
fn windows_that_a_network_cannot_take_are_refused() {
    let volume = volume();
    let view = VolumeView::isotropic("whole", volume.view());
    for network in networks() {
        let window = [16, 16, 16 + network.extent_multiple() / 2];
        let settings =
            Inference { windows: Windows { window, ..Windows::default() }, ..Inference::default() };
        let refused = class_maps(&*network, &view, &settings, &mut ());
        assert!(matches!(refused, Err(Error::Setting { .. })), "{}", network.architecture());
    }
}

#[test]
fn each_network_is_known_by_the_names_of_its_tensors() {
    for network in networks() {
        let state = weights::state(&*network).unwrap();
        assert_eq!(weights::recognise(&state), Some(network.architecture()));
        let again = network_of(&state, &network.settings()).unwrap();
        assert_eq!(again.architecture(), network.architecture());
        assert_eq!(weights::state(&*again).unwrap(), state);
    }
}

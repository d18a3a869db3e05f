//! SegResNet.

use crate::{Comparison, bits_of_training, census, images, support::filled};
use cellseg_core::DType;
use cellseg_models::{Compute, Error, Network, PassMode, SegResNet, SegResNetConfig, weights::State};
use ndarray::{ArrayD, IxDyn};

fn small() -> SegResNetConfig {
    SegResNetConfig { in_channels: 2, classes: 2, ..SegResNetConfig::default() }
}

fn network() -> SegResNet {
    let mut net = SegResNet::new(&small(), 1).unwrap();
    net.load(&filled(&net)).unwrap();
    net
}

#[test]
fn training_and_inference_are_those_of_monai() {
    for checkpoint in [false, true] {
        let comparison =
            Comparison { fixture: "segresnet", training: [1, 2, 16, 16, 32], inference: [2, 2, 8, 8, 24] };
        comparison.run(&mut network(), &PassMode { checkpoint, ..PassMode::default() });
    }
}

#[test]
fn the_names_and_sizes_are_those_of_the_original() {
    let (names, parameters) = census(&SegResNet::new(&SegResNetConfig::default(), 0).unwrap());
    assert_eq!((names.len(), parameters), (83, 1_176_177));
    for (name, dims) in [
        ("convInit.conv.weight", vec![8, 1, 3, 3, 3]),
        ("down_layers.0.1.norm1.weight", vec![8]),
        ("down_layers.3.0.conv.weight", vec![64, 32, 3, 3, 3]),
        ("down_layers.3.4.conv2.conv.weight", vec![64, 64, 3, 3, 3]),
        ("up_layers.0.0.conv1.conv.weight", vec![32, 32, 3, 3, 3]),
        ("up_samples.2.0.conv.weight", vec![8, 16, 1, 1, 1]),
        ("conv_final.0.bias", vec![8]),
        ("conv_final.2.conv.weight", vec![1, 8, 1, 1, 1]),
        ("conv_final.2.conv.bias", vec![1]),
    ] {
        assert!(names.contains(&(name.to_owned(), dims)), "{name}");
    }
}

/// The autoencoder's tensors of SegResNetVAE for images of 64^3 voxels, in other shapes.
fn autoencoder() -> State {
    let name = |n: &str| (format!("vae_{n}"), ArrayD::zeros(IxDyn(&[1])));
    [
        "down.0.weight",
        "down.2.conv.bias",
        "fc1.weight",
        "fc2.bias",
        "fc3.weight",
        "fc_up_sample.0.conv.weight",
        "conv_final.2.conv.weight",
    ]
    .map(name)
    .into()
}

#[test]
fn weights_go_out_and_come_in_unchanged_with_or_without_an_autoencoder() {
    let net = network();
    let state = net.state().unwrap();
    let mut with_autoencoder = state.clone();
    with_autoencoder.extend(autoencoder());
    for given in [&state, &with_autoencoder] {
        let again = SegResNet::from_state(given).unwrap();
        assert_eq!(again.state().unwrap(), state);
        assert_eq!((again.config().width, again.config().in_channels, again.config().classes), (8, 2, 2));
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let mut net = network();
    let before = net.state().unwrap();
    let mut damaged = before.clone();
    damaged.remove("down_layers.2.2.norm2.bias");
    damaged.insert("vae_like.weight".into(), ArrayD::zeros(IxDyn(&[1])));
    damaged.insert("up_samples.0.0.conv.weight".into(), ArrayD::zeros(IxDyn(&[32, 64, 3, 3, 3])));
    damaged.extend(autoencoder());
    let why = net.load(&damaged).unwrap_err().to_string();
    for part in [
        "SegResNet of width 8",
        "`up_samples.0.0.conv.weight` is [32, 64, 3, 3, 3] where [32, 64, 1, 1, 1]",
        "1 missing (`down_layers.2.2.norm2.bias`)",
        "1 unexpected (`vae_like.weight`)",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(net.state().unwrap(), before, "nothing was loaded");
    let why = SegResNet::from_state(&autoencoder()).unwrap_err().to_string();
    assert!(why.contains("83 missing"), "{why}");
}

#[test]
fn sizes_out_of_range_are_named() {
    let fails = |config: SegResNetConfig| match SegResNet::new(&config, 0) {
        Err(Error::Setting { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(fails(SegResNetConfig { width: 12, ..small() }), "width");
    assert_eq!(fails(SegResNetConfig { in_channels: 0, ..small() }), "in_channels");
    assert_eq!(fails(SegResNetConfig { classes: 0, ..small() }), "classes");
    assert_eq!(fails(SegResNetConfig { dropout: 1.0, ..small() }), "dropout");
    let why =
        network().logits(&images("odd", [1, 2, 8, 12, 8]), &PassMode::default()).unwrap_err().to_string();
    assert!(why.contains("8 x 12 x 8") && why.contains("multiple of 8"), "{why}");
}

#[test]
fn neither_threads_nor_checkpoints_change_a_bit_of_training_and_dropout_does() {
    let mode = PassMode { dropout_key: Some(3), checkpoint: false };
    let expected = bits_of_training(&network(), &mode, 1);
    assert_eq!(bits_of_training(&network(), &mode, 3), expected);
    assert_eq!(bits_of_training(&network(), &PassMode { checkpoint: true, ..mode }, 2), expected);
    assert_ne!(bits_of_training(&network(), &PassMode { dropout_key: Some(4), ..mode }, 2), expected);
    let without = bits_of_training(&network(), &PassMode::default(), 2);
    assert_ne!(without, expected);
    let undropped = network().with_dropout(0.0).unwrap();
    assert_eq!(bits_of_training(&undropped, &mode, 2), without);
}

#[test]
fn half_precision_is_near() {
    let x = images("half", [1, 2, 16, 8, 24]);
    let expected = network().logits(&x, &PassMode::default()).unwrap().to_vec::<f32>().unwrap();
    for (compute, tolerance) in [(Compute::F16, 1e-2), (Compute::BF16, 1e-1)] {
        let net = network().prepared(compute).unwrap();
        net.each("", &mut |name, p| assert_eq!(p.tensor().dtype(), compute.dtype(), "{name}"));
        let y = net.logits(&x, &PassMode::default()).unwrap();
        assert_eq!(y.dtype(), DType::F32);
        let worst = crate::support::difference(&y.to_vec::<f32>().unwrap(), &expected);
        assert!(worst < tolerance && worst > 0.0, "{compute:?}: {worst}");
    }
}

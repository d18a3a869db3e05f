//! VNet.

use crate::{Comparison, bits_of_training, census, images, support::filled};
use cellseg_core::DType;
use cellseg_models::{Compute, Error, Network, PassMode, VNet, VNetConfig};
use ndarray::{ArrayD, IxDyn};

fn small() -> VNetConfig {
    VNetConfig { width: 4, in_channels: 2, ..VNetConfig::default() }
}

fn network() -> VNet {
    let mut net = VNet::new(&small(), 1).unwrap();
    net.load(&filled(&net)).unwrap();
    net
}

#[test]
fn training_and_inference_are_those_of_monai() {
    for checkpoint in [false, true] {
        let comparison =
            Comparison { fixture: "vnet", training: [2, 2, 16, 16, 32], inference: [1, 2, 16, 32, 16] };
        comparison.run(&mut network(), &PassMode { checkpoint, ..PassMode::default() });
    }
}

#[test]
fn the_names_and_sizes_are_those_of_the_original() {
    let (names, parameters) = census(&VNet::new(&VNetConfig::default(), 0).unwrap());
    assert_eq!((names.len(), parameters), (164, 45_595_445));
    for (name, dims) in [
        ("in_tr.conv_block.conv.weight", vec![16, 1, 5, 5, 5]),
        ("in_tr.conv_block.adn.N.running_mean", vec![16]),
        ("down_tr32.down_conv.weight", vec![32, 16, 2, 2, 2]),
        ("down_tr128.ops.2.conv_block.conv.bias", vec![128]),
        ("down_tr256.bn1.num_batches_tracked", vec![]),
        ("up_tr256.up_conv.weight", vec![256, 128, 2, 2, 2]),
        ("up_tr32.bn1.weight", vec![16]),
        ("up_tr32.ops.0.conv_block.conv.weight", vec![32, 32, 5, 5, 5]),
        ("out_tr.conv_block.conv.weight", vec![1, 32, 5, 5, 5]),
        ("out_tr.conv2.bias", vec![1]),
    ] {
        assert!(names.contains(&(name.to_owned(), dims)), "{name}");
    }
}

#[test]
fn weights_and_statistics_go_out_and_come_in_unchanged() {
    let mut net = network();
    net.training_logits(&images("seen", [1, 2, 16, 16, 32]), &PassMode::default()).unwrap();
    let state = net.state().unwrap();
    assert_eq!(state["up_tr64.bn1.num_batches_tracked"][IxDyn(&[])], 1.0);
    let again = VNet::from_state(&state).unwrap();
    assert_eq!(again.state().unwrap(), state);
    assert_eq!(again.config(), net.config());
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let mut net = network();
    let before = net.state().unwrap();
    let mut damaged = before.clone();
    damaged.remove("down_tr64.ops.1.conv_block.adn.N.running_mean");
    damaged.insert("up_tr256.ops.0.conv_block.conv.bias".into(), ArrayD::zeros(IxDyn(&[64])));
    damaged.insert("out_tr.conv2.bias".into(), ArrayD::zeros(IxDyn(&[2])));
    let why = net.load(&damaged).unwrap_err().to_string();
    for part in [
        "VNet of width 4",
        "`out_tr.conv2.bias` is [2] where [1]",
        "1 missing (`down_tr64.ops.1.conv_block.adn.N.running_mean`)",
        "1 unexpected (`up_tr256.ops.0.conv_block.conv.bias`)",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(net.state().unwrap(), before, "nothing was loaded");
    let why = VNet::from_state(&Default::default()).unwrap_err().to_string();
    assert!(why.contains("164 missing"), "{why}");
}

#[test]
fn sizes_out_of_range_are_named() {
    let fails = |config: VNetConfig| match VNet::new(&config, 0) {
        Err(Error::Setting { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(fails(VNetConfig { width: 3, ..small() }), "width");
    assert_eq!(fails(VNetConfig { in_channels: 3, ..small() }), "in_channels");
    assert_eq!(fails(VNetConfig { classes: 0, ..small() }), "classes");
    assert_eq!(fails(VNetConfig { dropout: -0.1, ..small() }), "dropout");
    let why =
        network().logits(&images("odd", [1, 2, 16, 8, 16]), &PassMode::default()).unwrap_err().to_string();
    assert!(why.contains("16 x 8 x 16") && why.contains("multiple of 16"), "{why}");
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
fn half_precision_is_near_and_leaves_statistics_in_single_precision() {
    let x = images("half", [1, 2, 16, 16, 32]);
    let expected = network().logits(&x, &PassMode::default()).unwrap().to_vec::<f32>().unwrap();
    for (compute, tolerance) in [(Compute::F16, 1e-2), (Compute::BF16, 1e-1)] {
        let net = network().prepared(compute).unwrap();
        net.each("", &mut |name, p| {
            let expected = if p.is_trainable() { compute.dtype() } else { DType::F32 };
            assert_eq!(p.tensor().dtype(), expected, "{name}");
        });
        let y = net.logits(&x, &PassMode::default()).unwrap();
        let worst = crate::support::difference(&y.to_vec::<f32>().unwrap(), &expected);
        assert!(worst < tolerance && worst > 0.0, "{compute:?}: {worst}");
    }
}

#[test]
fn another_number_of_channels_is_refused() {
    for channels in [0, 1, 3] {
        let x = cellseg_core::Tensor::full(0.5f32, &[1, 16, 16, 16, channels]).unwrap();
        let why = network().logits(&x, &PassMode::default()).unwrap_err().to_string();
        assert!(why.contains(&format!("{channels} channels")) && why.contains("has 2"), "{why}");
    }
}

//! TRAILMAP.

use crate::{Comparison, bits_of_training, census, images, support::filled};
use cellseg_core::Tape;
use cellseg_kernels::reduce::sum;
use cellseg_models::{Compute, Error, Network, PassMode, Trailmap, TrailmapConfig, layers::Module};
use ndarray::{ArrayD, IxDyn};

fn small() -> TrailmapConfig {
    TrailmapConfig { width: 8, in_channels: 2, classes: 2 }
}

fn network() -> Trailmap {
    let mut net = Trailmap::new(&small(), 1).unwrap();
    net.load(&filled(&net)).unwrap();
    net
}

#[test]
fn training_and_inference_are_those_of_pytorch() {
    for checkpoint in [false, true] {
        let comparison =
            Comparison { fixture: "trailmap", training: [2, 2, 8, 16, 24], inference: [1, 2, 9, 11, 13] };
        comparison.run(&mut network(), &PassMode { checkpoint, ..PassMode::default() });
    }
}

#[test]
fn the_names_and_sizes_are_those_of_the_original() {
    let (names, parameters) = census(&Trailmap::new(&TrailmapConfig::default(), 0).unwrap());
    assert_eq!((names.len(), parameters), (86, 16_317_921));
    for (name, dims) in [
        ("encoders.0.basic_module.SingleConv1.conv.weight", vec![32, 1, 3, 3, 3]),
        ("encoders.0.basic_module.SingleConv2.batchnorm.running_mean", vec![64]),
        ("encoders.3.basic_module.SingleConv1.conv.weight", vec![256, 256, 3, 3, 3]),
        ("encoders.3.basic_module.SingleConv2.batchnorm.num_batches_tracked", vec![]),
        ("decoders.0.basic_module.SingleConv1.conv.weight", vec![256, 768, 3, 3, 3]),
        ("decoders.2.basic_module.SingleConv2.batchnorm.running_var", vec![64]),
        ("final_conv.weight", vec![1, 64, 1, 1, 1]),
        ("final_conv.bias", vec![1]),
    ] {
        assert!(names.contains(&(name.to_owned(), dims)), "{name}");
    }
}

#[test]
fn weights_and_statistics_go_out_and_come_in_unchanged() {
    let mut net = network();
    net.training_logits(&images("seen", [1, 2, 16, 8, 16]), &PassMode::default()).unwrap();
    let state = net.state().unwrap();
    assert_eq!(state["decoders.1.basic_module.SingleConv1.batchnorm.num_batches_tracked"][IxDyn(&[])], 1.0);
    let again = Trailmap::from_state(&state).unwrap();
    assert_eq!(again.state().unwrap(), state);
    assert_eq!(again.config(), net.config());
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let mut net = network();
    let before = net.state().unwrap();
    let mut damaged = before.clone();
    damaged.remove("encoders.1.basic_module.SingleConv2.batchnorm.running_var");
    damaged.insert("encoders.4.basic_module.SingleConv1.conv.weight".into(), ArrayD::zeros(IxDyn(&[1])));
    damaged.insert("final_conv.bias".into(), ArrayD::zeros(IxDyn(&[3])));
    let why = net.load(&damaged).unwrap_err().to_string();
    for part in [
        "TRAILMAP_MS of width 8",
        "`final_conv.bias` is [3] where [2]",
        "1 missing (`encoders.1.basic_module.SingleConv2.batchnorm.running_var`)",
        "1 unexpected (`encoders.4.basic_module.SingleConv1.conv.weight`)",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(net.state().unwrap(), before, "nothing was loaded");
    let mut flat = before;
    flat.insert("final_conv.weight".into(), ArrayD::zeros(IxDyn(&[8])));
    let why = Trailmap::from_state(&flat).unwrap_err().to_string();
    assert!(why.contains("`final_conv.weight` is [8] where [1, 64, 1, 1, 1]"), "{why}");
    let why = Trailmap::from_state(&Default::default()).unwrap_err().to_string();
    assert!(why.contains("86 missing"), "{why}");
}

#[test]
fn sizes_out_of_range_are_named() {
    let fails = |config: TrailmapConfig| match Trailmap::new(&config, 0) {
        Err(Error::Setting { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(fails(TrailmapConfig { width: 7, ..small() }), "width");
    assert_eq!(fails(TrailmapConfig { in_channels: 0, ..small() }), "in_channels");
    assert_eq!(fails(TrailmapConfig { classes: 0, ..small() }), "classes");
    let mode = PassMode::default();
    let why = network().logits(&images("thin", [1, 2, 8, 7, 8]), &mode).unwrap_err().to_string();
    assert!(why.contains("8 x 7 x 8") && why.contains("8 at least"), "{why}");
    // One voxel at the coarsest level has no variance.
    assert!(network().training_logits(&images("tiny", [1, 2, 8, 8, 8]), &mode).is_err());
    assert!(network().logits(&images("tiny", [1, 2, 8, 8, 8]), &mode).is_ok());
}

#[test]
fn a_pass_that_fails_moves_no_statistics() {
    let mut net = network();
    let before = net.state().unwrap();
    assert!(net.training_logits(&images("tiny", [1, 2, 8, 8, 8]), &PassMode::default()).is_err());
    assert_eq!(net.state().unwrap(), before);
}

#[test]
fn neither_threads_nor_checkpoints_change_a_bit_of_training() {
    let mode = PassMode::default();
    let expected = bits_of_training(&network(), &mode, 1);
    assert_eq!(bits_of_training(&network(), &mode, 3), expected);
    assert_eq!(bits_of_training(&network(), &PassMode { checkpoint: true, ..mode }, 2), expected);
}

#[test]
fn half_precision_is_near_and_leaves_weights_and_statistics_in_single_precision() {
    let mode = PassMode::default();
    let x = images("half", [2, 2, 8, 16, 16]);
    let expected = network().training_logits(&x, &mode).unwrap();
    for (compute, tolerance) in [(Compute::F16, 3e-2), (Compute::BF16, 0.15)] {
        let (mut net, tape) = (network(), Tape::new());
        net.set_compute(compute);
        let y = net.training_logits(&x.on(&tape), &mode).unwrap();
        let worst =
            crate::support::difference(&y.to_vec::<f32>().unwrap(), &expected.to_vec::<f32>().unwrap());
        assert!(worst < tolerance && worst > 0.0, "{compute:?}: {worst}");
        let gradients = tape.backward(&sum(&y).unwrap()).unwrap();
        net.each("", &mut |name, p| {
            assert_eq!(p.tensor().dtype(), cellseg_core::DType::F32, "{name}");
            if p.is_trainable() {
                assert_eq!(gradients.get(p.tensor()).unwrap().dtype(), cellseg_core::DType::F32, "{name}");
            }
        });
    }
}

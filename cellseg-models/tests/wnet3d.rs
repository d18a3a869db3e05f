//! WNet3D against PyTorch, values and gradients, and its weights on their way in and out.

mod support;

use cellseg_core::{Tape, Tensor};
use cellseg_kernels::{
    loss::mse,
    pointwise::{add, mul, scale},
    reduce::sum,
    soft_ncuts::{SoftNCuts, soft_ncuts},
};
use cellseg_models::{Error, WNet3d, WNet3dConfig, layers::Module, wnet3d::PassMode};
use ndarray::{ArrayD, Axis, IxDyn};
use support::{
    array, as_batch, channels_first, check_gradients, difference, exported, facts, filled, image, splitmix,
};

fn of_width(width: usize) -> WNet3dConfig {
    WNet3dConfig { width, dropout: 0.0, ..WNet3dConfig::small() }
}

#[test]
fn a_training_step_of_width_8_is_that_of_pytorch() {
    let mut net = WNet3d::new(&of_width(8), 1).unwrap();
    net.load(&filled(&net)).unwrap();
    let facts = facts("width8.json");
    for checkpoint in [false, true] {
        let mode = PassMode { checkpoint, ..PassMode::default() };
        let (tape, x) = (Tape::new(), as_batch(&image("step", [16, 16, 24])));
        let traced = x.on(&tape);
        let logits = net.logits(&traced, &mode).unwrap();
        let p = net.classes(&traced, &mode).unwrap();
        let y = net.reconstruction(&p, &mode).unwrap();
        assert!(difference(&channels_first(&logits), &array("width8.logits.npy")) < 1e-4);
        assert!(difference(&channels_first(&y), &array("width8.reconstruction.npy")) < 1e-4);
        let settings = SoftNCuts { sigma_intensity: 100.0, ..SoftNCuts::default() };
        let n_cuts = soft_ncuts(&p, &x, &settings).unwrap();
        let mse = mse(&y, &x).unwrap();
        for (name, found) in [("n_cuts", &n_cuts), ("mse", &mse)] {
            let (found, expected) = (found.item().unwrap(), facts[name].as_f64().unwrap());
            assert!((found - expected).abs() <= 1e-4 * expected, "{name}: {found}, PyTorch has {expected}");
        }
        let loss = add(scale(&n_cuts, 0.5).unwrap(), scale(&mse, 0.005).unwrap()).unwrap();
        let gradients = tape.backward(&loss).unwrap();
        check_gradients(&net, &facts["gradients"], &gradients, 1e-3, 0.0);
        let mut whole = 0;
        net.each("", &mut |name, p| {
            let file = format!("width8.gradient.{name}.npy");
            if support::path(&file).exists() {
                let (found, expected) = (exported(p, &gradients), array(&file));
                assert_eq!(found.shape(), expected.shape());
                let worst = difference(&found, &expected);
                assert!(worst <= 1e-3, "{name}: differs by {worst}");
                whole += 1;
            }
        });
        assert_eq!(whole, 3);
    }
}

#[test]
fn the_encoder_of_the_papers_width_is_that_of_pytorch() {
    let mut net = WNet3d::encoder_only(&of_width(64), 1).unwrap();
    net.load(&filled(&net)).unwrap();
    let tape = Tape::new();
    let logits = net.logits(&as_batch(&image("paper", [8; 3])).on(&tape), &PassMode::default()).unwrap();
    assert!(difference(&channels_first(&logits), &array("width64.logits.npy")) < 1e-4);
    // The script numbers voxels channel first.
    let along: Vec<f32> = splitmix("along.logits", 1024).iter().map(|&u| u as f32).collect();
    let along = ndarray::Array4::from_shape_vec([2, 8, 8, 8], along).unwrap().permuted_axes([1, 2, 3, 0]);
    let along = Tensor::from_ndarray(along.view().insert_axis(Axis(0))).unwrap();
    let loss = sum(&mul(&logits, &along).unwrap()).unwrap();
    let gradients = tape.backward(&loss).unwrap();
    check_gradients(&net, &facts("width64.json"), &gradients, 1e-3, 0.0);
}

#[test]
fn the_names_and_sizes_are_those_of_the_original() {
    let net = WNet3d::new(&WNet3dConfig::paper(), 0).unwrap();
    let mut names = Vec::new();
    let mut parameters = 0;
    net.each("", &mut |name, p| {
        parameters += p.tensor().shape().count();
        names.push((name, p.pytorch_dims()));
    });
    assert_eq!((names.len(), parameters), (168, 50_531_843));
    for (name, dims) in [
        ("encoder.in_b.module.0.weight", vec![64, 1, 3, 3, 3]),
        ("encoder.deconv2.module.1.weight", vec![256, 512, 1, 1, 1]),
        ("encoder.conv_trans2.weight", vec![512, 256, 2, 2, 2]),
        ("decoder.in_b.module.0.weight", vec![64, 2, 3, 3, 3]),
        ("decoder.out_b.module.8.bias", vec![1]),
    ] {
        assert!(names.contains(&(name.to_owned(), dims)), "{name}");
    }
}

#[test]
fn weights_go_out_and_come_in_unchanged() {
    let config = WNet3dConfig { classes: 3, out_channels: 2, ..of_width(4) };
    let net = WNet3d::new(&config, 5).unwrap();
    let state = net.state().unwrap();
    let again = WNet3d::from_state(&state).unwrap();
    assert_eq!(again.state().unwrap(), state);
    assert_eq!((again.config().width, again.config().classes, again.config().out_channels), (4, 3, 2));
}

#[test]
fn an_encoder_alone_loads_under_either_kind_of_name() {
    let net = WNet3d::new(&of_width(4), 5).unwrap();
    let state = net.state().unwrap();
    let part = |strip: &str| {
        let encoder = state.iter().filter(|(n, _)| n.starts_with("encoder."));
        encoder.map(|(n, a)| (n.strip_prefix(strip).unwrap().to_owned(), a.clone())).collect()
    };
    let x = as_batch(&image("alone", [8; 3]));
    let expected = net.logits(&x, &PassMode::default()).unwrap().to_vec::<f32>().unwrap();
    for strip in ["", "encoder."] {
        let alone = WNet3d::from_state(&part(strip)).unwrap();
        assert!(!alone.has_decoder());
        assert_eq!(alone.logits(&x, &PassMode::default()).unwrap().to_vec::<f32>().unwrap(), expected);
        let classes = alone.classes(&x, &PassMode::default()).unwrap();
        let why = alone.reconstruction(&classes, &PassMode::default()).unwrap_err().to_string();
        assert!(why.contains("decoder"), "{why}");
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let mut net = WNet3d::new(&of_width(4), 0).unwrap();
    let before = net.state().unwrap();
    let wide = WNet3d::new(&of_width(8), 0).unwrap().state().unwrap();
    let why = net.load(&wide).unwrap_err().to_string();
    assert!(why.contains("`encoder.in_b.module.0.weight` is [8, 1, 3, 3, 3] where [4, 1, 3, 3, 3]"), "{why}");
    let mut damaged = before.clone();
    damaged.remove("decoder.bot.module.0.bias");
    damaged.insert("decoder.bottom".into(), ArrayD::zeros(IxDyn(&[1])));
    damaged.insert("encoder.conv1.module.4.weight".into(), ArrayD::zeros(IxDyn(&[9])));
    let why = net.load(&damaged).unwrap_err().to_string();
    for part in
        ["1 missing (`decoder.bot.module.0.bias`)", "1 unexpected (`decoder.bottom`)", "[9] where [8]"]
    {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(net.state().unwrap(), before, "nothing was loaded");
    let swin = [("swinViT.patch_embed.proj.weight".to_owned(), ArrayD::zeros(IxDyn(&[48, 1, 2, 2, 2])))];
    let why = WNet3d::from_state(&swin.into()).unwrap_err().to_string();
    assert!(why.contains("SwinUNETR") && why.contains("168 missing"), "{why}");
    assert!(WNet3d::from_state(&Default::default()).is_err());
    let mut flat = before;
    flat.insert("encoder.in_b.module.0.weight".into(), ArrayD::zeros(IxDyn(&[4])));
    let why = WNet3d::from_state(&flat).unwrap_err().to_string();
    assert!(why.contains("`encoder.in_b.module.0.weight` is [4] where"), "{why}");
}

#[test]
fn sizes_out_of_range_are_named() {
    let fails = |config: WNet3dConfig| match WNet3d::new(&config, 0) {
        Err(Error::Setting { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(fails(of_width(6)), "width");
    assert_eq!(fails(of_width(0)), "width");
    assert_eq!(fails(WNet3dConfig { classes: 1, ..of_width(4) }), "classes");
    assert_eq!(fails(WNet3dConfig { dropout: 1.0, ..of_width(4) }), "dropout");
    let net = WNet3d::new(&of_width(4), 0).unwrap();
    let x = Tensor::full(0f32, &[1, 8, 12, 8, 1]).unwrap();
    let why = net.logits(&x, &PassMode::default()).unwrap_err().to_string();
    assert!(why.contains("8 x 12 x 8") && why.contains("multiple of 8"), "{why}");
    let x = Tensor::full(0f32, &[1, 8, 8, 8, 2]).unwrap();
    assert!(net.logits(&x, &PassMode::default()).is_err());
}

#[test]
fn first_weights_follow_pytorchs_distribution_and_the_seed() {
    let net = WNet3d::new(&of_width(16), 9).unwrap();
    let state = net.state().unwrap();
    assert_eq!(WNet3d::new(&of_width(16), 9).unwrap().state().unwrap(), state);
    assert_ne!(WNet3d::new(&of_width(16), 10).unwrap().state().unwrap(), state);
    // Fan-in of conv_trans2 is out * 8 in PyTorch.
    for (name, fan_in) in [("encoder.bot.module.5.weight", 128 * 27), ("encoder.conv_trans2.weight", 64 * 8)]
    {
        let (w, bound) = (&state[name], 1.0 / f64::from(fan_in).sqrt());
        let largest = w.iter().fold(0.0, |m: f64, x| m.max(f64::from(x.abs())));
        assert!(largest <= bound && largest > 0.99 * bound, "{name}: {largest} {bound}");
        let variance = w.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / w.len() as f64;
        assert!((variance * 3.0 / bound.powi(2) - 1.0).abs() < 0.05, "{name} is uniform");
    }
    assert!(state["encoder.bot.module.4.weight"].iter().all(|&x| x == 1.0));
}

#[test]
fn dropout_depends_on_the_key_alone() {
    let net = WNet3d::new(&WNet3dConfig { dropout: 0.5, ..of_width(4) }, 0).unwrap();
    let x = as_batch(&image("dropout", [8, 8, 16]));
    let run = |dropout_key, checkpoint| {
        let tape = Tape::new();
        let mode = PassMode { dropout_key, checkpoint };
        let y = net.logits(&x.on(&tape), &mode).unwrap();
        let gradients = tape.backward(&sum(&y).unwrap()).unwrap();
        let mut all = y.to_vec::<f32>().unwrap();
        net.each("", &mut |name, p| {
            if name.starts_with("encoder") {
                all.extend(gradients.get(p.tensor()).unwrap().to_vec::<f32>().unwrap());
            }
        });
        all
    };
    assert_eq!(run(Some(1), false), run(Some(1), false));
    assert_eq!(run(Some(1), false), run(Some(1), true), "bit-equal when computed again for the gradient");
    assert_ne!(run(Some(1), false), run(Some(2), false));
    assert_ne!(run(Some(1), false), run(None, false));
}

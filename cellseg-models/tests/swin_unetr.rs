//! SwinUNETR against MONAI, and what it promises.

mod support;

use cellseg_core::{Gradients, Tape, Tensor};
use cellseg_kernels::{loss::bce_with_logits, pointwise::mul, reduce::sum};
use cellseg_models::{
    Compute, Error, Network, OutputActivation, PassMode, SwinUnetr, SwinUnetrConfig,
    layers::Module,
    swin_unetr::Merging,
    weights::{State, recognise},
};
use ndarray::{Array4, ArrayD, IxDyn};
use std::collections::BTreeMap;
use support::{array, channels_first, check_gradients, difference, facts, image, splitmix};

fn of(config: SwinUnetrConfig) -> SwinUnetr {
    let mut net = SwinUnetr::new(&SwinUnetrConfig { dropout: 0.0, ..config }, 1).unwrap();
    net.load(&filled(&net)).unwrap();
    net
}

/// Weights that depend on their names only: as `fill` in the script makes them.
fn filled(net: &SwinUnetr) -> State {
    let mut state = net.state().unwrap();
    for (name, array) in &mut state {
        let (count, rank) = (array.len(), array.ndim());
        let axis = usize::from(name.contains("transp_conv"));
        let scale = match rank {
            _ if name.ends_with("bias_table") => 0.5,
            1 => 0.25,
            _ => 1.0 / ((count / array.shape()[axis]) as f64).sqrt(),
        };
        let shift = if rank == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
        let values = splitmix(name, count).into_iter().map(|u| ((2.0 * u - 1.0) * scale + shift) as f32);
        *array = ArrayD::from_shape_vec(IxDyn(array.shape()), values.collect()).unwrap();
    }
    state
}

/// Images of the script, 0 to 1, as a batch of one.
fn input(name: &str, dims: [usize; 3], channels: usize) -> Tensor {
    let images: Vec<_> = (0..channels).map(|c| image(&format!("{name}.{c}"), dims)).collect();
    let [d, h, w] = dims;
    let x = ndarray::Array5::from_shape_fn([1, d, h, w, channels], |(_, z, y, x, c)| {
        images[c][[z, y, x]] / 100.0
    });
    Tensor::from_ndarray(x.view()).unwrap()
}

/// Logits, and the gradients of their product with random numbers.
fn step(net: &SwinUnetr, x: &Tensor, mode: &PassMode) -> (Tensor, Gradients) {
    let tape = Tape::new();
    let logits = net.logits(&x.on(&tape), mode).unwrap();
    let [_, d, h, w, c] = logits.shape().volumes("logits").unwrap();
    // The script counts channels first.
    let along = splitmix("along.logits", logits.shape().count()).into_iter().map(|u| (2.0 * u - 1.0) as f32);
    let along = Array4::from_shape_vec([c, d, h, w], along.collect()).unwrap().permuted_axes([1, 2, 3, 0]);
    let along = Tensor::from_ndarray(along.view().insert_axis(ndarray::Axis(0))).unwrap();
    let gradients = tape.backward(&sum(&mul(&logits, &along).unwrap()).unwrap()).unwrap();
    (logits, gradients)
}

fn check(name: &str, config: SwinUnetrConfig, dims: [usize; 3]) {
    let net = of(config);
    let x = input(name, dims, net.config().in_channels);
    let (logits, gradients) = step(&net, &x, &PassMode::default());
    let sampled = channels_first(&logits).slice(ndarray::s![.., ..;4, ..;4, ..;4]).to_owned();
    let worst = difference(&sampled, &array(&format!("swin_unetr.{name}.npy")));
    assert!(worst < 2e-4, "logits differ by {worst}");
    let facts = facts(&format!("swin_unetr.{name}.json"));
    check_gradients(&net, &facts["gradients"], &gradients, 2e-3, 1e-3);
}

fn small_windows() -> SwinUnetrConfig {
    SwinUnetrConfig { window: [3; 3], merging: Merging::Monai15, ..SwinUnetrConfig::small() }
}

#[test]
fn windows_shifted_along_some_axes_only_are_those_of_monai() {
    check("shifted", small_windows(), [32, 64, 64]);
}

#[test]
fn windows_larger_than_the_volume_are_those_of_monai() {
    let config = SwinUnetrConfig { classes: 2, residual_stages: false, ..SwinUnetrConfig::small() };
    check("large_windows", config, [64, 32, 96]);
}

#[test]
fn tokens_taken_twice_are_those_of_monai_until_1_4() {
    let config = SwinUnetrConfig {
        in_channels: 2,
        window: [4; 3],
        depths: [2, 1, 1, 3],
        merging: Merging::Monai14,
        ..SwinUnetrConfig::small()
    };
    check("merging14", config, [32, 64, 64]);
}

#[test]
fn names_and_sizes_are_those_of_monai() {
    let net = SwinUnetr::new(&SwinUnetrConfig::paper(), 0).unwrap();
    let mut names: BTreeMap<String, Vec<usize>> =
        serde_json::from_value(facts("swin_unetr.names.json")["names"].clone()).unwrap();
    assert_eq!(names.len(), 167);
    names.retain(|name, _| !name.ends_with("relative_position_index"));
    let (mut found, mut count) = (BTreeMap::new(), 0);
    net.each("", &mut |name, p| {
        count += p.tensor().shape().count();
        found.insert(name, p.pytorch_dims());
    });
    assert_eq!(found, names);
    assert_eq!(count, 72_762_019);
}

#[test]
fn a_state_dict_with_buffers_tells_the_sizes_and_loads() {
    let net = of(SwinUnetrConfig { classes: 3, depths: [1, 2, 1, 2], ..small_windows() });
    let mut state = net.state().unwrap();
    let index: Vec<Vec<f32>> =
        serde_json::from_value(facts("swin_unetr.names.json")["index"].clone()).unwrap();
    let index = ArrayD::from_shape_vec(IxDyn(&[27, 27]), index.concat()).unwrap();
    let buffer = "swinViT.layers1.0.blocks.0.attn.relative_position_index";
    state.insert(buffer.to_owned(), index.clone());
    let read = SwinUnetr::from_state(&state).unwrap();
    let expected = SwinUnetrConfig { merging: Merging::Monai14, ..net.config().clone() };
    assert_eq!(read.clone().with_dropout(0.0).unwrap().config(), &expected);
    assert_eq!(read.state().unwrap(), net.state().unwrap());
    let merged = read.with_merging(Merging::Monai15);
    let x = input("buffers", [32; 3], 1);
    let logits = |net: &SwinUnetr| net.logits(&x, &PassMode::default()).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(logits(&merged), logits(&net));

    state.insert(buffer.to_owned(), index + 1.0);
    let why = SwinUnetr::from_state(&state).unwrap_err().to_string();
    assert!(why.contains(buffer) && why.contains("[3, 3, 3]"), "{why}");
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let net = of(small_windows());
    let mut state = net.state().unwrap();
    state.remove("encoder4.layer.conv2.conv.weight");
    state.insert("more".to_owned(), ArrayD::zeros(IxDyn(&[1])));
    let why = SwinUnetr::from_state(&state).unwrap_err().to_string();
    for part in [
        "SwinUNETR of 12 features",
        "1 missing (`encoder4.layer.conv2.conv.weight`)",
        "1 unexpected (`more`)",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(recognise(&state), Some("SwinUNETR"));
    let of_another = State::from([("in_tr.conv_block.conv.weight".to_owned(), ArrayD::zeros(IxDyn(&[1])))]);
    let why = SwinUnetr::from_state(&of_another).unwrap_err().to_string();
    assert!(why.contains("SwinUNETR") && why.contains("those of VNet"), "{why}");
}

#[test]
fn settings_and_extents_out_of_range_are_named() {
    let of = |change: fn(&mut SwinUnetrConfig)| {
        let mut config = SwinUnetrConfig::small();
        change(&mut config);
        match SwinUnetr::new(&config, 0) {
            Err(Error::Setting { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of(|c| c.classes = 0), "classes");
    assert_eq!(of(|c| c.heads = [5, 6, 12, 24]), "heads");
    assert_eq!(of(|c| c.window = [7, 0, 7]), "window");
    assert_eq!(of(|c| c.window = [1, 2, 5]), "window");
    assert_eq!(of(|c| c.window = [17; 3]), "window");
    assert_eq!(of(|c| c.depths = [2, 2, 0, 2]), "depths");
    assert_eq!(of(|c| c.dropout = 1.0), "dropout");
    let net = SwinUnetr::new(&small_windows(), 0).unwrap();
    let x = Tensor::full(0.5f32, &[1, 32, 48, 32, 1]).unwrap();
    let why = net.logits(&x, &PassMode::default()).unwrap_err().to_string();
    assert!(why.contains("32 x 48 x 32") && why.contains("multiple of 32"), "{why}");
}

/// The bits of the logits and of all gradients of a step with dropout.
fn bits(net: &SwinUnetr, x: &Tensor, mode: &PassMode) -> Vec<Vec<u32>> {
    let (logits, gradients) = step(net, x, mode);
    let mut all = vec![logits];
    net.each("", &mut |_, p| all.push(gradients.get(p.tensor()).unwrap().clone()));
    all.iter().map(|t| t.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn neither_threads_nor_recomputing_change_a_bit_and_each_key_drops_others() {
    let net = of(small_windows()).with_dropout(0.3).unwrap();
    let x = input("threads", [32, 32, 64], 1);
    let mode = |key, checkpoint| PassMode { dropout_key: Some(key), checkpoint };
    let with = |threads, checkpoint| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bits(&net, &x, &mode(5, checkpoint)))
    };
    let expected = with(1, false);
    assert!(with(3, false) == expected, "threads change bits");
    assert!(with(2, true) == expected, "recomputing changes bits");
    assert!(bits(&net, &x, &mode(6, false)) != expected, "the key changes nothing");
    assert!(bits(&net, &x, &PassMode::default()) != expected, "nothing is dropped");
}

#[test]
fn half_precision_stays_near_single_precision() {
    let net = of(small_windows());
    let x = input("half", [64; 3], 1);
    let step = |net: &SwinUnetr| {
        let tape = Tape::new();
        let logits = net.logits(&x.on(&tape), &PassMode::default()).unwrap();
        let target = Tensor::full(1.0f32, logits.shape().dims()).unwrap();
        let gradients = tape.backward(&bce_with_logits(&logits, &target).unwrap()).unwrap();
        let mut all = Vec::new();
        net.each("", &mut |_, p| all.extend(gradients.get(p.tensor()).unwrap().to_vec::<f32>().unwrap()));
        [logits.to_vec::<f32>().unwrap(), all]
    };
    let norm = |xs: &[f32]| xs.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let expected = step(&net);
    for (compute, most) in [(Compute::BF16, [0.05, 0.2]), (Compute::F16, [0.01, 0.05])] {
        let found = step(&net.clone().with_compute(compute));
        for ((found, expected), most) in found.iter().zip(&expected).zip(most) {
            let apart: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
            let apart = norm(&apart) / norm(expected);
            assert!(apart > 0.0 && apart < most, "{compute:?}: {apart} apart, at most {most} is expected");
        }
    }
}

#[test]
fn it_is_a_network_with_a_sigmoid() {
    let net = of(small_windows());
    let x = input("sigmoid", [32; 3], 1);
    let network: &dyn Network = &net;
    assert_eq!((network.activation(), network.threshold()), (OutputActivation::Sigmoid, Some(0.5)));
    assert_eq!((network.in_channels(), network.class_count(), network.extent_multiple()), (1, 1, 32));
    let logits = network.logits(&x, &PassMode::default()).unwrap().to_vec::<f32>().unwrap();
    let p = network.probabilities(&x, &PassMode::default()).unwrap().to_vec::<f32>().unwrap();
    assert!(logits.iter().zip(&p).all(|(l, p)| (1.0 / (1.0 + (-l).exp()) - p).abs() < 1e-6));
}

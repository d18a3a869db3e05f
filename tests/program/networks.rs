//! Networks other than WNet3D, recognised by the names of their weights.

use crate::{Bench, json};
use cellseg::{
    io::{Overwrite, Weights},
    models::{SwinUnetr, SwinUnetrConfig, infer::Inference, swin_unetr::Merging, weights::State},
    read_network, write_network,
};
use ndarray::{Array4, ArrayD, IxDyn};

fn tiny() -> SwinUnetr {
    let config = SwinUnetrConfig {
        feature_size: 4,
        heads: [1, 2, 4, 8],
        window: [3; 3],
        merging: Merging::Monai15,
        ..SwinUnetrConfig::small()
    };
    SwinUnetr::new(&config, 5).expect("a network")
}

#[test]
fn a_swin_unetr_is_told_by_its_weights() {
    let bench = Bench::new();
    bench.synthetic();
    let network = tiny();
    let weights = bench.path("s.safetensors");
    write_network(&weights, &network, &Inference::default(), Overwrite::Refuse).expect("a file of weights");
    let (read, _) = read_network(&weights).expect("a network");
    assert_eq!((read.architecture(), read.settings()["merging"].as_str()), ("SwinUNETR", "monai15"));

    let told = json(&bench.succeed("info s.safetensors --json"));
    assert_eq!(told["network"], "SwinUNETR, channels of its output: 1");

    let predict = "predict v.tif --weights s.safetensors --window 32 --normalise --json -o";
    let report = json(&bench.succeed(&format!("{predict} p.npy")));
    assert_eq!(report["shape"], serde_json::json!([1, 16, 32, 32]));
    bench.succeed(&format!("{predict} l.npy --logits --model swin-unetr"));
    let map = |name| -> Array4<f32> { ndarray_npy::read_npy(bench.path(name)).expect("an array") };
    let (p, logits) = (map("p.npy"), map("l.npy"));
    assert!(p.iter().zip(&logits).all(|(p, l)| (1.0 / (1.0 + (-l).exp()) - p).abs() < 1e-5));
    bench.fail("predict v.tif --model wnet3d -w s.safetensors -o q.npy", &["SwinUNETR", "WNet3D"]);
    bench.fail("predict v.tif -w s.safetensors -o q.npy --reconstruction", &["WNet3D", "those of SwinUNETR"]);

    let segment = "segment v.tif --weights s.safetensors -o";
    bench.succeed(&format!("{segment} l.tif --probabilities p.tif --window 32"));
    let settings = std::fs::read_to_string(bench.path("l.run.toml")).expect("settings");
    assert!(settings.contains("fixed = 0.5"), "{settings}");
    bench.fail(&format!("{segment} m.tif --window 48"), &["48", "multiples of 32"]);
    bench.fail(&format!("{segment} m.tif --cellseg3d"), &["SwinUNETR", "WNet3D"]);

    let mut tensors: State = network.state().expect("weights");
    tensors.insert("out.conv.conv.bias".to_owned(), ArrayD::zeros(IxDyn(&[7])));
    Weights { tensors, ..Weights::default() }
        .save(bench.path("b.safetensors"), Overwrite::Refuse)
        .expect("a file");
    bench.fail("predict v.tif -w b.safetensors -o q.npy", &["SwinUNETR of 4 features", "out.conv.conv.bias"]);
}

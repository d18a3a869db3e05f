//! The operations and the optimisers beside PyTorch, whose numbers `fixtures/make_pytorch.py` wrote.

use cellseg_core::{DType, Result, Tape, Tensor, testing::wide};
use cellseg_kernels::{
    loss::{bce_with_logits, mse},
    norm::{group_norm, instance_norm, layer_norm},
    optim::{Adam, Optimizer, Rule, Sgd, clip_norm},
    pointwise::{elu, gelu, leaky_relu, relu, sigmoid},
    pool::max_pool3d,
    softmax::{log_softmax, softmax},
};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/pytorch.json")).expect("valid JSON")
}

fn numbers(array: &Value) -> Vec<f64> {
    let number =
        |x: &Value| x.as_f64().unwrap_or_else(|| x.as_str().expect("text").parse().expect("a number"));
    array["numbers"].as_array().expect("an array").iter().map(number).collect()
}

fn tensor(array: &Value, dtype: DType) -> Tensor {
    let dims: Vec<usize> = array["dims"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|d| d.as_u64().expect("an extent") as usize)
        .collect();
    Tensor::from_slice(&numbers(array), &dims).and_then(|t| t.cast(dtype)).expect("a tensor")
}

/// Numbers agree to `tolerance`, relative to the largest, or are both infinite or none.
fn agree(what: &str, got: &Tensor, expected: &Value, tolerance: f64) {
    let (got, expected) = (wide(got), numbers(expected));
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().filter(|x| x.is_finite()).fold(1e-30f64, |m, x| m.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(&expected).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * scale;
        assert!(same, "{what}, number {i}: {a} is not {b}");
    }
}

#[test]
fn operations_and_their_gradients_are_those_of_pytorch() {
    type Row = (&'static str, fn(&[Tensor]) -> Result<Tensor>);
    let table: &[Row] = &[
        ("group_norm_4", |v| group_norm(&v[0], &v[1], &v[2], 4, 1e-5)),
        ("group_norm_1", |v| group_norm(&v[0], &v[1], &v[2], 1, 1e-3)),
        ("instance_norm", |v| instance_norm(&v[0], &v[1], &v[2], 1e-5)),
        ("layer_norm", |v| layer_norm(&v[0], &v[1], &v[2], 1e-5)),
        ("softmax", |v| softmax(&v[0])),
        ("softmax_odd", |v| softmax(&v[0])),
        ("log_softmax", |v| log_softmax(&v[0])),
        ("relu", |v| relu(&v[0])),
        ("relu_odd", |v| relu(&v[0])),
        ("leaky_relu", |v| leaky_relu(&v[0], 0.25)),
        ("leaky_relu_odd", |v| leaky_relu(&v[0], 0.25)),
        ("elu", |v| elu(&v[0], 1.5)),
        ("elu_odd", |v| elu(&v[0], 1.5)),
        ("gelu", |v| gelu(&v[0])),
        ("gelu_odd", |v| gelu(&v[0])),
        ("sigmoid", |v| sigmoid(&v[0])),
        ("sigmoid_odd", |v| sigmoid(&v[0])),
        ("max_pool3d", |v| max_pool3d(&v[0], [2, 2, 3])),
        ("max_pool3d_nan", |v| max_pool3d(&v[0], [2, 2, 3])),
        ("mse", |v| mse(&v[0], &v[1])),
        ("bce_with_logits", |v| bce_with_logits(&v[0], &v[1])),
        ("bce_with_logits_sure", |v| bce_with_logits(&v[0], &v[1])),
    ];
    let fixture = fixture();
    let operations = fixture["operations"].as_object().expect("a table");
    assert_eq!(operations.len(), table.len(), "every operation of the fixture is tested");
    for (name, f) in table {
        let case = &operations[*name];
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 5e-6)] {
            let tape = Tape::new();
            let all = case["inputs"].as_array().expect("inputs");
            let inputs: Vec<Tensor> = all.iter().map(|x| tensor(x, dtype).trainable().on(&tape)).collect();
            let y = f(&inputs).expect("the operation runs");
            agree(&format!("{name} in {dtype:?}"), &y, &case["output"], tolerance);
            if case["gradient"].is_null() {
                continue;
            }
            let grads = tape.backward_from(&y, tensor(&case["gradient"], dtype)).expect("a gradient");
            for (i, x) in inputs.iter().enumerate() {
                let what = format!("{name} in {dtype:?}, gradient of input {i}");
                agree(&what, grads.get(x).expect("a gradient"), &case["gradients"][i], tolerance);
            }
        }
    }
}

fn follows<R: Rule + Copy>(fixture: &Value, name: &str, rule: R) {
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-6)] {
        let mut optimizer = Optimizer::new(rule);
        let mut p = tensor(&fixture["start"], dtype);
        let pulls = numbers(&fixture["pulls"]);
        let points = numbers(&fixture["optimizers"][name]);
        for (step, (pull, point)) in pulls.chunks(5).zip(points.chunks(5)).enumerate() {
            let g: Vec<f64> = pull.iter().zip(wide(&p)).map(|(pull, p)| pull + 0.1 * p).collect();
            let g = Tensor::from_slice(&g, &[5]).and_then(|g| g.cast(dtype)).expect("a gradient");
            optimizer.step([("p", &mut p, &g)]).expect("a step");
            for (a, b) in wide(&p).iter().zip(point) {
                assert!(
                    (a - b).abs() <= tolerance * b.abs().max(1.0),
                    "{name} in {dtype:?}, step {step}: {a} is not {b}"
                );
            }
        }
    }
}

#[test]
fn optimisers_take_the_path_of_pytorch() {
    let f = fixture();
    let adam = Adam { lr: 0.05, ..Adam::default() };
    follows(&f, "adam", adam);
    follows(&f, "adam_decay", Adam { betas: (0.8, 0.95), eps: 1e-4, weight_decay: 0.1, ..adam });
    follows(&f, "adamw", Adam { lr: 0.05, ..Adam::decoupled() });
    follows(&f, "adamw_decay", Adam { lr: 0.05, weight_decay: 0.5, ..Adam::decoupled() });
    let sgd = Sgd { lr: 0.05, ..Sgd::default() };
    follows(&f, "sgd", Sgd { weight_decay: 0.1, ..sgd });
    follows(&f, "sgd_momentum", Sgd { momentum: 0.9, dampening: 0.3, ..sgd });
    follows(&f, "sgd_nesterov", Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1, ..sgd });
}

#[test]
fn gradients_are_clipped_as_by_pytorch() {
    let clip = &fixture()["clip"];
    let mut gs: Vec<Tensor> =
        clip["before"].as_array().expect("arrays").iter().map(|g| tensor(g, DType::F64)).collect();
    let norm = clip_norm(&mut gs, clip["limit"].as_f64().expect("a number")).expect("a norm");
    assert!((norm - clip["norm"].as_f64().expect("a number")).abs() < 1e-12);
    for (g, expected) in gs.iter().zip(clip["after"].as_array().expect("arrays")) {
        agree("clipped", g, expected, 1e-13);
    }
}

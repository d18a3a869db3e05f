//! The convolutions and their gradients beside PyTorch, whose numbers `fixtures/make_convolutions.py` wrote.

use cellseg_core::{
    DType, Result, Tape, Tensor,
    testing::{relative_l2, wide},
};
use cellseg_kernels::{
    conv_transpose3d::{ConvTranspose3d, conv_transpose3d},
    conv3d::{Conv3d, conv3d},
};
use serde_json::Value;

fn numbers(array: &Value) -> Vec<f64> {
    array.as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn extents<const N: usize>(array: &Value) -> [usize; N] {
    let all: Vec<_> = numbers(array).iter().map(|&x| x as usize).collect();
    all.try_into().expect("as many extents")
}

fn tensor(array: &Value, dtype: DType) -> Tensor {
    let dims: Vec<_> = numbers(&array["dims"]).iter().map(|&x| x as usize).collect();
    Tensor::from_slice(&numbers(&array["numbers"]), &dims).and_then(|t| t.cast(dtype)).expect("a tensor")
}

fn agrees(name: &str, operation: impl Fn(&[Tensor; 3], [usize; 3], [usize; 3]) -> Result<Tensor>) {
    let all: Value = serde_json::from_str(include_str!("fixtures/convolutions.json")).expect("valid JSON");
    let cases = all[name].as_array().expect("cases");
    assert!(!cases.is_empty());
    for case in cases {
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-9)] {
            let tape = Tape::new();
            let inputs = [0, 1, 2].map(|i| tensor(&case["inputs"][i], dtype).trainable().on(&tape));
            let y = operation(&inputs, extents(&case["stride"]), extents(&case["padding"])).expect("it runs");
            let mut grads =
                tape.backward_from(&y, tensor(&case["gradient"], dtype)).expect("the backward pass runs");
            let check = |what: &str, got: &Tensor, expected: &Value| {
                let expected = tensor(expected, DType::F64);
                assert_eq!(got.shape(), expected.shape(), "{what}");
                let error = relative_l2(&wide(got), &wide(&expected));
                assert!(error <= tolerance, "{what} of {name} {dtype:?}, {}: {error}", case["stride"]);
            };
            check("output", &y, &case["output"]);
            for (i, input) in inputs.iter().enumerate() {
                let grad = grads.take(input).expect("a gradient");
                check(&format!("gradient {i}"), &grad, &case["gradients"][i]);
            }
        }
    }
}

#[test]
fn conv3d_and_its_gradients_are_those_of_pytorch() {
    agrees("conv3d", |[x, w, b], stride, padding| {
        conv3d(x, w, Some(b), &Conv3d { stride, padding, ..Conv3d::default() })
    });
}

#[test]
fn conv_transpose3d_and_its_gradients_are_those_of_pytorch() {
    agrees("conv_transpose3d", |[x, w, b], stride, padding| {
        conv_transpose3d(x, w, Some(b), &ConvTranspose3d { stride, padding, ..Default::default() })
    });
}

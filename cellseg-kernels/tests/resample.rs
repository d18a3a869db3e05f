//! Resizing beside PyTorch, whose numbers `fixtures/make_resample.py` wrote.

use cellseg_core::{DType, Tape, Tensor, testing::wide};
use cellseg_kernels::resample::{Interpolation, resize};
use serde_json::Value;

fn numbers(array: &Value) -> Vec<f64> {
    array["numbers"].as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn dims(array: &Value) -> Vec<usize> {
    let extent = |x: &Value| x.as_u64().expect("an extent") as usize;
    array["dims"].as_array().expect("an array").iter().map(extent).collect()
}

fn tensor(array: &Value, dtype: DType) -> Tensor {
    Tensor::from_slice(&numbers(array), &dims(array)).and_then(|t| t.cast(dtype)).expect("a tensor")
}

fn agree(what: &str, got: &Tensor, expected: &Value, tolerance: f64) {
    assert_eq!(got.shape().dims(), dims(expected), "{what}");
    for (i, (a, b)) in wide(got).iter().zip(numbers(expected)).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}, number {i}: {a} is not {b}");
    }
}

#[test]
fn resized_volumes_and_their_gradients_are_those_of_pytorch() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/resample.json")).expect("valid JSON");
    for case in fixture.as_array().expect("an array") {
        let interpolation = match case["align_corners"].as_bool() {
            Some(align_corners) => Interpolation::Trilinear { align_corners },
            None => Interpolation::Nearest,
        };
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 5e-6)] {
            let (tape, x) = (Tape::new(), tensor(&case["x"], dtype).trainable());
            let size: [usize; 3] = dims(&case["output"])[1..4].try_into().expect("three extents");
            let y = resize(&x.on(&tape), size, interpolation).expect("it is resized");
            let what = format!("{interpolation:?} of {:?} to {size:?} in {dtype:?}", x.shape());
            agree(&what, &y, &case["output"], tolerance);
            let grads = tape.backward_from(&y, tensor(&case["gradient"], dtype)).expect("a gradient");
            agree(&what, grads.get(&x).expect("a gradient"), &case["of_x"], tolerance);
        }
    }
}

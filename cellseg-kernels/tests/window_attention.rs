//! Windows, masks, biases and attention beside MONAI, whose numbers `fixtures/make_window_attention.py` wrote.

use cellseg_core::{DType, Tape, Tensor, testing::wide};
use cellseg_kernels::window_attention::{
    WindowAttention, Windows, partition, relative_position_index, reverse, window_attention,
};
use serde_json::Value;
use std::sync::Arc;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/window_attention.json")).expect("valid JSON")
}

fn list<T: From<u32>>(value: &Value) -> Vec<T> {
    let number = |x: &Value| T::from(x.as_u64().expect("a number").try_into().expect("a small one"));
    value.as_array().expect("an array").iter().map(number).collect()
}

fn extents(value: &Value) -> Vec<usize> {
    list::<u64>(value).into_iter().map(|x| x as usize).collect()
}

fn numbers(array: &Value) -> Vec<f64> {
    array["numbers"].as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn tensor(array: &Value, dtype: DType) -> Tensor {
    let dims = extents(&array["dims"]);
    Tensor::from_slice(&numbers(array), &dims).and_then(|t| t.cast(dtype)).expect("a tensor")
}

fn agree(what: &str, got: &Tensor, expected: &Value, tolerance: f64) {
    let (got, expected) = (wide(got), numbers(expected));
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-30f64, |m, x| m.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(&expected).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}, number {i}: {a} is not {b}");
    }
}

#[test]
fn a_block_of_shifted_windows_is_that_of_monai() {
    for block in fixture()["blocks"].as_array().expect("an array") {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 5e-6)] {
            let x = tensor(&block["x"], dtype).trainable();
            let table = tensor(&block["table"], dtype).trainable();
            let three = |v: &Value| <[usize; 3]>::try_from(extents(v)).expect("three extents");
            let [_, d, h, w, _] = x.shape().volumes("test").expect("volumes");
            let window = three(&block["window"]);
            let windows = Windows::new([d, h, w], window, three(&block["shift"])).expect("windows");
            assert_eq!(windows.tokens() as u64, block["tokens"].as_u64().expect("a count"));
            let regions = windows.regions().map(Arc::new);
            let heads = block["heads"].as_u64().expect("a count") as usize;
            let settings = WindowAttention { heads, window, scale: None, regions };
            let (tape, run) = (Tape::new(), |x: &Tensor| {
                reverse(&window_attention(&partition(x, &windows)?, Some(&table), &settings)?, &windows)
            });
            let y = run(&x.on(&tape)).expect("the block runs");
            agree("the output", &y, &block["output"], tolerance);
            let grads = tape.backward_from(&y, tensor(&block["gradient"], dtype)).expect("gradients");
            agree("the gradient of x", grads.get(&x).expect("a gradient"), &block["of_x"], tolerance);
            let of_table = grads.get(&table).expect("a gradient");
            agree("the gradient of the table", of_table, &block["of_table"], tolerance);
        }
    }
}

#[test]
fn pairs_of_voxels_from_different_regions_are_those_of_monais_mask() {
    for block in fixture()["blocks"].as_array().expect("an array") {
        let dims = extents(&block["x"]["dims"]);
        let three = |v: &Value| <[usize; 3]>::try_from(extents(v)).expect("three extents");
        let volume = [dims[1], dims[2], dims[3]];
        let windows = Windows::new(volume, three(&block["window"]), three(&block["shift"])).expect("windows");
        let differ = windows.regions().map_or(0, |regions| {
            let of = |window: &[u8]| {
                window.iter().map(|a| window.iter().filter(|b| *b != a).count()).sum::<usize>()
            };
            regions.as_slice().chunks(regions.tokens()).map(of).sum()
        });
        assert_eq!(differ as u64, block["regions_differ"].as_u64().expect("a count"));
    }
}

#[test]
fn rows_of_the_bias_table_are_those_of_monai() {
    assert_eq!(relative_position_index([2, 3, 4]), extents(&fixture()["index_2_3_4"]));
}

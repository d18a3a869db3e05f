//! Window attention: outputs, and the gradients of queries, keys, values and the bias table; windows cut out and put back.

use cellseg_core::{
    DType, Device, Tensor,
    testing::{check_parity, noise},
};
use cellseg_kernels::window_attention::{
    WindowAttention, Windows,
    cases::{CASES, Case},
    partition, reverse, window_attention,
};
use libtest_mimic::Trial;
use std::sync::Arc;

/// The largest relative l2 difference from the CPU.
///
/// In f32 the tensor cores multiply each number's two parts of 11 bits, all but the smallest product. In 16 bits
/// probabilities and the gradients of scores are rounded before they are multiplied: by 2^-12 and 2^-9 of each at most; the
/// rounding of the output enters the gradient of every score of its row on both sides.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => 1e-2,
        DType::F16 => 1.5e-3,
        _ => 5e-6,
    }
}

/// Heads of two chunks of numbers and more, and of more than the tensor cores' kernels take; several tiles of rows and
/// columns, and windows enough that they are shared out for the gradient of the table.
const FURTHER: [Case; 5] = [
    Case { windows: 1, heads: 2, dim: 32, window: [5, 5, 6], tokens: 150 },
    Case { windows: 2, heads: 1, dim: 64, window: [3, 4, 6], tokens: 71 },
    Case { windows: 1, heads: 2, dim: 70, window: [2, 3, 6], tokens: 35 },
    Case { windows: 7, heads: 3, dim: 8, window: [2, 2, 3], tokens: 12 },
    Case { windows: 1, heads: 1, dim: 4, window: [1, 1, 80], tokens: 79 },
];

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let types = [DType::F32, DType::F16, DType::BF16];
    let attentions = CASES.iter().chain(&FURTHER).flat_map(|case| types.map(|dtype| (*case, dtype)));
    let mut trials: Vec<_> = attentions
        .flat_map(|(case, dtype)| [true, false].map(|table| trial(device, case, dtype, table)))
        .collect();
    for dtype in types {
        trials.extend(VOLUMES.map(|volume| shifted(device, volume, dtype)));
    }
    trials
}

fn input(dims: &[usize], seed: u64, dtype: DType) -> Tensor {
    noise(dims, seed).cast(dtype).expect("a type of numbers")
}

fn trial(device: &Device, case: Case, dtype: DType, table: bool) -> Trial {
    let Case { windows, heads, dim, window, tokens } = case;
    let with = if table { "a table" } else { "no table" };
    let name = format!(
        "window_attention: {windows} x {tokens} of {window:?}, {heads} heads of {dim}, {with}, {dtype:?}"
    );
    let device = device.clone();
    Trial::test(name, move || {
        let settings = WindowAttention { heads, window, scale: None, regions: None };
        let mut inputs = vec![input(&case.qkv(), 1, dtype)];
        inputs.extend(table.then(|| input(&case.table(), 2, dtype)));
        check_parity(&device, &inputs, tolerance(dtype), |v| window_attention(&v[0], v.get(1), &settings));
        Ok(())
    })
}

/// Extents, window, shift, and numbers of a voxel.
type Volume = ([usize; 3], [usize; 3], [usize; 3], usize);

/// Volumes that windows fill and do not fill, that are smaller than a window, shifts along some axes, and voxels of all
/// sizes of words.
const VOLUMES: [Volume; 4] = [
    ([4, 6, 8], [2, 3, 4], [1, 1, 2], 8),
    ([5, 7, 3], [2, 3, 2], [1, 2, 1], 3),
    ([3, 9, 5], [7, 4, 5], [3, 1, 2], 2),
    ([5, 4, 7], [5, 2, 3], [0, 1, 0], 5),
];

/// A block of Swin: cut, attend, put back.
fn shifted(device: &Device, (extents, window, shift, channels): Volume, dtype: DType) -> Trial {
    let device = device.clone();
    let name = format!(
        "window_attention: {channels} of {extents:?} in windows {window:?} shifted {shift:?}, {dtype:?}"
    );
    Trial::test(name, move || {
        let windows = Windows::new(extents, window, shift)?;
        let [d, h, w] = extents;
        let x = input(&[2, d, h, w, 3 * channels], 3, dtype);
        check_parity(&device, std::slice::from_ref(&x), 0.0, |v| partition(&v[0], &windows));
        let cut = input(&[2 * windows.count(), windows.tokens(), channels], 4, dtype);
        check_parity(&device, &[cut], 0.0, |v| reverse(&v[0], &windows));
        let rows = window.map(|w| 2 * w - 1).iter().product();
        let regions = windows.regions().map(Arc::new);
        let settings = WindowAttention { heads: 1, window, scale: Some(0.7), regions };
        check_parity(&device, &[x, input(&[rows, 1], 5, dtype)], tolerance(dtype), |v| {
            reverse(&window_attention(&partition(&v[0], &windows)?, Some(&v[1]), &settings)?, &windows)
        });
        Ok(())
    })
}

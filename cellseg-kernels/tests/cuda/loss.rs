//! Losses of pairs of numbers.

use crate::parity;
use cellseg_core::{Device, testing::noise};
use cellseg_kernels::{
    loss::{bce_with_logits, cases::SHAPES, mse},
    pointwise::sigmoid,
};
use libtest_mimic::Trial;

/// Means in f32 where the CPU's are in f64.
const TOLERANCE: f64 = 2e-6;

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for dims in SHAPES.iter().chain(&[&[3, 40_001][..]]) {
        let inputs = [noise(dims, 1), sigmoid(noise(dims, 2)).expect("numbers")];
        let name = format!("squared error of {dims:?}");
        trials.extend(parity::trials(device, &name, &inputs, TOLERANCE, |v| mse(&v[0], &v[1])));
        let name = format!("binary cross entropy of {dims:?}");
        trials.extend(parity::trials(device, &name, &inputs, TOLERANCE, |v| bce_with_logits(&v[0], &v[1])));
    }
    trials
}

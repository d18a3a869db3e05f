//! Softmax and its logarithm.

use crate::parity;
use cellseg_core::{Device, testing::noise};
use cellseg_kernels::softmax::{
    cases::{SHAPES, TOLERANCE},
    log_softmax, softmax,
};
use libtest_mimic::Trial;

/// Rows of the widths that kernels are compiled for, and of others.
const MORE: &[&[usize]] = &[&[300, 2], &[9, 2], &[130, 16], &[1, 3, 5, 7, 8], &[40, 33], &[3, 1, 64]];

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for dims in SHAPES.iter().chain(MORE) {
        let x = [noise(dims, 1)];
        let name = format!("softmax of {dims:?}");
        trials.extend(parity::trials(device, &name, &x, TOLERANCE, |v| softmax(&v[0])));
        let name = format!("logarithm of the softmax of {dims:?}");
        trials.extend(parity::trials(device, &name, &x, TOLERANCE, |v| log_softmax(&v[0])));
    }
    trials
}

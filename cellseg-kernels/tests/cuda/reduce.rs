//! Sums and means over axes.

use crate::parity;
use cellseg_core::{
    Device, Result, Tensor,
    testing::{noise, relative_l2, wide},
};
use cellseg_kernels::reduce::{cases::CASES, mean, mean_axes, sum, sum_axes};
use libtest_mimic::Trial;

/// A sum in f32 of a few thousand numbers at a time, where the CPU's is in f64.
const TOLERANCE: f64 = 1e-6;

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (dims, axes) in CASES {
        let (name, x) = (format!("sum of {dims:?} over {axes:?}"), [noise(dims, 1)]);
        trials.extend(parity::trials(device, &name, &x, TOLERANCE, |v| sum_axes(&v[0], axes, false)));
        let name = format!("mean of {dims:?} over {axes:?}");
        trials.extend(parity::trials(device, &name, &x, TOLERANCE, |v| mean_axes(&v[0], axes, true)));
    }
    let x = [noise(&[2, 13, 17, 19, 24], 2)];
    trials.extend(parity::trials(device, "sum of everything", &x, 2e-5, |v| sum(&v[0])));
    trials.extend(parity::trials(device, "mean of everything", &x, 2e-5, |v| mean(&v[0])));
    trials.push(parity::trial(device, "a long sum of numbers of one sign loses nothing", long));
    trials
}

fn long(device: &Device) -> Result<()> {
    let x = noise(&[700_001], 3).cast(cellseg_core::DType::F32)?;
    let x = cellseg_kernels::pointwise::square(x)?;
    let there: Tensor = sum(&x.to(device)?)?;
    let error = relative_l2(&wide(&there), &wide(&sum(&x)?));
    assert!(error < 2e-7, "{error}");
    Ok(())
}

//! Max pooling.

use crate::parity;
use cellseg_core::{Device, Result, Tensor, testing::noise};
use cellseg_kernels::pool::{cases::CASES, max_pool3d};
use libtest_mimic::Trial;

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (dims, window) in CASES.iter().chain(&[([2, 5, 4, 7, 24], [2, 2, 2])]) {
        let name = format!("max pooling of {dims:?} in windows of {window:?}");
        // No arithmetic: not one bit may differ.
        trials.extend(parity::trials(device, &name, &[noise(dims, 1)], 0.0, |v| max_pool3d(&v[0], *window)));
    }
    trials.push(parity::trial(device, "ties and what is not a number are pooled as on the CPU", ties));
    trials
}

fn ties(device: &Device) -> Result<()> {
    let numbers = [1f32, 1.0, f32::NAN, 2.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 3.0, f32::NAN];
    let pooled = |device: &Device| -> Result<[Vec<u32>; 2]> {
        let x = Tensor::from_slice(&numbers, &[1, 1, 1, 8, 1])?.to(device)?.trainable();
        let tape = cellseg_core::Tape::new();
        let y = max_pool3d(&x.on(&tape), [1, 1, 2])?;
        let grads = tape.backward_from(&y, Tensor::full(1f32, y.shape().dims())?.to(device)?)?;
        let bits =
            |x: &Tensor| -> Result<Vec<u32>> { Ok(x.to_vec::<f32>()?.iter().map(|x| x.to_bits()).collect()) };
        Ok([bits(&y)?, bits(grads.get(&x).expect("a gradient"))?])
    };
    assert_eq!(pooled(device)?, pooled(&Device::Cpu)?);
    Ok(())
}

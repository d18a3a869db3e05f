//! Dropout: the very mask of the CPU.

use crate::parity;
use cellseg_core::{DType, Device, Result, Tensor, testing::noise};
use cellseg_kernels::dropout::{cases::SHAPES, dropout};
use libtest_mimic::Trial;

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for dims in SHAPES {
        let name = format!("dropout of {dims:?}");
        trials.extend(parity::trials(device, &name, &[noise(dims, 1)], 1e-7, |v| dropout(&v[0], 0.4, 11)));
    }
    trials.push(parity::trial(device, "dropout drops the same numbers as on the CPU", the_same));
    trials
}

fn the_same(device: &Device) -> Result<()> {
    let x = Tensor::full(1f32, &[4099])?;
    for dtype in parity::TYPES {
        let x = x.cast(dtype)?;
        let kept = |x: Tensor| dropout(x, 0.65, u64::MAX - 5)?.cast(DType::F32)?.to_vec::<f32>();
        assert_eq!(kept(x.clone())?, kept(x.to(device)?)?, "{dtype:?}");
    }
    Ok(())
}

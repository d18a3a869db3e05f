//! What the tests of the memory-bound operations have in common.

use cellseg_core::{DType, Device, Result, Tensor, testing::check_parity};
use libtest_mimic::Trial;

/// The types of kernels.
pub(crate) const TYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// The largest relative l2 difference from the CPU where that in single precision is `single`.
///
/// Numbers of two bytes are computed on in single precision on both sides and rounded once, so they differ where a result
/// lies between two of them, by one unit in the last place, 2^-10 or 2^-7 of a number. If that were so for one of four, as it
/// can be where there are only a few, the l2 difference would be half of that.
pub(crate) fn tolerance(dtype: DType, single: f64) -> f64 {
    match dtype {
        DType::F16 => single.max(5e-4),
        DType::BF16 => single.max(4e-3),
        _ => single,
    }
}

/// A trial for each type: the output and the gradients of `f` are those of the CPU.
pub(crate) fn trials(
    device: &Device,
    name: &str,
    inputs: &[Tensor],
    single: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor> + Clone + Send + 'static,
) -> Vec<Trial> {
    let trial = |dtype: DType| {
        let (device, inputs, f) = (device.clone(), inputs.to_vec(), f.clone());
        Trial::test(format!("{name}, {dtype:?}"), move || {
            let inputs: Vec<Tensor> = inputs.iter().map(|x| x.cast(dtype)).collect::<Result<_>>()?;
            check_parity(&device, &inputs, tolerance(dtype, single), f);
            Ok(())
        })
    };
    TYPES.map(trial).into()
}

/// A trial that fails where `f` does.
pub(crate) fn trial(
    device: &Device,
    name: impl Into<String>,
    f: impl Fn(&Device) -> Result<()> + Send + 'static,
) -> Trial {
    let device = device.clone();
    Trial::test(name, move || Ok(f(&device)?))
}

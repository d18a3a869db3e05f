//! The transposed convolution: tensor cores and plain kernels, forward, and the gradients of volumes, kernel and bias.

use super::conv3d::{NUMBERS, tolerance};
use cellseg_core::{
    DType, Device, Result, Tensor,
    testing::{check_parity, noise},
};
use cellseg_kernels::{
    conv_transpose3d::{
        ConvTranspose3d,
        cases::{CASES, Case, MATRIX_CASES},
        conv_transpose3d,
    },
    conv3d::Precision,
};
use libtest_mimic::Trial;

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let all = CASES.iter().chain(MATRIX_CASES).enumerate();
    all.flat_map(|(i, case)| NUMBERS.map(|(dtype, precision)| trial(device, case, i, dtype, precision)))
        .collect()
}

fn trial(device: &Device, case: &Case, i: usize, dtype: DType, precision: Precision) -> Trial {
    let (device, case) = (device.clone(), *case);
    let Case { batch, size, input_channels, output_channels, kernel, settings } = case;
    let ConvTranspose3d { stride, padding, .. } = settings;
    let name = format!(
        "conv_transpose3d: {batch} of {size:?}, {input_channels} to {output_channels}, kernel {kernel:?}, stride \
         {stride:?}, padding {padding:?}, {dtype:?} {precision:?}"
    );
    Trial::test(name, move || {
        let settings = ConvTranspose3d { precision, ..settings };
        let inputs: Result<Vec<Tensor>> = [&case.x()[..], &case.w(), &[case.output_channels]]
            .into_iter()
            .take(2 + i % 2)
            .enumerate()
            .map(|(i, dims)| noise(dims, i as u64).cast(dtype))
            .collect();
        check_parity(&device, &inputs?, tolerance(dtype, precision), |t| {
            conv_transpose3d(&t[0], &t[1], t.get(2), &settings)
        });
        Ok(())
    })
}

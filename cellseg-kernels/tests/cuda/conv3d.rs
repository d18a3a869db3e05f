//! The convolution: tensor cores and plain kernels, forward, and the gradients of volumes, kernel and bias.

use cellseg_core::{
    DType, Device,
    testing::{check_parity, noise, wide},
};
use cellseg_kernels::{
    conv3d::{
        Conv3d, Precision,
        cases::{CASES, Case, HOPPER_CASES, MATRIX_CASES, WIDE_CASES, WIDE_TILE_CASES},
        conv3d,
    },
    pointwise::Activation,
};
use libtest_mimic::Trial;

/// The largest relative l2 difference from the CPU.
///
/// Sums are in f32 on both sides, so with 16-bit numbers a result differs where its sum lies between two of them, by one
/// unit in the last place at most. The tensor cores round f32 operands to 11 bits: half of 2^-10 each.
pub(crate) fn tolerance(dtype: DType, precision: Precision) -> f64 {
    match (dtype, precision) {
        (DType::BF16, _) => 8e-3,
        (DType::F16, _) => 1e-3,
        (_, Precision::Fast) => 1e-3,
        (_, Precision::Strict) => 5e-6,
    }
}

/// The types and precisions that differ in how they are computed.
pub(crate) const NUMBERS: [(DType, Precision); 4] = [
    (DType::F32, Precision::Strict),
    (DType::F32, Precision::Fast),
    (DType::F16, Precision::Fast),
    (DType::BF16, Precision::Fast),
];

/// Functions without a kink, at which the gradient would follow the last bit of a sum.
const ACTIVATIONS: [Activation; 4] =
    [Activation::None, Activation::Sigmoid, Activation::Elu(1.0), Activation::Gelu];

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let all = CASES.iter().chain(MATRIX_CASES).chain(WIDE_CASES).enumerate();
    let mut trials: Vec<Trial> = all
        .flat_map(|(i, case)| {
            NUMBERS.map(|(dtype, precision)| trial(device, "conv3d", case, i, dtype, precision))
        })
        .collect();
    for activation in [Activation::Relu, Activation::LeakyRelu(0.1)] {
        let (device, case) = (device.clone(), MATRIX_CASES[2]);
        trials.push(Trial::test(format!("conv3d: the kink of {activation:?} in Strict"), move || {
            check(&device, &case, DType::F32, Precision::Strict, activation, true);
            Ok(())
        }));
    }
    if let Device::Cuda(gpu) = device
        && !gpu.name().contains("emulated")
    {
        trials.extend(large(device));
    }
    trials
}

/// Tiles that are chosen only where they keep all multiprocessors of a real GPU busy. The emulated device has few, so that
/// `WIDE_CASES` and `MATRIX_CASES` reach them there; these shapes would take it hours.
fn large(device: &Device) -> Vec<Trial> {
    let numbers = &NUMBERS[1..];
    let hopper = HOPPER_CASES.iter().map(|case| (case, &numbers[1..]));
    let matrix = WIDE_TILE_CASES.iter().map(|case| (case, numbers));
    let all = hopper.chain(matrix).enumerate();
    all.flat_map(|(i, ((reached, case), numbers))| {
        let what = format!("conv3d, {reached}");
        let trial = move |&(dtype, precision)| trial(device, &what, case, i, dtype, precision);
        numbers.iter().map(trial)
    })
    .collect()
}

fn trial(device: &Device, what: &str, case: &Case, i: usize, dtype: DType, precision: Precision) -> Trial {
    let (device, case, activation) = (device.clone(), *case, ACTIVATIONS[i % ACTIVATIONS.len()]);
    let Case { batch, size, input_channels, output_channels, kernel, settings } = case;
    let Conv3d { stride, padding, .. } = settings;
    let name = format!(
        "{what}: {batch} of {size:?}, {input_channels} to {output_channels}, kernel {kernel:?}, stride {stride:?}, \
         padding {padding:?}, {activation:?}, {dtype:?} {precision:?}"
    );
    Trial::test(name, move || {
        check(&device, &case, dtype, precision, activation, !i.is_multiple_of(3));
        Ok(())
    })
}

fn check(
    device: &Device,
    case: &Case,
    dtype: DType,
    precision: Precision,
    activation: Activation,
    bias: bool,
) {
    let settings = Conv3d { activation, precision, ..case.settings };
    // Sums of about one, where the activations bend.
    let terms = (case.kernel.iter().product::<usize>() * case.input_channels) as f64;
    let scaled = |dims: &[usize], seed, scale: f64| {
        let values: Vec<f64> = wide(&noise(dims, seed)).iter().map(|v| v * scale).collect();
        cellseg_core::Tensor::from_slice(&values, dims).and_then(|t| t.cast(dtype)).expect("a test's shape")
    };
    let mut inputs = vec![scaled(&case.x(), 1, 1.0), scaled(&case.w(), 2, terms.sqrt().recip())];
    inputs.extend(bias.then(|| scaled(&[case.output_channels], 3, 0.5)));
    check_parity(device, &inputs, tolerance(dtype, precision), |t| conv3d(&t[0], &t[1], t.get(2), &settings));
}

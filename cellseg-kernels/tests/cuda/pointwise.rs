//! Functions of each number, arithmetic, and repetition.

use crate::parity;
use cellseg_core::{Device, Result, Tensor, testing::noise};
use cellseg_kernels::pointwise::{
    Activation, abs, activate, add, add_scalar, broadcast_to,
    cases::{REPEATED, SHAPES},
    div, exp, ln, mul, scale, sqrt, square, sub,
};
use libtest_mimic::Trial;

/// Both sides take the exponential to two units in the last place and the error function to two; quotients and roots are
/// exact.
const TOLERANCE: f64 = 1e-6;

type Unary = fn(&Tensor) -> Result<Tensor>;

const FUNCTIONS: [(&str, Unary); 7] = [
    ("abs", |x| abs(x)),
    ("exp", |x| exp(x)),
    ("square", |x| square(x)),
    ("ln", |x| ln(x)),
    ("sqrt", |x| sqrt(x)),
    ("scale", |x| scale(x, -0.75)),
    ("add_scalar", |x| add_scalar(x, 3.5)),
];

const ACTIVATIONS: [Activation; 5] = [
    Activation::Relu,
    Activation::LeakyRelu(0.25),
    Activation::Elu(1.5),
    Activation::Gelu,
    Activation::Sigmoid,
];

type Binary = fn(&Tensor, &Tensor) -> Result<Tensor>;

const PAIRS: [(&str, Binary); 4] = [
    ("add", |a, b| add(a, b)),
    ("sub", |a, b| sub(a, b)),
    ("mul", |a, b| mul(a, b)),
    ("div", |a, b| div(a, b)),
];

/// Numbers from one half up.
fn positive(dims: &[usize], seed: u64) -> Tensor {
    let numbers: Vec<f64> =
        noise(dims, seed).to_vec().expect("numbers").iter().map(|x: &f64| x.abs() + 0.5).collect();
    Tensor::from_slice(&numbers, dims).expect("a test's shape")
}

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for dims in SHAPES {
        for (name, f) in FUNCTIONS {
            let x = if matches!(name, "ln" | "sqrt") { positive(dims, 1) } else { noise(dims, 1) };
            let name = format!("{name} of {dims:?}");
            trials.extend(parity::trials(device, &name, &[x], TOLERANCE, move |v| f(&v[0])));
        }
        for activation in ACTIVATIONS {
            let name = format!("{activation:?} of {dims:?}");
            let f = move |v: &[Tensor]| activate(&v[0], activation);
            trials.extend(parity::trials(device, &name, &[noise(dims, 2)], TOLERANCE, f));
        }
        for (name, f) in PAIRS {
            let (name, inputs) = (format!("{name} of {dims:?}"), [noise(dims, 3), positive(dims, 4)]);
            trials.extend(parity::trials(device, &name, &inputs, TOLERANCE, move |v| f(&v[0], &v[1])));
        }
    }
    for (from, to) in REPEATED {
        let name = format!("{from:?} repeated to {to:?}");
        trials
            .extend(parity::trials(device, &name, &[noise(from, 5)], TOLERANCE, |v| broadcast_to(&v[0], to)));
    }
    trials.push(parity::trial(device, "what is not a number comes out of functions as on the CPU", oddities));
    trials
}

fn oddities(device: &Device) -> Result<()> {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 90.0, -110.0, 1e-30];
    let x = Tensor::from_slice(&x, &[8])?;
    let bits = |y: Tensor| -> Result<Vec<Option<f32>>> {
        Ok(y.to_vec::<f32>()?.into_iter().map(|y| (!y.is_nan()).then_some(y)).collect())
    };
    for activation in ACTIVATIONS {
        let (here, there) = (activate(&x, activation)?, activate(x.to(device)?, activation)?);
        for (here, there) in bits(here)?.into_iter().zip(bits(there)?) {
            let close = match (here, there) {
                (Some(a), Some(b)) => {
                    a == b || (a - b).abs() <= 1e-6 * a.abs() || a.abs().max(b.abs()) < 1e-37
                }
                (a, b) => a == b,
            };
            assert!(close, "{activation:?}: {here:?} on the CPU, {there:?} on the GPU");
        }
    }
    Ok(())
}

//! What the tests of operations share: gradient checks, device parity, and error measures.
//!
//! These functions panic where the fact that they check does not hold: they are assertions.

use crate::{DType, Device, Result, Rng, Tape, Tensor};

/// A tensor of normally distributed numbers, in `f64` on the CPU.
///
/// # Panics
/// Where the shape is not one.
pub fn noise(dims: &[usize], seed: u64) -> Tensor {
    let mut rng = Rng::new(seed);
    let n = dims.iter().product();
    let xs: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
    Tensor::from_slice(&xs, dims).expect("a test's shape")
}

/// `|a - b| / |b|` in the Euclidean norm; `|a|` where `b` is zero everywhere.
///
/// # Panics
/// Where the counts differ.
pub fn relative_l2(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "as many numbers on both sides");
    let norm = |xs: &mut dyn Iterator<Item = f64>| xs.map(|x| x * x).sum::<f64>().sqrt();
    let scale = norm(&mut b.iter().copied());
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / if scale > 0.0 { scale } else { 1.0 }
}

/// The numbers of a tensor of any floating point type as `f64`.
///
/// # Panics
/// Where the tensor cannot be read.
pub fn wide(t: &Tensor) -> Vec<f64> {
    t.to(&Device::Cpu).and_then(|t| t.cast(DType::F64)?.to_vec()).expect("a readable tensor")
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Compares the gradient of each of `inputs`, which must be `f64`, with the central difference of `f` along a random
/// direction: `<grad, v>` against `(<f(x + hv), s> - <f(x - hv), s>) / 2h` for a random `s`.
///
/// # Panics
/// Where `f` fails, an input gets no gradient, or the two differ by more than `tolerance` relative to the larger.
pub fn check_gradients(inputs: &[Tensor], tolerance: f64, f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let run = |xs: &[Tensor]| f(xs).expect("the operation runs");
    let tape = Tape::new();
    let traced: Vec<_> = inputs.iter().map(|t| t.clone().trainable().on(&tape)).collect();
    let y = run(&traced);
    let seed = noise(y.shape().dims(), 0x5eed);
    let s = wide(&seed);
    let grads = tape.backward_from(&y, seed).expect("the backward pass runs");
    for (i, x) in inputs.iter().enumerate() {
        let grad = grads.get(x).unwrap_or_else(|| panic!("input {i} has no gradient"));
        assert_eq!(grad.shape(), x.shape(), "the gradient of input {i} has its shape");
        let (at, v) = (wide(x), wide(&noise(x.shape().dims(), 100 + i as u64)));
        let h = 1e-5 * (1.0 + at.iter().fold(0.0f64, |m, x| m.max(x.abs())));
        let along = |t: f64| {
            let moved: Vec<f64> = at.iter().zip(&v).map(|(x, v)| x + t * v).collect();
            let mut xs = inputs.to_vec();
            xs[i] = Tensor::from_slice(&moved, x.shape().dims()).expect("the same shape");
            dot(&wide(&run(&xs)), &s)
        };
        let (numeric, analytic) = ((along(h) - along(-h)) / (2.0 * h), dot(&wide(grad), &v));
        let scale = numeric.abs().max(analytic.abs()).max(1e-6);
        assert!(
            (numeric - analytic).abs() <= tolerance * scale,
            "gradient of input {i}: {analytic} by the tape, {numeric} by differences"
        );
    }
}

/// Compares `f` on `device` with `f` on the CPU, outputs and gradients of all inputs, in the inputs' own type, and asks
/// of the device the same bits twice.
///
/// # Panics
/// Where `f` fails on either device, an input gets no gradient, or a relative l2 difference exceeds `tolerance`.
pub fn check_parity(
    device: &Device,
    inputs: &[Tensor],
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let on = |device: &Device| -> Result<Vec<Vec<f64>>> {
        let tape = Tape::new();
        let xs: Vec<Tensor> = inputs.iter().map(|x| Ok(x.to(device)?.trainable())).collect::<Result<_>>()?;
        let y = f(&xs.iter().map(|x| x.on(&tape)).collect::<Vec<_>>())?;
        let seed = noise(y.shape().dims(), 0x5eed).cast(y.dtype())?.to(device)?;
        let grads = tape.backward_from(&y, seed)?;
        let gradient = |(i, x): (usize, &Tensor)| {
            wide(grads.get(x).unwrap_or_else(|| panic!("input {i} has no gradient")))
        };
        Ok(std::iter::once(wide(&y)).chain(xs.iter().enumerate().map(gradient)).collect())
    };
    let (here, there) = (on(&Device::Cpu).expect("the CPU runs it"), on(device).expect("the device runs it"));
    let bits = |all: &[Vec<f64>]| -> Vec<Vec<u64>> {
        all.iter().map(|xs| xs.iter().map(|x| x.to_bits()).collect()).collect()
    };
    let again = on(device).expect("the device runs it twice");
    assert!(bits(&there) == bits(&again), "two runs on {device:?} differ");
    for (i, (a, b)) in there.iter().zip(&here).enumerate() {
        let what = if i == 0 { "output".to_string() } else { format!("gradient of input {}", i - 1) };
        let error = relative_l2(a, b);
        // Not a number is above every tolerance.
        assert!(error <= tolerance, "{what} differs between {device:?} and the CPU by {error}");
    }
}

//! Tutorial 2: an operation of your own, with its gradient, on the same tape as all others.
//!
//! The operation is the softplus, `y = ln(1 + exp(x))`, a smooth ReLU. Its derivative is the logistic function of `x`,
//! which can be had from the output alone: `dy/dx = 1 - exp(-y)`. So the input need not be kept, and the output may
//! overwrite it.
//!
//!     cargo run --release --example 02_operation_of_your_own

use cellseg::core::{
    Kernel, Op, Real, Result, Shape, Tape, Tensor, apply, run,
    testing::{check_gradients, noise},
};
use std::borrow::Cow;

/// `ln(1 + exp(x))`, element by element. The type holds the settings of the operation: this one has none.
#[derive(Clone)]
struct Softplus;

/// A kernel says how the numbers are computed. Written once for `f32` and `f64`.
impl Kernel<1> for Softplus {
    const NAME: &'static str = "softplus";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        Ok(x)
    }

    fn cpu_in_place<T: Real>(&self, _: [Shape; 1], _: [&[T]; 1], data: &mut [T], _: bool) -> Result<()> {
        for x in data {
            // max(x, 0) + ln(1 + exp(-|x|)) does not overflow where x is large.
            *x = x.max(T::zero()) + (-x.abs()).exp().ln_1p();
        }
        Ok(())
    }
}

/// An operation is a kernel that also knows its gradient.
impl Op<1> for Softplus {
    /// What the gradient needs is kept until the backward pass has used it.
    type Saved = Tensor;

    fn save(&self, (): (), _: [&Tensor; 1], out: &Tensor) -> Tensor {
        out.detached()
    }

    fn backward(&self, y: Tensor, grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(run(&SoftplusGradient, [grad.into(), y.into()])?.0)])
    }
}

/// `grad * (1 - exp(-y))`: a gradient is a kernel that needs none of its own.
#[derive(Clone)]
struct SoftplusGradient;

impl Kernel<2> for SoftplusGradient {
    const NAME: &'static str = "softplus gradient";
    type Aux = ();

    fn shape(&self, [grad, _]: [Shape; 2]) -> Result<Shape> {
        Ok(grad)
    }

    fn cpu<T: Real>(&self, _: [Shape; 2], [grad, y]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        for ((o, g), y) in out.iter_mut().zip(grad).zip(y) {
            *o = *g * -(-*y).exp_m1();
        }
        Ok(())
    }
}

/// What users of the operation call.
fn softplus<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Softplus, [x.into()])
}

fn main() -> Result<()> {
    let x = Tensor::from_slice(&[-2.0f32, 0.0, 2.0], &[3])?.trainable();
    let tape = Tape::new();
    let y = softplus(x.on(&tape))?;
    println!("softplus(-2, 0, 2) = {:.4?}", y.to_vec::<f32>()?);
    let grads = tape.backward_from(&y, Tensor::full(1.0f32, &[3])?)?;
    println!("its derivative     = {:.4?}", grads.get(&x).map(|g| g.to_vec::<f32>()).transpose()?);

    // The gradient is right if it agrees with central differences, here along random directions and through a second
    // use of the operation.
    check_gradients(&[noise(&[4, 5], 1)], 1e-6, |v| softplus(softplus(&v[0])?));
    println!("the gradient agrees with central differences");
    Ok(())
}

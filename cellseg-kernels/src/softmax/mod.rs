//! Softmax over the channels: `y = exp(x) / sum(exp(x))`, the sum being over the last axis.
//!
//! The gradient is `y * (g - sum(g * y))`, that of the logarithm `g - exp(y) * sum(g)`; either needs the output only,
//! so that an input that is given away is overwritten. A row with an infinite number, or with one that is none, comes
//! out as not a number, as in PyTorch.

#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use crate::pointwise::{chunks, same};
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use cpu::Form;
use std::{borrow::Cow, sync::Arc};

/// The softmax over the last axis, the channels.
///
/// # Errors
/// A tensor without axes; see [`apply`].
pub fn softmax<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Softmax(Form::Plain), [x.into()])
}

/// The natural logarithm of the softmax over the last axis, exact where the softmax itself rounds to zero.
///
/// # Errors
/// A tensor without axes; see [`apply`].
pub fn log_softmax<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Softmax(Form::Log), [x.into()])
}

#[derive(Clone)]
struct Softmax(Form);

impl Kernel<1> for Softmax {
    const NAME: &'static str = "softmax";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        if x.rank() == 0 {
            return Err(Error::argument(
                Self::NAME,
                "a single number without axes has no channels; reshape it",
            ));
        }
        Ok(x)
    }

    fn cpu<T: Real>(&self, [shape]: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let c = shape.channels();
        chunks::each_copied(x, out, c, |_, out| cpu::forward(out, c, self.0));
        Ok(())
    }

    fn cpu_in_place<T: Real>(
        &self,
        [shape]: [Shape; 1],
        _: [&[T]; 1],
        data: &mut [T],
        _: bool,
    ) -> Result<()> {
        let c = shape.channels();
        chunks::each(data, c, |_, data| cpu::forward(data, c, self.0));
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [shape]: [Shape; 1],
        [x]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        cuda::forward(device, self.0, shape.channels(), x, out)
    }
}

impl Op<1> for Softmax {
    type Saved = Tensor;

    fn save(&self, (): (), _: [&Tensor; 1], out: &Tensor) -> Tensor {
        out.detached()
    }

    fn backward(&self, y: Tensor, grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(run(&SoftmaxGradient(self.0), [grad.into(), y.into()])?.0)])
    }
}

/// The gradient of [`Softmax`] from that of its output and the output.
#[derive(Clone)]
struct SoftmaxGradient(Form);

impl Kernel<2> for SoftmaxGradient {
    const NAME: &'static str = "softmax gradient";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [grad, y]: [Shape; 2]) -> Result<Shape> {
        same(Self::NAME, grad, y)
    }

    fn cpu<T: Real>(
        &self,
        [shape, _]: [Shape; 2],
        [grad, y]: [&[T]; 2],
        out: &mut [T],
        _: bool,
    ) -> Result<()> {
        let c = shape.channels();
        chunks::each_copied(grad, out, c, |at, out| cpu::backward(out, &y[at..], c, self.0));
        Ok(())
    }

    fn cpu_in_place<T: Real>(
        &self,
        [shape, _]: [Shape; 2],
        [_, y]: [&[T]; 2],
        grad: &mut [T],
        _: bool,
    ) -> Result<()> {
        let c = shape.channels();
        chunks::each(grad, c, |at, grad| cpu::backward(grad, &y[at..], c, self.0));
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [shape, _]: [Shape; 2],
        [grad, y]: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        cuda::backward(device, self.0, shape.channels(), grad, y, out)
    }
}

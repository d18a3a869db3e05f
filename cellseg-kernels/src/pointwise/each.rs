//! The operation that applies a [`Function`] to each number.

use super::{
    chunks::{each, each_copied},
    cuda,
    functions::Function,
    wide,
};
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::sync::Arc;

/// `f(x)` for each number. Works in place where the gradient does not need the input.
#[derive(Clone)]
pub(super) struct Each<F>(pub(super) F);

wide! {
    /// `x = f(x)`.
    fn apply<'a, T: Real, F: Function>(f: F, xs: &'a mut [T]) -> () {
        for x in xs {
            *x = f.value(*x);
        }
    }
}

wide! {
    /// `g` becomes the gradient of the input.
    fn pull<'a, T: Real, F: Function>(f: F, gs: &'a mut [T], at: &'a [T]) -> () {
        for (g, at) in gs.iter_mut().zip(at) {
            *g = f.gradient(*g, *at);
        }
    }
}

impl<F: Function> Kernel<1> for Each<F> {
    const NAME: &'static str = F::NAME;
    const IN_PLACE: bool = F::FROM_OUTPUT;
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        self.0.check()?;
        Ok(x)
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        each_copied(x, out, 1, |_, out| apply(self.0, out));
        Ok(())
    }

    fn cpu_in_place<T: Real>(&self, _: [Shape; 1], _: [&[T]; 1], data: &mut [T], _: bool) -> Result<()> {
        each(data, 1, |_, data| apply(self.0, data));
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        _: [Shape; 1],
        [x]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        cuda::value(device, self.0, x, out)
    }
}

impl<F: Function> Op<1> for Each<F> {
    /// The output or the input, as [`Function::FROM_OUTPUT`] says.
    type Saved = Tensor;

    fn save(&self, (): (), [x]: [&Tensor; 1], out: &Tensor) -> Tensor {
        if F::FROM_OUTPUT { out.detached() } else { x.detached() }
    }

    fn backward(&self, at: Tensor, grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(run(&EachGradient(self.0), [grad.into(), at.into()])?.0)])
    }
}

/// The gradient of [`Each`] from that of its output and what was saved.
#[derive(Clone)]
struct EachGradient<F>(F);

impl<F: Function> Kernel<2> for EachGradient<F> {
    const NAME: &'static str = F::NAME;
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [grad, at]: [Shape; 2]) -> Result<Shape> {
        same(Self::NAME, grad, at)
    }

    fn cpu<T: Real>(&self, _: [Shape; 2], [grad, at]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        each_copied(grad, out, 1, |i, out| pull(self.0, out, &at[i..]));
        Ok(())
    }

    fn cpu_in_place<T: Real>(
        &self,
        _: [Shape; 2],
        [_, at]: [&[T]; 2],
        grad: &mut [T],
        _: bool,
    ) -> Result<()> {
        each(grad, 1, |i, grad| pull(self.0, grad, &at[i..]));
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        _: [Shape; 2],
        [grad, at]: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        cuda::gradient(device, self.0, grad, at, out)
    }
}

/// The one shape of two inputs.
pub(crate) fn same(op: &'static str, a: Shape, b: Shape) -> Result<Shape> {
    if a == b {
        return Ok(a);
    }
    Err(Error::argument(
        op,
        format!("shapes {a:?} and {b:?} differ; use broadcast_to where one should be repeated"),
    ))
}

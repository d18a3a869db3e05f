//! The operation that applies a [`Function`] to each number.

use super::{
    chunks::{map, map_in_place, zip, zip_in_place},
    functions::Function,
};
use cellseg_core::{Error, Kernel, Op, Real, Result, Shape, Tensor, run};

/// `f(x)` for each number. Works in place where the gradient does not need the input.
#[derive(Clone)]
pub(super) struct Each<F>(pub(super) F);

impl<F: Function> Kernel<1> for Each<F> {
    const NAME: &'static str = F::NAME;
    const IN_PLACE: bool = F::FROM_OUTPUT;
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        self.0.check()?;
        Ok(x)
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let f = self.0;
        map(x, out, |x| f.value(x));
        Ok(())
    }

    fn cpu_in_place<T: Real>(&self, _: [Shape; 1], _: [&[T]; 1], data: &mut [T], _: bool) -> Result<()> {
        let f = self.0;
        map_in_place(data, |x| f.value(x));
        Ok(())
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
        let f = self.0;
        zip(grad, at, out, |g, at| f.gradient(g, at));
        Ok(())
    }

    fn cpu_in_place<T: Real>(
        &self,
        _: [Shape; 2],
        [_, at]: [&[T]; 2],
        grad: &mut [T],
        _: bool,
    ) -> Result<()> {
        let f = self.0;
        zip_in_place(grad, at, |g, at| f.gradient(g, at));
        Ok(())
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

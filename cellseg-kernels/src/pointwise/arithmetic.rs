//! Sums, differences, products and quotients of tensors of one shape, and of a tensor and a number.

use super::{
    chunks::{each, each_copied, zip, zip_in_place},
    cuda,
    each::same,
};
use cellseg_core::{
    Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::{borrow::Cow, sync::Arc};

/// Implements [`Kernel`] for an operation on pairs of numbers, whose name is that of its CUDA kernel, too.
macro_rules! pairs {
    ($op:ident, $name:literal, IN_PLACE = $in_place:literal, |$self:ident, $a:ident, $b:ident| $value:expr) => {
        impl Kernel<2> for $op {
            const NAME: &'static str = $name;
            const IN_PLACE: bool = $in_place;
            type Aux = ();

            fn shape(&self, [a, b]: [Shape; 2]) -> Result<Shape> {
                same(Self::NAME, a, b)
            }

            fn cpu<T: Real>(&$self, _: [Shape; 2], [a, b]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
                zip(a, b, out, |$a, $b| $value);
                Ok(())
            }

            fn cpu_in_place<T: Real>(
                &$self,
                _: [Shape; 2],
                [_, b]: [&[T]; 2],
                a: &mut [T],
                _: bool,
            ) -> Result<()> {
                zip_in_place(a, b, |$a, $b| $value);
                Ok(())
            }

            fn cuda(
                &self,
                device: &Arc<Cuda>,
                _: [Shape; 2],
                inputs: [&CudaBuffer; 2],
                out: &mut CudaBuffer,
                _: bool,
            ) -> Result<()> {
                cuda::pairs(device, $name, inputs, out)
            }
        }
    };
}

/// `a + b`.
#[derive(Clone)]
pub(super) struct Add;
pairs!(Add, "add", IN_PLACE = true, |self, a, b| a + b);

impl Op<2> for Add {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 2], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, wanted: [bool; 2]) -> Result<[Option<Tensor>; 2]> {
        Ok([wanted[0].then(|| grad.clone()), wanted[1].then_some(grad)])
    }
}

/// `a - b`.
#[derive(Clone)]
pub(super) struct Sub;
pairs!(Sub, "sub", IN_PLACE = true, |self, a, b| a - b);

impl Op<2> for Sub {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 2], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, wanted: [bool; 2]) -> Result<[Option<Tensor>; 2]> {
        let minus = wanted[1].then(|| run(&Linear { factor: -1.0, shift: 0.0 }, [Cow::Borrowed(&grad)]));
        Ok([wanted[0].then_some(grad), minus.transpose()?.map(|(g, ())| g)])
    }
}

/// `a * b`.
#[derive(Clone)]
pub(super) struct Mul;
pairs!(Mul, "mul", IN_PLACE = false, |self, a, b| a * b);

/// `a * b` for gradients, which nobody needs again: in place.
#[derive(Clone)]
struct MulGradient;
pairs!(MulGradient, "mul", IN_PLACE = true, |self, a, b| a * b);

impl Op<2> for Mul {
    type Saved = [Tensor; 2];

    fn save(&self, (): (), [a, b]: [&Tensor; 2], _: &Tensor) -> [Tensor; 2] {
        [a.detached(), b.detached()]
    }

    fn backward(&self, [a, b]: [Tensor; 2], grad: Tensor, wanted: [bool; 2]) -> Result<[Option<Tensor>; 2]> {
        let of_b = wanted[1].then(|| run(&MulGradient, [Cow::Borrowed(&grad), a.into()])).transpose()?;
        let of_a = wanted[0].then(|| run(&MulGradient, [grad.into(), b.into()])).transpose()?;
        Ok([of_a.map(|(g, ())| g), of_b.map(|(g, ())| g)])
    }
}

/// `a / b`.
#[derive(Clone)]
pub(super) struct Div;
pairs!(Div, "div", IN_PLACE = true, |self, a, b| a / b);

impl Op<2> for Div {
    /// The quotient and the divisor.
    type Saved = [Tensor; 2];

    fn save(&self, (): (), [_, b]: [&Tensor; 2], out: &Tensor) -> [Tensor; 2] {
        [out.detached(), b.detached()]
    }

    fn backward(&self, [y, b]: [Tensor; 2], grad: Tensor, wanted: [bool; 2]) -> Result<[Option<Tensor>; 2]> {
        // d(a / b) = da / b - (a / b) db / b
        let (of_a, ()) = run(&Div, [grad.into(), b.into()])?;
        let of_b = wanted[1].then(|| -> Result<Tensor> {
            let (product, ()) = run(&MulGradient, [Cow::Borrowed(&of_a), y.into()])?;
            Ok(run(&Linear { factor: -1.0, shift: 0.0 }, [product.into()])?.0)
        });
        let of_b = of_b.transpose()?;
        Ok([wanted[0].then_some(of_a), of_b])
    }
}

/// `factor * x + shift`.
#[derive(Clone)]
pub(super) struct Linear {
    pub(super) factor: f64,
    pub(super) shift: f64,
}

impl Linear {
    fn apply<T: Real>(&self, xs: &mut [T]) {
        let (factor, shift) = (T::of(self.factor), T::of(self.shift));
        xs.iter_mut().for_each(|x| *x = *x * factor + shift);
    }
}

impl Kernel<1> for Linear {
    const NAME: &'static str = "linear";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        Ok(x)
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        each_copied(x, out, 1, |_, out| self.apply(out));
        Ok(())
    }

    fn cpu_in_place<T: Real>(&self, _: [Shape; 1], _: [&[T]; 1], data: &mut [T], _: bool) -> Result<()> {
        each(data, 1, |_, data| self.apply(data));
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
        cuda::linear(device, self.factor, self.shift, x, out)
    }
}

impl Op<1> for Linear {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 1], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        if self.factor == 1.0 {
            return Ok([Some(grad)]);
        }
        Ok([Some(run(&Linear { factor: self.factor, shift: 0.0 }, [grad.into()])?.0)])
    }
}

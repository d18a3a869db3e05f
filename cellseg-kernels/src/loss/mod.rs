//! Losses that compare two tensors number by number; each is a mean, a tensor without axes.
//!
//! Means are accumulated in double precision, on a GPU in single precision, and are the same bits for any number of
//! threads.

#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cuda;
#[cfg(test)]
mod tests;

use crate::pointwise::{
    chunks::{self, each},
    exponential::{exp, ln_1p},
    lanes::long_sum_of_pairs,
    same, wide,
};
use cellseg_core::{
    Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::{borrow::Cow, sync::Arc};

/// The mean squared error `mean((prediction - target)^2)`.
///
/// # Errors
/// Shapes that differ; see [`apply`].
pub fn mse(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    apply(Loss(SquaredError), [prediction.into(), target.into()])
}

/// The mean binary cross entropy of `sigmoid(logits)` with targets in `[0, 1]`:
/// `mean(max(x, 0) - x t + ln(1 + exp(-|x|)))`, which neither overflows nor cancels.
///
/// # Errors
/// Shapes that differ; see [`apply`].
pub fn bce_with_logits(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    apply(Loss(CrossEntropy), [logits.into(), target.into()])
}

/// The loss of one pair of numbers.
trait Pair: Copy + Send + Sync + 'static {
    const NAME: &'static str;
    const GRADIENT: &'static str;
    /// The number that device code gives to the loss.
    const KIND: &'static str;
    fn value<T: Real>(self, x: T, target: T) -> T;
    /// The derivative by the prediction.
    fn by_prediction<T: Real>(self, x: T, target: T) -> T;
    /// The derivative by the target.
    fn by_target<T: Real>(self, x: T, target: T) -> T;
}

/// What a derivative is taken by.
#[derive(Clone, Copy)]
enum Side {
    Prediction,
    Target,
}

#[derive(Clone, Copy)]
struct SquaredError;

impl Pair for SquaredError {
    const NAME: &'static str = "mse";
    const GRADIENT: &'static str = "mse gradient";
    const KIND: &'static str = "0";

    #[inline(always)]
    fn value<T: Real>(self, x: T, target: T) -> T {
        (x - target) * (x - target)
    }

    #[inline(always)]
    fn by_prediction<T: Real>(self, x: T, target: T) -> T {
        (x - target) + (x - target)
    }

    #[inline(always)]
    fn by_target<T: Real>(self, x: T, target: T) -> T {
        (target - x) + (target - x)
    }
}

#[derive(Clone, Copy)]
struct CrossEntropy;

impl Pair for CrossEntropy {
    const NAME: &'static str = "bce_with_logits";
    const GRADIENT: &'static str = "bce_with_logits gradient";
    const KIND: &'static str = "1";

    #[inline(always)]
    fn value<T: Real>(self, x: T, target: T) -> T {
        let positive = if x < T::zero() { T::zero() } else { x };
        positive - x * target + ln_1p(exp(-x.abs()))
    }

    #[inline(always)]
    fn by_prediction<T: Real>(self, x: T, target: T) -> T {
        let e = exp(-x.abs());
        (if x < T::zero() { e } else { T::one() }) / (T::one() + e) - target
    }

    #[inline(always)]
    fn by_target<T: Real>(self, x: T, _: T) -> T {
        -x
    }
}

wide! {
    /// The sum of the losses.
    fn total<'a, T: Real, P: Pair>(pair: P, x: &'a [T], target: &'a [T]) -> f64 {
        long_sum_of_pairs(x, target, |x, t| pair.value(x, t))
    }
}

wide! {
    /// The derivatives by one side, times a factor.
    fn derivatives<'a, T: Real, P: Pair>(
        pair: P,
        side: Side,
        factor: T,
        x: &'a [T],
        target: &'a [T],
        out: &'a mut [T],
    ) -> () {
        let all = out.iter_mut().zip(x).zip(target);
        match side {
            Side::Prediction => all.for_each(|((o, x), t)| *o = pair.by_prediction(*x, *t) * factor),
            Side::Target => all.for_each(|((o, x), t)| *o = pair.by_target(*x, *t) * factor),
        }
    }
}

#[derive(Clone)]
struct Loss<P>(P);

impl<P: Pair> Kernel<2> for Loss<P> {
    const NAME: &'static str = P::NAME;
    type Aux = ();

    fn shape(&self, [x, target]: [Shape; 2]) -> Result<Shape> {
        same(Self::NAME, x, target)?;
        Ok(Shape::scalar())
    }

    fn cpu<T: Real>(&self, _: [Shape; 2], [x, target]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        let sum = chunks::sum(x.len(), |range| total(self.0, &x[range.clone()], &target[range]));
        out.fill(T::of(sum / x.len() as f64));
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
        cuda::mean::<P>(device, inputs, out)
    }
}

impl<P: Pair> Op<2> for Loss<P> {
    /// The prediction and the target.
    type Saved = [Tensor; 2];

    fn save(&self, (): (), [x, target]: [&Tensor; 2], _: &Tensor) -> [Tensor; 2] {
        [x.detached(), target.detached()]
    }

    fn backward(
        &self,
        [x, target]: [Tensor; 2],
        grad: Tensor,
        wanted: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let of = |side: Side, wanted: bool| {
            let kernel = LossGradient { pair: self.0, side };
            let inputs = [Cow::Borrowed(&x), Cow::Borrowed(&target), Cow::Borrowed(&grad)];
            wanted.then(|| Ok(run(&kernel, inputs)?.0)).transpose()
        };
        Ok([of(Side::Prediction, wanted[0])?, of(Side::Target, wanted[1])?])
    }
}

/// The gradient of [`Loss`] by one side, from both sides and the gradient of the mean.
#[derive(Clone)]
struct LossGradient<P> {
    pair: P,
    side: Side,
}

impl<P: Pair> Kernel<3> for LossGradient<P> {
    const NAME: &'static str = P::GRADIENT;
    type Aux = ();

    fn shape(&self, [x, target, _]: [Shape; 3]) -> Result<Shape> {
        same(Self::NAME, x, target)
    }

    fn cpu<T: Real>(
        &self,
        _: [Shape; 3],
        [x, target, grad]: [&[T]; 3],
        out: &mut [T],
        _: bool,
    ) -> Result<()> {
        let factor = grad[0] / T::of(x.len() as f64);
        each(out, 1, |at, out| derivatives(self.pair, self.side, factor, &x[at..], &target[at..], out));
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        _: [Shape; 3],
        inputs: [&CudaBuffer; 3],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        cuda::gradient::<P>(device, self.side, inputs, out)
    }
}

//! Repeating a tensor along axes of extent one.

use super::{chunks::each, cuda};
use crate::reduce::SumAxes;
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::sync::Arc;

/// `factor * x`, repeated along the axes where `x` has extent one and `to` has not.
#[derive(Clone)]
pub(crate) struct Broadcast {
    /// The shape that results.
    pub(crate) to: Shape,
    /// What each number is multiplied by: a mean's gradient needs it.
    pub(crate) factor: f64,
    /// The shape of the input.
    pub(crate) from: Shape,
}

impl Broadcast {
    /// Which axes are repeated, as one bit each.
    fn repeated(&self) -> u8 {
        let pairs = self.from.dims().iter().zip(self.to.dims());
        pairs.enumerate().map(|(i, (from, to))| u8::from(from != to) << i).sum()
    }
}

impl Kernel<1> for Broadcast {
    const NAME: &'static str = "broadcast_to";
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        let fits = |(&from, &to): (&usize, &usize)| from == to || from == 1;
        if x.rank() == self.to.rank() && x.dims().iter().zip(self.to.dims()).all(fits) {
            return Ok(self.to);
        }
        Err(Error::argument(
            Self::NAME,
            format!(
                "{x:?} cannot become {:?}: as many axes are expected, each of the same extent or of extent 1; \
                 use Tensor::reshape to add axes",
                self.to
            ),
        ))
    }

    fn cpu<T: Real>(&self, [from]: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let factor = T::of(self.factor);
        let (to, row) = (self.to.dims(), self.to.channels());
        let strides = strides(from, self.to);
        let (outer, inner) = strides.split_at(to.len().saturating_sub(1));
        let inner = inner.first().copied().unwrap_or(0);
        each(out, row, |at, out| {
            for (i, out) in out.chunks_exact_mut(row.max(1)).enumerate() {
                let start = offset(at / row + i, to, outer);
                if inner == 0 {
                    out.fill(x[start] * factor);
                } else {
                    out.iter_mut().zip(&x[start..]).for_each(|(o, x)| *o = *x * factor);
                }
            }
        });
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [from]: [Shape; 1],
        [x]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        cuda::broadcast(device, self.to, &strides(from, self.to), self.factor, x, out)
    }
}

/// The distance in `x` between neighbours along each axis of `to`: zero where `x` is repeated.
fn strides(from: Shape, to: Shape) -> Vec<usize> {
    let mut stride = 1;
    let mut strides: Vec<usize> = (0..to.rank())
        .rev()
        .map(|i| {
            let extent = from.dims()[i];
            let here = if extent == to.dims()[i] { stride } else { 0 };
            stride *= extent;
            here
        })
        .collect();
    strides.reverse();
    strides
}

/// Where row `row` of the output starts in the input; `strides` are those of all axes but the last.
fn offset(mut row: usize, dims: &[usize], strides: &[usize]) -> usize {
    let mut offset = 0;
    for (stride, extent) in strides.iter().zip(dims).rev() {
        offset += row % extent * stride;
        row /= extent;
    }
    offset
}

impl Op<1> for Broadcast {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 1], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let sum = SumAxes { axes: self.repeated(), keep: true, factor: self.factor };
        Ok([Some(run(&sum, [grad.into()])?.0)])
    }
}

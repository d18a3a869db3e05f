//! Sums and means, over everything or over some axes.
//!
//! On the CPU sums are accumulated in double precision and rounded once, on a GPU in single precision, a few hundred numbers
//! at a time. They are the same bits for any number of threads.

#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::pointwise::Broadcast;
use cellseg_core::{
    Error, Kernel, MAX_RANK, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::sync::Arc;

/// `factor` times the sum over some axes.
#[derive(Clone)]
pub(crate) struct SumAxes {
    /// The axes that are summed over, as one bit each.
    pub(crate) axes: u8,
    /// Whether these axes stay, with extent one.
    pub(crate) keep: bool,
    /// What sums are multiplied by before they are rounded.
    pub(crate) factor: f64,
}

impl SumAxes {
    fn sums_over(&self, axis: usize) -> bool {
        self.axes >> axis & 1 == 1
    }

    /// The sums over one axis of `[outer, count, inner]` that follow each other: from the last axis of `x` on, neighbouring
    /// axes at once; what lies behind is summed already.
    fn steps(&self, x: Shape) -> Vec<[usize; 3]> {
        let dims = x.dims();
        let mut steps = Vec::new();
        let (mut end, mut inner) = (dims.len(), 1);
        while end > 0 {
            let summed = self.sums_over(end - 1);
            let start = (0..end).rev().take_while(|&i| self.sums_over(i) == summed).last().unwrap_or(0);
            let count: usize = dims[start..end].iter().product();
            if summed {
                steps.push([dims[..start].iter().product(), count, inner]);
            } else {
                inner *= count;
            }
            end = start;
        }
        steps
    }

    /// The output's shape with the summed axes at extent one.
    fn kept(&self, x: Shape) -> Result<Shape> {
        let mut dims = [1; MAX_RANK];
        for (i, extent) in x.dims().iter().enumerate() {
            dims[i] = if self.sums_over(i) { 1 } else { *extent };
        }
        Shape::new(&dims[..x.rank()])
    }
}

impl Kernel<1> for SumAxes {
    const NAME: &'static str = "sum";
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        if self.keep {
            return self.kept(x);
        }
        let left: Vec<usize> =
            x.dims().iter().enumerate().filter(|(i, _)| !self.sums_over(*i)).map(|(_, d)| *d).collect();
        Shape::new(&left)
    }

    fn cpu<T: Real>(&self, [shape]: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let mut sums: Option<Vec<f64>> = None;
        for [outer, count, inner] in self.steps(shape) {
            sums = Some(match sums {
                None => cpu::sum_middle(x, outer, count, inner),
                Some(sums) => cpu::sum_middle(&sums, outer, count, inner),
            });
        }
        match sums {
            Some(sums) => out.iter_mut().zip(sums).for_each(|(o, s)| *o = T::of(s * self.factor)),
            None => out.iter_mut().zip(x).for_each(|(o, x)| *o = T::of(x.wide() * self.factor)),
        }
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
        cuda::sum_steps(device, x, &self.steps(shape), self.factor, out)
    }
}

impl Op<1> for SumAxes {
    /// The shape of the input.
    type Saved = Shape;

    fn save(&self, (): (), [x]: [&Tensor; 1], _: &Tensor) -> Shape {
        x.shape()
    }

    fn backward(&self, to: Shape, grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let grad = grad.reshape(self.kept(to)?.dims())?;
        let back = Broadcast { from: grad.shape(), to, factor: self.factor };
        Ok([Some(run(&back, [grad.into()])?.0)])
    }
}

/// The sum of all numbers, a tensor without axes.
///
/// # Errors
/// See [`apply`].
pub fn sum(x: &Tensor) -> Result<Tensor> {
    reduce(x, u8::MAX, false, false)
}

/// The mean of all numbers, a tensor without axes; not a number where there are none.
///
/// # Errors
/// See [`apply`].
pub fn mean(x: &Tensor) -> Result<Tensor> {
    reduce(x, u8::MAX, false, true)
}

/// The sums over `axes`, which stay with extent one where `keep` says so and are dropped otherwise.
///
/// # Errors
/// An axis that `x` does not have or that is named twice; see [`apply`].
pub fn sum_axes(x: &Tensor, axes: &[usize], keep: bool) -> Result<Tensor> {
    reduce(x, bits(x.shape(), axes)?, keep, false)
}

/// The means over `axes`, which stay with extent one where `keep` says so and are dropped otherwise.
///
/// # Errors
/// An axis that `x` does not have or that is named twice; see [`apply`].
pub fn mean_axes(x: &Tensor, axes: &[usize], keep: bool) -> Result<Tensor> {
    reduce(x, bits(x.shape(), axes)?, keep, true)
}

fn reduce(x: &Tensor, axes: u8, keep: bool, mean: bool) -> Result<Tensor> {
    let shape = x.shape();
    let summed = shape.dims().iter().enumerate().filter(|(i, _)| axes >> i & 1 == 1);
    let count: usize = summed.map(|(_, extent)| extent).product();
    let factor = if mean { 1.0 / count as f64 } else { 1.0 };
    apply(SumAxes { axes, keep, factor }, [x.into()])
}

fn bits(x: Shape, axes: &[usize]) -> Result<u8> {
    axes.iter().try_fold(0, |bits, &axis| {
        if axis < x.rank() && bits >> axis & 1 == 0 {
            return Ok(bits | 1 << axis);
        }
        Err(Error::argument(
            SumAxes::NAME,
            format!("axes {axes:?} of {x:?}: each must be below {} and named once", x.rank()),
        ))
    })
}

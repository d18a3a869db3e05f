//! What convolutions and transposed convolutions share as operations: shapes, the forward pass, and gradients.

use super::{
    Precision,
    algorithm::{self, Kept},
    bias_gradient::channel_sums,
    cuda::{self, Operands, Order},
    direct::{self, Epilogue, Weights},
    geometry::{Axis, Direction},
    weight_gradient,
};
use crate::{pointwise::Activation, reduce::cuda::sum_middle, scratch::Scratch, simd::Isa};
use cellseg_core::{
    Error, Kernel, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use rayon::prelude::*;
use std::sync::Arc;

/// The most voxels of an axis, padding included: so that places in a row are far from overflowing.
pub(crate) const MOST_EXTENT: usize = i32::MAX as usize;

/// How an operation links the voxels of its input with those of its output, through the taps of a kernel
/// `[kd, kh, kw, in, out]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    pub(crate) axes: [Axis; 3],
    pub(crate) direction: Direction,
    pub(crate) precision: Precision,
}

/// The extents `[n, d, h, w, in]` of volumes and `[kd, kh, kw, in, out]` of a kernel for them.
pub(crate) fn extents(op: &'static str, x: Shape, w: Shape) -> Result<([usize; 5], [usize; 5])> {
    let volumes = x.volumes(op)?;
    let kernel: [usize; 5] = w.dims().try_into().map_err(|_| {
        Error::argument(op, format!("{w:?} is not a kernel [kd, kh, kw, in, out] with five axes"))
    })?;
    if volumes[4] != kernel[3] {
        return Err(Error::argument(
            op,
            format!(
                "the volumes {x:?} [n, d, h, w, in] have {} channels, the kernel {w:?} [kd, kh, kw, in, out] takes {}",
                volumes[4], kernel[3]
            ),
        ));
    }
    Ok((volumes, kernel))
}

impl Links {
    /// The output's shape for inputs of these shapes: volumes, kernel, and maybe a bias.
    pub(crate) fn output(&self, op: &'static str, inputs: &[Shape]) -> Result<Shape> {
        let channels = inputs[1].channels();
        if let Some(bias) = inputs.get(2).filter(|b| b.dims() != [channels]) {
            return Err(Error::argument(
                op,
                format!("the bias is {bias:?}, not one number for each of {channels} channels"),
            ));
        }
        let [d, h, w] = self.axes.map(|a| a.outputs(self.direction));
        Shape::new(&[inputs[0].dims()[0], d, h, w, channels])
    }

    /// The sums that make the output from volumes and kernel of these shapes.
    pub(crate) fn problem(&self, x: Shape, w: Shape) -> direct::Problem {
        direct::Problem {
            batch: x.dims()[0],
            axes: self.axes,
            direction: self.direction,
            input_channels: x.channels(),
            output_channels: w.channels(),
        }
    }

    /// The sums that make the gradient of volumes of shape `x` from the gradient of the output.
    fn data_gradient(&self, x: Shape, grad: Shape) -> direct::Problem {
        direct::Problem {
            batch: x.dims()[0],
            axes: self.axes,
            direction: self.direction.reversed(),
            input_channels: grad.channels(),
            output_channels: x.channels(),
        }
    }

    /// Computes the output from volumes, kernel, and maybe a bias. `kept` are transformed weights from before.
    pub(crate) fn forward<T: Real>(
        &self,
        shapes: &[Shape],
        inputs: &[&[T]],
        kept: Option<&Kept>,
        activation: Activation,
        out: &mut [T],
    ) -> Result<()> {
        let problem = self.problem(shapes[0], shapes[1]);
        let weights = Weights { data: inputs[1], transposed: false };
        let epilogue = Epilogue { bias: inputs.get(2).copied(), activation };
        algorithm::sum(&problem, self.precision, inputs[0], weights, kept, epilogue, out)
    }

    /// The same on a GPU.
    pub(crate) fn forward_on_gpu(
        &self,
        op: &'static str,
        shapes: &[Shape],
        inputs: &[&CudaBuffer],
        activation: Activation,
        out: &mut CudaBuffer,
    ) -> Result<()> {
        let problem = self.problem(shapes[0], shapes[1]);
        let (x, weights, bias) = (inputs[0], inputs[1], inputs.get(2).copied());
        let operands = Operands { x, weights, transposed: false, bias, activation };
        cuda::sum(op, &problem, self.precision, operands, out)
    }

    /// The gradients of volumes `x`, kernel `w`, and maybe a bias, from the gradient of the sums.
    pub(crate) fn gradients<const N: usize>(
        self,
        x: &Tensor,
        w: &Tensor,
        grad: &Tensor,
        wanted: [bool; N],
    ) -> Result<[Option<Tensor>; N]> {
        let mut grads = [const { None }; N];
        for (i, slot) in grads.iter_mut().enumerate().filter(|(i, _)| wanted[*i]) {
            let (computed, ()) = match i {
                0 => {
                    let problem = self.data_gradient(x.shape(), grad.shape());
                    // A kernel that is not trained will be seen again.
                    let kept = match wanted.get(1) {
                        Some(true) => None,
                        _ => algorithm::kept(&problem, self.precision, w, true)?,
                    };
                    run(&DataGradient { links: self, x: x.shape(), kept }, [w.into(), grad.into()])
                }
                1 => run(&WeightGradient { links: self, w: w.shape() }, [x.into(), grad.into()]),
                _ => run(&BiasGradient, [grad.into()]),
            }?;
            *slot = Some(computed);
        }
        Ok(grads)
    }
}

/// The gradient with respect to the volumes, from the kernel and the gradient of the output.
#[derive(Clone)]
struct DataGradient {
    links: Links,
    x: Shape,
    kept: Option<Kept>,
}

impl Kernel<2> for DataGradient {
    const NAME: &'static str = "data gradient of a convolution";
    type Aux = ();

    fn shape(&self, _: [Shape; 2]) -> Result<Shape> {
        Ok(self.x)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; 2], [w, grad]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        let problem = self.links.data_gradient(self.x, shapes[1]);
        let weights = Weights { data: w, transposed: true };
        let epilogue = Epilogue { bias: None, activation: Activation::None };
        algorithm::sum(&problem, self.links.precision, grad, weights, self.kept.as_ref(), epilogue, out)
    }

    fn cuda(
        &self,
        _: &Arc<Cuda>,
        shapes: [Shape; 2],
        [weights, x]: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let problem = self.links.data_gradient(self.x, shapes[1]);
        let activation = Activation::None;
        let operands = Operands { x, weights, transposed: true, bias: None, activation };
        cuda::sum(Self::NAME, &problem, self.links.precision, operands, out)
    }
}

/// The gradient with respect to the kernel, from the volumes and the gradient of the output.
#[derive(Clone)]
struct WeightGradient {
    links: Links,
    w: Shape,
}

impl WeightGradient {
    /// The sums that make the gradient, from the shapes of the volumes and of the gradient of the output.
    fn problem(&self, [x, grad]: [Shape; 2]) -> weight_gradient::Problem {
        let (batch, axes) = (x.dims()[0], self.links.axes);
        let (fine_channels, coarse_channels) = match self.links.direction {
            Direction::ToCoarse => (x.channels(), grad.channels()),
            Direction::ToFine => (grad.channels(), x.channels()),
        };
        weight_gradient::Problem { batch, axes, fine_channels, coarse_channels }
    }
}

impl Kernel<2> for WeightGradient {
    const NAME: &'static str = "weight gradient of a convolution";
    type Aux = ();

    fn shape(&self, _: [Shape; 2]) -> Result<Shape> {
        Ok(self.w)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; 2], [x, grad]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        let (problem, precision) = (self.problem(shapes), self.links.precision);
        match self.links.direction {
            Direction::ToCoarse => algorithm::weight_gradient(&problem, precision, x, grad, out)?,
            Direction::ToFine => {
                // Of each tap, `[out, in]`.
                let (inputs, outputs) = (problem.coarse_channels, problem.fine_channels);
                let mut taps = Scratch::unspecified(out.len())?;
                algorithm::weight_gradient(&problem, precision, grad, x, &mut taps)?;
                let size = (inputs * outputs).max(1);
                out.par_chunks_mut(size).zip(taps.par_chunks(size)).for_each(|(out, tap)| {
                    transpose(tap, inputs, out, outputs);
                });
            }
        }
        Ok(())
    }

    fn cuda(
        &self,
        _: &Arc<Cuda>,
        shapes: [Shape; 2],
        [x, grad]: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let (fine_and_coarse, order) = match self.links.direction {
            Direction::ToCoarse => ([x, grad], Order::FineCoarse),
            Direction::ToFine => ([grad, x], Order::CoarseFine),
        };
        let problem = self.problem(shapes);
        cuda::weight_gradient(Self::NAME, &problem, self.links.precision, fine_and_coarse, order, out)
    }
}

/// The transposed matrix of `from`, which has rows of `width` numbers, as rows of `height`.
///
/// Columns are taken a cache line at a time: one by one, each number would come with a line of its own.
fn transpose<T: Copy>(from: &[T], width: usize, to: &mut [T], height: usize) {
    const COLUMNS: usize = 16;
    for (i, to) in to.chunks_mut((COLUMNS * height).max(1)).enumerate() {
        for (j, from) in from.chunks_exact(width).enumerate() {
            let from = from[i * COLUMNS..].iter();
            from.zip(to.iter_mut().skip(j).step_by(height)).for_each(|(from, to)| *to = *from);
        }
    }
}

/// The gradient with respect to the bias, from the gradient of the output.
#[derive(Clone)]
struct BiasGradient;

impl Kernel<1> for BiasGradient {
    const NAME: &'static str = "bias gradient of a convolution";
    type Aux = ();

    fn shape(&self, [grad]: [Shape; 1]) -> Result<Shape> {
        Shape::new(&[grad.channels()])
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [grad]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        channel_sums(Isa::best(), grad, out);
        Ok(())
    }
    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [shape]: [Shape; 1],
        [grad]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let channels = shape.channels();
        sum_middle(device, grad, [1, shape.count() / channels.max(1), channels], 1.0, out)
    }
}

//! The transposed convolution as an operation, and its gradients as kernels.

use super::ConvTranspose3d;
use crate::{
    conv3d::{
        bias_gradient, check_bias,
        direct::{self, Epilogue, Problem, Weights},
        geometry::{Axis, Direction},
        kernel_extents, weight_gradient,
    },
    pointwise::Activation,
    simd::Isa,
};
use cellseg_core::{Error, Kernel, Op, Real, Result, Shape, Tensor, run};
use rayon::prelude::*;

const NAME: &str = "conv_transpose3d";

/// The transposed convolution of two inputs, volumes and kernel, or three, with a bias.
#[derive(Clone)]
pub(super) struct Forward(pub(super) ConvTranspose3d);

/// The gradient with respect to the volumes, from the kernel and the gradient of the output: a convolution.
#[derive(Clone)]
struct DataGradient {
    axes: [Axis; 3],
    x: Shape,
}

/// The gradient with respect to the kernel, from the volumes and the gradient of the output.
#[derive(Clone)]
struct WeightGradient {
    axes: [Axis; 3],
    w: Shape,
}

/// The axes of the convolution that links the same voxels.
fn axes(settings: &ConvTranspose3d, x: Shape, w: Shape) -> Result<[Axis; 3]> {
    let (volumes, kernel) = (x.volumes(NAME)?, kernel_extents(NAME, w)?);
    if volumes[4] != kernel[3] {
        return Err(Error::argument(
            NAME,
            format!(
                "the volumes {x:?} [n, d, h, w, in] have {} channels, the kernel {w:?} [kd, kh, kw, in, out] takes {}",
                volumes[4], kernel[3]
            ),
        ));
    }
    let mut axes = [Axis { fine: 0, coarse: 0, kernel: 1, stride: 1, padding: 0 }; 3];
    for (i, axis) in axes.iter_mut().enumerate() {
        let (coarse, kernel) = (volumes[i + 1], kernel[i]);
        let (stride, padding) = (settings.stride[i], settings.padding[i]);
        let reach = coarse.checked_sub(1).and_then(|n| n.checked_mul(stride)?.checked_add(kernel));
        let fine = reach.and_then(|r| r.checked_sub(padding.checked_mul(2)?));
        match fine {
            Some(fine) if fine > 0 && fine < isize::MAX as usize && stride > 0 && kernel > 0 => {
                *axis = Axis { fine, coarse, kernel, stride, padding };
            }
            _ => {
                return Err(Error::argument(
                    NAME,
                    format!(
                        "volumes {x:?} and a kernel {w:?} with stride {:?} and padding {:?} leave no output; strides \
                         and extents start at 1, and twice the padding is less than what it is cut from",
                        settings.stride, settings.padding
                    ),
                ));
            }
        }
    }
    Ok(axes)
}

impl<const N: usize> Kernel<N> for Forward {
    const NAME: &'static str = NAME;
    type Aux = ();

    fn shape(&self, inputs: [Shape; N]) -> Result<Shape> {
        let [d, h, w] = axes(&self.0, inputs[0], inputs[1])?.map(|a| a.fine);
        let out = inputs[1].channels();
        check_bias(NAME, inputs.get(2), out)?;
        Shape::new(&[inputs[0].dims()[0], d, h, w, out])
    }

    fn cpu<T: Real>(&self, shapes: [Shape; N], inputs: [&[T]; N], out: &mut [T], _: bool) -> Result<()> {
        let problem = Problem {
            batch: shapes[0].dims()[0],
            axes: axes(&self.0, shapes[0], shapes[1])?,
            direction: Direction::ToFine,
            input_channels: shapes[0].channels(),
            output_channels: shapes[1].channels(),
        };
        let weights = Weights { data: inputs[1], transposed: false };
        let epilogue = Epilogue { bias: inputs.get(2).copied(), activation: Activation::None };
        direct::sum(Isa::best(), &problem, inputs[0], weights, epilogue, out);
        Ok(())
    }
}

impl<const N: usize> Op<N> for Forward {
    /// Volumes and kernel.
    type Saved = (Tensor, Tensor);

    fn save(&self, (): (), inputs: [&Tensor; N], _: &Tensor) -> (Tensor, Tensor) {
        (inputs[0].detached(), inputs[1].detached())
    }

    fn backward(&self, (x, w): Self::Saved, grad: Tensor, wanted: [bool; N]) -> Result<[Option<Tensor>; N]> {
        let axes = axes(&self.0, x.shape(), w.shape())?;
        let mut grads = [const { None }; N];
        for (i, slot) in grads.iter_mut().enumerate().filter(|(i, _)| wanted[*i]) {
            *slot = Some(match i {
                0 => run(&DataGradient { axes, x: x.shape() }, [(&w).into(), (&grad).into()])?.0,
                1 => run(&WeightGradient { axes, w: w.shape() }, [(&x).into(), (&grad).into()])?.0,
                _ => bias_gradient(&grad)?,
            });
        }
        Ok(grads)
    }
}

impl Kernel<2> for DataGradient {
    const NAME: &'static str = "conv_transpose3d data gradient";
    type Aux = ();

    fn shape(&self, _: [Shape; 2]) -> Result<Shape> {
        Ok(self.x)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; 2], [w, grad]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        let problem = Problem {
            batch: self.x.dims()[0],
            axes: self.axes,
            direction: Direction::ToCoarse,
            input_channels: shapes[1].channels(),
            output_channels: self.x.channels(),
        };
        let weights = Weights { data: w, transposed: true };
        let epilogue = Epilogue { bias: None, activation: Activation::None };
        direct::sum(Isa::best(), &problem, grad, weights, epilogue, out);
        Ok(())
    }
}

impl Kernel<2> for WeightGradient {
    const NAME: &'static str = "conv_transpose3d weight gradient";
    type Aux = ();

    fn shape(&self, _: [Shape; 2]) -> Result<Shape> {
        Ok(self.w)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; 2], [x, grad]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        let [inputs, outputs] = shapes.map(|s| s.channels());
        let problem = weight_gradient::Problem {
            batch: shapes[0].dims()[0],
            axes: self.axes,
            fine_channels: outputs,
            coarse_channels: inputs,
        };
        // Of each tap, `[out, in]`.
        let mut taps = vec![T::zero(); out.len()];
        weight_gradient::weight_gradient(Isa::best(), &problem, grad, x, &mut taps);
        let size = (inputs * outputs).max(1);
        out.par_chunks_mut(size).zip(taps.par_chunks(size)).for_each(|(out, tap)| {
            for (i, out) in out.chunks_exact_mut(outputs).enumerate() {
                for (o, x) in out.iter_mut().zip(tap.iter().skip(i).step_by(inputs)) {
                    *o = *x;
                }
            }
        });
        Ok(())
    }
}

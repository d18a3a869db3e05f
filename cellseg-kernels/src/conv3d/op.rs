//! The convolution as an operation, and its gradients as kernels.

use super::{
    Conv3d, bias_gradient as bias, direct,
    direct::{Epilogue, Problem, Weights},
    geometry::{Axis, Direction},
    weight_gradient,
};
use crate::{
    pointwise::{Activation, chunks},
    simd::Isa,
};
use cellseg_core::{Error, Kernel, Op, Real, Result, Shape, Tensor, run};

const NAME: &str = "conv3d";

/// The convolution of two inputs, volumes and kernel, or three, with a bias.
#[derive(Clone)]
pub(super) struct Forward(pub(super) Conv3d);

/// The gradient with respect to the volumes, from the kernel and the gradient of the output.
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

/// The gradient with respect to the bias, from the gradient of the output.
#[derive(Clone)]
struct BiasGradient;

/// The gradient of the bias of an operation whose output's gradient is `grad`: its sums over all voxels, `[channels]`.
pub(crate) fn bias_gradient(grad: &Tensor) -> Result<Tensor> {
    Ok(run(&BiasGradient, [grad.into()])?.0)
}

/// The axes of the convolution of volumes `x` with a kernel `w`.
pub(super) fn axes(settings: &Conv3d, x: Shape, w: Shape) -> Result<[Axis; 3]> {
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
        let (fine, kernel) = (volumes[i + 1], kernel[i]);
        let (stride, padding) = (settings.stride[i], settings.padding[i]);
        let padded =
            padding.checked_mul(2).and_then(|p| p.checked_add(fine)).filter(|&p| p < isize::MAX as usize);
        let room =
            padded.and_then(|p| p.checked_sub(kernel)).filter(|_| stride > 0 && kernel > 0 && fine > 0);
        let Some(room) = room else {
            return Err(Error::argument(
                NAME,
                format!(
                    "a kernel {w:?} with stride {:?} and padding {:?} does not fit volumes {x:?}; strides and \
                         extents start at 1, and a kernel is at most as large as the padded volume",
                    settings.stride, settings.padding
                ),
            ));
        };
        *axis = Axis { fine, coarse: room / stride + 1, kernel, stride, padding };
    }
    Ok(axes)
}

/// The extents `[kd, kh, kw, in, out]` of a kernel.
pub(crate) fn kernel_extents(op: &'static str, w: Shape) -> Result<[usize; 5]> {
    w.dims().try_into().map_err(|_| {
        Error::argument(op, format!("{w:?} is not a kernel [kd, kh, kw, in, out] with five axes"))
    })
}

/// Refuses a bias that is not one number per output channel.
pub(crate) fn check_bias(op: &'static str, bias: Option<&Shape>, channels: usize) -> Result<()> {
    match bias {
        Some(b) if b.dims() != [channels] => Err(Error::argument(
            op,
            format!("the bias is {b:?}, not one number for each of {channels} channels"),
        )),
        _ => Ok(()),
    }
}

impl<const N: usize> Kernel<N> for Forward {
    const NAME: &'static str = NAME;
    type Aux = ();

    fn shape(&self, inputs: [Shape; N]) -> Result<Shape> {
        self.0.activation.check()?;
        let [d, h, w] = axes(&self.0, inputs[0], inputs[1])?.map(|a| a.coarse);
        let out = inputs[1].channels();
        check_bias(NAME, inputs.get(2), out)?;
        Shape::new(&[inputs[0].dims()[0], d, h, w, out])
    }

    fn cpu<T: Real>(&self, shapes: [Shape; N], inputs: [&[T]; N], out: &mut [T], _: bool) -> Result<()> {
        let problem = Problem {
            batch: shapes[0].dims()[0],
            axes: axes(&self.0, shapes[0], shapes[1])?,
            direction: Direction::ToCoarse,
            input_channels: shapes[0].channels(),
            output_channels: shapes[1].channels(),
        };
        let weights = Weights { data: inputs[1], transposed: false };
        let epilogue = Epilogue { bias: inputs.get(2).copied(), activation: self.0.activation };
        direct::sum(Isa::best(), &problem, inputs[0], weights, epilogue, out);
        Ok(())
    }
}

/// What the gradients of a convolution need.
pub(super) struct Saved {
    x: Tensor,
    w: Tensor,
    /// The output, where the activation's slope is found from it.
    y: Option<Tensor>,
}

impl<const N: usize> Op<N> for Forward {
    type Saved = Saved;

    fn save(&self, (): (), inputs: [&Tensor; N], out: &Tensor) -> Saved {
        let y = (self.0.activation != Activation::None).then(|| out.detached());
        Saved { x: inputs[0].detached(), w: inputs[1].detached(), y }
    }

    fn backward(&self, saved: Saved, grad: Tensor, wanted: [bool; N]) -> Result<[Option<Tensor>; N]> {
        let Saved { x, w, y } = saved;
        let grad = match y {
            Some(y) => run(&ActivationGradient(self.0.activation), [grad.into(), y.into()])?.0,
            None => grad,
        };
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
    const NAME: &'static str = "conv3d data gradient";
    type Aux = ();

    fn shape(&self, _: [Shape; 2]) -> Result<Shape> {
        Ok(self.x)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; 2], [w, grad]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        let problem = Problem {
            batch: self.x.dims()[0],
            axes: self.axes,
            direction: Direction::ToFine,
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
    const NAME: &'static str = "conv3d weight gradient";
    type Aux = ();

    fn shape(&self, _: [Shape; 2]) -> Result<Shape> {
        Ok(self.w)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; 2], [x, grad]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        let problem = weight_gradient::Problem {
            batch: shapes[0].dims()[0],
            axes: self.axes,
            fine_channels: shapes[0].channels(),
            coarse_channels: shapes[1].channels(),
        };
        weight_gradient::weight_gradient(Isa::best(), &problem, x, grad, out);
        Ok(())
    }
}

impl Kernel<1> for BiasGradient {
    const NAME: &'static str = "bias gradient";
    type Aux = ();

    fn shape(&self, [grad]: [Shape; 1]) -> Result<Shape> {
        Shape::new(&[grad.channels()])
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [grad]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        bias::channel_sums(Isa::best(), grad, out);
        Ok(())
    }
}

/// The gradient of the sums, from the gradient of the output and the output.
#[derive(Clone)]
struct ActivationGradient(Activation);

impl Kernel<2> for ActivationGradient {
    const NAME: &'static str = "conv3d activation gradient";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [grad, _]: [Shape; 2]) -> Result<Shape> {
        Ok(grad)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; 2], [grad, y]: [&[T]; 2], out: &mut [T], r: bool) -> Result<()> {
        out.copy_from_slice(grad);
        self.cpu_in_place(shapes, [&[], y], out, r)
    }

    fn cpu_in_place<T: Real>(&self, _: [Shape; 2], [_, y]: [&[T]; 2], grad: &mut [T], _: bool) -> Result<()> {
        chunks::each(grad, 1, |at, grad| self.0.gradient_all(grad, &y[at..]));
        Ok(())
    }
}

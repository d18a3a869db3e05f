//! The convolution as an operation.

use super::{
    Conv3d,
    algorithm::{self, Kept},
    geometry::{Axis, Direction},
    links::{Links, MOST_EXTENT, extents},
};
use crate::pointwise::{self, Activation, chunks};
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::sync::Arc;

const NAME: &str = "conv3d";

/// The convolution of two inputs, volumes and kernel, or three, with a bias.
#[derive(Clone)]
pub(super) struct Forward {
    settings: Conv3d,
    pub(super) kept: Option<Kept>,
}

impl Forward {
    /// The convolution of `x` with `w`.
    ///
    /// Transformed weights are kept with the kernel's numbers, unless this is a step of training, computed again later or
    /// not: there they would be used once or twice before the numbers change, and take several times the kernel's memory
    /// meanwhile.
    pub(super) fn new(settings: Conv3d, x: &Tensor, w: &Tensor) -> Result<Self> {
        let kept = if w.wants_gradient() && x.tape().is_some() {
            None
        } else {
            let links = links(&settings, x.shape(), w.shape())?;
            algorithm::kept(&links.problem(x.shape(), w.shape()), settings.precision, w, false)?
        };
        Ok(Forward { settings, kept })
    }
}

/// The links of the convolution of volumes `x` with a kernel `w`.
pub(super) fn links(settings: &Conv3d, x: Shape, w: Shape) -> Result<Links> {
    let (volumes, kernel) = extents(NAME, x, w)?;
    let mut axes = [Axis { fine: 0, coarse: 0, kernel: 1, stride: 1, padding: 0 }; 3];
    for (i, axis) in axes.iter_mut().enumerate() {
        let (fine, kernel) = (volumes[i + 1], kernel[i]);
        let (stride, padding) = (settings.stride[i], settings.padding[i]);
        let padded = padding.checked_mul(2).and_then(|p| p.checked_add(fine)).filter(|&p| p <= MOST_EXTENT);
        let room = padded.and_then(|p| p.checked_sub(kernel));
        let Some(room) = room.filter(|_| stride > 0 && kernel > 0 && fine > 0) else {
            return Err(Error::argument(
                NAME,
                format!(
                    "a kernel {w:?} with stride {:?} and padding {:?} does not fit volumes {x:?}; strides and extents \
                     start at 1, a kernel is at most as large as the padded volume, and that at most {MOST_EXTENT}",
                    settings.stride, settings.padding
                ),
            ));
        };
        // A stride beyond the volume leaves one output, as one of the volume's extent does.
        let stride = stride.min(room + 1);
        *axis = Axis { fine, coarse: room / stride + 1, kernel, stride, padding };
    }
    Ok(Links { axes, direction: Direction::ToCoarse, precision: settings.precision })
}

impl<const N: usize> Kernel<N> for Forward {
    const NAME: &'static str = NAME;
    type Aux = ();

    fn shape(&self, inputs: [Shape; N]) -> Result<Shape> {
        self.settings.activation.check()?;
        links(&self.settings, inputs[0], inputs[1])?.output(NAME, &inputs)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; N], inputs: [&[T]; N], out: &mut [T], _: bool) -> Result<()> {
        links(&self.settings, shapes[0], shapes[1])?.forward(
            &shapes,
            &inputs,
            self.kept.as_ref(),
            self.settings.activation,
            out,
        )
    }

    fn cuda(
        &self,
        _: &Arc<Cuda>,
        shapes: [Shape; N],
        inputs: [&CudaBuffer; N],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let links = links(&self.settings, shapes[0], shapes[1])?;
        links.forward_on_gpu(NAME, &shapes, &inputs, self.settings.activation, out)
    }
}

/// What the gradients of a convolution need.
pub(super) struct Saved {
    x: Tensor,
    w: Tensor,
    /// The output, where there is an activation: its gradient is found from it.
    y: Option<Tensor>,
}

impl<const N: usize> Op<N> for Forward {
    type Saved = Saved;

    fn save(&self, (): (), inputs: [&Tensor; N], out: &Tensor) -> Saved {
        let y = (self.settings.activation != Activation::None).then(|| out.detached());
        Saved { x: inputs[0].detached(), w: inputs[1].detached(), y }
    }

    fn backward(&self, saved: Saved, grad: Tensor, wanted: [bool; N]) -> Result<[Option<Tensor>; N]> {
        let Saved { x, w, y } = saved;
        let grad = match y {
            Some(y) => run(&ActivationGradient(self.settings.activation), [grad.into(), y.into()])?.0,
            None => grad,
        };
        links(&self.settings, x.shape(), w.shape())?.gradients(&x, &w, &grad, wanted)
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

    fn cpu_in_place<T: Real>(&self, _: [Shape; 2], [_, y]: [&[T]; 2], grad: &mut [T], _: bool) -> Result<()> {
        chunks::each(grad, 1, |at, grad| self.0.gradient_all(grad, &y[at..]));
        Ok(())
    }
    fn cuda(
        &self,
        device: &Arc<Cuda>,
        _: [Shape; 2],
        [grad, y]: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        pointwise::cuda::activation_gradient(device, self.0, grad, y, out)
    }
}

//! The transposed convolution as an operation.

use super::ConvTranspose3d;
use crate::{
    conv3d::{
        geometry::{Axis, Direction},
        links::{Links, MOST_EXTENT, extents},
    },
    pointwise::Activation,
};
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
};
use std::sync::Arc;

const NAME: &str = "conv_transpose3d";

/// The transposed convolution of two inputs, volumes and kernel, or three, with a bias.
#[derive(Clone)]
pub(super) struct Forward(pub(super) ConvTranspose3d);

/// The links of the transposed convolution of volumes `x` with a kernel `w`.
fn links(settings: &ConvTranspose3d, x: Shape, w: Shape) -> Result<Links> {
    let (volumes, kernel) = extents(NAME, x, w)?;
    let mut axes = [Axis { fine: 0, coarse: 0, kernel: 1, stride: 1, padding: 0 }; 3];
    for (i, axis) in axes.iter_mut().enumerate() {
        let (coarse, kernel) = (volumes[i + 1], kernel[i]);
        let (stride, padding) = (settings.stride[i], settings.padding[i]);
        let reach = coarse.checked_sub(1).and_then(|n| n.checked_mul(stride)?.checked_add(kernel));
        let reach = reach.filter(|&r| r <= MOST_EXTENT);
        let fine = reach.and_then(|r| r.checked_sub(padding.checked_mul(2)?));
        match fine {
            Some(fine) if fine > 0 && stride > 0 && kernel > 0 => {
                // The stride of a single voxel leads nowhere.
                let stride = if coarse == 1 { 1 } else { stride };
                *axis = Axis { fine, coarse, kernel, stride, padding };
            }
            _ => {
                return Err(Error::argument(
                    NAME,
                    format!(
                        "volumes {x:?} and a kernel {w:?} with stride {:?} and padding {:?} leave no output; strides \
                         and extents start at 1, twice the padding is less than what it is cut from, and that is at \
                         most {MOST_EXTENT}",
                        settings.stride, settings.padding
                    ),
                ));
            }
        }
    }
    Ok(Links { axes, direction: Direction::ToFine, precision: settings.precision })
}

impl<const N: usize> Kernel<N> for Forward {
    const NAME: &'static str = NAME;
    type Aux = ();

    fn shape(&self, inputs: [Shape; N]) -> Result<Shape> {
        links(&self.0, inputs[0], inputs[1])?.output(NAME, &inputs)
    }

    fn cpu<T: Real>(&self, shapes: [Shape; N], inputs: [&[T]; N], out: &mut [T], _: bool) -> Result<()> {
        links(&self.0, shapes[0], shapes[1])?.forward(&shapes, &inputs, None, Activation::None, out)
    }

    fn cuda(
        &self,
        _: &Arc<Cuda>,
        shapes: [Shape; N],
        inputs: [&CudaBuffer; N],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let links = links(&self.0, shapes[0], shapes[1])?;
        links.forward_on_gpu(NAME, &shapes, &inputs, Activation::None, out)
    }
}

impl<const N: usize> Op<N> for Forward {
    /// Volumes and kernel.
    type Saved = (Tensor, Tensor);

    fn save(&self, (): (), inputs: [&Tensor; N], _: &Tensor) -> (Tensor, Tensor) {
        (inputs[0].detached(), inputs[1].detached())
    }

    fn backward(&self, (x, w): Self::Saved, grad: Tensor, wanted: [bool; N]) -> Result<[Option<Tensor>; N]> {
        links(&self.0, x.shape(), w.shape())?.gradients(&x, &w, &grad, wanted)
    }
}

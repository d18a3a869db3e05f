//! Max pooling over windows that touch and do not overlap: `[n, d, h, w, c]` to `[n, d / wd, h / wh, w / ww, c]`, rounded
//! down.
//!
//! For the gradient one byte per output number is kept: which place of its window was the greatest. Of equal numbers
//! that is the first, in the order `z, y, x`; not a number is greater than all. Both are as in PyTorch.

#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cpu;
mod cuda;
#[cfg(test)]
mod tests;

use crate::walk::on_gpu;
use cellseg_core::{
    Buffer, Error, Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::sync::Arc;

/// The greatest number of each window of `(z, y, x)` voxels, for each channel. Voxels beyond the last whole window are
/// left out.
///
/// # Errors
/// Other than five axes; a window without voxels, of more than 256, or larger than the volume; see [`apply`].
pub fn max_pool3d(x: &Tensor, window: [usize; 3]) -> Result<Tensor> {
    apply(MaxPool3d { window }, [x.into()])
}

#[derive(Clone)]
struct MaxPool3d {
    window: [usize; 3],
}

/// Where the sizes of a pooling stand together.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Extents `(z, y, x)` of the input.
    input: [usize; 3],
    /// Extents `(z, y, x)` of the output.
    output: [usize; 3],
    window: [usize; 3],
    channels: usize,
}

impl MaxPool3d {
    fn sizes(&self, x: Shape) -> Result<Sizes> {
        let [_, d, h, w, channels] = x.volumes(Self::NAME)?;
        let (input, window) = ([d, h, w], self.window);
        let voxels = window.iter().try_fold(1usize, |n, &w| n.checked_mul(w));
        if !voxels.is_some_and(|v| (1..=256).contains(&v)) {
            return Err(Error::argument(Self::NAME, format!("window {window:?} must hold 1 to 256 voxels")));
        }
        if input.iter().zip(window).any(|(&extent, w)| extent < w) {
            return Err(Error::argument(
                Self::NAME,
                format!("window {window:?} does not fit into the volume {input:?} of {x:?}"),
            ));
        }
        let output = std::array::from_fn(|i| input[i] / window[i]);
        Ok(Sizes { input, output, window, channels })
    }
}

impl Kernel<1> for MaxPool3d {
    const NAME: &'static str = "max_pool3d";
    /// The place of the greatest number in its window, for each number of the output.
    type Aux = Option<Tensor>;

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        let Sizes { output: [d, h, w], channels, .. } = self.sizes(x)?;
        Shape::new(&[x.dims()[0], d, h, w, channels])
    }

    fn cpu<T: Real>(
        &self,
        [shape]: [Shape; 1],
        [x]: [&[T]; 1],
        out: &mut [T],
        recording: bool,
    ) -> Result<Option<Tensor>> {
        let sizes = self.sizes(shape)?;
        if !recording {
            cpu::forward(&sizes, x, out);
            return Ok(None);
        }
        let places = Tensor::build(self.shape([shape])?.dims(), |places: &mut [u8]| {
            cpu::forward_with_places(&sizes, x, out, places);
            Ok(())
        })?;
        Ok(Some(places))
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [shape]: [Shape; 1],
        [x]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        recording: bool,
    ) -> Result<Option<Tensor>> {
        let places = cuda::forward(device, &self.sizes(shape)?, x, out, recording)?;
        places.map(|places| Tensor::from_buffer(self.shape([shape])?, Buffer::Cuda(places))).transpose()
    }
}

impl Op<1> for MaxPool3d {
    /// The places, and the shape of the input.
    type Saved = (Option<Tensor>, Shape);

    fn save(&self, places: Option<Tensor>, [x]: [&Tensor; 1], _: &Tensor) -> Self::Saved {
        (places, x.shape())
    }

    fn backward(&self, (places, to): Self::Saved, grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let places = places.ok_or(Error::Gradient("max_pool3d ran without recording its places"))?;
        Ok([Some(run(&MaxPool3dGradient { pool: self.clone(), places, to }, [grad.into()])?.0)])
    }
}

/// The gradient of [`MaxPool3d`]: each number goes to its place, and zero elsewhere.
#[derive(Clone)]
struct MaxPool3dGradient {
    pool: MaxPool3d,
    places: Tensor,
    to: Shape,
}

impl Kernel<1> for MaxPool3dGradient {
    const NAME: &'static str = "max_pool3d gradient";
    type Aux = ();

    fn shape(&self, _: [Shape; 1]) -> Result<Shape> {
        Ok(self.to)
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [grad]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        cpu::backward(&self.pool.sizes(self.to)?, grad, self.places.as_slice()?, out);
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        _: [Shape; 1],
        [grad]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        cuda::backward(device, &self.pool.sizes(self.to)?, grad, on_gpu(Self::NAME, &self.places)?, out)
    }
}

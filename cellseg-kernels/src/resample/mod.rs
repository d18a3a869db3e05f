//! Resizing of volumes: `[n, d, h, w, c]` to `[n, d', h', w', c]`, by the formulas of PyTorch's `interpolate`.
//!
//! Along each axis a number is a weighted sum of at most two neighbours, and the gradient that of a few; both are the
//! same loops with other taps.

#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cpu;
mod cuda;
mod taps;
#[cfg(test)]
mod tests;

use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::sync::Arc;
use taps::Taps;

/// How a number between voxels is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// That of a voxel near by: voxel `i` of the output is voxel `floor(i * from / to)` of the input.
    Nearest,
    /// A mean of the eight voxels around, weighted by their distances along each axis.
    Trilinear {
        /// Whether the centres of the corner voxels of both volumes lie at the same place, instead of their outer faces.
        align_corners: bool,
    },
}

/// The volumes `x` `[n, d, h, w, c]` resized to the extents `size` `(d, h, w)`.
///
/// ```
/// use cellseg_core::Tensor;
/// use cellseg_kernels::resample::{Interpolation, resize};
/// let x = Tensor::from_slice(&[1.0f32, 3.0], &[1, 1, 1, 2, 1])?;
/// let y = resize(&x, [1, 1, 4], Interpolation::Trilinear { align_corners: false })?;
/// assert_eq!(y.to_vec::<f32>()?, [1.0, 1.5, 2.5, 3.0]);
/// # Ok::<(), cellseg_core::Error>(())
/// ```
///
/// # Errors
/// Other than five axes, extents of zero before or after; see [`apply`].
pub fn resize(x: &Tensor, size: [usize; 3], interpolation: Interpolation) -> Result<Tensor> {
    apply(Resize { size, interpolation }, [x.into()])
}

#[derive(Clone)]
struct Resize {
    size: [usize; 3],
    interpolation: Interpolation,
}

impl Resize {
    /// The taps of each axis of volumes of extents `from`.
    fn taps(&self, from: [usize; 3]) -> [Taps; 3] {
        std::array::from_fn(|i| Taps::new(from[i], self.size[i], self.interpolation))
    }
}

impl Kernel<1> for Resize {
    const NAME: &'static str = "resize";
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        let [n, d, h, w, c] = x.volumes(Self::NAME)?;
        if [d, h, w].contains(&0) || self.size.contains(&0) {
            return Err(Error::argument(
                Self::NAME,
                format!("{x:?} to {:?}: extents of volumes start at 1", self.size),
            ));
        }
        let [d, h, w] = self.size;
        Shape::new(&[n, d, h, w, c])
    }

    fn cpu<T: Real>(&self, [shape]: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let [_, d, h, w, c] = shape.volumes(Self::NAME)?;
        cpu::resize(&self.taps([d, h, w]), [d, h, w], c, x, out);
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
        cuda::resize(device, self, shape.volumes(Self::NAME)?, x, out)
    }
}

impl Op<1> for Resize {
    /// The shape of the input.
    type Saved = Shape;

    fn save(&self, (): (), [x]: [&Tensor; 1], _: &Tensor) -> Shape {
        x.shape()
    }

    fn backward(&self, to: Shape, grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(run(&ResizeGradient { resize: self.clone(), to }, [grad.into()])?.0)])
    }
}

/// The gradient of [`Resize`].
#[derive(Clone)]
struct ResizeGradient {
    resize: Resize,
    to: Shape,
}

impl Kernel<1> for ResizeGradient {
    const NAME: &'static str = "resize gradient";
    type Aux = ();

    fn shape(&self, _: [Shape; 1]) -> Result<Shape> {
        Ok(self.to)
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [grad]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let [_, d, h, w, c] = self.to.volumes(Self::NAME)?;
        let taps = self.resize.taps([d, h, w]);
        let taps = std::array::from_fn(|i| taps[i].transposed([d, h, w][i]));
        cpu::resize(&taps, self.resize.size, c, grad, out);
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
        cuda::gradient(device, &self.resize, self.to.volumes(Self::NAME)?, grad, out)
    }
}

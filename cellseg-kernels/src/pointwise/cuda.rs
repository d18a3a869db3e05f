//! Launches of the pointwise kernels. All of them but the broadcast may write in the place of their first input.

use super::{
    activation::{Activation, specialise},
    functions::{Elu, Function, Gelu, Identity, LeakyRelu, Relu, Sigmoid},
};
use crate::walk::{pack, walk};
use cellseg_core::{
    MAX_RANK, Result, Shape,
    cuda::{Arguments, Cuda, CudaBuffer, Source, Value},
    cuda_source,
};
use std::sync::Arc;

const EACH: Source = cuda_source!("pointwise/each.cu");
const ARITHMETIC: Source = cuda_source!("pointwise/arithmetic.cu");
const BROADCAST: Source = cuda_source!("pointwise/broadcast.cu");

/// `out = f(x)`.
pub(super) fn value<F: Function>(
    device: &Arc<Cuda>,
    f: F,
    x: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let count = x.len();
    let defines = [("REAL", Cuda::real(F::NAME, x.dtype())?), ("FUNCTION", F::KIND_NAME)];
    let launch = walk(device, &EACH, &defines, "value", count.div_ceil(pack(x.dtype())));
    let arguments = Arguments::new().output(out).input(x).value(count as i64).value(f.setting());
    // SAFETY: both buffers hold `count` numbers of this type.
    unsafe { device.launch(launch, arguments) }
}

/// `out` becomes the gradient of the input of `f` from `grad`, that of its output; `at` is what [`Function::FROM_OUTPUT`]
/// says.
pub(super) fn gradient<F: Function>(
    device: &Arc<Cuda>,
    f: F,
    grad: &CudaBuffer,
    at: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let count = at.len();
    let defines = [("REAL", Cuda::real(F::NAME, at.dtype())?), ("FUNCTION", F::KIND_NAME)];
    let launch = walk(device, &EACH, &defines, "gradient", count.div_ceil(pack(at.dtype())));
    let arguments = Arguments::new().output(out).input(grad).input(at).value(count as i64).value(f.setting());
    // SAFETY: all buffers hold `count` numbers of this type.
    unsafe { device.launch(launch, arguments) }
}

/// The same for an activation; `at` is what [`Activation::gradient_is_from_output`] says.
///
/// # Errors
/// Those of [`Cuda::launch`], and of [`Cuda::real`].
pub(crate) fn activation_gradient(
    device: &Arc<Cuda>,
    activation: Activation,
    grad: &CudaBuffer,
    at: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    specialise!(activation, f => gradient(device, f, grad, at, out))
}

/// `out = a op b` by the kernel of this name.
pub(super) fn pairs(
    device: &Arc<Cuda>,
    kernel: &'static str,
    [a, b]: [&CudaBuffer; 2],
    out: &mut CudaBuffer,
) -> Result<()> {
    let count = a.len();
    let defines = [("REAL", Cuda::real(kernel, a.dtype())?)];
    let launch = walk(device, &ARITHMETIC, &defines, kernel, count.div_ceil(pack(a.dtype())));
    let arguments = Arguments::new().output(out).input(a).input(b).value(count as i64);
    // SAFETY: all buffers hold `count` numbers of this type.
    unsafe { device.launch(launch, arguments) }
}

/// `out = factor * x + shift`.
pub(crate) fn linear(
    device: &Arc<Cuda>,
    factor: f64,
    shift: f64,
    x: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let count = x.len();
    let defines = [("REAL", Cuda::real("linear", x.dtype())?)];
    let launch = walk(device, &ARITHMETIC, &defines, "linear", count.div_ceil(pack(x.dtype())));
    let arguments =
        Arguments::new().output(out).input(x).value(count as i64).value(factor as f32).value(shift as f32);
    // SAFETY: both buffers hold `count` numbers of this type.
    unsafe { device.launch(launch, arguments) }
}

/// The axes of a broadcast as its kernel takes them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axes {
    extents: [i64; MAX_RANK],
    strides: [i64; MAX_RANK],
    first: i32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernel's `Axes`.
unsafe impl Value for Axes {}

impl Axes {
    /// The axes of an output of this shape, those taken as one that are walked over as one.
    fn new(to: Shape, strides: &[usize]) -> Self {
        let mut axes = Axes { extents: [1; MAX_RANK], strides: [0; MAX_RANK], first: MAX_RANK as i32 - 1 };
        let mut at = MAX_RANK - 1;
        let mut is_first = true;
        for (&extent, &stride) in to.dims().iter().zip(strides).rev().filter(|(extent, _)| **extent != 1) {
            let (extent, stride) = (extent as i64, stride as i64);
            // The next one outwards goes on where this one ends.
            if is_first {
                is_first = false;
            } else if stride != axes.strides[at] * axes.extents[at] {
                at -= 1;
            } else {
                axes.extents[at] *= extent;
                continue;
            }
            (axes.extents[at], axes.strides[at]) = (extent, stride);
        }
        axes.first = at as i32;
        axes
    }
}

/// `out = factor * x`, repeated to the shape `to`; `strides` are zero along the axes where `x` is repeated.
pub(super) fn broadcast(
    device: &Arc<Cuda>,
    to: Shape,
    strides: &[usize],
    factor: f64,
    x: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let count = out.len();
    let defines = [("REAL", Cuda::real("broadcast_to", x.dtype())?)];
    let launch = walk(device, &BROADCAST, &defines, "broadcast", count.div_ceil(pack(x.dtype())));
    let axes = Axes::new(to, strides);
    let arguments =
        Arguments::new().output(out).input(x).value(count as i64).value(axes).value(factor as f32);
    // SAFETY: `out` holds `count` numbers; the axes lead from each of them to one of `x`.
    unsafe { device.launch(launch, arguments) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_that_go_on_are_one() -> Result<()> {
        let axes = |dims: &[usize], strides: &[usize]| -> Result<Vec<(i64, i64)>> {
            let axes = Axes::new(Shape::new(dims)?, strides);
            Ok((axes.first as usize..MAX_RANK).map(|i| (axes.extents[i], axes.strides[i])).collect())
        };
        assert_eq!(axes(&[], &[])?, [(1, 0)]);
        assert_eq!(axes(&[2, 5, 7, 3], &[105, 21, 3, 1])?, [(210, 1)]);
        assert_eq!(axes(&[2, 5, 7, 3], &[0, 0, 0, 0])?, [(210, 0)]);
        assert_eq!(axes(&[2, 5, 1, 7, 3], &[3, 0, 3, 0, 1])?, [(2, 3), (35, 0), (3, 1)]);
        assert_eq!(axes(&[2, 1, 4, 6], &[4, 4, 1, 0])?, [(8, 1), (6, 0)]);
        Ok(())
    }
}

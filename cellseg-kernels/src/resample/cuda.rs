//! Launches of the resizing kernels.

use super::{Interpolation, Resize};
use crate::{
    sizes::{int, ints},
    walk::{step, walk},
};
use cellseg_core::{
    DType, Result,
    cuda::{Arguments, Cuda, CudaBuffer, Source, Value},
    cuda_source,
};
use std::sync::Arc;

const FORWARD: &str = "resize";
const BACKWARD: &str = "resize gradient";

const RESAMPLE: Source = cuda_source!("resample/resample.cu");

/// Voxels along x of a thread: the kernel's `RUN`.
const RUN: usize = 4;

/// The sizes as the kernels take them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sizes {
    from: [i32; 3],
    to: [i32; 3],
    channels: i32,
    width: i32,
    mode: i32,
    count: i64,
}
// SAFETY: a `repr(C)` struct of numbers, the kernels' `Sizes`.
unsafe impl Value for Sizes {}

impl Sizes {
    fn new(op: &'static str, resize: &Resize, [_, d, h, w, c]: [usize; 5], dtype: DType) -> Result<Self> {
        let mode = match resize.interpolation {
            Interpolation::Nearest => 0,
            Interpolation::Trilinear { align_corners: false } => 1,
            Interpolation::Trilinear { align_corners: true } => 2,
        };
        Ok(Sizes {
            from: ints(op, [d, h, w])?,
            to: ints(op, resize.size)?,
            channels: int(op, c)?,
            width: step(dtype, c) as i32,
            mode,
            count: 0,
        })
    }

    /// What a thread takes of a row of channels, as many times.
    fn packs(&self) -> usize {
        self.channels as usize / self.width as usize
    }
}

/// Resizes volumes of these extents.
pub(super) fn resize(
    device: &Arc<Cuda>,
    resize: &Resize,
    from: [usize; 5],
    x: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let sizes = Sizes::new(FORWARD, resize, from, x.dtype())?;
    let [d, h, w] = resize.size;
    let runs = from[0] * d * h * w.div_ceil(RUN) * sizes.packs();
    let defines = [("REAL", Cuda::real(FORWARD, x.dtype())?)];
    let launch = walk(device, &RESAMPLE, &defines, "resize", runs);
    let arguments = Arguments::new().output(out).input(x).value(Sizes { count: runs as i64, ..sizes });
    // SAFETY: the buffers are of the sizes given.
    unsafe { device.launch(launch, arguments) }
}

/// The gradient of volumes of these extents from that of the resized ones.
pub(super) fn gradient(
    device: &Arc<Cuda>,
    resize: &Resize,
    from: [usize; 5],
    grad: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let sizes = Sizes::new(BACKWARD, resize, from, grad.dtype())?;
    let packs = from[..4].iter().product::<usize>() * sizes.packs();
    let defines = [("REAL", Cuda::real(BACKWARD, grad.dtype())?)];
    let launch = walk(device, &RESAMPLE, &defines, "gradient", packs);
    let arguments = Arguments::new().output(out).input(grad).value(Sizes { count: packs as i64, ..sizes });
    // SAFETY: the buffers are of the sizes given.
    unsafe { device.launch(launch, arguments) }
}

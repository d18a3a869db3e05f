//! Launches of the pooling's kernels.

use super::Sizes;
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

const POOL: Source = cuda_source!("pool/pool.cu");

const FORWARD: &str = "max_pool3d";
const BACKWARD: &str = "max_pool3d gradient";

/// The sizes as the kernels take them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Geometry {
    input: [i32; 3],
    output: [i32; 3],
    window: [i32; 3],
    channels: i32,
    width: i32,
    count: i64,
}
// SAFETY: a `repr(C)` struct of numbers, the kernels' `Sizes`.
unsafe impl Value for Geometry {}

impl Geometry {
    /// For a kernel that writes `count` numbers of this type.
    fn new(op: &'static str, sizes: &Sizes, dtype: DType, count: usize) -> Result<Self> {
        Ok(Geometry {
            input: ints(op, sizes.input)?,
            output: ints(op, sizes.output)?,
            window: ints(op, sizes.window)?,
            channels: int(op, sizes.channels)?,
            width: step(dtype, sizes.channels) as i32,
            count: count as i64,
        })
    }

    fn steps(&self) -> usize {
        self.count as usize / self.width as usize
    }
}

/// The greatest numbers, and with `with_places` which places of their windows they are from.
pub(super) fn forward(
    device: &Arc<Cuda>,
    sizes: &Sizes,
    x: &CudaBuffer,
    out: &mut CudaBuffer,
    with_places: bool,
) -> Result<Option<CudaBuffer>> {
    let geometry = Geometry::new(FORWARD, sizes, x.dtype(), out.len())?;
    let mut places = with_places.then(|| CudaBuffer::new(device, DType::U8, out.len())).transpose()?;
    let defines = [("REAL", Cuda::real(FORWARD, x.dtype())?)];
    let arguments = Arguments::new().output(out);
    let arguments = match &mut places {
        Some(places) => arguments.output(places),
        None => arguments.optional(None),
    };
    let launch = walk(device, &POOL, &defines, "pool", geometry.steps());
    // SAFETY: the buffers are of the sizes that the geometry says, the places as many as the output's numbers.
    unsafe { device.launch(launch, arguments.input(x).value(geometry))? };
    Ok(places)
}

/// Sends each gradient to its place.
pub(super) fn backward(
    device: &Arc<Cuda>,
    sizes: &Sizes,
    grad: &CudaBuffer,
    places: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let geometry = Geometry::new(BACKWARD, sizes, grad.dtype(), out.len())?;
    let defines = [("REAL", Cuda::real(BACKWARD, grad.dtype())?)];
    let launch = walk(device, &POOL, &defines, "gradient", geometry.steps());
    let arguments = Arguments::new().output(out).input(grad).input(places).value(geometry);
    // SAFETY: as for `forward`.
    unsafe { device.launch(launch, arguments) }
}

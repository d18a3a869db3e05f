//! What both forms share on a GPU: sizes for the kernels, and the end of the forward pass, from the sums of parts of an item
//! to the loss and the gradient's coefficients. Nothing is read back to the host.

use super::{LEAST_ASSOCIATION, NAME, geometry::Geometry};
use crate::sizes::{blocks, few_blocks, int, tensor};
use cellseg_core::{
    DType, Error, Result, Tensor,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};
use std::{f64::consts::LOG2_E, sync::Arc};

const QUOTIENTS: Source = cuda_source!("soft_ncuts/quotients.cu");

/// Threads of every block.
pub(super) const THREADS: usize = 256;

/// Exponents count in powers of two.
pub(super) const LOG_2_OF_E: f64 = LOG2_E;

/// Checks that a block gets the shared memory that the window asks for, that of the kernel itself included.
pub(super) fn check_shared(device: &Cuda, geometry: &Geometry, bytes: usize) -> Result<()> {
    if bytes <= device.shared_per_block() {
        return Ok(());
    }
    let why = format!(
        "a window that reaches {:?} voxels along (z, y, x) takes {bytes} bytes of shared memory where {} has {}; \
         make the radius smaller or use the CPU",
        geometry.reach,
        device.name(),
        device.shared_per_block()
    );
    Err(Error::argument(NAME, why))
}

/// The associations of the parts of all items.
pub(super) struct Parts<'a> {
    /// `[n][parts][quantities][k]` in double precision.
    pub sums: &'a CudaBuffer,
    /// Parts of an item.
    pub parts: usize,
    /// Quantities of a part.
    pub quantities: usize,
    /// Channels whose slopes are among them.
    pub channels: usize,
    /// What the means of the classes were divided by, `[n][k]`; none for the exact form.
    pub masses: Option<&'a CudaBuffer>,
    /// `4 / sigma_intensity^2`, the factor of the slopes.
    pub steepness: f64,
}

/// The arguments of the kernels of `quotients.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ends {
    n: i32,
    k: i32,
    channels: i32,
    parts: i32,
    quantities: i32,
    exact: i32,
    least_association: f32,
    steepness: f32,
}

// SAFETY: a `repr(C)` struct of numbers, the same as in `quotients.cu`.
unsafe impl Value for Ends {}

/// Writes the loss to `out`, and returns the gradient's coefficients, `[n, 2 + channels, k]`.
pub(super) fn end(
    device: &Arc<Cuda>,
    geometry: &Geometry,
    of: &Parts<'_>,
    out: &mut CudaBuffer,
) -> Result<Tensor> {
    let Geometry { n, k, .. } = *geometry;
    let ends = Ends {
        n: int(NAME, n)?,
        k: int(NAME, k)?,
        channels: int(NAME, of.channels)?,
        parts: int(NAME, of.parts)?,
        quantities: int(NAME, of.quantities)?,
        exact: i32::from(of.masses.is_none()),
        least_association: LEAST_ASSOCIATION as f32,
        steepness: of.steepness as f32,
    };
    let mut quotients = CudaBuffer::new(device, DType::F64, n * k)?;
    let mut coefficients = CudaBuffer::new(device, DType::F32, n * (2 + of.channels) * k)?;
    let real = Cuda::real(NAME, out.dtype())?;
    let launch = Launch {
        source: &QUOTIENTS,
        defines: &[("REAL", real)],
        kernel: "quotients",
        grid: [blocks(NAME, &[k])?, few_blocks(NAME, n)?, 1],
        block: THREADS as u32,
        shared: 0,
    };
    let arguments = Arguments::new().input(of.sums).optional(of.masses);
    let arguments = arguments.output(&mut quotients).output(&mut coefficients).value(ends);
    // SAFETY: the buffers have the shapes that the kernel states.
    unsafe { device.launch(launch, arguments)? };
    let launch = Launch { kernel: "loss", grid: [1; 3], block: 32, ..launch };
    let arguments = Arguments::new().input(&quotients).output(out).value(ends);
    // SAFETY: `quotients` holds `n k` numbers, and `out` one.
    unsafe { device.launch(launch, arguments)? };
    tensor(&[n, 2 + of.channels, k], coefficients)
}

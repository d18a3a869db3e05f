//! The exchange of the two channels of weights.

use crate::sizes::{blocks, few_blocks, int};
use cellseg_core::{
    Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source},
    cuda_source,
};

const SWAP: Source = cuda_source!("conv3d/swap_channels.cu");

/// Weights `[taps, rows, columns]` as `[taps, columns, rows]`.
///
/// # Errors
/// Memory; sizes that a launch cannot count; those of the device.
pub(super) fn swap(
    op: &'static str,
    weights: &CudaBuffer,
    [taps, rows, columns]: [usize; 3],
) -> Result<CudaBuffer> {
    const TILE: usize = 32;
    let device = weights.device();
    let mut out = CudaBuffer::new(device, weights.dtype(), weights.len())?;
    let launch = Launch {
        source: &SWAP,
        defines: &[("REAL", Cuda::real(op, weights.dtype())?)],
        kernel: "swap_channels",
        grid: [blocks(op, &[taps, columns.div_ceil(TILE)])?, few_blocks(op, rows.div_ceil(TILE))?, 1],
        block: 256,
        shared: 0,
    };
    let arguments =
        Arguments::new().output(&mut out).input(weights).value(int(op, rows)?).value(int(op, columns)?);
    // SAFETY: both buffers hold this many taps, rows and columns.
    unsafe { device.launch(launch, arguments)? };
    Ok(out)
}

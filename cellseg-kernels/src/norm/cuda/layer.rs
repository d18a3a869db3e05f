//! Layer normalisation on a GPU.

use crate::{
    reduce::cuda::sum_middle_after,
    sizes::tensor,
    walk::{BLOCK, on_gpu, pack, walk},
};
use cellseg_core::{
    DType, Result, Tensor,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};
use std::sync::Arc;

const LAYER: Source = cuda_source!("norm/layer.cu");
const ANY: Source = cuda_source!("norm/layer_any.cu");

const BACKWARD: &str = "layer_norm gradient";

/// Threads of a warp, which are the most that share a row.
const WARP: usize = 32;

/// Blocks that the rows are cut into for the gradients of the scale and the shift.
const PARTS: usize = 512;

/// The rows as the kernels take them.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Rows {
    rows: i64,
    part: i64,
    channels: i32,
    lanes: i32,
    eps: f32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernels' `Rows`.
unsafe impl Value for Rows {}

/// How the kernels are compiled.
struct Compiled {
    source: &'static Source,
    defines: Vec<(&'static str, &'static str)>,
}

impl Rows {
    /// The rows, and the kernels for them: those that hold a row in registers where packs fill it, and not too many.
    fn new(
        op: &'static str,
        dtype: DType,
        channels: usize,
        count: usize,
        eps: f64,
    ) -> Result<(Self, Compiled)> {
        let packs = channels / pack(dtype);
        let held = match packs.div_ceil(WARP) {
            _ if !channels.is_multiple_of(pack(dtype)) => None,
            1 => Some("1"),
            2 => Some("2"),
            3 | 4 => Some("4"),
            _ => None,
        };
        let sharing = if held.is_some() { packs } else { channels };
        let lanes = sharing.next_power_of_two().min(WARP);
        let rows = count / channels;
        let at_once = BLOCK / lanes;
        let part = rows.div_ceil(PARTS).next_multiple_of(at_once).max(at_once);
        let rows = Rows {
            rows: rows as i64,
            part: part as i64,
            channels: channels as i32,
            lanes: lanes as i32,
            eps: eps as f32,
        };
        let mut defines = vec![("REAL", Cuda::real(op, dtype)?)];
        defines.extend(held.map(|held| ("HELD", held)));
        let source = if held.is_some() { &LAYER } else { &ANY };
        Ok((rows, Compiled { source, defines }))
    }
}

pub(crate) fn forward(
    device: &Arc<Cuda>,
    channels: usize,
    eps: f64,
    [x, gamma, beta]: [&CudaBuffer; 3],
    out: &mut CudaBuffer,
) -> Result<()> {
    let (rows, compiled) = Rows::new("layer_norm", x.dtype(), channels, x.len(), eps)?;
    let threads = rows.rows as usize * rows.lanes as usize;
    let launch = walk(device, compiled.source, &compiled.defines, "forward", threads);
    let arguments = Arguments::new().output(out).input(x).input(gamma).input(beta).value(rows);
    // SAFETY: both arrays hold these rows, scale and shift a number for each channel.
    unsafe { device.launch(launch, arguments) }
}

/// The gradients of the scale and the shift; `out`, which may lie in the place of `grad`, becomes that of `x`.
pub(crate) fn backward(
    device: &Arc<Cuda>,
    channels: usize,
    eps: f64,
    gamma: &Tensor,
    [grad, x]: [&CudaBuffer; 2],
    out: &mut CudaBuffer,
) -> Result<[Tensor; 2]> {
    let (rows, compiled) = Rows::new(BACKWARD, x.dtype(), channels, x.len(), eps)?;
    let blocks = (rows.rows as usize).div_ceil(rows.part as usize);
    let mut parts = CudaBuffer::new(device, DType::F32, 2 * blocks * channels)?;
    let launch = Launch {
        source: compiled.source,
        defines: &compiled.defines,
        kernel: "backward",
        grid: [blocks as u32, 1, 1],
        block: BLOCK as u32,
        shared: 0,
    };
    let arguments = Arguments::new().output(out).output(&mut parts).input(grad).input(x);
    let arguments = arguments.input(on_gpu(BACKWARD, gamma)?).value(rows);
    // SAFETY: all arrays hold these rows, `parts` two for each block; a number is read before it is written.
    unsafe { device.launch(launch, arguments)? };
    let total = |skipped: usize| {
        let mut sums = CudaBuffer::new(device, x.dtype(), channels)?;
        sum_middle_after(device, &parts, skipped, [1, blocks, channels], 1.0, &mut sums)?;
        tensor(&[channels], sums)
    };
    Ok([total(0)?, total(blocks * channels)?])
}

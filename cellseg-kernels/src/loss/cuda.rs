//! Launches of the losses' kernels.

use super::{Pair, Side};
use crate::{
    reduce::cuda::sum_middle,
    walk::{BLOCK, pack, walk},
};
use cellseg_core::{
    DType, Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source},
    cuda_source,
};
use std::sync::Arc;

const LOSS: Source = cuda_source!("loss/loss.cu");

/// Packs of each thread of a block that sums losses.
const STEPS: usize = 8;

/// The mean of the losses of all pairs.
pub(super) fn mean<P: Pair>(
    device: &Arc<Cuda>,
    [x, target]: [&CudaBuffer; 2],
    out: &mut CudaBuffer,
) -> Result<()> {
    let (count, part) = (x.len(), BLOCK * pack(x.dtype()) * STEPS);
    let blocks = count.div_ceil(part);
    let mut sums = CudaBuffer::new(device, DType::F32, blocks)?;
    let launch = Launch {
        source: &LOSS,
        defines: &[("REAL", Cuda::real(P::NAME, x.dtype())?), ("PAIR", P::KIND)],
        kernel: "loss",
        grid: [blocks as u32, 1, 1],
        block: BLOCK as u32,
        shared: 0,
    };
    let arguments = Arguments::new().output(&mut sums).input(x).input(target);
    // SAFETY: both inputs hold `count` numbers; there is a sum for each block.
    unsafe { device.launch(launch, arguments.value(count as i64).value(part as i64))? };
    sum_middle(device, &sums, [1, blocks, 1], 1.0 / count as f64, out)
}

/// The derivatives by one side, from both sides and the gradient of the mean.
pub(super) fn gradient<P: Pair>(
    device: &Arc<Cuda>,
    side: Side,
    [x, target, grad]: [&CudaBuffer; 3],
    out: &mut CudaBuffer,
) -> Result<()> {
    let count = x.len();
    let defines = [("REAL", Cuda::real(P::GRADIENT, x.dtype())?), ("PAIR", P::KIND)];
    let launch = walk(device, &LOSS, &defines, "gradient", count.div_ceil(pack(x.dtype())));
    let arguments = Arguments::new().output(out).input(x).input(target).input(grad).value(count as i64);
    let by_target = matches!(side, Side::Target);
    // SAFETY: the sides and the output hold `count` numbers, the gradient of the mean is one.
    unsafe { device.launch(launch, arguments.value(i32::from(by_target))) }
}

//! Launches of the softmax's kernels, which work in place.

use super::cpu::Form;
use crate::walk::{pack, walk};
use cellseg_core::{
    Result,
    cuda::{Arguments, Cuda, CudaBuffer, Source},
    cuda_source,
};
use std::sync::Arc;

const FEW: Source = cuda_source!("softmax/few.cu");
const ANY: Source = cuda_source!("softmax/any.cu");

/// Runs the kernel of this name for rows of `channels` numbers, which writes its first argument and reads the others.
fn launch(
    device: &Arc<Cuda>,
    kernel: &str,
    form: Form,
    channels: usize,
    inputs: &[&CudaBuffer],
    out: &mut CudaBuffer,
) -> Result<()> {
    let (count, dtype) = (out.len(), out.dtype());
    let log = if form == Form::Log { "1" } else { "0" };
    let real = Cuda::real("softmax", dtype)?;
    let arguments = inputs.iter().fold(Arguments::new().output(out), |arguments, x| arguments.input(x));
    let known = match channels {
        2 => "2",
        4 => "4",
        8 => "8",
        16 => "16",
        _ => {
            let (rows, lanes) = (count / channels.max(1), channels.next_power_of_two().min(32));
            let defines = [("REAL", real), ("LOG", log)];
            let launch = walk(device, &ANY, &defines, kernel, rows * lanes);
            let arguments = arguments.value(rows as i64).value(channels as i32).value(lanes as i32);
            // SAFETY: all buffers hold these rows; a number is read before it is written.
            return unsafe { device.launch(launch, arguments) };
        }
    };
    let defines = [("REAL", real), ("LOG", log), ("CHANNELS", known)];
    let launch = walk(device, &FEW, &defines, kernel, count.div_ceil(channels.max(pack(dtype))));
    // SAFETY: all buffers hold `count` numbers; a row is read before it is written.
    unsafe { device.launch(launch, arguments.value(count as i64)) }
}

/// The softmax of rows of `channels` numbers.
pub(super) fn forward(
    device: &Arc<Cuda>,
    form: Form,
    channels: usize,
    x: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    launch(device, "forward", form, channels, &[x], out)
}

/// The gradient of such rows from that of their softmax `y`.
pub(super) fn backward(
    device: &Arc<Cuda>,
    form: Form,
    channels: usize,
    grad: &CudaBuffer,
    y: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    launch(device, "backward", form, channels, &[grad, y], out)
}

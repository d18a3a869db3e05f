//! Launches of the softmax's kernels, which work in place.

use super::cpu::Form;
use crate::walk::{pack, walk};
use cellseg_core::{
    DType, Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source},
    cuda_source,
};
use std::sync::Arc;

const SOFTMAX: Source = cuda_source!("softmax/softmax.cu");

/// How the kernels are compiled for some channels, and how many threads share a row where that is not known.
struct Rows {
    defines: [(&'static str, &'static str); 3],
    /// Threads for all rows.
    threads: usize,
    lanes: usize,
}

impl Rows {
    fn new(form: Form, channels: usize, count: usize, dtype: DType) -> Result<Self> {
        let known = match channels {
            2 => "2",
            4 => "4",
            8 => "8",
            16 => "16",
            _ => "0",
        };
        let lanes = channels.next_power_of_two().min(32);
        let threads = if known == "0" {
            count / channels.max(1) * lanes
        } else {
            count.div_ceil(channels.max(pack(dtype)))
        };
        let log = if form == Form::Log { "1" } else { "0" };
        let defines = [("REAL", Cuda::real("softmax", dtype)?), ("LOG", log), ("CHANNELS", known)];
        Ok(Rows { defines, threads, lanes })
    }

    fn launch<'a>(&'a self, device: &Cuda, kernel: &'a str) -> Launch<'a> {
        walk(device, &SOFTMAX, &self.defines, kernel, self.threads)
    }

    fn add(&self, arguments: Arguments, channels: usize, count: usize) -> Arguments {
        let rows = count / channels.max(1);
        arguments.value(rows as i64).value(channels as i32).value(self.lanes as i32)
    }
}

pub(super) fn forward(
    device: &Arc<Cuda>,
    form: Form,
    channels: usize,
    x: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let rows = Rows::new(form, channels, x.len(), x.dtype())?;
    let arguments = rows.add(Arguments::new().output(out).input(x), channels, x.len());
    // SAFETY: both buffers hold this many rows; a row is read before it is written, or number by number.
    unsafe { device.launch(rows.launch(device, "forward"), arguments) }
}

pub(super) fn backward(
    device: &Arc<Cuda>,
    form: Form,
    channels: usize,
    grad: &CudaBuffer,
    y: &CudaBuffer,
    out: &mut CudaBuffer,
) -> Result<()> {
    let rows = Rows::new(form, channels, y.len(), y.dtype())?;
    let arguments = rows.add(Arguments::new().output(out).input(grad).input(y), channels, y.len());
    // SAFETY: as for `forward`.
    unsafe { device.launch(rows.launch(device, "backward"), arguments) }
}

//! Launches of kernels that walk over an array in packs of 16 bytes, one for each thread at a time.

use cellseg_core::{
    Buffer, DType, Error, Result, Tensor,
    cuda::{Cuda, CudaBuffer, Launch, Source},
};

/// Threads of a block.
pub(crate) const BLOCK: usize = 256;

/// Blocks for each multiprocessor at most: so many times what it holds at once that the last of them, when some places
/// are empty, take a small part of the time. An estimate, not measured.
const BLOCKS: usize = 64;

/// Numbers of a pack.
pub(crate) fn pack(dtype: DType) -> usize {
    16 / dtype.size()
}

/// Numbers that a thread takes of a row of `width`: those of a pack where packs fill the row, else one.
pub(crate) fn step(dtype: DType, width: usize) -> usize {
    if width.is_multiple_of(pack(dtype)) { pack(dtype) } else { 1 }
}

/// A launch of a kernel that takes `steps` steps, each thread one and then as many more as are left: its grid is limited to
/// what keeps the device busy.
pub(crate) fn walk<'a>(
    device: &Cuda,
    source: &'a Source,
    defines: &'a [(&'static str, &'a str)],
    kernel: &'a str,
    steps: usize,
) -> Launch<'a> {
    let blocks = steps.div_ceil(BLOCK).min(BLOCKS * device.multiprocessors().max(1));
    Launch { source, defines, kernel, grid: [blocks as u32, 1, 1], block: BLOCK as u32, shared: 0 }
}

/// The numbers of a tensor that an operation kept, where it runs on a GPU.
///
/// # Errors
/// [`Error::Device`] where they lie on the host.
pub(crate) fn on_gpu<'a>(op: &str, tensor: &'a Tensor) -> Result<&'a CudaBuffer> {
    match tensor.buffer() {
        Buffer::Cuda(numbers) => Ok(numbers),
        Buffer::Cpu(_) => Err(Error::Device(format!("{op}: what it kept is not on the GPU that it runs on"))),
    }
}

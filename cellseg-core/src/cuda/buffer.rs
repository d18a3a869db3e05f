//! Numbers of one type in the memory of a GPU.

use super::{Cuda, driver::failed, memory::Block};
use crate::{CpuBuffer, DType, Error, Result};
use cudarc::driver::result;
use std::sync::Arc;

/// Numbers of one type in the memory of a GPU.
pub struct CudaBuffer {
    // Shared only between a buffer and its alias, see `alias`.
    block: Arc<Block>,
    // Bytes with a tag: `half` in a typed slice would pull in seventeen crates.
    dtype: DType,
    count: usize,
}

impl CudaBuffer {
    /// Room for `count` numbers, with unspecified values.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(device: &Arc<Cuda>, dtype: DType, count: usize) -> Result<Self> {
        let bytes = count
            .checked_mul(dtype.size())
            .ok_or_else(|| Error::Memory { bytes: usize::MAX, device: device.name() })?;
        Ok(CudaBuffer { block: Arc::new(Block::new(device, bytes)?), dtype, count })
    }

    /// `count` zeros.
    ///
    /// # Errors
    /// As for [`CudaBuffer::new`].
    pub fn zeroed(device: &Arc<Cuda>, dtype: DType, count: usize) -> Result<Self> {
        let buffer = Self::new(device, dtype, count)?;
        buffer.block.fill(0)?;
        Ok(buffer)
    }

    /// A copy of host numbers on the device.
    ///
    /// # Errors
    /// [`Error::Memory`]; [`Error::Device`] where work queued before it failed.
    pub fn upload(device: &Arc<Cuda>, from: &CpuBuffer) -> Result<Self> {
        let to = Self::new(device, from.dtype(), from.len())?;
        device
            .bind()
            // SAFETY: the block holds as many bytes, and `from` is not let go before the copy is done, below.
            .and_then(|()| unsafe {
                result::memcpy_htod_async(to.address(), from.as_bytes(), device.stream())
            })
            .map_err(|e| failed(format!("copy to {}", device.name()), e))?;
        device.synchronize()?;
        Ok(to)
    }

    /// A copy of the numbers on the host.
    ///
    /// # Errors
    /// [`Error::Device`] where the copy, or work queued before it, failed.
    pub fn download(&self) -> Result<CpuBuffer> {
        let mut out = CpuBuffer::new(self.dtype, self.count)?;
        let device = self.device();
        device
            .bind()
            // SAFETY: both sides hold this many bytes, and nothing touches `out` before the stream has come to the end.
            .and_then(|()| unsafe {
                result::memcpy_dtoh_async(out.as_mut_bytes(), self.address(), device.stream())
            })
            .map_err(|e| failed(format!("copy from {}", device.name()), e))?;
        device.synchronize()?;
        Ok(out)
    }

    /// The type of the numbers.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The device that holds them.
    pub fn device(&self) -> &Arc<Cuda> {
        self.block.device()
    }

    pub(super) fn address(&self) -> u64 {
        self.block.address()
    }

    /// The same memory under a second name: the input of an operation that writes its output in place.
    pub(crate) fn alias(&self) -> Self {
        CudaBuffer { block: self.block.clone(), dtype: self.dtype, count: self.count }
    }

    /// A copy in memory of its own.
    pub(crate) fn copy(&self) -> Result<Self> {
        let device = self.device();
        let to = Self::new(device, self.dtype, self.count)?;
        device
            .bind()
            // SAFETY: both blocks hold this many bytes and do not overlap.
            .and_then(|()| unsafe {
                let bytes = self.count * self.dtype.size();
                result::memcpy_dtod_async(to.address(), self.address(), bytes, device.stream())
            })
            .map_err(|e| failed(format!("copy on {}", device.name()), e))?;
        Ok(to)
    }
}

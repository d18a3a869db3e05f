//! NVIDIA GPUs through `cudarc`, behind a probe that never panics.

use crate::{CpuBuffer, DType, Error, Result};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DriverError};
use std::sync::Arc;

/// One NVIDIA GPU and the stream that all of its work is queued on.
pub struct Cuda {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
}

fn failed(what: &str, why: DriverError) -> Error {
    Error::Device(format!("{what}: {why}"))
}

impl Cuda {
    /// The GPU with this ordinal.
    ///
    /// # Errors
    /// [`Error::Device`] where the driver library is missing, or finds no GPU of this ordinal.
    pub fn probe(ordinal: usize) -> Result<Arc<Self>> {
        // cudarc panics at its first call where the library is missing, so its presence is asked for first.
        // SAFETY: only tries to open the library.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            return Err(Error::Device(
                "no CUDA driver library (libcuda) was found; install an NVIDIA driver, or use the CPU".into(),
            ));
        }
        let context = CudaContext::new(ordinal).map_err(|e| failed(&format!("CUDA device {ordinal}"), e))?;
        // SAFETY: nothing is allocated yet. With one stream, order is the stream's; events would cost two calls an
        // allocation.
        unsafe { context.disable_event_tracking() };
        let stream = context.default_stream();
        Ok(Arc::new(Cuda { context, stream }))
    }

    /// The device's name, as the driver gives it.
    pub fn name(&self) -> String {
        self.context.name().unwrap_or_else(|_| format!("CUDA device {}", self.context.ordinal()))
    }
}

/// Numbers of one type in the memory of a GPU.
pub struct CudaBuffer {
    // Bytes with a tag: `half` in a typed slice would pull in seventeen crates.
    bytes: CudaSlice<u8>,
    dtype: DType,
    device: Arc<Cuda>,
}

impl CudaBuffer {
    /// Room for `count` numbers, with unspecified values.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(device: &Arc<Cuda>, dtype: DType, count: usize) -> Result<Self> {
        let bytes = count.saturating_mul(dtype.size());
        let memory = |_| Error::Memory { bytes, device: device.name() };
        // Zeroed rather than left as it is: a slice of unspecified bytes could not be handed out safely.
        let slice = device.stream.alloc_zeros::<u8>(bytes).map_err(memory)?;
        Ok(CudaBuffer { bytes: slice, dtype, device: device.clone() })
    }

    /// A copy of host numbers on the device.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn upload(device: &Arc<Cuda>, from: &CpuBuffer) -> Result<Self> {
        let bytes = device
            .stream
            .clone_htod(from.as_bytes())
            .map_err(|_| Error::Memory { bytes: from.as_bytes().len(), device: device.name() })?;
        Ok(CudaBuffer { bytes, dtype: from.dtype(), device: device.clone() })
    }

    /// A copy of the numbers on the host.
    ///
    /// # Errors
    /// [`Error::Device`] where the copy, or work queued before it, failed.
    pub fn download(&self) -> Result<CpuBuffer> {
        let mut out = CpuBuffer::new(self.dtype, self.bytes.len() / self.dtype.size())?;
        self.device
            .stream
            .memcpy_dtoh(&self.bytes, out.as_mut_bytes())
            .and_then(|()| self.device.stream.synchronize())
            .map_err(|e| failed("copy from the GPU", e))?;
        Ok(out)
    }

    /// The type of the numbers.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device that holds them.
    pub fn device(&self) -> &Arc<Cuda> {
        &self.device
    }

    pub(crate) fn accumulate(&mut self, _: &CudaBuffer) -> Result<()> {
        Err(Error::NoKernel { op: "gradient sum", device: self.device.name() })
    }
}

//! The stand-ins of a build without the `cuda` feature: types without values.

use super::{Arguments, Launch};
use crate::{CpuBuffer, DType, Element, Error, Result, Tensor, memory::Stats};
use std::{convert::Infallible, sync::Arc};

/// One NVIDIA GPU: none, in this build.
pub struct Cuda(Infallible);

impl Cuda {
    /// Always the error that this build knows no GPU.
    ///
    /// # Errors
    /// Always.
    pub fn probe(_: usize) -> Result<Arc<Self>> {
        Err(Error::Device("this build has no CUDA support; build it with the `cuda` feature".into()))
    }

    /// Whether the machine has a CUDA driver library: not asked, in this build.
    pub fn driver_is_there() -> bool {
        false
    }

    /// How many GPUs there are: none.
    ///
    /// # Errors
    /// Never: no build without CUDA can fail to count.
    pub fn count() -> Result<usize> {
        Ok(0)
    }

    /// Whether kernels can be compiled.
    ///
    /// # Errors
    /// Never returns.
    pub fn can_compile(&self) -> Result<()> {
        match self.0 {}
    }

    /// The device's name.
    pub fn name(&self) -> String {
        match self.0 {}
    }

    /// Which GPU of the machine this is.
    pub fn ordinal(&self) -> usize {
        match self.0 {}
    }

    /// The compute capability.
    pub fn capability(&self) -> (u32, u32) {
        match self.0 {}
    }

    /// How many multiprocessors there are.
    pub fn multiprocessors(&self) -> usize {
        match self.0 {}
    }

    /// The most bytes of shared memory that a block can have.
    pub fn shared_per_block(&self) -> usize {
        match self.0 {}
    }

    /// Launches a kernel.
    ///
    /// # Safety
    /// Never called: there is no device.
    ///
    /// # Errors
    /// Never returns.
    pub unsafe fn launch(&self, _: Launch<'_>, _: Arguments) -> Result<()> {
        match self.0 {}
    }

    /// Waits for all that was launched.
    ///
    /// # Errors
    /// Never returns.
    pub fn synchronize(&self) -> Result<()> {
        match self.0 {}
    }

    /// Runs `work` and times it.
    ///
    /// # Errors
    /// Never returns.
    pub fn timed<R>(self: &Arc<Self>, _: impl FnOnce() -> Result<R>) -> Result<(R, f64)> {
        match self.0 {}
    }

    /// The counters of the device's memory.
    pub fn memory(&self) -> Stats {
        match self.0 {}
    }

    /// Starts the peak counter afresh.
    pub fn reset_peak(&self) {
        match self.0 {}
    }

    /// Gives kept memory back.
    pub fn trim(&self) {
        match self.0 {}
    }
}

/// Numbers of one type in the memory of a GPU: none, in this build.
pub struct CudaBuffer(Infallible);

impl CudaBuffer {
    /// Room for `count` numbers.
    ///
    /// # Errors
    /// Never returns: there is no device to call it with.
    pub fn new(device: &Arc<Cuda>, _: DType, _: usize) -> Result<Self> {
        match device.0 {}
    }

    /// `count` zeros.
    ///
    /// # Errors
    /// Never returns: there is no device to call it with.
    pub fn zeroed(device: &Arc<Cuda>, _: DType, _: usize) -> Result<Self> {
        match device.0 {}
    }

    /// A copy of host numbers on the device.
    ///
    /// # Errors
    /// Never returns: there is no device to call it with.
    pub fn upload(device: &Arc<Cuda>, _: &CpuBuffer) -> Result<Self> {
        match device.0 {}
    }

    /// A copy of the numbers on the host.
    ///
    /// # Errors
    /// Never returns: there is no buffer to call it with.
    pub fn download(&self) -> Result<CpuBuffer> {
        match self.0 {}
    }

    /// The type of the numbers.
    pub fn dtype(&self) -> DType {
        match self.0 {}
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        match self.0 {}
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self.0 {}
    }

    /// The device that holds them.
    pub fn device(&self) -> &Arc<Cuda> {
        match self.0 {}
    }

    pub(super) fn address(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn alias(&self) -> Self {
        match self.0 {}
    }

    pub(crate) fn copy(&self) -> Result<Self> {
        match self.0 {}
    }

    pub(crate) fn cast(&self, _: DType) -> Result<Self> {
        match self.0 {}
    }

    pub(crate) fn accumulate(&mut self, _: &CudaBuffer) -> Result<()> {
        match self.0 {}
    }
}

/// Page-locked host memory: none, in this build.
pub struct Pinned(Infallible);

impl Pinned {
    /// Room for `count` numbers.
    ///
    /// # Errors
    /// Never returns: there is no device to call it with.
    pub fn new(device: &Arc<Cuda>, _: DType, _: usize) -> Result<Self> {
        match device.0 {}
    }

    /// The numbers.
    ///
    /// # Errors
    /// Never returns.
    pub fn as_slice<T: Element>(&mut self) -> Result<&[T]> {
        match self.0 {}
    }

    /// The numbers to write to.
    ///
    /// # Errors
    /// Never returns.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        match self.0 {}
    }

    /// Starts a copy to the GPU.
    ///
    /// # Errors
    /// Never returns.
    pub fn upload(&mut self, _: &[usize]) -> Result<Upload> {
        match self.0 {}
    }

    /// Starts a copy from the GPU.
    ///
    /// # Errors
    /// Never returns.
    pub fn download(&mut self, _: &Tensor) -> Result<()> {
        match self.0 {}
    }
}

/// Numbers on their way to a GPU: none, in this build.
pub struct Upload(Infallible);

impl Upload {
    /// The tensor.
    ///
    /// # Errors
    /// Never returns.
    pub fn arrive(self) -> Result<Tensor> {
        match self.0 {}
    }
}
